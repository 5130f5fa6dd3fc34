#!/usr/bin/perl

# stagedoor_duplicate takeover: an encoder comes back before the server has noticed
# that it was gone.  Its new session replaces the old one, on whichever worker that
# is, and viewers stay.

use warnings;
use strict;

use List::Util qw(uniq);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Encoder;
use Test::Nginx;
use Test::Player qw(colours hls_url playlist);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffmpeg')->has_daemon('sqlite3')->plan(28);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 1s;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        live on;
        stagedoor on;
        stagedoor_duplicate takeover;

        hls on;
        hls_path %%TESTDIR%%/hls;
        hls_nested on;
        hls_fragment 500ms;
        hls_playlist_length 60s;
        hls_fragment_naming system;

        application live {
        }

        application strict {
            stagedoor_duplicate reject;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            root %%TESTDIR%%/hls;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw);

$t->run();

###############################################################################

my @workers = $stagedoor->workers(4);

# a frozen encoder, on the same worker and on another one

my $frozen = $stagedoor->on_worker($workers[0], sub {
    my $encoder = Test::Encoder->ffmpeg($key{benw}, colour => 'red');
    wait_for(sub { $stagedoor->log_lines(text => qr/publish accepted, username: "benw"/) }, 5) or die $encoder->output();
    return $encoder;
});
ok(wait_for(sub { my $list = playlist('/benw/index.m3u8'); $list && @{$list->{segments}} > 2 }, 10), 'a stream is live');
$frozen->signal('STOP');

my $before = playlist('/benw/index.m3u8');
my $second = takes_over($workers[1], 'benw', 'of a frozen encoder, on another worker', colour => 'blue');
my $after = wait_for(sub {
    my $list = playlist('/benw/index.m3u8');
    return @{$list->{segments}} >= @{$before->{segments}} + 4 && $list;
}, 10);
ok($after, 'the playlist goes on');
is_deeply([@{$after->{segments}}[0 .. $#{$before->{segments}}]], $before->{segments}, 'after what it had');
is_deeply([uniq(colours(hls_url("/benw/$after->{segments}[0]")), colours(hls_url("/benw/$after->{segments}[-2]")))],
    [qw(red blue)], 'with the new pictures behind the old ones');

my $third = takes_over($workers[1], 'benw', 'on the same worker');
is($second->wait_status(2, qr/Denied/)->{description}, 'Replaced by a new session', 'the old session is told');
ok($second->closed_within(2), 'and closed');

# one that does not listen, and goes on sending

$third->go_live(colour => 'red');
$third->go_deaf();
my $heard = takes_over($workers[3], 'benw', 'of a session that goes on sending', colour => 'lime');
my $there = @{playlist('/benw/index.m3u8')->{segments}};
$after = wait_for(sub { my $list = playlist('/benw/index.m3u8'); @{$list->{segments}} >= $there + 4 && $list }, 5);
ok($after, 'the playlist is the new one\'s');
is_deeply([uniq(map { colours(hls_url("/benw/$_")) } @{$after->{segments}}[$there .. $there + 2])], ['lime'], 'with its pictures only');
$third->close();
$third = takes_over($workers[1], 'benw', 'once more');
$frozen->signal('CONT');
isnt($frozen->wait(5) // 0, 0, 'the frozen encoder finds itself out');

# who may not

is(publish_on($workers[2], 'benw')->{description}, 'Already streaming', 'a stream is left alone for a second');
wait_for(sub { 0 }, 1.1);
my $strict = Test::RTMP->new(app => 'strict')->ready();
is($strict->publish($key{benw})->{description}, 'Already streaming', 'reject refuses');
ok(!$third->is_closed(), 'and the stream that is live does not notice');

# one that gives up while it waits

my ($aborts, $closes, $late) = map { $stagedoor->client_on($workers[0]) } 1 .. 3;
kill STOP => $workers[1];
for my $leave ([$aborts, 'abort'], [$closes, 'close_stream']) {
    my ($c, $how) = @$leave;
    $c->send_publish($key{benw});
    wait_for(sub { 0 }, 0.2);
    $c->$how();
    wait_for(sub { $stagedoor->log_lines(text => qr/publish withdrawn, username: "benw"/) }, 2);
}
is($late->publish($key{benw})->{description}, 'Already streaming', 'a worker that hangs is waited for no longer than a key');
kill CONT => $workers[1];
wait_for(sub { 0 }, 0.5);
ok(!$third->is_closed(), 'who gave up takes nothing over');

# the worker of the old stream dies, and that of one that waits

my $waiting = $stagedoor->client_on(my $worker = $workers[2]);
kill STOP => $workers[1];
$waiting->send_publish($key{benw});
wait_for(sub { 0 }, 0.2);
$stagedoor->kill_worker($worker);
kill CONT => $workers[1];
wait_for(sub { 0 }, 0.5);
ok(!$third->is_closed(), 'a worker that dies takes nothing over');
@workers = $stagedoor->workers(4);
my $fourth = takes_over((grep { $_ != $stagedoor->worker_of($third) } @workers)[0], 'benw', 'after that');
wait_for(sub { 0 }, 1.1);
my $hung = $stagedoor->worker_of($fourth);
$waiting = $stagedoor->client_on((grep { $_ != $hung } @workers)[0]);
kill STOP => $hung;
$waiting->send_publish($key{benw});
wait_for(sub { 0 }, 0.2);
$stagedoor->kill_worker($hung);
is($waiting->wait_status(2, qr/Publish/)->{code}, 'NetStream.Publish.Start', 'a stream whose worker dies is taken over');
$waiting->close();
$stagedoor->wait_for_ends('benw');

# the history

my @reasons;
wait_for(sub {
    @reasons = map { $_->{end_reason} // () } $stagedoor->sql('SELECT end_reason FROM sessions ORDER BY id');
    return @reasons == 7;
}, 5);
is_deeply(\@reasons, [('taken over') x 5, 'crash', 'connection lost'], 'the history has every stream once');

is($stagedoor->log_lines(level => 'error', text => qr/stagedoor/), 0, 'no error in the log');

###############################################################################

# A new session on this worker, which has to be live within a second.
sub takes_over {
    my ($worker, $username, $what, @media) = @_;
    wait_for(sub { 0 }, 1.1);    # a stream is left alone for a second
    my $c = $stagedoor->on_worker($worker, sub { Test::RTMP->new()->ready() });
    my $status = $c->publish($key{$username});
    is($status->{code}, 'NetStream.Publish.Start', "takeover $what");
    cmp_ok($c->times()->{status} - $c->times()->{publish}, '<', 1, 'within a second');
    $c->go_live(@media);
    return $c;
}

sub publish_on {
    my ($worker, $username) = @_;
    return $stagedoor->on_worker($worker, sub { Test::RTMP->new()->ready() })->publish($key{$username});
}

###############################################################################

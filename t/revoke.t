#!/usr/bin/perl

# Ban, rotate, remove and kick reach a stream that is live, on whichever worker it
# runs and whoever writes the database, within a second.  Other streams do not notice.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $WORKERS = 4;

my @cases = (
    ['ban', sub { $_[0]->do('ban', 'benw') }, 'Streaming is not allowed for this account', 'banned'],
    ['rotate', sub { $_[0]->rotate('benw') }, 'Stream key was replaced', 'key replaced'],
    ['kick', sub { $_[0]->do('kick', 'benw') }, 'Stopped by the operator', 'kicked'],
    ['remove', sub { $_[0]->do('remove', 'benw') }, 'Streaming is not allowed for this account', undef],
    ['ban by an UPDATE', sub { $_[0]->sql("UPDATE streamers SET is_active = 0 WHERE username = 'benw'") },
        'Streaming is not allowed for this account', 'banned'],
);

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->has_daemon('sqlite3')->plan($WORKERS * @cases * 4 + 8);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 4;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            stagedoor_auth_delay 0;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 500ms;
            hls_fragment_naming system;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = (zoe => $stagedoor->add('zoe'), benw => $stagedoor->add('benw'));

$t->run();

###############################################################################

my @workers = $stagedoor->workers($WORKERS);

# one that has nothing to do with it

my $zoe = Test::RTMP->new()->ready();
is($zoe->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'another stream');
my $player = $stagedoor->on_worker($stagedoor->worker_of($zoe), sub { Test::RTMP->new()->ready() });
is($player->play('zoe')->{code}, 'NetStream.Play.Start', 'with a player');
$zoe->go_live();
wait_for(sub { $player->received('video') > 2 }, 5);

for my $case (@cases) {
    my ($name, $change, $description, $reason) = @$case;
    for my $worker (@workers) {
        my $c = publish_on($worker);
        my $began = time;
        $change->($stagedoor);
        my $status = $c->wait_status(3, qr/^NetStream\.Publish\.(?!Start)/);
        is("$status->{code}: $status->{description}", "NetStream.Publish.Denied: $description", "$name: the publisher is told");
        $c->closed_within(3);
        cmp_ok($c->times()->{closed} - $began, '<', 1, 'and closed within a second');
        is(end_reason(), $reason, 'the history says why');
        my @lines = $stagedoor->log_lines(level => 'notice', text => qr/publish ended: \Q@{[$reason \/\/ 'removed']}\E, username: "benw"/);
        is($lines[-1] && $lines[-1]{pid}, $worker, 'and the log');
        make_good($name);
    }
}

# the key

my $c = publish_on($workers[0]);
my $old = $key{benw};
$key{benw} = $stagedoor->rotate('benw');
is(Test::RTMP->new()->ready()->publish($old)->{description}, 'Invalid stream key', 'the old key is refused at once');
my $new = Test::RTMP->new()->ready();
unlike($new->publish($key{benw})->{description}, qr/Invalid/, 'the new one is known at once');
$new->close();
ok(wait_for(sub { $c->is_closed() }, 1), 'the old stream ends');
$stagedoor->wait_for_ends('benw');
$c = publish_on($workers[1]);
ok(!$c->closed_within(1.5), 'the new key works, and its stream stays');

# the other stream

my @got  = map { $_->{timestamp} } $player->received('video');
my @gaps = grep { $got[$_] - $got[$_ - 1] > 110 } 2 .. $#got;
is_deeply(\@gaps, [], 'the other stream lost no frame');
ok(!$zoe->is_closed(), 'and goes on');

###############################################################################

sub publish_on {
    my ($worker) = @_;
    my $c = $stagedoor->on_worker($worker, sub { Test::RTMP->new()->ready() });
    $c->publish($key{benw})->{code} eq 'NetStream.Publish.Start' or die "benw can't publish\n";
    $c->go_live();
    wait_for(sub { ($stagedoor->sql(open_rows()))[0]{n} }, 3) or die "no row\n";
    return $c;
}

sub open_rows { return "SELECT count(*) AS n FROM sessions JOIN streamers ON streamers.id = streamer_id WHERE username = 'benw' AND stopped_at IS NULL" }

sub end_reason {
    my $last = "SELECT end_reason FROM sessions JOIN streamers ON streamers.id = streamer_id WHERE username = 'benw' ORDER BY sessions.id DESC LIMIT 1";
    return wait_for(sub { my ($row) = $stagedoor->sql($last); !$row || $row->{end_reason} }, 3)
        && (map { $_->{end_reason} } $stagedoor->sql($last))[0];
}

# As it was before.
sub make_good {
    my ($name) = @_;
    $stagedoor->do('unban', 'benw') if $name =~ /ban/;
    $key{benw} = $stagedoor->rotate('benw') if $name eq 'rotate';
    $key{benw} = $stagedoor->add('benw') if $name eq 'remove';
    return;
}

###############################################################################

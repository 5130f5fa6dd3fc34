#!/usr/bin/perl

# kill -9 of the publishing worker, 20 times over: the streamer is back within two
# seconds each time, and the stream of another worker does not lose a picture.  A
# stream that nobody asks for is freed, too.

use warnings;
use strict;

use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Player qw(pictures);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffprobe')->plan(15);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log %%TESTDIR%%/rtmp.log;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;

            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_nested on;
            hls_fragment 1s;
            hls_fragment_naming timestamp;
            hls_playlist_length 60s;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my ($key, $other_key, $lonely_key) = map { $stagedoor->add($_) } qw(benw other lonely);

$t->run();

my $other = Test::RTMP->new()->ready();
is($other->publish($other_key)->{code}, 'NetStream.Publish.Start', 'the stream of another worker');
my $safe = $stagedoor->worker_of($other);
$other->go_live();

###############################################################################

# the publishing worker dies, the streamer comes back

my @seconds;
for my $round (1 .. 20) {
    my $streamer = go_live_in_danger($key);
    my $worker   = $stagedoor->worker_of($streamer);
    $stagedoor->kill_worker($worker);

    my $killed = time;
    my $back   = wait_for(\&publish, 5) or last;
    push @seconds, time - $killed;
    $back->close();
}
is(scalar @seconds, 20, 'after each of 20 kills the streamer is back');
cmp_ok(max(@seconds), '<', 2, 'within two seconds');
cmp_ok((sort { $a <=> $b } @seconds)[@seconds / 2], '<', 0.5, 'mostly at once, without waiting for a sweep');
note(sprintf 'at most %.3f s', max(@seconds));
ok(!$other->is_closed(), 'the other stream is still there');

# the publishing worker dies, and nobody comes

my $streamer = go_live_in_danger($lonely_key);
my $worker   = $stagedoor->worker_of($streamer);
ok(wait_for(sub { $stagedoor->json('show', 'lonely')->{is_live} }, 2), 'a stream that nobody will ask for');
$stagedoor->kill_worker($worker);
my $killed = time;
ok(wait_for(sub { $stagedoor->log_lines(level => 'notice', text => qr/^stagedoor: worker $worker is gone; 1 of its streams/) }, 5), 'its death is noticed');
cmp_ok(time - $killed, '<', 2, 'within two seconds');
ok($stagedoor->log_lines(level => 'warn', text => qr/publish ended: its worker died, username: "lonely"/), 'the log names its stream');
ok(wait_for(sub { ($stagedoor->json('show', 'lonely')->{sessions}[0]{end_reason} // '') eq 'crash' }, 2), 'and the history has it');
is($stagedoor->json('show', 'lonely')->{is_live}, JSON::PP::false(), 'show: it is not live any more');
is($stagedoor->json('show', 'other')->{is_live}, JSON::PP::true(), 'the other is');

# the stream that was live all the while

is($stagedoor->worker_of($other), $safe, 'the other stream has its worker');
$other->stop_media();
$other->close_stream();
ok($other->wait_status(2, qr/Unpublish/), 'and ends when it wants');
is(pictures($t->testdir() . '/hls/other'), $other->pictures(), 'not one of its pictures is lost');

###############################################################################

# A stream on any worker but the one of the other stream.
sub go_live_in_danger {
    my ($key) = @_;
    my $client;
    wait_for(sub {
        my ($worker) = grep { $_ != $safe } $stagedoor->workers(2);
        $client = $stagedoor->client_on($worker);
        return $client->publish($key)->{code} eq 'NetStream.Publish.Start';
    }, 5) or die "a stream does not get live\n";
    $client->send_media(0.5);
    return $client;
}

# One attempt of the streamer, on the worker that the kernel chooses.
sub publish {
    my $client = eval { Test::RTMP->new()->ready() } or return;
    my $status = $client->publish($key);
    return $status && $status->{code} eq 'NetStream.Publish.Start' ? $client : undef;
}

###############################################################################

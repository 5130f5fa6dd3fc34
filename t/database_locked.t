#!/usr/bin/perl

# A database that another process keeps to itself: a worker that waits for it
# serves media and HTTP as ever, a publish is refused after stagedoor_timeout at
# the latest, and accepted as soon as the lock is gone.

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

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->has_daemon('ffprobe')->plan(17);

# One worker: what serves HTTP is what waits for the database.
$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;
stagedoor_timeout 500ms;

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

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            return 200 SERVED;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my ($live_key, @keys) = map { $stagedoor->add($_) } qw(live anna benw carl);

$t->run();

my $live = Test::RTMP->new()->ready();
is($live->publish($live_key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
my $player = Test::RTMP->new()->ready();
is($player->play('live')->{code}, 'NetStream.Play.Start', 'and has a player');
$live->go_live();

###############################################################################

# a process that reads and writes the database does no harm

my $writer = $stagedoor->lock_writes();
is(publish($keys[0])->{code}, 'NetStream.Publish.Start', 'a publish is accepted while another process writes');
$writer->kill();

# one that keeps it to itself

my $tyrant = $stagedoor->lock_all();
my @clients = map { Test::RTMP->new()->ready() } @keys;
my $before  = time;
$clients[$_]->send_publish($keys[$_]) for 0 .. 2;

my (@http, $gap, $last, $pictures);
$pictures = $player->received('video');
$last     = time;
wait_for(sub {
    my $sent = time;
    push @http, time - $sent if http_get('/') =~ /SERVED/;
    if ($player->received('video') > $pictures) {
        $pictures = $player->received('video');
        $gap      = max($gap // 0, time - $last);
        $last     = time;
    }
    return 3 == grep { $_->statuses() } @clients;
}, 3);

my @statuses = map { ($_->statuses())[0] // {} } @clients;
is($_->{code}, 'NetStream.Failed', 'a publish is refused') for @statuses;
is($statuses[0]{description}, 'Temporarily unavailable, try again', 'and its streamer told why');
my $waited = max(map { $_->{at} // 0 } @statuses) - $before;
cmp_ok($waited, '>=', 0.495, 'after stagedoor_timeout');    # nginx counts in whole milliseconds
cmp_ok($waited, '<', 1.2, 'and not later');
is($stagedoor->log_lines(level => 'warn', text => qr/refused: Temporarily unavailable.*\(no answer within 500 ms\), app: "live", key: [0-9a-f]{8},/), 3, 'the log says so');
cmp_ok(scalar @http, '>', 10, 'meanwhile HTTP is served');
cmp_ok(max(@http), '<', 0.25, 'without a wait');
cmp_ok($gap, '<', 0.4, 'and so is the player of the live stream');

# released

wait_for(sub { 0 }, 1.5);
$tyrant->kill();
$before = time;
is(publish($keys[1])->{code}, 'NetStream.Publish.Start', 'when the lock is gone, the next publish is accepted');
cmp_ok(time - $before, '<', 1, 'within a second');

$live->stop_media();
$live->close_stream();
ok($live->wait_status(2, qr/Unpublish/), 'the live stream ends when it wants');
is(pictures($t->testdir() . '/hls/live'), $live->pictures(), 'not one of its pictures is lost');

###############################################################################

sub publish {
    my ($key) = @_;
    my $c = Test::RTMP->new()->ready();
    my $status = $c->publish($key);
    $c->close();
    return $status;
}

###############################################################################

#!/usr/bin/perl

# worker_shutdown_timeout is for HTTP: a live stream of a worker that was told to go outlives it, over
# several reloads, and so does its player.  (reload.t reloads without one.)

use warnings;
use strict;

use Test::More;
use Time::HiRes qw(time);

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx qw(:DEFAULT http_start);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Seconds: the timeout, and how long the stream has to go on after it.
use constant { SHUTDOWN => 1, LONGER => 2 };

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(9);

$t->write_file_expand('nginx.conf', <<'END' =~ s/%%SHUTDOWN%%/SHUTDOWN/er);

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;
worker_shutdown_timeout %%SHUTDOWN%%s;

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
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;

        location /slow {
            limit_rate 1;
        }

        location /status {
            stagedoor_status;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->write_file('slow', 'x' x 10_000);

$t->run();

my $live = Test::RTMP->new()->ready();
is($live->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream goes live');
my $carrier = $stagedoor->worker_of($live);
my $player  = $stagedoor->client_on($carrier);
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'and has a player on its worker');
$live->go_live();
my $download = $stagedoor->on_worker($carrier, sub { http_start("GET /slow HTTP/1.0\r\n\r\n") });

###############################################################################

my $told = time;
$t->reload();
$download->blocking(0);
ok(wait_for(sub { my $read = sysread $download, my $part, 10_000; defined $read && $read == 0 }, 20), 'the timeout ends a download');
cmp_ok(time - $told, '>=', SHUTDOWN, 'and not the reload itself');
$t->reload();
my $pictures;
wait_for(sub { time - $told > SHUTDOWN + LONGER and $pictures //= () = $player->received('video') }, 30);
ok(wait_for(sub { (() = $player->received('video')) > $pictures }, 10), 'the stream and its player go on after it');
is_deeply([$stagedoor->old_workers()], [$carrier], 'on the old worker');
is($stagedoor->status('/status')->{streams}[0]{worker}, $carrier, 'as the new ones know');

$live->close_stream();
$live->wait_status(5, qr/Unpublish/);
$_->close() for $live, $player;
ok(wait_for(sub { !$stagedoor->old_workers() }, 10), 'which goes with it');
wait_for(sub { $stagedoor->json('sessions')->[0]{stopped_at} }, 5);
is($stagedoor->json('sessions')->[0]{end_reason}, 'closed by client', 'the history has the one stream');

###############################################################################

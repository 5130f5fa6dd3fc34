#!/usr/bin/perl

# A client that ends its stream and goes on sending: nginx-rtmp's modules would write it into the
# stream's files all the same, with nobody live whom a ban or a new key could stop.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::RTMP::Hostile qw(pictures_of);
use Test::Stagedoor     qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(16);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
            hls on;
            hls_path %%TESTDIR%%/live;
            hls_fragment_naming system;
        }

        application open {
            live on;
            hls on;
            hls_path %%TESTDIR%%/open;
            hls_fragment_naming system;
        }
    }
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen 127.0.0.1:8080;
        location = /status { stagedoor_status; }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %name = (live => $stagedoor->add('benw'), open => 'benw');
$t->run();

###############################################################################

for my $app (qw(live open)) {
    my $c = Test::RTMP->new(app => $app)->ready();
    is($c->publish($name{$app})->{code}, 'NetStream.Publish.Start', "$app: a stream is live");
    $c->send_media(1);
    ok(wait_for(sub { segments($app) == 1 }, 5), 'and written');

    $c->close_stream();
    is($c->wait_status(5, qr/Unpublish/)->{code}, 'NetStream.Unpublish.Success', 'it ends');
    $c->send_media(1);
    is($c->create_stream(), 1, 'what is sent behind its end has been read') or diag('no answer');
    is(segments($app), 1, 'and is not written');

    my $player = Test::RTMP->new(app => $app)->ready();
    $player->play('benw');
    is($c->publish($name{$app})->{code}, 'NetStream.Publish.Start', 'the session can publish again');
    my $before = $c->pictures();
    $c->send_media(1);
    ok(wait_for(sub { pictures_of($player) == $c->pictures() - $before }, 5), 'its player gets each picture');
    ok(wait_for(sub { segments($app) == 2 }, 5), 'and it is written');
}

###############################################################################

sub segments { my ($app) = @_; return scalar(() = glob $t->testdir() . "/$app/*.ts") }

###############################################################################

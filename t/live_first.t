#!/usr/bin/perl

# Many come at once: a picture of a stream that is live does not wait until all of them are served.

use warnings;
use strict;

use IO::Select;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Crowd qw(crowd greet);
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# ngx_epoll_module.c: epoll_events of one turn of the event loop.  The rest, and the picture, are for the next one.
use constant { A_TURN => 512, CROWD => 900 };

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(3);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;
worker_rlimit_nofile 2048;

stagedoor_db %%TESTDIR%%/db/stagedoor.db;

events {
    worker_connections 1024;
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application live {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my ($publisher, $player) = map { Test::RTMP->new()->ready() } 1 .. 2;
is($publisher->publish($key)->{code}, 'NetStream.Publish.Start', 'a stream is live');
$player->play('benw');
$publisher->send_media(1);
ok(wait_for(sub { $player->received('video') }, 5), 'and watched');
wait_for(sub { 0 }, 1.1);    # until its worker has seen that something comes of it

# The machine may stop this script just then, so several times.
my @answered;
for (1 .. 5) {
    push @answered, answered_before_a_picture();
    last if $answered[-1] < A_TURN;
}
cmp_ok($answered[-1], '<', A_TURN, 'its picture comes before as many are answered as fit in a turn of the event loop');
note("answered before it: @answered");

###############################################################################

# How many of a crowd, who all say the end of their greeting before the picture is sent, are answered when it comes.
sub answered_before_a_picture {
    my @clients = crowd(CROWD);
    kill STOP => $worker;
    greet(@clients);
    $publisher->send_media(0.04, fps => 25);
    kill CONT => $worker;
    my $has_come = IO::Select->new($player->{socket})->can_read(10);
    kill STOP => $worker;
    my $answered = IO::Select->new(@clients)->can_read(0);
    kill CONT => $worker;
    return $has_come ? $answered : CROWD;
}

###############################################################################

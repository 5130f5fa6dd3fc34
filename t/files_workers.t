#!/usr/bin/perl

# One name in an application where everybody may publish, in two workers and in two ways to write it: nginx-rtmp alone
# has every session write the name's files. With the module one does, and another when that one has ended.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @APPS = qw(hls dash);
my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(2 + 2 * 9);

write_stock_and_nginx($t, <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:8935;

        application hls {
            live on;
            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_fragment 10s;
            hls_fragment_naming system;
        }

        application dash {
            live on;
            dash on;
            dash_path %%TESTDIR%%/dash;
            dash_fragment 10s;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my @workers;

###############################################################################

# 1. nginx-rtmp alone

run('stock');
for my $app (@APPS) {
    my @clients = map { publish($_, $app, 'x') } @workers;
    is($stagedoor->writers($app, 2), 2, "$app: with nginx-rtmp alone both workers write");
    $_->close() for @clients;
}
$t->stop();

# 2. with the module

run('nginx');
for my $app (@APPS) {
    my ($first, $second) = map { publish($_, $app, 'x') } @workers;
    is($stagedoor->writers($app, 1), 1, "$app: with the module one worker writes");
    ok(plays($second, $app), 'the stream of the other one is live in its worker');
    is($stagedoor->writers($app, 1), 1, 'and is not written either while it is');

    my @same = (publish($workers[0], $app, '/x'), publish($workers[1], $app, './/x'));
    is($stagedoor->writers($app, 1), 1, 'nor are other names for the same files');
    $_->close() for @same;

    my $other = publish($workers[1], $app, 'y');
    is($stagedoor->writers($app, 2), 2, 'another name is written');
    $other->close();

    $first->close();
    ok(wait_for(sub { $stagedoor->writes($workers[1], $app) }, 5), 'what goes on is written when the other one has ended');
    my $third = publish($workers[0], $app, 'x');
    is($stagedoor->writers($app, 1), 1, 'and the first one is not when it comes back');

    $stagedoor->kill_worker($workers[1]);
    ok(wait_for(sub { $stagedoor->writes($workers[0], $app) }, 5), 'until the worker of the other one dies');
    ok(!$third->is_closed(), 'all the while it is live');
    $third->close();
    @workers = $stagedoor->workers(2);
}

###############################################################################

sub run {
    my ($name) = @_;
    $t->run($t->testdir() . "/$name.conf");
    @workers = $stagedoor->workers(2);
    return;
}

# A client of that worker, live.
sub publish {
    my ($worker, $app, $name) = @_;
    my $client = $stagedoor->client_on($worker, app => $app);
    $client->publish($name);
    $client->go_live();
    wait_for(sub { $client->pictures() > 15 }, 10) or die "no picture is sent\n";
    return $client;
}

# Whether pictures come.
sub plays {
    my ($publisher, $app) = @_;
    my $player = $stagedoor->client_on($workers[1], app => $app);
    $player->play('x');
    my $comes = wait_for(sub { $player->received('video') > 5 }, 10);
    $player->close();
    return $comes;
}

###############

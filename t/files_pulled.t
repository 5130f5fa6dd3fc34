#!/usr/bin/perl

# A name that each worker pulls from elsewhere for its own players: nginx-rtmp alone has each of them write the name's
# files.  With the module one does, and another when that one pulls no more, though nobody has published there.

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
my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(2 + 2 * 4);

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

        application source {
            live on;
        }

        application hls {
            live on;
            pull rtmp://127.0.0.1:8935/source;
            hls on;
            hls_path %%TESTDIR%%/hls;
            hls_fragment 10s;
            hls_fragment_naming system;
        }

        application dash {
            live on;
            pull rtmp://127.0.0.1:8935/source;
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

my @sources = run('stock');
for my $app (@APPS) {
    my @players = map { player($_, $app) } @workers;
    is($stagedoor->writers($app, 2), 2, "$app: with nginx-rtmp alone both workers write what they pull");
    $_->close() for @players;
}
$_->close() for @sources;
$t->stop();

# 2. with the module

@sources = run('nginx');
for my $app (@APPS) {
    my %player = map { $_ => player($_, $app) } @workers;
    is($stagedoor->writers($app, 1), 1, "$app: with the module one worker writes");
    ok(plays($player{$_}), 'its player has pictures, as has the other one') for @workers;

    my ($writer, $other) = sort { $stagedoor->writes($b, $app) <=> $stagedoor->writes($a, $app) } @workers;
    $player{$writer}->close();
    ok(wait_for(sub { !$stagedoor->writes($writer, $app) && $stagedoor->writes($other, $app) }, 5), 'who writes when that one has gone');
    $player{$other}->close();
}

###############################################################################

# Returns the streams that are pulled: each worker has one, as a pull may come to either.
sub run {
    my ($name) = @_;
    $t->run($t->testdir() . "/$name.conf");
    @workers = $stagedoor->workers(2);
    return map { my $client = $stagedoor->client_on($_, app => 'source'); $client->publish('x'); $client->go_live() } @workers;
}

# Somebody in that worker to whom pictures come.
sub player {
    my ($worker, $app) = @_;
    my $player = $stagedoor->client_on($worker, app => $app);
    $player->play('x');
    plays($player) or die "no picture comes\n";
    return $player;
}

sub plays {
    my ($player) = @_;
    my $before = () = $player->received('video');
    return wait_for(sub { $player->received('video') > $before + 5 }, 10);
}

###############

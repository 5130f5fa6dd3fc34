#!/usr/bin/perl

# A client that closes its stream while on_update is being asked: the stream has long begun, so that the answer begins
# none. With nginx-rtmp alone and with the module the session goes on, and publishes again.

use warnings;
use strict;

use IO::Socket::INET ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);
use Test::Stock qw(write_stock_and_nginx);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(2 * 3);

write_stock_and_nginx($t, <<'END');

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

        application app {
            live on;
            stagedoor on;
            on_update http://127.0.0.1:8081/update;
            notify_update_timeout 2s;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key       = (stock => 'benw', nginx => $stagedoor->add('benw'));
my %who       = (stock => 'nginx-rtmp alone', nginx => 'with the module');
my $callback  = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1',
    LocalPort => port(8081),
    Listen    => 5,
    ReuseAddr => 1,
    Timeout   => 5,
) or die "Can't listen: $!\n";

###############################################################################

for my $name (qw(stock nginx)) {
    $t->run($t->testdir() . "/$name.conf");
    my $client = Test::RTMP->new(app => 'app')->ready();
    $client->publish($key{$name});
    my $asked = $callback->accept() or die "on_update is not asked\n";
    $client->close_stream();
    ok(!$client->closed_within(1), "$who{$name}: a session goes on when its stream is closed meanwhile");
    syswrite $asked, "HTTP/1.0 200 OK\r\n\r\n";
    $asked->close();

    is($client->publish($key{$name})->{code}, 'NetStream.Publish.Start', 'and publishes again');
    $client->go_live();
    my $player = Test::RTMP->new(app => 'app')->ready();
    $player->send_play('benw');
    ok(wait_for(sub { $player->received('video') > 3 }, 5), 'which can be played');
    $_->close() for $client, $player;
    $t->stop();
}

###############################################################################

###############################################################################

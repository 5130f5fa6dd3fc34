#!/usr/bin/perl

# A stream that is to be pushed to a server that is not there: where its first push cannot even begin to
# connect, which nginx-rtmp alone dies of (push_stock.t), it is tried again until the server is there.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $there = Test::Nginx->new()->has(qw/rtmp/);
my $t     = Test::Nginx->new()->has(qw/http rtmp stagedoor/)->plan(12);
my $socket = $t->testdir() . '/there.sock';

$there->write_file_expand('nginx.conf', conf(8940, 'load_module %%RTMP_MODULE%%;', "listen unix:$socket;", map { "application $_ { live on; }" } qw(open keyed)));
$t->write_file_expand('nginx.conf',
    conf(8936, 'stagedoor_db %%TESTDIR%%/db/stagedoor.db;', pushing('open'), pushing('keyed', 'stagedoor on;'),
        'application quiet { live on; stagedoor on; }'));
my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw carol);

$t->expect_alert(qr/connect\(\) to unix:\S+ failed/);
$t->run();

###############################################################################

my ($worker) = $stagedoor->workers(1);
my $bystander = client(8936, 'quiet');
is($bystander->publish($key{carol})->{code}, 'NetStream.Publish.Start', 'somebody else is live');
my %pushed = (open => client(8936, 'open'), keyed => client(8936, 'keyed'));
is($pushed{open}->publish('plain')->{code},      'NetStream.Publish.Start', 'the stream is live');
is($pushed{keyed}->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'as is one with a key');
$_->go_live() for values %pushed;

# who is gone before the next try
my $gone = client(8936, 'open');
is($gone->publish('gone')->{code}, 'NetStream.Publish.Start', 'and one that ends at once');
$gone->abort();

# what is no longer live is not pushed, although its session goes on
my $other = client(8936, 'open');
$other->publish('former');
$other->close_stream();
is($other->publish('latter')->{code}, 'NetStream.Publish.Start', 'and one behind another of its session');
$other->go_live();

ok(wait_for(sub { $t->find_in_file('error.log', qr/connect\(\) to unix:\S+ failed/) > 8 }, 10), 'the pushes are tried again');

$there->run();
for my $wanted (['open', 'plain'], ['keyed', 'benw'], ['open', 'latter']) {
    my ($app, $name) = @$wanted;
    my $player = client(8940, $app);
    $player->send_play($name);
    ok(wait_for(sub { $player->received('video') > 3 }, 15), "$app/$name: and play where they go to, once that is there");
    $player->close();
}
my $player = client(8940, 'open');
$player->send_play('former');
ok(!wait_for(sub { $player->received('video') }, 1), 'what has ended does not');
is_deeply([$stagedoor->workers(1)], [$worker], 'all of that in one worker');
ok(!$bystander->is_closed(), 'and nobody else has noticed');

###############################################################################

sub client { my ($port, $app) = @_; return Test::RTMP->new(port => port($port), app => $app)->ready() }

sub pushing {
    my ($app, @lines) = @_;
    return join ' ', "application $app { live on;", @lines, "push rtmp://unix:$socket:/$app; push_reconnect 200ms; }";
}

sub conf {
    my ($port, $main, @applications) = @_;
    local $" = "\n        ";
    return <<"END";

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

$main

events {
}

rtmp {
    access_log off;

    server {
        listen 127.0.0.1:$port;

        @applications
    }
}

END
}

###############################################################################

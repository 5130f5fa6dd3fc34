#!/usr/bin/perl

# A session that has pushed a stream and publishes another one: nginx-rtmp's relay module has kept what is not there
# any more. Where the second push cannot begin at first, it looks for it among the former ones; and it makes a ring of
# the list that two names are in, which nginx-rtmp alone goes round in for good. With the module each stream is pushed
# under its own name.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::Proc qw(children cpu_seconds is_running);
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

# in one list of the relay module's table: ngx_hash_key() % 1024 is the same
my @NAMES = qw(judy otto);

my $there  = Test::Nginx->new()->has(qw/rtmp/);
my $t      = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(1 + 2 * 3 + 5);
my $socket = $t->testdir() . '/there.sock';

$there->write_file_expand('nginx.conf', conf(8940, 'load_module %%RTMP_MODULE%%;', "listen unix:$socket;",
    map { "application $_ { live on; }" } qw(open keyed again)));
$t->write_file_expand('stock.conf', conf(8936, 'load_module %%RTMP_MODULE%%;', pushing('open', '127.0.0.1:8940')));
$t->write_file_expand('nginx.conf', conf(8936, 'stagedoor_db %%TESTDIR%%/db/stagedoor.db;',
    pushing('open', '127.0.0.1:8940'), pushing('keyed', '127.0.0.1:8940', 'stagedoor on;'),
    pushing('again', "unix:$socket:")));
my $stagedoor = Test::Stagedoor->new($t);
my %key = (open => { map { $_ => $_ } @NAMES }, keyed => { map { $_ => $stagedoor->add($_) } @NAMES });

$t->expect_kill(1);
$t->expect_alert(qr/connect\(\) to unix:\S+ failed/);
$there->run();

###############################################################################

# two names in one list

my $worker = run('stock');
my @streams = two('open');
ok(hangs(), 'nginx-rtmp alone: a name that is published again hangs the worker');
kill KILL => $worker;
wait_for(sub { !is_running($worker) }, 5);
$_->close() for @streams;
$t->stop();

# a push that cannot begin at first

$worker = run('nginx');
my $client = client(8936, 'again');
$client->publish('former');
$client->go_live();
ok(is_pushed('again', 'former'), 'a stream is pushed');
$client->close_stream();
$there->stop();
unlink $socket;
is($client->publish('the-latter-of-the-two')->{code}, 'NetStream.Publish.Start', 'the next one of its session is live');
$client->go_live();
wait_for(sub { $t->find_in_file('error.log', qr/connect\(\) to unix:\S+ failed/) > 3 }, 5);
$there->run();
ok(is_pushed('again', 'the-latter-of-the-two'), 'and is pushed under its own name, once the server is there');
ok(!is_pushed('again', 'former', 1), 'under that only');
$client->close();

# the two names with the module

for my $app (qw(open keyed)) {
    my @two = two($app);
    ok(answers($app), "$app: with the module the worker does not hang");
    ok(is_pushed($app, $NAMES[0]), 'the stream that has begun again is pushed');
    ok(is_pushed($app, $NAMES[1]), 'and so is the other one');
    $_->close() for @two;
}
is_deeply([$stagedoor->workers(1)], [$worker], 'all of that in one worker');

###############################################################################

sub run {
    my ($name) = @_;
    $t->run($t->testdir() . "/$name.conf");
    return ($stagedoor->workers(1))[0];
}

sub client { my ($port, $app) = @_; return Test::RTMP->new(port => port($port), app => $app)->ready() }

# Two streams, the first of which ends and begins again, twice.
sub two {
    my ($app) = @_;
    my @clients = map { client(8936, $app) } @NAMES;
    $clients[$_]->publish($key{$app}{$NAMES[$_]}) for 0, 1;
    for (1, 2) {
        $clients[0]->close_stream();
        $clients[0]->send_publish($key{$app}{$NAMES[0]});
        $clients[0]->wait_status(2, qr/Publish\.Start/);
    }
    return map { $_->go_live() } @clients;
}

# Whether the server that it is pushed to has pictures of the stream.
sub is_pushed {
    my ($app, $name, $timeout) = @_;
    my $player = client(8940, $app);
    $player->send_play($name);
    my $comes = wait_for(sub { $player->received('video') > 3 }, $timeout // 10);
    $player->close();
    return $comes;
}

# Whether it is busy for a second of its own time.
sub hangs {
    my $before = cpu_seconds($worker);
    return wait_for(sub { cpu_seconds($worker) - $before > 1 }, 10);
}

sub answers { my ($app) = @_; return eval { client(8936, $app)->close(); 1 } }

sub pushing {
    my ($app, $to, @lines) = @_;
    return join ' ', "application $app { live on;", @lines, "push rtmp://$to/$app; push_reconnect 200ms; }";
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

#!/usr/bin/perl

# A client that closes its stream while on_publish is being asked. nginx-rtmp goes on when the answer comes: a stream
# begins behind its end, of which the registry knows nothing, so that no new key and no ban would end it. With the
# module the session ends instead.

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

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(1 + 2 * 4 + 1 + 4);

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

        on_publish http://127.0.0.1:8081/publish;

        application open {
            live on;
        }

        application keyed {
            live on;
            stagedoor on;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw carol dora);
my $callback = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1',
    LocalPort => port(8081),
    Listen    => 5,
    ReuseAddr => 1,
    Timeout   => 2,
) or die "Can't listen: $!\n";

###############################################################################

# nginx-rtmp alone

$t->run($t->testdir() . '/stock.conf');
my ($client, $asked) = close_early('open', 'benw');
answer($asked);
is(code($client), 'NetStream.Publish.Start', 'nginx-rtmp alone begins a stream that has been closed');
$client->close();
$t->stop();

# with the module

$t->run($t->testdir() . '/nginx.conf');
my ($worker) = $stagedoor->workers(1);
for my $app (qw(open keyed)) {
    ($client, $asked) = close_early($app, $app eq 'open' ? 'benw' : $key{benw});
    ok($client->closed_within(5), "$app: with the module the session ends");
    answer($asked);

    $key{benw} = $stagedoor->rotate('benw');
    my $next = client($app);
    $next->send_publish($app eq 'open' ? 'benw' : $key{benw});
    answer(asked());
    is(code($next), 'NetStream.Publish.Start', 'who comes next is let in');
    ok(!$next->closed_within(1), 'and stays');
    is($client->statuses(), 0, 'no stream has begun behind the end');
    $next->close();
}
ok($stagedoor->wait_for_ends('benw'), 'what has begun ends');

# a stream of another name behind the one that was closed

($client, $asked) = close_early('keyed', $key{dora});
$client->send_publish($key{carol});
answer($_) for $asked, asked();
$client->go_live();
$stagedoor->do('ban', 'dora');
my $player = client('keyed');
$player->send_play('dora');
ok(!wait_for(sub { $player->received('video') }, 3), 'nobody sees a stream of who is banned');
ok($client->is_closed(), 'as the session has ended, too');
ok(wait_for(sub { !grep { $_->{is_live} } @{$stagedoor->json('list')} }, 5), 'nobody is live');
is_deeply([$stagedoor->workers(1)], [$worker], 'all of that in one worker');

###############################################################################

sub client { my ($app) = @_; return Test::RTMP->new(app => $app)->ready() }

# A client that has closed its stream, and the callback's request, which waits for its answer.
sub close_early {
    my ($app, $key) = @_;
    my $client = client($app);
    $client->send_publish($key);
    my $asked = asked();
    $client->close_stream();
    $client->create_stream();    # answered behind that
    return ($client, $asked);
}

# Nothing, if no request comes.
sub asked {
    my $request = $callback->accept() // return;
    sysread $request, my $head, 65536;
    return $request;
}

sub answer {
    my ($request) = @_;
    return unless $request;
    syswrite $request, "HTTP/1.0 200 OK\r\n\r\n";
    $request->close();
    return;
}

sub code { my ($client) = @_; return ($client->wait_status(5) // { code => 'nothing' })->{code} }

###############################################################################

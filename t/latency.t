#!/usr/bin/perl

# Nothing waits for Nagle's algorithm or a delayed ACK while a publish is set up:
# the options of the server's socket, at each step, as the kernel tells them.

use warnings;
use strict;

use IO::Handle;
use Socket qw(IPPROTO_TCP TCP_NODELAY TCP_QUICKACK unpack_sockaddr_in);
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

# Numbers of system calls that are the same on every architecture.
use constant { PIDFD_OPEN => 434, PIDFD_GETFD => 438 };

# linux/tcp.h, net/tcp_states.h
use constant { TCP_INFO => 11, TCP_LISTEN => 10 };

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(15);

$t->write_file_expand('nginx.conf', <<'END');

%%TEST_GLOBALS%%

daemon off;

worker_processes 1;

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
            stagedoor_auth_delay 0;
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my %key = map { $_ => $stagedoor->add($_) } qw(benw zoe);

$t->run();

my ($worker) = $stagedoor->workers(1);

###############################################################################

# room for everybody

open my $somaxconn, '<', '/proc/sys/net/core/somaxconn' or die "somaxconn: $!\n";
is(backlog(), <$somaxconn> + 0, 'as many may wait to be accepted as the kernel lets');

# each step of a publish

my $c = Test::RTMP->new();
on($c, TCP_NODELAY, 'the answers of the handshake go out at once');
$c->handshake();
on($c, TCP_NODELAY,  'after the handshake answers go out at once');
on($c, TCP_QUICKACK, 'and what comes is acknowledged at once');
$c->connect();
on($c, TCP_QUICKACK, 'also after connect is answered');
$c->create_stream();
on($c, TCP_QUICKACK, 'also after createStream is answered');
is($c->publish($key{benw})->{code}, 'NetStream.Publish.Start', 'live');
on($c, TCP_NODELAY, 'answers still go out at once');
$c->send_media(1);
on($c, TCP_NODELAY, 'with media too');

# the same for an encoder that writes header and payload apart

my $split = Test::RTMP->new(split => sub { 1 + int rand 12 }, nodelay => 0);
$split->ready();
on($split, TCP_NODELAY,  'in pieces: answers at once');
on($split, TCP_QUICKACK, 'in pieces: acknowledged at once');
is($split->publish($key{zoe})->{code}, 'NetStream.Publish.Start', 'in pieces: live');

# a player

my $player = Test::RTMP->new()->ready();
on($player, TCP_NODELAY, 'who may become a publisher');
is($player->play('benw')->{code}, 'NetStream.Play.Start', 'but plays');
ok(wait_for(sub { option($player, TCP_NODELAY) == 0 }, 3), 'is as nginx-rtmp has it');

###############################################################################

# An option is on; what re-arms it comes right behind an answer.
sub on {
    my ($client, $option, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub { option($client, $option) }, 2), $what);
    return;
}

# An option of the worker's end of a client's connection.
sub option {
    my ($client, $option) = @_;
    for my $socket (sockets()) {
        my $peer = getpeername $socket or next;
        next if length $peer != 16 || (unpack_sockaddr_in($peer))[0] != $client->local_port();
        return unpack 'i', getsockopt $socket, IPPROTO_TCP, $option;
    }
    return;
}

# The largest number of connections that may wait for the worker: what the kernel tells of a
# listening socket in TCP_INFO, as tcpi_sacked.
sub backlog {
    for my $socket (sockets()) {
        my $name = getsockname $socket or next;
        next if length $name != 16 || (unpack_sockaddr_in($name))[0] != port(8935);
        my ($state, $backlog) = unpack 'C x27 L', getsockopt $socket, IPPROTO_TCP, TCP_INFO;
        return $backlog if $state == TCP_LISTEN;
    }
    return;
}

# Copies of the worker's sockets.  The kernel gives a copy of a descriptor to whoever may trace
# the worker: its ancestors may.
sub sockets {
    my $pidfd = syscall PIDFD_OPEN, $worker, 0;
    die "pidfd_open: $!\n" if $pidfd < 0;
    my $process = IO::Handle->new_from_fd($pidfd, 'r');
    my @sockets;
    for my $fd (map { m{/(\d+)$} } grep { (readlink // '') =~ /^socket:/ } glob "/proc/$worker/fd/*") {
        my $copy = syscall PIDFD_GETFD, $pidfd, $fd + 0, 0;
        die "pidfd_getfd: $!\n" if $copy < 0;
        open my $socket, '+<&=', $copy or die "Can't open descriptor $copy: $!\n";
        push @sockets, $socket;
    }
    return @sockets;
}

###############################################################################

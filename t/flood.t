#!/usr/bin/perl

# Who sends faster than a worker reads has no more than a turn of its event loop at a time, key or not: others are served
# in between.

use warnings;
use strict;

use IO::Select;
use POSIX ();
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Nginx;
use Test::RTMP;
use Test::Stagedoor qw(wait_for);

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/rtmp stagedoor/)->plan(8);

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
        }
    }
}

END

my $stagedoor = Test::Stagedoor->new($t);
my $key = $stagedoor->add('benw');
$t->run();

###############################################################################

# The shorter a message, the longer it takes to read so many bytes.
for my $length (1, 62) {
    my $flood = flood($length);
    wait_for(sub { 0 }, 1);
    my $c = Test::RTMP->new(timeout => 2);
    my $status = eval { $c->ready()->publish($key) } // {};
    is($status->{code}, 'NetStream.Publish.Start', "beside a flood of messages of $length bytes others publish");
    is(kill(0 => $flood), 1, 'all the while it goes on');
    kill KILL => $flood;
    waitpid $flood, 0;
    $c->close();
    wait_for(sub { 0 }, 0.2);
}

# With large messages the kernel is made to take a lot at once; then comes what takes the longest to read: a
# chunk full of messages of one byte.
{
    my $flood = fork // die "fork: $!\n";
    if (!$flood) {
        my $c = flooding(1, chunk_size => 2_000_000, before => 100);
        kill STOP => $$;
        $c->write_through("\xc6x" x 500_000);
        POSIX::_exit(0);
    }
    waitpid $flood, POSIX::WUNTRACED();
    wait_for(sub { waiting() == 0 }, 5);
    my ($worker) = $stagedoor->workers(1);
    kill STOP => $worker;
    kill CONT => $flood;
    ok(wait_for(sub { waiting() > 500_000 }, 5), 'so much of a flood has come');
    my $c = Test::RTMP->new();
    $c->send_handshake();
    kill CONT => $worker;
    ok(IO::Select->new($c->{socket})->can_read(5), 'a handshake is answered');
    kill STOP => $worker;
    cmp_ok(waiting(), '>', 0, 'before all of the flood is read');
    kill CONT => $worker;
    kill KILL => $flood;
    waitpid $flood, 0;
    $c->close();
    ok(wait_for(sub { waiting() == 0 }, 10), 'which happens later, though its sender has gone');
}

###############################################################################

# Sends sound without an end; returns its process.
sub flood {
    my ($length) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my $c = flooding($length, chunk_size => 60_000);
    my $messages = "\xc6" . 'x' x $length;
    $messages x= 1_000_000 / length $messages;
    1 while $c->write_through($messages);
    POSIX::_exit(0);
}

# A client that has sent sound of this length, of no stream, with a header that those behind it can do without.
sub flooding {
    my ($length, %how) = @_;
    my $c = Test::RTMP->new()->ready();
    $c->set_chunk_size($how{chunk_size});
    $c->message(csid => 6, type => 8, stream_id => 1, payload => 'x' x $_) for (900_000) x ($how{before} // 0), $length;
    $c->flush();
    return $c;
}

# How many bytes the kernel has for the server from connections that are open, or closed at the other end (proc(5), /proc/net/tcp).
sub waiting {
    my $local = sprintf ':%04X', port(8935);
    open my $fh, '<', '/proc/net/tcp' or die "Can't open /proc/net/tcp: $!\n";
    my $bytes = 0;
    for (grep { /^\s*\d+: \w+\Q$local\E / } <$fh>) { $bytes += hex $1 if /^(?:\s*\S+){3} 0[18] \w+:(\w+)/ }
    return $bytes;
}

###############################################################################

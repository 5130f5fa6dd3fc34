package Test::Crowd;

# Many who say the end of their greeting at the same time, so that a worker answers them in one turn of its
# event loop, or some.
#
#   my @crowd = crowd(400);     # the worker has the beginning of what each one says
#   kill STOP => $worker;
#   greet(@crowd);
#   kill CONT => $worker;

use strict;
use warnings;

use parent 'Exporter';

use IO::Socket::INET ();
use Test::Nginx::Port qw(port);
use Test::RTMP ();

our @EXPORT_OK = qw(crowd greet);

# C0 and C1, of a client with digests (ngx_rtmp_handshake.c).
use constant GREETING => "\x03" . pack('N2', 0, 0x0a000d0e) . 'x' x 1528;

# As much of it as leaves something to say.
use constant BEGINNING => 1000;

sub crowd {
    my ($count) = @_;
    my @crowd = map {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8935)) or die "Can't connect: $!\n"
    } 1 .. $count;
    syswrite $_, substr GREETING, 0, BEGINNING for @crowd;
    Test::RTMP::wait_until(sub { 0 }, 0.5);    # until it is read
    return @crowd;
}

sub greet { my @crowd = @_; syswrite $_, substr GREETING, BEGINNING for @crowd; return }

1;

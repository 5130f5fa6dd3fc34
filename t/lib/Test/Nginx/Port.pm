package Test::Nginx::Port;

# Free ports for scripts that run in parallel.
#
# A port is taken by binding an abstract Unix socket of its name: the kernel
# lets one process have it, and takes it back when that process is gone,
# whatever it died of.  No file is left behind.

use strict;
use warnings;

use parent 'Exporter';

use IO::Socket::INET ();
use Socket           qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);

our @EXPORT_OK = qw(port);

my (%ports, @locks);

# The real port that stands for a script's 8080.  All candidates lie below the
# range the kernel takes outgoing connections' ports from (32768 and up).
sub port {
    my ($wanted) = @_;
    return $ports{$wanted} //= _take($wanted);
}

sub _take {
    my ($wanted) = @_;
    for (my $port = $wanted; $port < 32768; $port++) {
        return $port if _lock($port) && _is_free($port);
    }
    die "No free port for $wanted\n";
}

sub _lock {
    my ($port) = @_;
    socket my $lock, AF_UNIX, SOCK_STREAM, 0 or die "Can't create socket: $!\n";
    bind $lock, pack_sockaddr_un("\0nginx-test-port-$port") or return 0;
    push @locks, $lock;
    return 1;
}

# Somebody outside of the tests may listen there.
sub _is_free {
    my ($port) = @_;
    return IO::Socket::INET->new(
        Proto     => 'tcp',
        LocalAddr => "0.0.0.0:$port",
        Listen    => 1,
        ReuseAddr => 1,
    );
}

1;

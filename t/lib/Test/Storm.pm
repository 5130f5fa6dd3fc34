package Test::Storm;

# Publishes from one address, hundreds at once, by clients that send all they have to
# say without waiting for an answer:
#
#   my $storm = Test::Storm->start(port => port(8935), from => '127.0.0.9', key => $wrong, count => 5_000);
#   $storm->wait(60);    # a Test::Process

use strict;
use warnings;

use Test::Process      ();
use Test::RTMP::AMF0   qw(amf_encode);
use Test::RTMP::Chunk  ();

use constant AT_ONCE => 500;

# Each waits until the server closes, or dies.
use constant CLIENTS => <<'END';
    use IO::Socket::INET;
    my ($port, $from, $count, $at_once, $bytes) = @ARGV;
    $SIG{PIPE} = 'IGNORE';
    for (1 .. $count / $at_once) {
        my @sockets = map {
            IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", LocalAddr => $from) // die "$_: $!\n"
        } 1 .. $at_once;
        syswrite $_, pack 'H*', $bytes for @sockets;
        for (@sockets) { 1 while sysread $_, my $answer, 65536 }
    }
END

# %arg: port, from, key, count, a multiple of AT_ONCE; app.
sub start {
    my ($class, %arg) = @_;
    my @arguments = (@arg{qw(port from count)}, AT_ONCE, unpack 'H*', _bytes($arg{app} // 'live', $arg{key}));
    return Test::Process->start({ timeout => 60 }, $^X, '-e', CLIENTS, @arguments);
}

# From the handshake to the publish.
sub _bytes {
    my ($app, $key) = @_;
    my $writer = Test::RTMP::Chunk::Writer->new();
    my %command = (csid => 3, timestamp => 0, type => 20, fmt => 0);
    return join '', "\x03" . "\0" x 1536 . "\0" x 1536, map { $writer->message(%command, %$_) }
        { stream_id => 0, payload => amf_encode('connect', 1, { app => $app }) },
        { stream_id => 0, payload => amf_encode('createStream', 2, undef) },
        { stream_id => 1, payload => amf_encode('publish', 3, undef, $key, 'live') };
}

1;

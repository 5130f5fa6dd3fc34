package Test::Nginx::HTTP;

# One HTTP request to the nginx under test, on port 8080 of the script unless
# it says otherwise.  Returns the whole answer as it came, or undef when there
# was none in time.

use strict;
use warnings;

use parent 'Exporter';

use IO::Select       ();
use IO::Socket::INET ();
use Test::More       ();
use Time::HiRes      qw(sleep time);

use Test::Nginx::Port qw(port);

our @EXPORT_OK = qw(http http_end http_get http_head http_start log_in log_out);

use constant TIMEOUT => 8;

sub http_get {
    my ($url, %extra) = @_;
    return http("GET $url HTTP/1.0\r\nHost: localhost\r\n\r\n", %extra);
}

sub http_head {
    my ($url, %extra) = @_;
    return http("HEAD $url HTTP/1.0\r\nHost: localhost\r\n\r\n", %extra);
}

# %extra: PeerAddr; socket, one that is already connected; start, to return the
# socket instead of the answer; body and sleep, sent after that many seconds;
# aborted, to close without reading.
sub http {
    my ($request, %extra) = @_;
    my $socket = http_start($request, %extra);
    return $socket if $extra{start} || $extra{aborted} || !$socket;
    return http_end($socket);
}

sub http_start {
    my ($request, %extra) = @_;

    my $socket = $extra{socket} // IO::Socket::INET->new(
        Proto    => 'tcp',
        PeerAddr => $extra{PeerAddr} // '127.0.0.1:' . port(8080),
        Timeout  => TIMEOUT,
    );
    unless ($socket) {
        Test::More::diag("http: can't connect: $!");
        return;
    }

    $socket->autoflush(1);
    local $SIG{PIPE} = 'IGNORE';
    log_out($request);
    print $socket $request;
    sleep $extra{sleep} if $extra{sleep};
    if (defined $extra{body}) {
        log_out($extra{body});
        print $socket $extra{body};
    }
    return if $extra{aborted};
    return $socket;
}

sub http_end {
    my ($socket) = @_;

    my $answer   = '';
    my $deadline = time + TIMEOUT;
    my $select   = IO::Select->new($socket);
    while (1) {
        unless ($select->can_read($deadline - time > 0 ? $deadline - time : 0)) {
            Test::More::diag('http: no complete answer within ' . TIMEOUT . ' seconds');
            return;
        }
        my $read = sysread $socket, $answer, 65536, length $answer;
        last unless $read;
    }

    log_in($answer =~ s/\r\n\r\n\K.*[^\x09\x0a\x0d\x20-\x7e].*/'(' . length($answer) . ' bytes)'/esr);
    return $answer;
}

sub log_out { return _log('>>', @_) }
sub log_in  { return _log('<<', @_) }

sub _log {
    my ($mark, $text) = @_;
    $text =~ s/\r\n/\n/g;
    $text =~ s/([^\x0a\x20-\x7e])/sprintf '\\x%02x', ord $1/eg;
    Test::More::note(map { "$mark $_\n" } split /\n/, $text);
    return;
}

1;

package Test::RTMP::Hostile;

# Messages that no encoder sends, and what becomes of stock nginx-rtmp when somebody does.
#
#   $client->message(deep(20, 'object'));       # 60,000 AMF objects in each other, as a command
#   $_->{send}->($client) for hostile();        # each kind there is
#   die unless unharmed($publisher, $player);   # each picture that was sent has come

use strict;
use warnings;

use parent 'Exporter';

use Test::RTMP       ();
use Test::RTMP::AMF0 qw(amf_encode);

our @EXPORT_OK = qw(deep hostile pictures_of resident unharmed @OPENINGS @TYPES);

# Levels of nesting; some 40,000 overflow a stack of 8 MB.
use constant DEPTH => 60_000;

# AMF messages: data, shared objects and commands, in AMF3's clothes and in AMF0.
our @TYPES = (15 .. 20);

# How a container opens in a container.
my %opening = (
    object => "\x03\0\1a",
    ecma   => "\x08\0\0\0\1\0\1a",
    strict => "\x0a\0\0\0\1",
    mixed  => "\x03\0\1a\x0a\0\0\0\1\x08\0\0\0\1\0\1a",
);
our @OPENINGS = sort keys %opening;

# A message of this type, for message(): as many containers in each other, behind a name that nginx-rtmp
# has a handler for.
sub deep {
    my ($type, $opening, $name) = @_;
    $name //= $type == 15 || $type == 18 ? 'onMetaData' : 'connect';
    my $payload = $type < 18 ? "\0" : '';
    $payload .= $type == 16 || $type == 19 ? pack 'n/a*', $name : amf_encode($name);
    my $levels = $opening eq 'mixed' ? 3 : 1;
    return (type => $type, fmt => 0, payload => $payload . $opening{$opening} x (DEPTH / $levels));
}

# All others, by what stock nginx-rtmp does: it "dies", is busy for good ("hangs"), or takes
# memory that it does not give back while the session lasts ("grows") or ever ("leaks").
sub hostile {
    return (
        { name => 'a name that is an object of objects', does => 'dies', send => \&_deep_name },
        { name => 'aggregates in each other',            does => 'dies', send => \&_aggregates },
        { name => 'metadata before connect',             does => 'dies', send => \&_early, early => 1 },
        { name => 'metadata as a command, before connect', does => 'dies', send => \&_early_command, early => 1 },
        { name => 'an endless H.264 header',             does => 'hangs', send => \&_reference_frames },
        { name => 'chunks of no bytes',                  does => 'grows', send => \&_empty_chunks },
        { name => 'a message that outgrows its length',  does => 'grows', send => \&_outgrown },
        { name => 'chunk sizes in an aggregate',         does => 'leaks', send => \&_chunk_sizes },
    );
}

sub _deep_name {
    my ($client) = @_;
    return $client->message(type => 20, fmt => 0, payload => $opening{object} x DEPTH);
}

# A message in an aggregate: type, length, timestamp and stream, body, and its size again.
sub _aggregated {
    my ($type, $body) = @_;
    return chr($type) . substr(pack('N', length $body), 1) . "\0" x 7 . $body . pack 'N', 11 + length $body;
}

sub _aggregates {
    my ($client) = @_;
    my $levels = 80_000;
    # The innermost holds one byte, and each has one behind the next.
    my $headers = join '', map { "\x16" . substr(pack('N', 1 + 12 * ($levels - $_)), 1) . "\0" x 7 } 1 .. $levels;
    $client->set_chunk_size(65536);
    return $client->message(type => 22, fmt => 0, payload => $headers . "\0" x ($levels + 2));
}

sub _early {
    my ($client) = @_;
    return $client->message(type => 18, fmt => 0, payload => amf_encode('onMetaData', { width => 1 }));
}

sub _early_command {
    my ($client) = @_;
    return $client->message(type => 20, fmt => 0, payload => amf_encode('@SETDATAFRAME', { width => 1 }));
}

# An SPS of the baseline profile whose picture order is 1, with 2^40 reference frames in its cycle.
sub _reference_frames {
    my ($client) = @_;
    my $sps = "\x67\x42\x00\x1e" . pack 'B*', '1' . '1' . '010' . '0' . '1' . '1' . '0' x 40 . '1' x 48;
    my $header = "\x01\x42\x00\x1e\xff\xe1" . pack 'n/a*', $sps;
    return $client->message(csid => 6, type => 9, fmt => 0, payload => "\x17\0\0\0\0$header");
}

# Headers alone, of a message that never gets any further.
sub _empty_chunks {
    my ($client) = @_;
    $client->message(csid => 2, type => 1, fmt => 0, payload => pack 'N', 0);
    return $client->raw(_header(1000) . "\xc3" x 300_000);
}

# It comes to 4 MB, where max_message is 1 MB.
sub _outgrown {
    my ($client) = @_;
    $client->set_chunk_size(65536);
    my $chunk = 'a' x 65536;
    return $client->raw(_header(1_000_000) . $chunk . _header(1) . $chunk . "\xc3$chunk" x 64);
}

sub _chunk_sizes {
    my ($client) = @_;
    $client->set_chunk_size(65536);
    my $messages = _aggregated(1, pack 'N', 65536) x 10_000;
    return $client->message(type => 22, fmt => 0, payload => "$messages\0");
}

# The header of a command on chunk stream 3.
sub _header { my ($length) = @_; return "\x03\0\0\0" . substr(pack('N', $length), 1) . "\x14\0\0\0\0" }

# What a process has in memory, in kilobytes; 0 for one that is gone.
sub resident {
    my ($pid) = @_;
    open my $fh, '<', "/proc/$pid/status" or return 0;
    return (map { /^VmRSS:\s+(\d+)/ ? $1 : () } <$fh>)[0] // 0;
}

# The pictures that a player got, decoder configurations left out.
sub pictures_of { my ($player) = @_; return grep { substr($_->{payload}, 1, 1) eq "\1" } $player->received('video') }

# Ends the media, and says whether the player, who was there from its start, got each picture.
sub unharmed {
    my ($publisher, $player) = @_;
    $publisher->stop_media();
    Test::RTMP::wait_until(sub { pictures_of($player) >= $publisher->pictures() }, 5);
    my @pictures = map { $_->{payload} } pictures_of($player);
    my @sent     = map { Test::RTMP::Media::video_frame($publisher->{media}{colour}, $_) } 0 .. $publisher->pictures() - 1;
    return @sent && "@pictures" eq "@sent";
}

1;

package Test::RTMP::Chunk;

# RTMP's chunk layer (specification, section 5.3): messages to bytes with a
# Writer, bytes to messages with a Reader, which takes them in any pieces.

use strict;
use warnings;

package Test::RTMP::Chunk::Writer;

sub new { return bless { size => 128, streams => {} }, $_[0] }

# Size of the chunks to come; the peer has to be told by a Set Chunk Size message first.
sub chunk_size { $_[0]{size} = $_[1]; return }

# %message: csid, type, stream_id, timestamp (ms), payload; fmt, the most
# compressed header to use (default 3, which is what encoders do; 0: always a full one).
sub message {
    my ($self, %message) = @_;

    my ($csid, $type, $stream_id, $time, $payload) =
        @message{qw(csid type stream_id timestamp payload)};
    my $last  = $self->{streams}{$csid};
    my $delta = $last ? $time - $last->{time} : 0;
    my $fmt   = $self->_fmt(\%message, $last, $delta);
    my $stamp = $fmt ? $delta : $time;
    my $extended = $stamp >= 0xffffff ? pack('N', $stamp) : '';

    my $header = '';
    $header .= substr pack('N', $extended ne '' ? 0xffffff : $stamp), 1 if $fmt < 3;
    $header .= substr(pack('N', length $payload), 1) . chr $type        if $fmt < 2;
    $header .= pack 'V', $stream_id                                     if $fmt < 1;
    $extended = $last->{extended} if $fmt == 3;

    my $bytes = _basic($fmt, $csid) . $header . $extended . substr $payload, 0, $self->{size};
    for (my $at = $self->{size}; $at < length $payload; $at += $self->{size}) {
        $bytes .= _basic(3, $csid) . $extended . substr $payload, $at, $self->{size};
    }

    $self->{streams}{$csid} = {
        time      => $time,
        delta     => $fmt ? $delta : undef,
        length    => length $payload,
        type      => $type,
        stream_id => $stream_id,
        extended  => $extended,
    };
    return $bytes;
}

sub _fmt {
    my ($self, $message, $last, $delta) = @_;

    my $fmt = $message->{fmt} // 3;
    return 0 if !$last || $delta < 0 || $last->{stream_id} != $message->{stream_id};
    $fmt = 1 if $fmt > 1
        && ($last->{length} != length $message->{payload} || $last->{type} != $message->{type});
    $fmt = 2 if $fmt > 2 && !(defined $last->{delta} && $last->{delta} == $delta);
    return $fmt;
}

sub _basic {
    my ($fmt, $csid) = @_;
    return chr($fmt << 6 | $csid)                 if $csid < 64;
    return chr($fmt << 6) . chr($csid - 64)       if $csid < 320;
    return chr($fmt << 6 | 1) . pack 'v', $csid - 64;
}

package Test::RTMP::Chunk::Reader;

sub new { return bless { size => 128, bytes => '', streams => {} }, $_[0] }

sub chunk_size { $_[0]{size} = $_[1]; return }
sub append     { $_[0]{bytes} .= $_[1]; return }

# The next complete message as {csid, type, stream_id, timestamp, payload}, or undef.
sub message {
    my ($self) = @_;

    while (defined(my $read = $self->_chunk())) {
        my $stream = $read;
        next if length $stream->{payload} < $stream->{length};
        my %message = map { $_ => $stream->{$_} } qw(csid type stream_id timestamp payload);
        $stream->{payload} = '';
        return \%message;
    }
    return;
}

# Takes one chunk off the bytes, if it is there as a whole; returns its chunk stream.
sub _chunk {
    my ($self) = @_;

    my $bytes = \$self->{bytes};
    my $have  = length $$bytes;
    return if $have < 1;
    my ($fmt, $csid, $at) = (ord($$bytes) >> 6, ord($$bytes) & 63, 1);
    if ($csid < 2) {
        my $more = 1 + $csid;
        return if $have < 1 + $more;
        $csid = 64 + ($more == 1 ? ord substr $$bytes, 1, 1 : unpack 'v', substr $$bytes, 1, 2);
        $at += $more;
    }

    my $size = (11, 7, 3, 0)[$fmt];
    return if $have < $at + $size;
    my $header = substr $$bytes, $at, $size;
    $at += $size;

    my %stream = (csid => $csid, payload => '', %{$self->{streams}{$csid} // {}});
    die "RTMP: chunk stream $csid begins with fmt $fmt\n" if $fmt && !exists $stream{length};
    $stream{stamp}     = unpack 'N', "\0" . substr $header, 0, 3          if $fmt < 3;
    $stream{length}    = unpack 'N', "\0" . substr $header, 3, 3          if $fmt < 2;
    $stream{type}      = ord substr $header, 6, 1                         if $fmt < 2;
    $stream{stream_id} = unpack 'V', substr $header, 7, 4                 if $fmt < 1;

    my $stamp = $stream{stamp};
    if ($stamp == 0xffffff) {
        return if $have < $at + 4;
        $stamp = unpack 'N', substr $$bytes, $at, 4;
        $at += 4;
    }

    my $part = $stream{length} - length $stream{payload};
    $part = $self->{size} if $part > $self->{size};
    return if $have < $at + $part;

    if ($stream{payload} eq '') {
        $stream{timestamp} = ($fmt ? $stream{timestamp} : 0) + $stamp;
    }
    $stream{payload} .= substr $$bytes, $at, $part;
    substr $$bytes, 0, $at + $part, '';
    return $self->{streams}{$csid} = \%stream;
}

1;

package Test::RTMP::AMF0;

# AMF0, both ways.
#
#   Perl                     AMF0
#   a number                 number     (what was made as a string stays one: '1')
#   a string                 string, long string above 65,535 bytes
#   \1, \0                   boolean    (decoded to 1 and 0)
#   undef                    null
#   {…}                      object, keys sorted
#   […]                      strict array
#   raw("\x08…")             those bytes

use strict;
use warnings;

use parent 'Exporter';

use B ();

our @EXPORT_OK = qw(amf_decode amf_encode raw);

sub raw { my ($bytes) = @_; return bless \$bytes, 'Test::RTMP::AMF0::Raw' }

sub amf_encode { return join '', map { _encode($_) } @_ }

sub _encode {
    my ($value) = @_;

    return "\x05" unless defined $value;
    my $type = ref $value;
    return $$value                                        if $type eq 'Test::RTMP::AMF0::Raw';
    return "\x01" . ($$value ? "\x01" : "\x00")           if $type eq 'SCALAR';
    return "\x0a" . pack('N', scalar @$value) . amf_encode(@$value) if $type eq 'ARRAY';
    return "\x03" . _pairs($value) . "\x00\x00\x09"       if $type eq 'HASH';
    return "\x00" . pack 'd>', $value                     if _is_number($value);
    return "\x02" . pack 'n/a*', $value                   if length $value <= 65535;
    return "\x0c" . pack 'N/a*', $value;
}

sub _pairs {
    my ($object) = @_;
    return join '', map { pack('n/a*', $_) . _encode($object->{$_}) } sort keys %$object;
}

sub _is_number {
    my $flags = B::svref_2object(\$_[0])->FLAGS;
    return $flags & (B::SVp_IOK | B::SVp_NOK) && !($flags & B::SVp_POK);
}

# All values of a message; dies on bytes that are not AMF0.
sub amf_decode {
    my ($bytes) = @_;
    my ($at, @values) = (0);
    push @values, _decode(\$bytes, \$at) while $at < length $bytes;
    return @values;
}

sub _decode {
    my ($bytes, $at) = @_;

    my $type = ord _take($bytes, $at, 1);
    return unpack 'd>', _take($bytes, $at, 8)                      if $type == 0x00;
    return ord _take($bytes, $at, 1)                               if $type == 0x01;
    return _take($bytes, $at, unpack 'n', _take($bytes, $at, 2))   if $type == 0x02;
    return _object($bytes, $at)                                    if $type == 0x03;
    return undef                                                   if $type == 0x05 || $type == 0x06;
    return _take($bytes, $at, unpack 'N', _take($bytes, $at, 4))   if $type == 0x0c;
    return unpack 'd>', substr _take($bytes, $at, 10), 0, 8        if $type == 0x0b;
    if ($type == 0x08) {
        _take($bytes, $at, 4);
        return _object($bytes, $at);
    }
    if ($type == 0x0a) {
        my $count = unpack 'N', _take($bytes, $at, 4);
        return [map { _decode($bytes, $at) } 1 .. $count];
    }
    die sprintf "AMF0: unknown type 0x%02x at %d\n", $type, $$at - 1;
}

sub _object {
    my ($bytes, $at) = @_;
    my %object;
    while (1) {
        my $key = _take($bytes, $at, unpack 'n', _take($bytes, $at, 2));
        if ($key eq '' && ord(substr $$bytes, $$at, 1) == 0x09) {
            $$at++;
            return \%object;
        }
        $object{$key} = _decode($bytes, $at);
    }
}

sub _take {
    my ($bytes, $at, $length) = @_;
    die "AMF0: cut off at $$at\n" if $$at + $length > length $$bytes;
    my $taken = substr $$bytes, $$at, $length;
    $$at += $length;
    return $taken;
}

1;

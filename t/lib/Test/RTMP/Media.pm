package Test::RTMP::Media;

# Pictures and sound for a stream, made here: H.264 frames of one colour whose
# macroblocks hold plain samples (I_PCM), so that they need no encoder, and
# silent AAC frames.  A stream's colour tells whose pictures a segment holds.

use strict;
use warnings;

use parent 'Exporter';

our @EXPORT_OK = qw(
    %COLOURS HEIGHT WIDTH
    audio_config audio_frame colour_name metadata video_config video_frame
);

# Side of the picture in pixels: two macroblocks.
use constant { WIDTH => 32, HEIGHT => 32 };

# Corners and middles of the colour cube, so far apart that no encoder mixes them up.
our %COLOURS = (
    black => [0,   0,   0],   white => [255, 255, 255], gray    => [128, 128, 128],
    red   => [255, 0,   0],   lime  => [0,   255, 0],   blue    => [0,   0,   255],
    cyan  => [0,   255, 255], yellow => [255, 255, 0],  magenta => [255, 0,   255],
    orange => [255, 128, 0],  purple => [128, 0,  255], rose    => [255, 0,   128],
    green  => [0,  128, 0],   azure  => [0,  128, 255], spring  => [0,   255, 128],
);

# The nearest of the colours to a red, green and blue.
sub colour_name {
    my @rgb = @_;
    my %distance = map {
        my $colour = $COLOURS{$_};
        $_ => ($rgb[0] - $colour->[0])**2 + ($rgb[1] - $colour->[1])**2
            + ($rgb[2] - $colour->[2])**2
    } keys %COLOURS;
    return (sort { $distance{$a} <=> $distance{$b} || $a cmp $b } keys %distance)[0];
}

# What encoders send as onMetaData.
sub metadata {
    return { width => WIDTH, height => HEIGHT, framerate => 10, videocodecid => 7, audiocodecid => 10 };
}

###############################################################################
# FLV tag bodies, as RTMP carries them

sub audio_config { return "\xaf\x00\x12\x08" }

# 1024 samples of silence, 44,100 Hz, one channel.
sub audio_frame { return "\xaf\x01\x00\xc8\x00\x80\x23\x80" }

sub video_config {
    my ($sps, $pps) = (_sps(), _pps());
    return "\x17\x00\x00\x00\x00" . "\x01" . substr($sps, 1, 3) . "\xff\xe1"
        . pack('n/a*', $sps) . "\x01" . pack 'n/a*', $pps;
}

# A key frame of that colour; every one stands alone.
sub video_frame {
    my ($colour, $number) = @_;
    return "\x17\x01\x00\x00\x00" . pack 'N/a*', _idr($colour, ($number // 0) % 2);
}

###############################################################################
# H.264 (ITU-T H.264, sections 7.3.2 and 7.3.5)

sub _sps {
    return _nal(0x67, "\x42\xc0\x1e", join '',
        _ue(0), _ue(0), _ue(2),                   # id, frame_num of 4 bits, output in decoding order
        _ue(1), '0', _ue(WIDTH / 16 - 1), _ue(HEIGHT / 16 - 1),
        '1', '1', '0', '0');                      # frames only, 8x8 inference, no crop, no VUI
}

sub _pps {
    return _nal(0x68, '', join '',
        _ue(0), _ue(0), '0', '0', _ue(0),         # CAVLC, one slice group
        _ue(0), _ue(0), '0', '00', _ue(0), _ue(0), _ue(0),
        '1', '0', '0');                           # deblocking control is in the slice
}

my %idr;

# Two IDR pictures in a row have different idr_pic_id, or they count as one.
sub _idr {
    my ($colour, $id) = @_;
    return $idr{$colour}[$id] //= do {
        my ($y, $cb, $cr) = _yuv($colour);
        my $samples = unpack 'B*', chr($y) x 256 . chr($cb) x 64 . chr($cr) x 64;
        my $bits = join '', _ue(0), _ue(7), _ue(0), '0000', _ue($id),   # an I slice
            '0', '0', _ue(0), _ue(1);                                  # references; QP; no deblocking
        for (1 .. WIDTH * HEIGHT / 256) {
            $bits .= _ue(25);                                          # mb_type I_PCM
            $bits .= '0' x (-length($bits) % 8) . $samples;
        }
        _nal(0x65, '', $bits);
    };
}

# BT.601, limited range: what players take a small picture to be.
sub _yuv {
    my ($colour) = @_;
    my ($r, $g, $b) = map { $_ / 255 } @{$COLOURS{$colour} // die "no such colour: $colour\n"};
    return map { int($_ + 0.5) } (
        16 + 65.481 * $r + 128.553 * $g + 24.966 * $b,
        128 - 37.797 * $r - 74.203 * $g + 112.0 * $b,
        128 + 112.0 * $r - 93.786 * $g - 18.214 * $b,
    );
}

# Header byte, whole bytes, bits; closed by the stop bit and kept free of start codes.
sub _nal {
    my ($header, $bytes, $bits) = @_;
    $bits .= '1';
    $bits .= '0' x (-length($bits) % 8);
    my $payload = $bytes . pack 'B*', $bits;
    $payload =~ s/\0\0\K(?=[\x00-\x03])/\x03/g;
    return chr($header) . $payload;
}

# Exp-Golomb.
sub _ue {
    my ($value) = @_;
    my $binary = sprintf '%b', $value + 1;
    return '0' x (length($binary) - 1) . $binary;
}

1;

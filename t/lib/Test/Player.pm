package Test::Player;

# What a viewer gets to see: a playlist or a media file, local or by URL, as
# ffprobe and ffmpeg decode it.

use strict;
use warnings;

use parent 'Exporter';

use File::Temp ();
use JSON::PP   ();
use List::Util qw(sum);

use Test::Nginx::HTTP qw(http_get);
use Test::Nginx::Port qw(port);
use Test::Process     ();
use Test::RTMP::Media qw(colour_name);

our @EXPORT_OK = qw(colours hls_url inspect pictures playlist);

# Seconds that a playlist or file may take to be read.
use constant TIMEOUT => 20;

# The URL of a path on the nginx under test.
sub hls_url { my ($path) = @_; return 'http://127.0.0.1:' . port(8080) . $path }

# The streams in a playlist or a file:
#   { format, video => { codec, width, height, frames, pts => [seconds, …] },
#     audio => { codec, rate, frames, pts => […] } }
# A kind that is not there is undef.  undef as a whole when there is nothing to read;
# of a live playlist what it lists at this moment is read.
sub inspect {
    my ($what, %arg) = @_;

    my $seconds = _listed($what);
    my $probe = Test::Process->run({ timeout => $arg{timeout} // TIMEOUT },
        qw(ffprobe -v error -of json -show_format -show_streams -show_packets),
        _reading($what), ($seconds ? ('-read_intervals', "%+$seconds") : ()), $what);
    return if $probe->exit_status();

    my $json = JSON::PP::decode_json($probe->stdout());
    my %found = (format => $json->{format}{format_name});
    for my $stream (@{$json->{streams}}) {
        my @pts = map { $_->{pts_time} + 0 }
            grep { $_->{stream_index} == $stream->{index} && defined $_->{pts_time} }
            @{$json->{packets}};
        $found{$stream->{codec_type}} //= {
            codec  => $stream->{codec_name},
            width  => $stream->{width},
            height => $stream->{height},
            rate   => $stream->{sample_rate},
            frames => scalar @pts,
            pts    => \@pts,
        };
    }
    return \%found;
}

# How many pictures the segments of a directory's playlist hold.  They are put
# together before they are read: what a player would skip at a seam counts, too.
sub pictures {
    my ($directory) = @_;
    my $all = File::Temp->new(SUFFIX => '.ts');
    binmode $all;
    print $all map { _slurp("$directory/$_") } @{_parse(_slurp("$directory/index.m3u8"))->{segments}};
    close $all or die "Can't write $all: $!\n";
    my $seen = inspect("$all") // return 0;
    return $seen->{video}{frames};
}

# The names of the colours of the pictures, frame by frame, as they are decoded.
sub colours {
    my ($what, %arg) = @_;

    my $seconds = _listed($what);
    my $decode = Test::Process->run({ timeout => $arg{timeout} // TIMEOUT },
        qw(ffmpeg -nostdin -v error), _reading($what), '-i', $what, ($seconds ? ('-t', $seconds) : ()),
        qw(-map 0:v -fps_mode passthrough -vf scale=1:1:flags=area -f rawvideo -pix_fmt rgb24 -));
    return map { colour_name(unpack 'C3', $_) } $decode->stdout() =~ /(...)/gs;
}

# A playlist by its path: { segments => [names], durations => [seconds], sequence,
# ended => 1 with #EXT-X-ENDLIST, text }; undef unless the answer is 200.
sub playlist {
    my ($path, %extra) = @_;
    my $answer = http_get($path, %extra) // return;
    my ($body) = $answer =~ /^HTTP\/1\.[01] 200 .*?\r\n\r\n(.*)/s or return;
    return _parse($body);
}

# What a playlist's text says.
sub _parse {
    my ($text) = @_;
    return {
        text      => $text,
        segments  => [grep { length && !/^#/ } split /\r?\n/, $text],
        durations => [$text =~ /^#EXTINF:([\d.]+)/mg],
        sequence  => $text =~ /^#EXT-X-MEDIA-SEQUENCE:(\d+)/m ? $1 : undef,
        ended     => $text =~ /^#EXT-X-ENDLIST/m ? 1 : 0,
    };
}

# How to read a playlist: from its first segment, and no longer than for a
# moment when nothing is added to it.
sub _reading {
    my ($what) = @_;
    return $what =~ /\.m3u8/ ? qw(-live_start_index 0 -max_reload 3 -m3u8_hold_counters 2) : ();
}

# One that is still live would be followed for good: it is read for as many
# seconds as it lists now.
sub _listed {
    my ($what) = @_;
    return unless $what =~ /\.m3u8/;

    my ($peer, $path) = $what =~ m{^http://([^/]+)(/.*)};
    my $list = $path ? playlist($path, PeerAddr => $peer) : _parse(_slurp($what));
    return if !$list || $list->{ended};
    return sum(0, @{$list->{durations}});
}

sub _slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or return '';
    local $/;
    return <$fh> // '';
}

1;

package Test::Encoder;

# The encoders that streamers use, each publishing a picture of one colour with
# a sound, in the background (a Test::Process):
#
#   ffmpeg     ffmpeg's own RTMP
#   rtmp2sink  GStreamer's own RTMP
#   rtmpsink   librtmp, the library OBS comes from
#
#   my $encoder = Test::Encoder->rtmp2sink($key, colour => 'red', seconds => 5);
#   $encoder->wait(10); like($encoder->output(), qr/.../);

use strict;
use warnings;

use parent -norequire, 'Test::Process';

use Test::Nginx::Port qw(port);
use Test::Process     ();
use Test::RTMP::Media qw(%COLOURS);

use constant { WIDTH => 160, HEIGHT => 120, FPS => 10 };

# %arg, for each of them:
#   app, host, port  where to publish                 live, 127.0.0.1, port(8935)
#   scheme           rtmp or rtmps                    rtmp
#   colour           one of Test::RTMP::Media's; without it a test picture
#   seconds          length of the stream             60
#   gop              frames from key frame to key frame   5 (half a second)
#   live => 0        not in real time, but as fast as it goes (ffmpeg only)
#   timeout          seconds after which the encoder is killed
sub ffmpeg {
    my ($class, $name, %arg) = _arguments(@_);

    my $colour  = $arg{colour};
    my $size    = WIDTH . 'x' . HEIGHT;
    my $picture = $colour ? sprintf("color=c=0x%02x%02x%02x:", @{$COLOURS{$colour}}) : 'testsrc=';
    my @pace    = $arg{live} ? ('-re') : ();

    return $class->start({ timeout => $arg{timeout} },
        qw(ffmpeg -nostdin -hide_banner -loglevel info),
        @pace, qw(-f lavfi -i), "${picture}size=$size:rate=" . FPS,
        @pace, qw(-f lavfi -i sine=frequency=440:sample_rate=44100),
        '-t', $arg{seconds},
        qw(-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -threads 1),
        '-g', $arg{gop}, '-keyint_min', $arg{gop}, qw(-sc_threshold 0 -b:v 200k),
        qw(-c:a aac -b:a 32k -f flv), "$arg{url}/$name");
}

sub rtmp2sink {
    my ($class, $name, %arg) = _arguments(@_);
    return $class->_gstreamer(\%arg, 'rtmp2sink', "location=$arg{url}/$name");
}

# librtmp takes its options from the same string.  What the server told it,
# it shows in its debug log only.
sub rtmpsink {
    my ($class, $name, %arg) = _arguments(@_);
    $arg{env} = { GST_DEBUG => 'rtmp:5', GST_DEBUG_NO_COLOR => 1 };
    return $class->_gstreamer(\%arg, 'rtmpsink', "location=$arg{url}/$name live=1");
}

sub _gstreamer {
    my ($class, $arg, @sink) = @_;

    my $colour  = $arg->{colour};
    my @pattern = $colour
        ? ('pattern=solid-color', sprintf 'foreground-color=0xff%02x%02x%02x', @{$COLOURS{$colour}})
        : 'pattern=smpte';
    my $frames  = int($arg->{seconds} * FPS + 0.5);
    my $buffers = int($arg->{seconds} * 44100 / 1024 + 0.5);

    return $class->start({ timeout => $arg->{timeout}, env => $arg->{env} },
        qw(gst-launch-1.0 flvmux name=mux streamable=true !), @sink,
        qw(videotestsrc is-live=true), @pattern, "num-buffers=$frames", '!',
        sprintf('video/x-raw,format=I420,width=%d,height=%d,framerate=%d/1', WIDTH, HEIGHT, FPS), '!',
        qw(x264enc speed-preset=ultrafast tune=zerolatency threads=1 bitrate=200),
        "key-int-max=$arg->{gop}", qw(! h264parse ! queue ! mux.),
        qw(audiotestsrc is-live=true samplesperbuffer=1024), "num-buffers=$buffers", '!',
        'audio/x-raw,rate=44100,channels=1', qw(! avenc_aac bitrate=32000 ! aacparse ! queue ! mux.));
}

sub _arguments {
    my ($class, $name, %arg) = @_;
    %arg = (
        app     => 'live',
        host    => '127.0.0.1',
        port    => $arg{port} // port(8935),
        scheme  => 'rtmp',
        seconds => 60,
        gop     => 5,
        live    => 1,
        %arg
    );
    $arg{timeout} //= $arg{seconds} + 30;
    $arg{url} = "$arg{scheme}://$arg{host}:$arg{port}/$arg{app}";
    return ($class, $name, %arg);
}

1;

//! The encoders that streamers use, each publishing a small test picture with a tone.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::Result;
use crate::process::Daemon;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// ffmpeg's own RTMP.
    Ffmpeg,
    /// GStreamer's own RTMP.
    Rtmp2sink,
    /// librtmp, the library OBS comes from.
    Rtmpsink,
}

const FFMPEG: &str = "-nostdin -hide_banner -loglevel error -re -f lavfi -i testsrc=size=160x120:rate=10 \
    -f lavfi -i sine=frequency=440:sample_rate=44100 -t 60 -c:v libx264 -preset ultrafast \
    -tune zerolatency -pix_fmt yuv420p -threads 1 -g 10 -c:a aac -f flv";

const GSTREAMER: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1 ! \
    x264enc speed-preset=ultrafast tune=zerolatency threads=1 bitrate=200 ! h264parse ! queue ! mux. \
    audiotestsrc is-live=true samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=1 ! \
    avenc_aac bitrate=32000 ! aacparse ! queue ! mux. flvmux name=mux streamable=true !";

impl Encoder {
    pub const ALL: [Self; 3] = [Self::Ffmpeg, Self::Rtmp2sink, Self::Rtmpsink];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Rtmp2sink => "rtmp2sink",
            Self::Rtmpsink => "rtmpsink",
        }
    }

    /// Starts it; it publishes until it is dropped.
    pub fn start(self, url: &str, namespace: Option<&str>, log: &Path) -> Result<Daemon> {
        let line = match self {
            Self::Ffmpeg => format!("ffmpeg {FFMPEG} {url}"),
            Self::Rtmp2sink => format!("gst-launch-1.0 -q {GSTREAMER} rtmp2sink location={url}"),
            Self::Rtmpsink => format!("gst-launch-1.0 -q {GSTREAMER} rtmpsink location={url}"),
        };
        let inside = namespace.map_or_else(String::new, |name| format!("ip netns exec {name} "));
        let words = format!("{inside}{line}");
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        Daemon::start(&mut command)
    }
}

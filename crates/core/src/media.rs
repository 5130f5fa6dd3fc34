//! What a stream consists of, as far as nginx-rtmp knows: the numbers that FLV has for it.

/// Codecs, size and frame rate. 0 is what is not known, or not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Media {
    /// FLV's CodecID (Video File Format Specification, version 10.1, section E.4.3.1).
    pub video: u8,
    /// FLV's SoundFormat (section E.4.2.1); nginx-rtmp has 16 for its 0, uncompressed.
    pub audio: u8,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// Pictures a second, in whole ones: nginx-rtmp cuts the rest.
    pub frame_rate: u16,
}

impl Media {
    /// The video codec as ffmpeg names it.
    pub fn video_codec(&self) -> Option<&'static str> {
        Some(match self.video {
            2 => "flv1",
            3 => "flashsv",
            4 => "vp6f",
            5 => "vp6a",
            6 => "flashsv2",
            7 => "h264",
            12 => "hevc", // in no specification, but what encoders send
            _ => return None,
        })
    }

    /// The audio codec as ffmpeg names it.
    pub fn audio_codec(&self) -> Option<&'static str> {
        Some(match self.audio {
            1 => "adpcm_swf",
            2 | 14 => "mp3",
            3 | 16 => "pcm_s16le",
            4..=6 => "nellymoser",
            7 => "pcm_alaw",
            8 => "pcm_mulaw",
            10 => "aac",
            11 => "speex",
            _ => return None,
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Option<(u16, u16)> {
        (self.width > 0 && self.height > 0).then_some((self.width, self.height))
    }

    /// Pictures a second.
    pub fn frame_rate(&self) -> Option<u16> {
        (self.frame_rate > 0).then_some(self.frame_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_encoders_send_has_ffmpegs_names() {
        let media = Media { video: 7, audio: 10, width: 1920, height: 1080, frame_rate: 30 };
        assert_eq!(media.video_codec(), Some("h264"));
        assert_eq!(media.audio_codec(), Some("aac"));
        assert_eq!(media.size(), Some((1920, 1080)));
        assert_eq!(media.frame_rate(), Some(30));
    }

    #[test]
    fn what_is_not_known_is_nothing() {
        let media = Media::default();
        assert_eq!((media.video_codec(), media.audio_codec()), (None, None));
        assert_eq!((media.size(), media.frame_rate()), (None, None));
        assert_eq!(Media { width: 640, ..media }.size(), None);
    }
}

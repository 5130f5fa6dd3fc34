//! What nginx-rtmp knows of the media that a session publishes.

use stagedoor_core::media::Media;

use super::Session;
use crate::ffi::rtmp::ngx_rtmp_codec_ctx_t;
use crate::ffi::symbols::symbols;

impl Session {
    /// What it has received, in bytes. The counter is set back to 0 when 32 bits are nearly full.
    pub fn bytes_in(self) -> u32 {
        self.raw().in_bytes
    }

    /// What it publishes, once the encoder has said so.
    pub fn media(self) -> Media {
        let Some(codec) = self.codec() else { return Media::default() };
        Media {
            video: codec.video_codec_id.try_into().unwrap_or(0),
            audio: codec.audio_codec_id.try_into().unwrap_or(0),
            width: codec.width.try_into().unwrap_or(0),
            height: codec.height.try_into().unwrap_or(0),
            frame_rate: codec.frame_rate.try_into().unwrap_or(0),
        }
    }

    /// Whether the encoder has said how its H.264 or its AAC is to be decoded.
    pub(super) fn has_decoder_configuration(self) -> bool {
        self.codec().is_some_and(|codec| !codec.avc_header.is_null() || !codec.aac_header.is_null())
    }

    fn codec<'a>(self) -> Option<&'a ngx_rtmp_codec_ctx_t> {
        // SAFETY: the codec module's place has null or what it keeps of the session, which lives as
        // long as the session.
        unsafe {
            self.place(symbols()?.codec_module).read().cast::<ngx_rtmp_codec_ctx_t>().as_ref()
        }
    }
}

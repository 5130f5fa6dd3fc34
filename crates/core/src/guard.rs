//! What nginx-rtmp must not be given to read.
//!
//! nginx-rtmp takes messages from everybody who can connect, and trusts them: one that is nested
//! deeply enough overflows its stack, one that counts far enough keeps it busy for good, and with the
//! worker go all streams that it carries. Each function here looks at one kind of message, without
//! recursion and without memory of its own, and in time that grows with the message at most; what it
//! lets through, nginx-rtmp can read. It follows nginx-rtmp's own readers byte by byte where they
//! forgive what encoders do wrong, and stops where they stop.

mod aggregate;
mod amf;
mod avc;

use thiserror::Error;

pub use aggregate::aggregate;
pub use amf::{Standing, amf};
pub use avc::video;

/// How deep AMF values may be nested. Metadata of encoders has two levels, `connect` has two.
pub const MAX_DEPTH: usize = 32;

/// The largest chunk that nginx-rtmp takes: NGX_RTMP_MAX_CHUNK_SIZE of ngx_rtmp.h.
pub const MAX_CHUNK_SIZE: u32 = 10_485_760;

/// How many reference frames an H.264 header may count. The standard's limit is 255 (H.264, section
/// 7.4.2.1.1), but nginx-rtmp misreads headers with scaling lists and may take anything for the
/// count; going through this many takes it some 40 µs.
pub const MAX_REFERENCE_FRAMES: u64 = 4096;

/// Why a message is refused; completes the sentence "message refused: …".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Danger {
    /// nginx-rtmp's reader calls itself for each level, until the stack is full.
    #[error("its AMF values are nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A string or a key claims more bytes than there are.
    #[error("an AMF string is longer than the message")]
    Length,
    /// An array claims more elements than there are.
    #[error("an AMF array has more elements than the message")]
    Count,
    /// nginx-rtmp logs these texts as they are: a line end would begin a line that nobody logged.
    #[error("a text of \"{0}\" has a control character")]
    ControlCharacter(&'static str),
    /// nginx-rtmp's codec module reads the application's configuration, and there is none yet.
    #[error("metadata came before \"connect\"")]
    EarlyMetadata,
    /// nginx-rtmp would do nothing with it but log an error, as often as it comes. It harms nobody: to be
    /// dropped, and the session goes on.
    #[error("nginx-rtmp cannot read it")]
    UnreadableMetadata,
    /// It would give the session another application, while nginx-rtmp's modules keep the stream in
    /// tables, and in memory of a size, of the one that it has. nginx-rtmp refuses a client's second one
    /// by itself, but not one that comes from a server that it has connected to.
    #[error("\"connect\" came when there was an application already")]
    Reconnection,
    /// nginx-rtmp's reader calls itself for an aggregate in an aggregate, and loses the memory of a
    /// chunk size that is set in one.
    #[error("there is a message of type {0} in an aggregate")]
    Aggregated(u8),
    /// Chunks without bytes take memory, and the message never grows towards `max_message`.
    #[error("the chunk size is {0}, expected 1 to {MAX_CHUNK_SIZE}")]
    ChunkSize(u32),
    /// nginx-rtmp goes through them one by one, whether they are there or not.
    #[error("an H.264 header counts {0} reference frames, expected at most {MAX_REFERENCE_FRAMES}")]
    ReferenceFrames(u64),
    /// The message's length was changed while it came, to less than what was there; nginx-rtmp then
    /// collects it for good.
    #[error("{received} bytes came of a message whose length is now {length}")]
    Outgrown {
        /// What nginx-rtmp holds of it.
        received: u32,
        /// Its length by its last header.
        length: u32,
    },
}

/// Checks a message that sets the chunk size, from its first buffer: nginx-rtmp looks no further, and
/// ignores one that is too short (ngx_rtmp_receive.c, ngx_rtmp_protocol_message_handler).
///
/// # Errors
///
/// [`Danger::ChunkSize`].
pub fn chunk_size(first: &[u8]) -> Result<(), Danger> {
    match first.first_chunk().copied().map(u32::from_be_bytes) {
        Some(size) if !(1..=MAX_CHUNK_SIZE).contains(&size) => Err(Danger::ChunkSize(size)),
        _ => Ok(()),
    }
}

/// Checks a message that is still coming: `received` bytes are there, `length` is what its last
/// header says.
///
/// # Errors
///
/// [`Danger::Outgrown`].
pub fn unfinished(received: u32, length: u32) -> Result<(), Danger> {
    if received > length { Err(Danger::Outgrown { received, length }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_a_byte_at_least_and_no_more_than_nginx_rtmp_takes() {
        for size in [1, 2, 128, 4096, 65_536, MAX_CHUNK_SIZE] {
            assert_eq!(chunk_size(&size.to_be_bytes()), Ok(()));
        }
        for size in [0, MAX_CHUNK_SIZE + 1, 1 << 31, u32::MAX] {
            assert_eq!(chunk_size(&size.to_be_bytes()), Err(Danger::ChunkSize(size)));
        }
    }

    #[test]
    fn a_chunk_size_that_nginx_rtmp_ignores_is_let_through() {
        assert_eq!(chunk_size(&[]), Ok(()));
        assert_eq!(chunk_size(&[0, 0, 0]), Ok(()));
    }

    #[test]
    fn a_message_does_not_outgrow_its_length() {
        assert_eq!(unfinished(0, 0), Ok(()));
        assert_eq!(unfinished(128, 128), Ok(()));
        assert_eq!(unfinished(129, 128), Err(Danger::Outgrown { received: 129, length: 128 }));
    }
}

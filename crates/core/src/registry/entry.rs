//! One stream in the table.

use std::sync::atomic::{AtomicU32, Ordering};

use super::seats::{Seat, Seats};
use super::{Figures, NameMark, Stream};

/// The values of an entry's state.
pub(super) struct State;

impl State {
    pub(super) const FREE: u32 = 0;
    pub(super) const LIVE: u32 = 1;
    pub(super) const ENDED: u32 = 2;
}

/// A short text of fixed size.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Text {
    len: u8,
    bytes: [u8; Text::CAPACITY],
}

impl Text {
    /// Bytes it can hold: a username, or an IPv6 address with its port.
    pub const CAPACITY: usize = 64;

    /// Keeps what fits of `text`, in whole characters.
    pub fn cut(text: &str) -> Text {
        let mut kept = Text::default();
        let len = (0..=text.len().min(Text::CAPACITY))
            .rev()
            .find(|&len| text.is_char_boundary(len))
            .unwrap_or(0);
        kept.bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        kept.len = len as u8;
        kept
    }

    /// The text; empty if the bytes were damaged.
    pub fn as_str(&self) -> &str {
        let len = usize::from(self.len).min(Text::CAPACITY);
        std::str::from_utf8(&self.bytes[..len]).unwrap_or_default()
    }
}

impl Default for Text {
    fn default() -> Text {
        Text { len: 0, bytes: [0; Text::CAPACITY] }
    }
}

/// One place in the table: free, a live stream, or one that has ended.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Entry {
    pub(super) state: AtomicU32,
    pub(super) next: u32,
    pub(super) seats: Seats,
    /// Neighbours among the ended ones.
    pub(super) older: u32,
    pub(super) newer: u32,
    pub(super) ended_at: u64,
    streamer_id: i64,
    pub(super) figures: Figures,
    pub(super) username: Text,
    pub(super) app: Text,
    pub(super) client_addr: Text,
}

// DESIGN: at most 512 bytes of shared memory a live stream, with its mark and its share of the hash table.
const _: () = assert!(size_of::<Entry>() + size_of::<NameMark>() + size_of::<u32>() <= 344);

impl Entry {
    /// The public name.
    pub fn username(&self) -> &str {
        self.username.as_str()
    }

    /// The streamer's row in the database.
    pub fn streamer_id(&self) -> i64 {
        self.streamer_id
    }

    /// The RTMP application.
    pub fn app(&self) -> &str {
        self.app.as_str()
    }

    /// The publisher's address, as text.
    pub fn client_addr(&self) -> &str {
        self.client_addr.as_str()
    }

    /// When the stream went live, in microseconds since 1970 (UTC).
    pub fn started_at(&self) -> u64 {
        self.seats.holder().since
    }

    pub(super) fn is_live(&self) -> bool {
        self.state.load(Ordering::Acquire) == State::LIVE
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == State::ENDED
    }

    pub(super) fn fill(&mut self, holder: Seat, stream: &Stream<'_>) {
        self.seats.take(holder);
        self.username = Text::cut(stream.username);
        self.describe(stream);
    }

    /// All but the name, by which the entry is found.
    pub(super) fn describe(&mut self, stream: &Stream<'_>) {
        self.streamer_id = stream.streamer_id;
        self.app = Text::cut(stream.app);
        self.client_addr = Text::cut(stream.client_addr);
        self.figures = Figures::default();
        self.seats.take_up(stream.started_at);
    }
}

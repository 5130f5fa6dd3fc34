//! The status: every live stream and what was counted, as a page, as JSON and as metrics.
//!
//! All of it is text that is made here from one [`Status`]. Application names come from nginx.conf
//! and addresses from clients, so each format writes them so that they cannot be taken for more than
//! text.

mod html;
mod json;
mod playlist;
mod prometheus;

use std::fmt;

pub use html::policy;
pub use playlist::{PlaylistUrl, PlaylistUrlError};

use crate::counters::Totals;
use crate::registry::Listed;
use crate::timestamp;

/// What the server is doing at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The moment, in microseconds since 1970 (UTC).
    pub now: u64,
    /// Streams that can be live at once.
    pub capacity: usize,
    /// Those that are.
    pub streams: Vec<Listed>,
    /// What was counted since the server started.
    pub totals: Totals,
}

/// How the status is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A page that refreshes itself.
    #[default]
    Html,
    /// JSON.
    Json,
    /// The text format of Prometheus (version 0.0.4).
    Prometheus,
}

impl Format {
    /// The format of this name, as directive and request give it.
    pub fn parse(name: &[u8]) -> Option<Format> {
        match name {
            b"html" => Some(Format::Html),
            b"json" => Some(Format::Json),
            b"prometheus" => Some(Format::Prometheus),
            _ => None,
        }
    }

    /// Writes the status; `None` if there is no memory for it.
    pub fn write(self, status: &Status, playlists: &PlaylistUrl) -> Option<String> {
        match self {
            Format::Html => html::page(status, playlists),
            Format::Json => json::document(status, playlists),
            Format::Prometheus => prometheus::metrics(status),
        }
    }
}

impl Status {
    /// Whole seconds since a stream went live.
    fn seconds(&self, stream: &Listed) -> u64 {
        self.now.saturating_sub(stream.started_at) / 1_000_000
    }
}

/// A text that grows for as long as there is memory for it.
#[derive(Default)]
struct Growing(String);

impl fmt::Write for Growing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(text);
        Ok(())
    }
}

/// A moment as the database has it: UTC text.
fn utc(microseconds: u64) -> String {
    timestamp::utc(timestamp::from_microseconds(microseconds))
}

#[cfg(test)]
mod tests;

//! The live streams one by one, for those who want to see them all, and how each of them does.
//!
//! Figures are written and read beside the table's own changes: nothing follows from them, and any
//! value is a valid one, so a worker that dies while it writes leaves nothing to mend.

use super::{Claim, Entry, Standing, Table, Text};
use crate::media::Media;

/// How a live stream does, as its worker saw it within the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Figures {
    /// Bytes received since the stream began.
    pub bytes_in: u64,
    /// Bits a second over the last seconds.
    pub bitrate: u64,
    /// What it consists of.
    pub media: Media,
}

/// A live stream as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The public name.
    pub username: Text,
    /// The RTMP application.
    pub app: Text,
    /// The publisher's address.
    pub client_addr: Text,
    /// The process that carries it.
    pub worker: i32,
    /// When it went live, in microseconds since 1970 (UTC).
    pub started_at: u64,
    /// How it does.
    pub figures: Figures,
}

/// How many entries one call of [`Table::list`] looks at: the table is locked meanwhile.
pub const PART: usize = 256;

impl Table<'_> {
    /// Notes how streams do; those that have ended are passed over.
    pub fn note(&mut self, figures: &[(Claim, Figures)]) {
        for (claim, figures) in figures {
            if self.standing(*claim) == Standing::Holds {
                self.entries[claim.index as usize].figures = *figures;
            }
        }
    }

    /// Appends the live streams among the next [`PART`] entries from `start` on. Returns where to go
    /// on, or `None` at the end. A stream that is live all the while is listed once, because it
    /// stays in its place; `streams` should have room for so many, as the table is locked.
    pub fn list(&self, start: usize, streams: &mut Vec<Listed>) -> Option<usize> {
        let end = start.saturating_add(PART).min(self.entries.len());
        let part = self.entries.get(start..end).unwrap_or_default();
        // Of a name that has been handed over, the old stream is gone and the new one not there yet.
        let is_on = |entry: &&Entry| entry.is_live() && entry.seats.is_taken_up();
        streams.extend(part.iter().filter(is_on).map(|entry| self.listed(entry)));
        (end < self.entries.len()).then_some(end)
    }

    fn listed(&self, entry: &Entry) -> Listed {
        Listed {
            username: entry.username,
            app: entry.app,
            client_addr: entry.client_addr,
            worker: self.owner(entry.seats.holder().owner).pid,
            started_at: entry.started_at(),
            figures: entry.figures,
        }
    }
}

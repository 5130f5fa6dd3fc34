//! `stagedoor import`.

use std::path::Path;

use stagedoor_core::store::{Change, Imported};

use super::Run;
use crate::json;
use crate::refusal::Refusal;
use crate::screen::{Cell, Tone};

/// How many streamers there are of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) added: usize,
    pub(crate) updated: usize,
    pub(crate) unchanged: usize,
}

impl Count {
    fn of(streamers: &[Imported]) -> Self {
        let mut count = Self::default();
        for streamer in streamers {
            match streamer.change {
                Change::Added => count.added += 1,
                Change::Updated { .. } => count.updated += 1,
                Change::Unchanged => count.unchanged += 1,
            }
        }
        count
    }
}

impl Run<'_> {
    pub(super) fn import(&self, query: &str, file: &Path, dry_run: bool) -> Result<(), Refusal> {
        let streamers = self.open()?.import(file, query, dry_run)?;
        let count = Count::of(&streamers);
        let json = json::Import::new(dry_run, &streamers, count);
        let text = || self.import_text(&streamers, count, dry_run);
        match dry_run {
            true => self.print(&json, text),
            false => self.report(&json, text),
        }
    }

    /// On a terminal what changes, and how many do not; in a pipe a line for each streamer.
    fn import_text(&self, streamers: &[Imported], count: Count, dry_run: bool) -> String {
        let rows: Vec<_> = streamers
            .iter()
            .filter(|streamer| !self.screen.is_terminal || streamer.change != Change::Unchanged)
            .map(|streamer| [streamer.username.as_str().into(), change(streamer)])
            .collect();
        if !self.screen.is_terminal {
            return self.screen.table(["", ""], &rows);
        }
        let Count { added, updated, unchanged } = count;
        let summary = match dry_run {
            true => format!("{added} to add, {updated} to update, {unchanged} unchanged\n"),
            false => format!("{added} added, {updated} updated, {unchanged} unchanged\n"),
        };
        match rows.is_empty() {
            true => summary,
            false => self.screen.table(["USERNAME", "CHANGE"], &rows) + "\n" + &summary,
        }
    }
}

fn change(streamer: &Imported) -> Cell {
    match (streamer.change, streamer.is_active) {
        (Change::Added, true) => Cell::new("added", Tone::Good),
        (Change::Added, false) => Cell::new("added, banned", Tone::Bad),
        (Change::Updated { key: true, is_active: false }, _) => Cell::new("new key", Tone::Good),
        (Change::Updated { key: false, .. }, true) => Cell::new("unbanned", Tone::Good),
        (Change::Updated { key: false, .. }, false) => Cell::new("banned", Tone::Bad),
        (Change::Updated { .. }, true) => Cell::new("new key, unbanned", Tone::Good),
        (Change::Updated { .. }, false) => Cell::new("new key, banned", Tone::Bad),
        (Change::Unchanged, _) => Cell::new("unchanged", Tone::Faint),
    }
}

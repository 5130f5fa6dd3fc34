//! The streams that this worker carries, and whether the database still allows them.
//!
//! A look costs one `stat` and one `PRAGMA data_version`. Only when the database has changed since
//! the last look, by anybody but this thread, is each stream asked about again: one query by
//! primary key. Without a stream there is no look at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::SessionTag;
use crate::policy::Stop;
use crate::store::connection::{Database, Version};
use crate::store::error::StoreError;
use crate::store::history::History;
use crate::store::recheck::Admission;

/// How soon a change is seen: a quarter of what is promised, which leaves the rest to a busy disk.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// What the event loop says of a stream: it runs, or it has ended.
pub(super) type Change = (SessionTag, Option<Admission>);

#[derive(Debug, Default)]
pub(super) struct Watch {
    streams: HashMap<SessionTag, Admission>,
    /// Streams that went live since the last look: their keys were answered before.
    fresh: Vec<SessionTag>,
    /// The state of the database that all others were checked against.
    seen: Option<Version>,
    at: Option<Instant>,
}

impl Watch {
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = Change>) {
        for (tag, admission) in changes {
            match admission {
                Some(admission) => {
                    self.streams.insert(tag, admission);
                    self.fresh.push(tag);
                }
                None => {
                    self.streams.remove(&tag);
                }
            }
        }
        self.at = match self.streams.is_empty() {
            true => {
                self.fresh.clear(); // no look comes that would
                None
            }
            false => self.at.or_else(|| Some(Instant::now() + INTERVAL)),
        };
    }

    /// Forgets what was seen: another connection counts anew.
    pub(super) fn start_over(&mut self) {
        self.seen = None;
    }

    /// When to look next; without a stream, never.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The next look is due so long from now.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.at = self.at.map(|_| Instant::now() + by);
    }

    /// Which streams must end now. Each is named once; a look that fails names none, and is made up
    /// for by the next.
    pub(super) fn look(
        &mut self,
        database: &mut Database,
        history: &History,
    ) -> Result<Vec<(SessionTag, Stop)>, StoreError> {
        let layout = database.layout().clone();
        let wait = layout.patience();
        let version = database.version(wait)?;
        let is_changed = self.seen != Some(version);
        let due: Vec<SessionTag> = match is_changed {
            true => self.streams.keys().copied().collect(),
            false => self.fresh.clone(),
        };
        let stops = if due.is_empty() {
            Vec::new()
        } else {
            let streams = due.into_iter().filter_map(|tag| {
                self.streams.get(&tag).map(|admission| (tag, admission, history.row(tag)))
            });
            let path = database.path().to_owned();
            layout.recheck(database.ready(wait)?, &path, streams)?
        };
        self.seen = Some(version);
        self.fresh.clear();
        for (tag, _) in &stops {
            self.streams.remove(tag);
        }
        Ok(stops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyDigest;
    use crate::store::fixture::admission;

    #[test]
    fn streams_that_end_before_a_look_leave_nothing_behind() {
        let mut watch = Watch::default();
        for tag in 0..100 {
            let admission = admission(1, "benw", KeyDigest::of(b"key"));
            watch.change([(tag, Some(admission)), (tag, None)]);
        }
        assert!(watch.fresh.is_empty() && watch.at().is_none());
    }
}

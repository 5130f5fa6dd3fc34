//! The history of sessions, as a worker writes it.
//!
//! Rows wait in a bounded queue and are written in order, those that wait in one transaction.
//! Writing never waits for another writer: a locked database leaves the queue as it is, to be tried
//! again.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::error::StoreError;
use crate::registry::{LostStream, Owner};
use crate::timestamp;

/// How many rows may wait. Beyond it the oldest is dropped: of a long fault, the end is what
/// matters.
pub(super) const MAX_WAITING: usize = 4096;

/// How many rows one transaction takes, so that keys that are asked meanwhile wait for some
/// milliseconds at most.
const BATCH: usize = 256;

/// Names a session within the life of its worker.
pub type SessionTag = u64;

/// What happens to a session and is worth a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    Started {
        tag: SessionTag,
        streamer_id: i64,
        app: String,
        client_addr: String,
        at: SystemTime,
    },
    Stopped {
        tag: SessionTag,
        at: SystemTime,
        reason: EndReason,
    },
    /// A worker died: what it had open has ended. Any worker may say so, and oftener than once. Of
    /// these streams it is known that they were live then; their rows may not even have begun.
    Lost {
        at: SystemTime,
        streams: Vec<LostStream>,
    },
    /// Nginx has just started: every session that is open has ended with its former life, but for
    /// those of another server on the same database, whose workers run.
    Boot {
        at: SystemTime,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    Closed,
    Lost,
    Kicked,
    Banned,
    Removed,
    KeyReplaced,
    TakenOver,
    Shutdown,
    Crash,
}

impl EndReason {
    /// The text of column `end_reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed by client",
            Self::Lost => "connection lost",
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::Removed => "removed",
            Self::KeyReplaced => "key replaced",
            Self::TakenOver => "taken over",
            Self::Shutdown => "server shutdown",
            Self::Crash => "crash",
        }
    }
}

/// A streamer who was removed meanwhile gets no row.
const START: &str = "
    INSERT INTO sessions (streamer_id, app, client_addr, started_at, worker)
    SELECT id, ?2, ?3, ?4, ?5 FROM streamers WHERE id = ?1";

/// In a database that was replaced while the session ran, the row of the same id may be another's. Whoever
/// took the session for lost knew less than the worker that had it.
const STOP: &str = "
    UPDATE sessions SET stopped_at = max(started_at, ?4), end_reason = ?5
    WHERE id = ?1 AND streamer_id = ?2 AND started_at = ?3 AND (stopped_at IS NULL OR end_reason = ?6)";

const WORKERS: &str = "SELECT DISTINCT worker FROM sessions WHERE stopped_at IS NULL";

const LOST: &str = "
    UPDATE sessions SET stopped_at = max(started_at, ?2), end_reason = ?3
    WHERE worker = ?1 AND stopped_at IS NULL";

const LOST_START: &str = "
    INSERT INTO sessions (streamer_id, app, client_addr, started_at, stopped_at, end_reason)
    SELECT id, ?2, ?3, ?4, max(?4, ?5), ?6 FROM streamers WHERE id = ?1
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE streamer_id = ?1 AND started_at = ?4)";

/// Of rows that name no worker. A session that started since is not one of the former life, unless
/// it started in the future (`?2` is now): then the clock was set back.
const BOOT: &str = "
    UPDATE sessions SET stopped_at = max(started_at, ?1), end_reason = ?3
    WHERE stopped_at IS NULL AND worker IS NULL AND (started_at <= ?1 OR started_at > ?2)";

pub(super) const STATEMENTS: &[&str] = &[START, STOP, WORKERS, LOST, LOST_START, BOOT];

/// The row of a session that runs.
#[derive(Clone, Debug)]
pub(super) struct OpenRow {
    pub(super) id: i64,
    pub(super) streamer_id: i64,
    pub(super) started_at: String,
}

/// The rows that wait, and those that are open in the database.
#[derive(Debug)]
pub(super) struct History {
    /// This process, as its rows name it.
    worker: String,
    is_alive: fn(Owner) -> bool,
    waiting: VecDeque<SessionEvent>,
    open: HashMap<SessionTag, OpenRow>,
}

impl History {
    /// Of this worker; `is_alive` tells whether another one still runs.
    pub(super) fn new(worker: Owner, is_alive: fn(Owner) -> bool) -> Self {
        let (waiting, open) = (VecDeque::new(), HashMap::new());
        Self { worker: worker.to_string(), is_alive, waiting, open }
    }

    /// Adds events to those that wait and returns how many it dropped for them.
    pub(super) fn add(&mut self, events: VecDeque<SessionEvent>) -> usize {
        self.waiting.extend(events);
        let excess = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..excess);
        excess
    }

    /// The row of a session, once it is written and as long as the session runs.
    pub(super) fn row(&self, tag: SessionTag) -> Option<&OpenRow> {
        self.open.get(&tag)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes a batch of what waits in one transaction, or nothing, and returns how many events
    /// that was.
    ///
    /// An event that the database refuses by a constraint would be refused for ever: it is left
    /// out.
    pub(super) fn flush(&mut self, db: &mut Connection, path: &Path) -> Result<usize, StoreError> {
        let batch = self.waiting.len().min(BATCH);
        // What the batch does to `open`; it comes true with the commit.
        let mut changed: HashMap<SessionTag, Option<OpenRow>> = HashMap::new();
        let mut write = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for event in self.waiting.iter().take(batch) {
                match self.write(&transaction, event, &mut changed) {
                    Err(error) if is_refusal(&error) => (),
                    result => result?,
                }
            }
            transaction.commit()
        };
        write().map_err(|error| StoreError::from_sqlite(path, &error))?;
        self.waiting.drain(..batch);
        for (tag, row) in changed {
            match row {
                Some(row) => self.open.insert(tag, row),
                None => self.open.remove(&tag),
            };
        }
        Ok(batch)
    }

    fn write(
        &self,
        db: &Transaction<'_>,
        event: &SessionEvent,
        changed: &mut HashMap<SessionTag, Option<OpenRow>>,
    ) -> rusqlite::Result<()> {
        let now = || timestamp::utc(SystemTime::now());
        let crash = EndReason::Crash.as_str();
        match event {
            SessionEvent::Started { tag, streamer_id, app, client_addr, at } => {
                let started_at = timestamp::utc(*at);
                let row = params![streamer_id, app, client_addr, started_at, self.worker];
                if db.prepare_cached(START)?.execute(row)? == 1 {
                    let (id, streamer_id) = (db.last_insert_rowid(), *streamer_id);
                    changed.insert(*tag, Some(OpenRow { id, streamer_id, started_at }));
                }
            }
            SessionEvent::Stopped { tag, at, reason } => {
                // Unknown are the streamer removed at the start, and the start that was dropped.
                let row = match changed.get(tag) {
                    Some(row) => row.clone(),
                    None => self.open.get(tag).cloned(),
                };
                if let Some(OpenRow { id, streamer_id, started_at }) = row {
                    let at = timestamp::utc(*at);
                    let end = params![id, streamer_id, started_at, at, reason.as_str(), crash];
                    db.prepare_cached(STOP)?.execute(end)?;
                }
                changed.insert(*tag, None);
            }
            SessionEvent::Lost { at, streams } => {
                let at = timestamp::utc(*at);
                self.close_rows_of_the_dead(db, &at)?;
                for LostStream { streamer_id, app, client_addr, started_at, .. } in streams {
                    let started_at = UNIX_EPOCH + Duration::from_micros(*started_at);
                    let started_at = timestamp::utc(started_at);
                    let row = params![streamer_id, app, client_addr, started_at, at, crash];
                    db.prepare_cached(LOST_START)?.execute(row)?;
                }
            }
            SessionEvent::Boot { at } => {
                let at = timestamp::utc(*at);
                self.close_rows_of_the_dead(db, &at)?;
                db.prepare_cached(BOOT)?.execute(params![at, now(), crash])?;
            }
        }
        Ok(())
    }
}

impl History {
    /// Closes what workers that are no more have open.
    fn close_rows_of_the_dead(&self, db: &Transaction<'_>, at: &str) -> rusqlite::Result<()> {
        for worker in self.dead_workers(db)? {
            db.prepare_cached(LOST)?.execute(params![worker, at, EndReason::Crash.as_str()])?;
        }
        Ok(())
    }

    /// The workers that have rows open and are no more.
    fn dead_workers(&self, db: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
        let mut workers = db.prepare_cached(WORKERS)?;
        let workers = workers.query_map([], |row| row.get::<_, Option<String>>(0))?;
        let is_dead = |name: &String| Owner::parse(name).is_some_and(|it| !(self.is_alive)(it));
        workers
            .filter_map(Result::transpose)
            .filter(|name| name.as_ref().map_or(true, is_dead))
            .collect()
    }
}

fn is_refusal(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

#[cfg(test)]
mod tests;

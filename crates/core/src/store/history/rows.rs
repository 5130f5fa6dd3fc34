//! The rows of sessions in the native schema.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{OptionalExtension, Transaction, params};

use super::sessions::Sessions;
use super::{EndReason, SessionEvent, SessionTag, Written, is_refusal};
use crate::registry::{LostStream, Owner};
use crate::store::error::StoreError;
use crate::store::recheck::Admission;
use crate::store::thread::Server;
use crate::timestamp;

/// A streamer who was removed meanwhile gets no row.
const START: &str = "
    INSERT INTO sessions (streamer_id, app, client_addr, started_at, worker)
    SELECT id, ?2, ?3, ?4, ?5 FROM streamers WHERE id = ?1";

/// The row of a session that may have been written already.
const FIND: &str = "
    SELECT id FROM sessions WHERE streamer_id = ?1 AND started_at = ?2 AND worker = ?3";

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

pub(in crate::store) const STATEMENTS: &[&str] =
    &[START, FIND, STOP, WORKERS, LOST, LOST_START, BOOT];

/// The row of a session that runs.
#[derive(Clone, Debug)]
pub(in crate::store) struct OpenRow {
    pub(in crate::store) id: i64,
    pub(in crate::store) streamer_id: i64,
    pub(in crate::store) started_at: String,
}

/// The rows that are open in the database.
#[derive(Debug)]
pub(super) struct Rows {
    /// This process, as its rows name it.
    worker: String,
    server: Arc<dyn Server>,
    sessions: Sessions<OpenRow>,
    /// The last commit may have come true although it failed: a log that could not be brought to
    /// the disk is read all the same by whoever opens the database next.
    in_doubt: bool,
}

impl Rows {
    pub(super) fn new(worker: Owner, server: Arc<dyn Server>) -> Self {
        let (worker, sessions) = (worker.to_string(), Sessions::default());
        Self { worker, server, sessions, in_doubt: false }
    }

    pub(super) fn row(&self, tag: SessionTag) -> Option<&OpenRow> {
        self.sessions.written(tag)
    }

    pub(super) fn commits(&mut self) {
        self.in_doubt = true;
    }

    pub(super) fn committed(&mut self) {
        self.in_doubt = false;
        self.sessions.committed();
    }

    pub(super) fn undone(&mut self) {
        self.sessions.undone();
    }

    /// A row that breaks a constraint is left out without a word: its streamer was removed.
    pub(super) fn write(
        &mut self,
        db: &Transaction<'_>,
        path: &Path,
        event: &SessionEvent,
    ) -> Result<Written, StoreError> {
        match self.try_write(db, event) {
            Ok(()) => Ok(Written::Done),
            Err(error) if is_refusal(&error) => Ok(Written::Refused(None)),
            Err(error) => Err(StoreError::from_sqlite(path, &error)),
        }
    }

    fn try_write(&mut self, db: &Transaction<'_>, event: &SessionEvent) -> rusqlite::Result<()> {
        let now = || timestamp::utc(SystemTime::now());
        let crash = EndReason::Crash.as_str();
        match event {
            SessionEvent::Started {
                tag,
                admission: Admission { streamer_id, visitor, .. },
                at,
            } => {
                let started_at = timestamp::utc(*at);
                let (app, client_addr) = (visitor.app(), visitor.client_addr());
                if let Some(id) = self.find_written(db, *streamer_id, &started_at)? {
                    let row = OpenRow { id, streamer_id: *streamer_id, started_at };
                    self.sessions.begin(*tag, row);
                    return Ok(());
                }
                let row = params![streamer_id, app, client_addr, started_at, self.worker];
                if db.prepare_cached(START)?.execute(row)? == 1 {
                    let (id, streamer_id) = (db.last_insert_rowid(), *streamer_id);
                    self.sessions.begin(*tag, OpenRow { id, streamer_id, started_at });
                }
            }
            SessionEvent::Stopped { tag, at, reason, .. } => {
                // Unknown are the streamer removed at the start, and the start that was dropped.
                if let Some(OpenRow { id, streamer_id, started_at }) = self.sessions.end(*tag) {
                    let at = timestamp::utc(*at);
                    let end = params![id, streamer_id, started_at, at, reason.as_str(), crash];
                    db.prepare_cached(STOP)?.execute(end)?;
                }
            }
            SessionEvent::Lost { at, streams } => {
                self.close_rows_of_the_dead(db, &timestamp::utc(*at))?;
                // Of one whose name was handed on its worker has written, or this has just closed, the row.
                for stream in streams.iter().filter(|stream| stream.is_whole()) {
                    let LostStream { streamer_id, app, client_addr, started_at, ended_at, .. } =
                        stream;
                    let started_at = timestamp::utc(timestamp::from_microseconds(*started_at));
                    let ended_at = ended_at.map_or(*at, timestamp::from_microseconds);
                    let ended_at = timestamp::utc(ended_at);
                    let row = params![streamer_id, app, client_addr, started_at, ended_at, crash];
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

    /// The row of a session, if the commit that is in doubt has written it.
    fn find_written(
        &self,
        db: &Transaction<'_>,
        streamer_id: i64,
        started_at: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if !self.in_doubt {
            return Ok(None);
        }
        let session = params![streamer_id, started_at, self.worker];
        db.prepare_cached(FIND)?.query_row(session, |row| row.get(0)).optional()
    }

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
        let is_dead =
            |name: &String| Owner::parse(name).is_some_and(|it| !self.server.is_alive(it));
        workers
            .filter_map(Result::transpose)
            .filter(|name| name.as_ref().map_or(true, is_dead))
            .collect()
    }
}

//! What becomes of sessions, as a worker writes it down.
//!
//! Events wait in a bounded queue and are written in order, those that wait in one transaction.
//! Writing never waits long for another writer: a locked database leaves the queue as it is, to be
//! tried again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, Error, ErrorCode, Transaction, TransactionBehavior};

use super::error::StoreError;
use super::layout::{FOREIGN_PATIENCE, Layout};
use super::patience;
use super::recheck::Admission;
use super::thread::Server;
use crate::registry::{Claim, LostStream, Owner};

mod notices;
mod rows;
mod sessions;

pub(super) use rows::{OpenRow, STATEMENTS};

/// How many events may wait. Beyond it the oldest is dropped: of a long fault, the end is what
/// matters.
pub(super) const MAX_WAITING: usize = 4096;

/// How many events one transaction takes, so that keys that are asked meanwhile wait for some
/// milliseconds at most.
const BATCH: usize = 256;

/// Names a session within the life of its worker.
pub type SessionTag = u64;

/// What happens to a session and is worth writing down.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    Started {
        tag: SessionTag,
        admission: Admission,
        at: SystemTime,
    },
    Stopped {
        tag: SessionTag,
        claim: Claim,
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

/// The events that wait, and what is known of those that were written.
#[derive(Debug)]
pub(super) struct History {
    waiting: VecDeque<SessionEvent>,
    server: Arc<dyn Server>,
    scribe: Scribe,
    manners: Manners,
}

/// Where events are written.
#[derive(Debug)]
enum Scribe {
    Rows(rows::Rows),
    Notices(notices::Notices),
}

/// What one transaction did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flushed {
    /// Events that do not wait any more.
    pub(super) events: usize,
    /// That nginx has started is among them.
    pub(super) booted: bool,
    /// What the database refused for good, for the log.
    pub(super) refused: Vec<String>,
}

/// What writing one event came to.
enum Written {
    Done,
    /// It is for whoever has the name now to tell.
    Left,
    /// The database will never take it, and says why, or it is not worth a word.
    Refused(Option<String>),
    /// The same, and all that the transaction had done is undone.
    RolledBack(Option<String>),
}

impl History {
    /// Of this worker of a server.
    pub(super) fn new(layout: &Layout, worker: Owner, server: Arc<dyn Server>) -> Self {
        let scribe = match layout {
            Layout::Native => Scribe::Rows(rows::Rows::new(worker, Arc::clone(&server))),
            Layout::Foreign(statements) => {
                let statements = Arc::clone(statements);
                Scribe::Notices(notices::Notices::new(statements, Arc::clone(&server)))
            }
        };
        Self { waiting: VecDeque::new(), server, scribe, manners: Manners::default() }
    }

    /// Adds events to those that wait and returns how many it dropped for them.
    pub(super) fn add(&mut self, events: VecDeque<SessionEvent>) -> usize {
        self.waiting.extend(events);
        let excess = self.waiting.len().saturating_sub(MAX_WAITING);
        // Other workers wait for that nginx has started to be written down.
        let kept = usize::from(matches!(self.waiting.front(), Some(SessionEvent::Boot { .. })));
        self.waiting.drain(kept..kept + excess);
        excess
    }

    /// That nginx has started comes before all that waits: the worker that was to write it died.
    pub(super) fn begin_with_boot(&mut self) {
        self.waiting.push_front(SessionEvent::Boot { at: SystemTime::now() });
    }

    /// The native row of a session, once it is written and as long as the session runs.
    pub(super) fn row(&self, tag: SessionTag) -> Option<&OpenRow> {
        match &self.scribe {
            Scribe::Rows(rows) => rows.row(tag),
            Scribe::Notices(_) => None,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes a batch of what waits in one transaction, or nothing.
    ///
    /// An event that the database refuses would be refused for ever: it is left out.
    pub(super) fn flush(
        &mut self,
        db: &mut Connection,
        path: &Path,
    ) -> Result<Flushed, StoreError> {
        self.scribe.undone(); // of a batch that ended in a panic
        let batch = self.waiting.len().min(BATCH);
        let mut flushed = Flushed::default();
        let result = self.write_batch(db, path, batch, &mut flushed);
        match result {
            Ok(()) => self.scribe.committed(),
            Err(_) => self.scribe.undone(),
        }
        result.map(|()| flushed)
    }

    fn write_batch(
        &mut self,
        db: &mut Connection,
        path: &Path,
        batch: usize,
        flushed: &mut Flushed,
    ) -> Result<(), StoreError> {
        let fault = |error| StoreError::from_sqlite(path, &error);
        let transaction = match &self.scribe {
            Scribe::Rows(_) => Transaction::new_unchecked(db, TransactionBehavior::Immediate),
            Scribe::Notices(_) => self.manners.begin(db),
        };
        let transaction = transaction.map_err(fault)?;
        let mut left = Vec::new();
        for (index, event) in self.waiting.iter().take(batch).enumerate() {
            match self.scribe.write(&transaction, path, event)? {
                Written::Done => (),
                Written::Left => left.push(index),
                Written::Refused(why) => flushed.refused.extend(why),
                Written::RolledBack(why) => {
                    drop(transaction);
                    *flushed = self.leave_out(index, why);
                    return Ok(());
                }
            }
            flushed.booted |= matches!(event, SessionEvent::Boot { .. });
        }
        self.scribe.commits();
        match transaction.commit() {
            Err(error) if is_refusal(&error) => {
                return self.write_less(db, path, batch, &error, flushed);
            }
            result => result.map_err(fault)?,
        }
        for (index, event) in self.waiting.drain(..batch).enumerate() {
            if !left.contains(&index) {
                told(&*self.server, event);
            }
        }
        flushed.events = batch;
        Ok(())
    }

    /// What the end of a transaction refuses (a deferred foreign key) is in one of its events, which
    /// is looked for in ever smaller batches.
    fn write_less(
        &mut self,
        db: &mut Connection,
        path: &Path,
        batch: usize,
        error: &Error,
        flushed: &mut Flushed,
    ) -> Result<(), StoreError> {
        if batch > 1 {
            self.scribe.undone();
            *flushed = Flushed::default();
            return self.write_batch(db, path, batch / 2, flushed);
        }
        let why = self.waiting.front().and_then(|event| self.scribe.failed(event, error));
        *flushed = self.leave_out(0, why);
        Ok(())
    }

    /// Without this event the others can be written.
    fn leave_out(&mut self, index: usize, why: Option<String>) -> Flushed {
        self.scribe.undone();
        let event = self.waiting.remove(index);
        let booted = matches!(event, Some(SessionEvent::Boot { .. }));
        event.into_iter().for_each(|event| told(&*self.server, event));
        Flushed { events: 1, booted, refused: why.into_iter().collect() }
    }
}

/// An event does not wait any more: nobody has to write it down for a worker that died.
fn told(server: &dyn Server, event: SessionEvent) {
    match event {
        SessionEvent::Stopped { claim, .. } => server.end_is_told(claim),
        SessionEvent::Lost { streams, .. } => {
            streams.into_iter().for_each(|stream| server.end_is_told(stream.claim));
        }
        SessionEvent::Started { .. } | SessionEvent::Boot { .. } => (),
    }
}

/// How the database of an application is written to.
///
/// Without a log, whoever has read in a transaction and then writes is refused at once if somebody
/// else is about to write: neither could go on (sqlite.org/lang_transaction.html). An application's pages do
/// so, and would show an error. So it is waited for a moment in which nobody reads, with a look of some
/// microseconds each millisecond that keeps others out: whoever comes after that moment waits until the rows
/// are written. On a site where somebody always reads there is no such moment, and what
/// was refused long enough is written all the same.
#[derive(Debug, Default)]
struct Manners {
    refused: u32,
}

impl Manners {
    /// How often no such moment came, each time within [`FOREIGN_PATIENCE`].
    const ENOUGH: u32 = 3;

    fn begin<'db>(&mut self, db: &'db Connection) -> rusqlite::Result<Transaction<'db>> {
        let result = if self.refused < Self::ENOUGH {
            Self::ask(db)
        } else {
            Transaction::new_unchecked(db, TransactionBehavior::Immediate)
        };
        match &result {
            Ok(_) => self.refused = 0,
            Err(error) if is_busy(error) => self.refused += 1,
            Err(_) => {}
        }
        result
    }

    fn ask(db: &Connection) -> rusqlite::Result<Transaction<'_>> {
        let began = Instant::now();
        patience::set(Duration::ZERO);
        let result = loop {
            match Transaction::new_unchecked(db, TransactionBehavior::Exclusive) {
                Err(error) if is_busy(&error) && began.elapsed() < FOREIGN_PATIENCE => {
                    patience::pause();
                }
                result => break result,
            }
        };
        patience::set(FOREIGN_PATIENCE);
        result
    }
}

fn is_busy(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

impl Scribe {
    fn write(
        &mut self,
        db: &Transaction<'_>,
        path: &Path,
        event: &SessionEvent,
    ) -> Result<Written, StoreError> {
        match self {
            Scribe::Rows(rows) => rows.write(db, path, event),
            Scribe::Notices(notices) => notices.write(db, path, event),
        }
    }

    /// What is said of an event that the end of its transaction refused, if it is worth a word.
    fn failed(&self, event: &SessionEvent, error: &Error) -> Option<String> {
        match self {
            Scribe::Rows(_) => None,
            Scribe::Notices(notices) => notices.failed(event, error),
        }
    }

    /// What was written is about to come true.
    fn commits(&mut self) {
        if let Scribe::Rows(rows) = self {
            rows.commits();
        }
    }

    /// What was written since the last call came true.
    fn committed(&mut self) {
        match self {
            Scribe::Rows(rows) => rows.committed(),
            Scribe::Notices(notices) => notices.committed(),
        }
    }

    /// It did not.
    fn undone(&mut self) {
        match self {
            Scribe::Rows(rows) => rows.undone(),
            Scribe::Notices(notices) => notices.undone(),
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

#[cfg(test)]
mod tests;

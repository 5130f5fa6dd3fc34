//! The store thread: one per nginx worker, it owns the worker's only connection.
//!
//! The event loop asks and records without ever waiting; answers come back as [`Report`]s,
//! announced by a wake-up. Keys are answered in order and before session rows are written. See
//! [`super`] on locking.
//!
//! A thread that ends although nobody told it to is replaced ([`StoreThread::look_after`]). One that
//! does not come back from the disk is not: it may still commit what it holds, and a second one
//! would write the same rows again; both are in one process, to which the locks of a file belong,
//! and SQLite has each wait for what the other one has in hand. So it is waited for.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use thiserror::Error;

use super::error::StoreError;
pub use super::history::{EndReason, SessionEvent, SessionTag};
use super::layout::Layout;
use super::lookup::Verdict;
use super::recheck::Admission;
use super::visitor::Visitor;
use crate::policy::Stop;
use crate::registry::{Claim, Owner};

mod desk;
mod exchange;
mod health;
mod inbox;
mod life;
mod run;
mod watch;

use desk::Desk;
use inbox::{Ask, Inbox};
use life::Life;

/// What a store thread is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub path: PathBuf,
    pub layout: Layout,
    /// This process.
    pub worker: Owner,
    pub server: Arc<dyn Server>,
}

/// The server that a store thread belongs to. The thread itself asks, so the answers must not need
/// the event loop.
pub trait Server: fmt::Debug + Send + Sync {
    /// A store thread begins, and is the one that asks. What it needs of the system, the database
    /// above all, it has yet to open.
    fn thread_begins(&self) {}

    /// Whether a worker still runs.
    fn is_alive(&self, worker: Owner) -> bool;

    /// Whether a stream of this name is live, on any worker.
    fn is_live(&self, username: &str) -> bool;

    /// The database knows of the end of this stream, or will never take it.
    fn end_is_told(&self, _claim: Claim) {}

    /// Whether that was said of it.
    fn is_told(&self, _claim: Claim) -> bool {
        false
    }

    /// Who writes down that nginx has started, before anybody writes down what happened since.
    fn boot(&self) -> Boot;

    /// It is written down.
    fn booted(&self);
}

/// Who writes down that nginx has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// This worker, or nobody any more.
    Free,
    /// Another one, which is to be waited for.
    Elsewhere,
    /// This worker from now on: the other one died.
    Inherited,
}

/// How a database answers a key.
type Lookup =
    Arc<dyn Fn(&Connection, &Path, &Visitor) -> Result<Verdict, StoreError> + Send + Sync>;

/// Announces reports to the event loop.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// The store thread did not take a request, and never will answer it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoreGone {
    #[error("the store thread has ended")]
    Ended,
    #[error("the store thread is too far behind")]
    Behind,
}

/// What the store thread has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// To the [`StoreThread::ask`] with this ticket.
    Answer { ticket: u64, verdict: Result<Verdict, StoreError> },
    /// The database no longer allows this stream; said once.
    Stop { tag: SessionTag, why: Stop },
    /// For the error log: the database went out of order, or came back; rows of the history were
    /// dropped.
    Log { level: Level, text: String },
}

/// How bad it is, in nginx's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Notice,
    Warn,
    Error,
}

/// The event loop's end of a store thread. Dropping it ends the thread without waiting for
/// anything.
///
/// What never blocks does so wherever the thread is stopped, by the disk or by anything else. For that
/// it is for one thread at a time, and not `Sync`.
pub struct StoreThread {
    desk: RefCell<Desk>,
    life: Life,
}

impl StoreThread {
    /// Starts the thread, which opens the database at once and reports if that goes wrong. Where no
    /// thread can be started, that is a report, and [`StoreThread::look_after`] tries again.
    ///
    /// `wake` is called from the thread when a report is waiting, none was, and nobody is about to look
    /// (see [`StoreThread::will_look`]); it must not block. The thread
    /// inherits the caller's signal mask: block all signals around this call and
    /// [`StoreThread::look_after`], as nginx does for its own threads.
    pub fn spawn(settings: Settings, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let layout = settings.layout.clone();
        let lookup =
            Arc::new(move |db: &_, path: &_, visitor: &_| layout.look_up(db, path, visitor));
        Self::spawn_with(settings, lookup, Arc::new(wake))
    }

    fn spawn_with(settings: Settings, lookup: Lookup, wake: Wake) -> Self {
        let inbox = Arc::new(Inbox::default());
        let mut desk = Desk::new(Arc::clone(&inbox), settings.path.clone());
        let life = Life::begin(settings, lookup, inbox, wake, &mut desk);
        Self { desk: RefCell::new(desk), life }
    }

    /// Starts another thread in the place of one that has ended, two a second at most, and reports
    /// a thread that is stuck. Call it after each wake-up and once a second. Never blocks.
    ///
    /// The thread that ended has answered its open questions with an error. Events that it had not
    /// written and streams that it watched pass to the next one.
    pub fn look_after(&mut self) {
        self.life.look_after(self.desk.get_mut());
    }

    /// Whether there is no thread at the moment.
    pub fn has_ended(&self) -> bool {
        self.life.has_ended()
    }

    /// Asks whose key this is, and wakes the thread. Never blocks; the answer is a [`Report`].
    pub fn ask(&self, ticket: u64, visitor: Arc<Visitor>) -> Result<(), StoreGone> {
        self.put(ticket, visitor)?;
        self.rouse();
        Ok(())
    }

    /// The same without waking the thread: several keys that come together are better answered together.
    /// [Rouse](StoreThread::rouse) it behind the last one.
    pub fn put(&self, ticket: u64, visitor: Arc<Visitor>) -> Result<(), StoreGone> {
        self.desk.borrow_mut().ask(Ask { ticket, visitor, asked: Instant::now() })
    }

    /// Has the history note an event. Never blocks; it is written later, by the next thread if this
    /// one has ended. The thread finds it within a quarter of a second, or when it is
    /// [roused](StoreThread::rouse).
    pub fn record(&self, event: SessionEvent) -> Result<(), StoreGone> {
        self.desk.borrow_mut().record(event)
    }

    /// Has the thread look out for the database to forbid a stream that is live: a [`Report::Stop`]
    /// comes within a second of that. Never blocks. As with [`StoreThread::record`], the thread finds
    /// it by and by.
    pub fn watch(&self, tag: SessionTag, admission: Admission) -> Result<(), StoreGone> {
        self.desk.borrow_mut().change((tag, Some(admission)))
    }

    /// The stream has ended. Never blocks.
    pub fn unwatch(&self, tag: SessionTag) -> Result<(), StoreGone> {
        self.desk.borrow_mut().change((tag, None))
    }

    /// Has the thread look at once at what it was told since it was last woken. Never blocks.
    ///
    /// Waking it takes some microseconds, and it may take the processor from the event loop: so that
    /// comes last, behind the answers that clients wait for.
    pub fn rouse(&self) {
        self.desk.borrow().rouse();
    }

    /// Promises to take the [reports](StoreThread::reports) in a moment, whatever happens: nobody is woken
    /// for those that are there by then. Never blocks.
    pub fn will_look(&self) {
        self.desk.borrow().will_look();
    }

    /// The reports that are waiting. Never blocks.
    pub fn reports(&self) -> impl Iterator<Item = Report> + use<> {
        self.desk.borrow_mut().take_reports().into_iter()
    }

    /// Ends the thread and returns how many events could not be written within that time.
    ///
    /// A thread that is stuck in the disk is left behind.
    pub fn shutdown(mut self, within: Duration) -> usize {
        let by = Instant::now() + within;
        let desk = self.desk.get_mut();
        self.life.look_after(desk);
        desk.close(by);
        desk.wait_for_end(by)
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.desk.get_mut().close(Instant::now());
    }
}

impl fmt::Debug for StoreThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreThread").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

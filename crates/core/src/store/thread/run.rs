//! The life of a store thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::health::Health;
use super::inbox::{Ask, Inbox, Work};
use super::watch::{self, Watch};
use super::{Boot, Level, Lookup, Report, Server, Settings, Wake};
use crate::hook;
use crate::store::connection::{Database, Snapshot};
use crate::store::error::StoreError;
use crate::store::history::{Flushed, History, SessionEvent};
use crate::store::lookup::Verdict;
use crate::store::visitor::Visitor;

/// How long one attempt waits for a lock.
const ATTEMPT: Duration = Duration::from_millis(250);

/// How long a key is held while the database is locked: below `stagedoor_timeout`'s default, so
/// that the caller hears the reason.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long after others rows are written at the earliest: a key that is asked for meanwhile waits as
/// long, so a thousand streamers who come at once must not mean a thousand transactions.
const GATHER: Duration = Duration::from_millis(50);

/// How often is looked whether another database has taken the place of the one that is open.
const LOOK: Duration = Duration::from_millis(250);

/// How soon rows that could not be written are tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How often a database that is out of order is looked at.
const PROBE: Duration = Duration::from_millis(500);

/// How often at most dropped rows are logged.
const DROP_LOG: Duration = Duration::from_secs(1);

/// How many keys are answered before the history has its turn.
const ROUND: usize = 64;

/// How long writers may have to wait for a round, and for one lookup more.
const HOLD: Duration = Duration::from_millis(5);

/// The thread's own state.
pub(super) struct Loop {
    database: Database,
    lookup: Lookup,
    history: History,
    server: Arc<dyn Server>,
    watch: Watch,
    asks: VecDeque<Ask>,
    inbox: Arc<Inbox>,
    wake: Wake,
    health: Health,
    history_health: Health,
    watch_health: Health,
    /// When to write what waits, when to look at a database that is out of order.
    flush_at: Option<Instant>,
    flushed_at: Instant,
    probe_at: Option<Instant>,
    look_at: Instant,
    may_write: bool,
    dropped: usize,
    dropped_logged: Option<Instant>,
}

impl Loop {
    pub(super) fn new(settings: Settings, lookup: Lookup, inbox: Arc<Inbox>, wake: Wake) -> Self {
        let Settings { path, layout, worker, server } = settings;
        let health = Health::of_database(&path);
        Self {
            history_health: Health::of_history(&layout),
            history: History::new(&layout, worker, Arc::clone(&server)),
            server,
            database: Database::new(path, layout),
            lookup,
            watch: Watch::default(),
            asks: VecDeque::new(),
            inbox,
            wake,
            health,
            watch_health: Health::of_watch(),
            flush_at: None,
            flushed_at: Instant::now(),
            probe_at: None,
            look_at: Instant::now() + LOOK,
            may_write: false,
            dropped: 0,
            dropped_logged: None,
        }
    }

    /// Makes the state fit for another thread, after a panic anywhere in it: what was asked has been
    /// answered by then, and the connection may be in any state.
    pub(super) fn start_over(&mut self) {
        let (path, layout) = (self.database.path().to_owned(), self.database.layout().clone());
        self.database = Database::new(path, layout);
        self.watch.start_over();
        self.asks.clear();
        self.look_at = Instant::now() + LOOK;
        self.flush_at = (self.history.waiting() > 0).then(Instant::now);
    }

    /// How many events wait in the state itself.
    pub(super) fn inherited(&self) -> usize {
        self.history.waiting()
    }

    pub(super) fn run(&mut self) {
        self.server.thread_begins();
        self.probe(ATTEMPT); // other workers start, and may recover the log, at this moment
        let mut work = Work::default();
        loop {
            let until = if self.asks.is_empty() { self.next_timer() } else { Some(Instant::now()) };
            self.inbox.take(until, &mut work);
            self.asks.append(&mut work.asks);
            self.watch.change(work.changes.drain(..));
            self.queue(std::mem::take(&mut work.events), std::mem::take(&mut work.dropped));
            if let Some(by) = work.closing {
                return self.finish(by);
            }
            hook::point(hook::STORE_THREAD);
            self.answer_some();
            let now = Instant::now();
            // One that is awake for one of these does the other, too: to wake costs more than to look.
            let is_due = |at: Instant| at <= now;
            let is_soon = |at: Instant| at <= now + LOOK / 2;
            let looks = is_due(self.look_at) || self.watch.at().is_some_and(is_due);
            if looks && is_soon(self.look_at) {
                self.look();
            }
            if self.probe_at.is_some_and(|at| at <= now) {
                self.probe(Duration::ZERO);
            }
            if self.flush_at.is_some_and(|at| at <= now) {
                self.flush();
            }
            if looks && self.watch.at().is_some_and(is_soon) {
                self.look_after_streams();
            }
            self.log_dropped();
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let logged = self.dropped_logged.map_or_else(Instant::now, |at| at + DROP_LOG);
        let dropped_at = (self.dropped > 0).then_some(logged);
        let timers =
            [Some(self.look_at), self.flush_at, self.probe_at, self.watch.at(), dropped_at];
        timers.into_iter().flatten().min()
    }

    /// Answers keys that wait, in order. While the database is locked, the first waits for all; who
    /// has got hold of it answers what there is.
    fn answer_some(&mut self) {
        let Some(first) = self.asks.front() else { return };
        let patient = first.asked.elapsed() < PATIENCE;
        let wait = if patient { ATTEMPT } else { Duration::ZERO };
        match self.answer_waiting(wait) {
            Ok(()) => self.note_health(None),
            Err(fault) if patient && fault.is_passing() => (),
            // It has met the first that still waits.
            Err(fault) => {
                self.note_health(Some(&fault));
                if let Some(ask) = self.asks.pop_front() {
                    self.report(Report::Answer { ticket: ask.ticket, verdict: Err(fault) });
                }
            }
        }
    }

    /// Answers a round of keys, or those in front of a fault. Several are looked up in one
    /// transaction: taking the lock on the database costs as much as a lookup, and where others
    /// write without a pause each turn at reading is hard to get.
    fn answer_waiting(&mut self, wait: Duration) -> Result<(), StoreError> {
        let Self { database, lookup, asks, inbox, wake, .. } = self;
        guarded(database, |database| {
            let path = database.path().to_owned();
            let db = database.ready(wait)?;
            let snapshot = (asks.len() > 1).then(|| Snapshot::of(db)).transpose();
            let _snapshot = snapshot.map_err(|error| StoreError::from_sqlite(&path, &error))?;
            let until = Instant::now() + HOLD;
            for _ in 0..ROUND {
                let Some(ask) = asks.front() else { break };
                let verdict = lookup(db, &path, &ask.visitor);
                if let Err(fault) = &verdict
                    && !fault.concerns_one_row()
                {
                    return Err(fault.clone());
                }
                if let Some(Ask { ticket, .. }) = asks.pop_front() {
                    report_to(inbox, wake, Report::Answer { ticket, verdict });
                }
                if Instant::now() >= until {
                    break;
                }
            }
            Ok(())
        })
    }

    fn look_up(&mut self, visitor: &Visitor, wait: Duration) -> Result<Verdict, StoreError> {
        let Self { database, lookup, .. } = self;
        guarded(database, |database| {
            let path = database.path().to_owned();
            lookup(database.ready(wait)?, &path, visitor)
        })
    }

    /// Leaves a database that was replaced at once: others wait for that before they open the new
    /// one, see [`crate::store`]. One that is still there gets what its log holds.
    fn look(&mut self) {
        let left = guarded(&mut self.database, Database::look);
        if !matches!(left, Ok(false)) {
            self.probe(Duration::ZERO);
        } else if self.asks.is_empty() && self.health.is_good() {
            self.database.empty_log();
        }
        self.look_at = Instant::now() + LOOK;
    }

    /// Looks whether the database is in order, with a lookup of a key that nobody has.
    fn probe(&mut self, wait: Duration) {
        let was_corrupt = matches!(self.health.fault(), Some(StoreError::Corrupt { .. }));
        let result = self
            .look_up(&Visitor::nobody(), wait)
            .and_then(|_| if was_corrupt { self.check_streamers() } else { Ok(()) });
        if let Err(fault) = &result
            && wait.is_zero()
            && self.health.is_good()
            && fault.is_passing()
        {
            // A lock that nobody has waited for: it is a fault if it is there the next time a key is asked.
            self.probe_at = Some(Instant::now() + RETRY);
            return;
        }
        self.note_health(result.as_ref().err());
    }

    /// One lookup may read only pages that are sound: what was found corrupt is checked as a whole.
    fn check_streamers(&mut self) -> Result<(), StoreError> {
        guarded(&mut self.database, |database| {
            let (path, find) = (database.path().to_owned(), database.layout().find_damage());
            let found: Result<String, _> =
                database.ready(Duration::ZERO)?.query_row(find, [], |row| row.get(0));
            match found.map_err(|error| StoreError::from_sqlite(&path, &error))?.as_str() {
                "ok" => Ok(()),
                reason => Err(StoreError::Corrupt { path, reason: reason.to_owned() }),
            }
        })
    }

    /// Has the streams end that the database no longer allows. One that is out of order says
    /// nothing; when it is back, what it says then counts.
    fn look_after_streams(&mut self) {
        let mut next = watch::INTERVAL;
        if self.health.is_good() {
            let Self { database, watch, history, .. } = self;
            let stops = guarded(database, |database| watch.look(database, history));
            let said = match stops {
                Ok(stops) => {
                    for (tag, why) in stops {
                        self.report(Report::Stop { tag, why });
                    }
                    self.watch_health.note(Ok(()))
                }
                Err(fault) if fault.is_passing() => {
                    next = RETRY / 5;
                    None
                }
                Err(fault) => {
                    self.probe(Duration::ZERO);
                    // As with the history, see `flush`.
                    if self.health.is_good() { self.watch_health.note(Err(&fault)) } else { None }
                }
            };
            if let Some(said) = said {
                self.log(said);
            }
        }
        self.watch.postpone(next);
    }

    fn note_health(&mut self, fault: Option<&StoreError>) {
        let fault = fault.filter(|fault| !fault.concerns_one_row());
        if let Some(StoreError::Unsettled { .. }) = fault {
            // Becomes a fault, or none, soon.
            self.probe_at = Some(Instant::now() + RETRY);
            return;
        }
        if let Some(said) = self.health.note(fault.map_or(Ok(()), Err)) {
            self.log(said);
        }
        self.probe_at = fault.map(|_| Instant::now() + PROBE);
    }

    fn queue(&mut self, events: VecDeque<SessionEvent>, dropped: usize) {
        if !events.is_empty() {
            self.flush_at.get_or_insert_with(|| self.flushed_at + GATHER);
        }
        let excess = self.history.add(events);
        self.inbox.settle(excess);
        self.dropped += dropped + excess;
    }

    /// Writes what waits, without waiting for a lock; what could not be written is tried again
    /// later.
    fn flush(&mut self) {
        let result = if self.health.is_good() { self.write() } else { Ok(0) };
        let said = match &result {
            Ok(0) => None,
            Err(fault) if fault.is_passing() => None, // somebody else writes: their right
            Ok(_) => self.history_health.note(Ok(())),
            Err(fault) => {
                self.probe(Duration::ZERO);
                // What is wrong with the database as a whole has been said by now.
                if self.health.is_good() { self.history_health.note(Err(fault)) } else { None }
            }
        };
        if let Some(said) = said {
            self.log(said);
        }
        self.flushed_at = Instant::now();
        self.flush_at = match (self.history.waiting(), result) {
            (0, _) => None,
            (_, Ok(1..)) => Some(Instant::now()),
            (_, Ok(0)) => Some(Instant::now() + RETRY),
            (_, Err(fault)) if fault.is_passing() => Some(Instant::now() + RETRY),
            (_, Err(_)) => Some(Instant::now() + PROBE),
        };
    }

    /// Writes a batch of what waits and returns how many events that was: none as long as another
    /// worker has yet to write down that nginx has started.
    fn write(&mut self) -> Result<usize, StoreError> {
        if !self.may_write() {
            return Ok(0);
        }
        let Self { database, history, .. } = self;
        let Flushed { events, booted, refused } = guarded(database, |database| {
            let (path, wait) = (database.path().to_owned(), database.layout().patience());
            let flushed = history.flush(database.ready(wait)?, &path);
            if flushed.as_ref().is_ok_and(|flushed| flushed.events > 0) {
                database.has_written();
            }
            flushed
        })?;
        if booted {
            self.server.booted();
        }
        for text in refused {
            self.log((Level::Warn, text));
        }
        self.inbox.settle(events);
        Ok(events)
    }

    /// Whether that nginx has started is written down, or will be in front of what waits here. Asked until it
    /// is so, and not again: the answer takes the lock that all workers share.
    fn may_write(&mut self) -> bool {
        if !self.may_write {
            self.may_write = match self.server.boot() {
                Boot::Free => true,
                Boot::Elsewhere => false,
                Boot::Inherited => {
                    self.inbox.owe(1);
                    self.history.begin_with_boot();
                    true
                }
            };
        }
        self.may_write
    }

    /// Writes what waits as long as there is time and hope; nobody listens to answers any more.
    fn finish(&mut self, by: Instant) {
        while self.history.waiting() > 0 {
            match self.write() {
                Ok(1..) => (),
                Ok(0) if Instant::now() + RETRY / 5 < by => thread::sleep(RETRY / 5),
                Err(fault) if fault.is_passing() && Instant::now() + RETRY / 5 < by => {
                    thread::sleep(RETRY / 5);
                }
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn log_dropped(&mut self) {
        let due = self.dropped_logged.is_none_or(|at| at.elapsed() >= DROP_LOG);
        if self.dropped > 0 && due {
            let dropped = std::mem::take(&mut self.dropped);
            self.dropped_logged = Some(Instant::now());
            let text = format!("{dropped} entries of the session history were dropped");
            self.log((Level::Warn, text));
        }
    }

    fn log(&self, (level, text): (Level, String)) {
        self.report(Report::Log { level, text });
    }

    fn report(&self, report: Report) {
        report_to(&self.inbox, &self.wake, report);
    }
}

fn report_to(inbox: &Inbox, wake: &Wake, report: Report) {
    if inbox.report(report) {
        wake();
    }
}

/// Runs one piece of work on the database. A panic becomes an error; after an error that may lie in
/// the connection, the next piece of work has a new one.
fn guarded<T>(
    database: &mut Database,
    work: impl FnOnce(&mut Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let work = AssertUnwindSafe(|| {
        hook::point(hook::STORE_WORK);
        work(&mut *database)
    });
    let result = catch_unwind(work)
        .unwrap_or_else(|_| Err(StoreError::Panicked { path: database.path().to_owned() }));
    match &result {
        Err(error) if error.is_passing() => (),
        Ok(_) | Err(StoreError::ReadOnly { .. }) => (),
        // Kept for the day the file is there again, see `Database::ready`.
        Err(
            StoreError::Missing { .. } | StoreError::Absent { .. } | StoreError::NotAFile { .. },
        ) => (),
        Err(StoreError::StaleLog { .. }) => (),
        Err(error) if error.concerns_one_row() => (),
        Err(_) => database.close(),
    }
    result
}

//! One worker's private state: its store thread, the publishes that wait for an answer, the streams
//! that it carries ([`streams`]) and that go first ([`precedence`]), its look-out for workers that died,
//! and the lines that it writes no more often than is good for the log ([`lines`]).
//!
//! nginx runs all of this on one thread. No function here calls into nginx-rtmp while it holds the
//! state: what nginx-rtmp does may come back here.

mod lines;
mod meters;
mod precedence;
mod streams;

pub use lines::{Flood, warn};
pub use precedence::live_streams_first;
pub use streams::{Carrier, Duplicate, LiveStream, Place, end, go_live, take_up};

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Weak;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stagedoor_core::counters::Counters;
use stagedoor_core::registry::{Claim, LostStream, Owner, PART};
use stagedoor_core::store::thread::{
    Boot, EndReason, Level, Report, Server, SessionEvent, Settings, StoreGone, StoreThread,
};
use stagedoor_core::store::{StoreError, Verdict, Visitor};
use thiserror::Error;

use crate::core::CoreConf;
use crate::ffi::event::{Posted, Timer};
use crate::ffi::guard::guard;
use crate::ffi::log::Log;
use crate::ffi::process;
use crate::ffi::wakeup::{OnWakeup, Waker};
use crate::live::{self, Attempt, Registry};

/// How often a worker looks for workers that died. Their streams are free after this time at the
/// latest; a streamer who comes back is let in at once, because a claim looks by itself.
const SWEEP: Duration = Duration::from_secs(1);

/// How soon the store thread hears of starts and ends. In a storm that is once for hundreds of them: to wake
/// it takes some microseconds, and it may take the processor from the event loop.
const ROUSE: Duration = Duration::from_millis(10);

/// How long a worker that ends waits for its last history rows to be written: half of what nginx's
/// master gives it before it kills (ngx_process_cycle.c).
const FLUSH: Duration = Duration::from_millis(500);

/// The same of a worker that quits, for which nobody waits after a reload: as long as applications
/// hold a lock, 5 s being the time that Django and Python's sqlite3 wait for one.
const QUIT_FLUSH: Duration = Duration::from_secs(6);

/// Someone who waits for an answer of the store.
pub trait Asker {
    /// The answer.
    fn answered(&self, answer: Result<Verdict, StoreError>);
}

/// A question that was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// Why this worker cannot ask its store.
#[derive(Clone, Copy, Debug, Error)]
pub enum AskError {
    /// It has none.
    #[error("this worker has no store thread yet; the log of its start says why")]
    NoStore,
    /// It does not take the question.
    #[error(transparent)]
    Gone(#[from] StoreGone),
}

/// Who waits for an answer, and since when. The attempt is given back unless the answer is that
/// nobody has the key, whether anybody still waits for it or not.
struct Question {
    asker: Weak<dyn Asker>,
    asked: Instant,
    attempt: Attempt,
}

/// What the store thread asks about.
#[derive(Debug)]
struct Surroundings {
    registry: Registry,
    waker: Waker,
}

impl Server for Surroundings {
    fn thread_begins(&self) {
        process::part_descriptors(self.waker.descriptor());
    }

    fn is_alive(&self, worker: Owner) -> bool {
        self.registry.is_alive(worker)
    }

    fn is_live(&self, username: &str) -> bool {
        self.registry.is_live(username)
    }

    fn end_is_told(&self, claim: Claim) {
        self.registry.end_is_told(claim);
    }

    fn is_told(&self, claim: Claim) -> bool {
        self.registry.is_told(claim)
    }

    fn boot(&self) -> Boot {
        self.registry.boot()
    }

    fn booted(&self) {
        self.registry.booted();
    }
}

struct Worker {
    store: StoreThread,
    /// Wakes the store thread for the keys of this moment, all of them, and looks for their answers: on
    /// the same processor the thread may well have run in between.
    inquiry: Posted,
    /// Wakes it for what it was told besides, if no key comes before that.
    rouser: Timer,
    registry: Registry,
    asking: HashMap<u64, Question>,
    streams: streams::Streams,
    lines: lines::Lines,
    /// Tickets and session tags, never the same twice.
    last_number: u64,
    sweeper: Timer,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
    /// Starts the worker's part, as long as that was not possible.
    static STARTER: RefCell<Option<Timer>> = const { RefCell::new(None) };
}

fn with<T>(action: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    WORKER.with_borrow_mut(|worker| worker.as_mut().map(action))
}

/// Starts the worker's part: called once in each worker. Where that cannot be, it is tried again
/// once a second.
pub fn start(conf: &CoreConf) {
    let (Some(db), Some(zone)) = (conf.db(), conf.zone()) else { return };
    match Worker::begin(conf, db, Registry::new(zone)) {
        Ok(worker) => {
            if STARTER.take().is_some() {
                Log::cycle().notice(format_args!("stagedoor: publishes are answered from now on"));
            }
            WORKER.set(Some(worker));
        }
        Err(error) => STARTER.with_borrow_mut(|starter| {
            let log = Log::cycle();
            let starter = starter.get_or_insert_with(|| {
                log.error(format_args!("stagedoor refuses every publish for now: {error}"));
                starter_of(log)
            });
            starter.set(SWEEP);
        }),
    }
}

/// Starts the worker's part later, because that could not be done now.
pub fn start_later() {
    STARTER.with_borrow_mut(|it| it.get_or_insert_with(|| starter_of(Log::cycle())).set(SWEEP));
}

fn starter_of(log: Log) -> Timer {
    let start = || {
        guard("a worker's later start", (), || CoreConf::current().into_iter().for_each(start));
    };
    Timer::new(log, start).cancelable().recurring(SWEEP)
}

/// Ends the worker's part: streams that it still carries end with it.
pub fn stop() {
    STARTER.take();
    let Some(mut worker) = WORKER.take() else { return };
    worker.end_all();
    let registry = worker.registry;
    let unwritten = worker.store.shutdown(if process::is_quitting() { QUIT_FLUSH } else { FLUSH });
    if unwritten > 0 {
        Log::cycle().warn(format_args!(
            "stagedoor: {unwritten} starts and ends of streams are not written down: this worker \
             ends and cannot write the database"
        ));
    }
    registry.leave(); // whoever strikes it tells what it could not
}

/// Asks the store whether somebody may publish. The answer goes to `asker`, unless it is gone by then;
/// it also says whether the attempt was a failure.
///
/// # Errors
///
/// [`AskError`] when there is nobody to ask.
pub fn ask(
    visitor: Arc<Visitor>,
    mut attempt: Attempt,
    asker: Weak<dyn Asker>,
) -> Result<Ticket, AskError> {
    let asked = with(|worker| {
        let ticket = worker.number();
        worker.store.put(ticket, visitor)?;
        worker.inquiry.post();
        let attempt = std::mem::take(&mut attempt);
        worker.asking.insert(ticket, Question { asker, asked: Instant::now(), attempt });
        Ok(Ticket(ticket))
    })
    .unwrap_or(Err(AskError::NoStore));
    if asked.is_err() {
        attempt.give_back();
        live::count(Counters::store_error);
    }
    asked
}

/// Takes a question back whose answer takes too long.
pub fn give_up(ticket: &Ticket) {
    let question = with(|worker| worker.asking.remove(&ticket.0)).flatten();
    if let Some(question) = question {
        question.attempt.give_back();
        live::count(|counters| counters.answered(question.asked.elapsed(), true));
    }
}

impl Worker {
    fn begin(conf: &CoreConf, db: &Path, registry: Registry) -> io::Result<Worker> {
        let (log, now) = (Log::cycle(), SystemTime::now());
        let waker = Waker::new::<Answers>()?;
        let settings = Settings {
            path: db.to_owned(),
            layout: conf.layout(),
            worker: process::this_process(),
            server: Arc::new(Surroundings { registry, waker }),
        };
        let store =
            process::with_signals_blocked(|| StoreThread::spawn(settings, move || waker.wake()));
        // A worker that starts may stand in for one that died, and with it for one that noticed the
        // death of another but could not write it down.
        let inquiry = Posted::new(log, || {
            with(|worker| {
                worker.store.will_look();
                worker.store.rouse();
            });
            Answers::woken();
        });
        let rouse = || {
            with(|worker| worker.store.rouse());
        };
        let rouser = Timer::new(log, rouse).cancelable();
        let _ = store.record(if conf.is_first_cycle() && registry.take_boot() {
            SessionEvent::Boot { at: now }
        } else {
            SessionEvent::Lost { at: now, streams: Vec::new() }
        });
        store.rouse();
        let sweeper = Timer::new(log, sweep).cancelable().recurring(SWEEP);
        sweeper.set(SWEEP);
        Ok(Worker {
            store,
            inquiry,
            rouser,
            registry,
            asking: HashMap::new(),
            streams: streams::Streams::new(log),
            lines: lines::Lines::default(),
            last_number: 0,
            sweeper,
        })
    }

    fn sweep(&mut self) {
        for (owner, lost) in self.registry.sweep() {
            Log::cycle().notice(format_args!(
                "stagedoor: worker {} is gone; {} of its streams are free again",
                owner.pid,
                lost.iter().filter(|stream| stream.was_live()).count()
            ));
            // Also without a stream: the end of one may have been written nowhere yet.
            self.mourn(lost);
        }
        self.end_forsaken();
        self.sum_up();
    }

    /// What the store thread has to say; one that has ended gets a successor.
    fn reports(&mut self) -> Vec<Report> {
        match self.store.has_ended() {
            true => process::with_signals_blocked(|| self.store.look_after()),
            false => self.store.look_after(),
        }
        if self.store.has_ended() {
            self.sweeper.set(SWEEP / 2); // it died young: look again as soon as that may be
        }
        self.store.reports().collect()
    }

    /// The store thread was told something that can wait a moment.
    fn told(&self) {
        if !self.rouser.is_set() {
            self.rouser.set(ROUSE);
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Says that streams ended with their worker, and has the database know; also of those that had
    /// ended before, if the worker may have kept it to itself.
    fn mourn(&mut self, mut streams: Vec<LostStream>) {
        let were_live = || streams.iter().filter(|stream| stream.was_live());
        live::count(|counters| counters.ended(EndReason::Crash, were_live().count()));
        for stream in were_live() {
            Log::cycle().warn(format_args!(
                "stagedoor: publish ended: its worker died, username: \"{}\"",
                stream.username
            ));
        }
        let at = SystemTime::now();
        while streams.len() > PART {
            let part = streams.split_off(streams.len() - PART);
            let _ = self.store.record(SessionEvent::Lost { at, streams: part });
        }
        let _ = self.store.record(SessionEvent::Lost { at, streams });
        self.told();
    }
}

fn sweep() {
    guard("a look for dead workers", None, || with(Worker::sweep));
    Answers::woken(); // a store thread that has died or is stuck says nothing by itself
}

struct Answers;

impl OnWakeup for Answers {
    fn woken() {
        for report in with(Worker::reports).unwrap_or_default() {
            match report {
                Report::Answer { ticket, verdict } => {
                    let question = with(|worker| worker.asking.remove(&ticket)).flatten();
                    let Some(Question { asker, asked, attempt }) = question else { continue };
                    if verdict != Ok(Verdict::Unknown) {
                        attempt.give_back();
                    }
                    live::count(|counters| counters.answered(asked.elapsed(), verdict.is_err()));
                    if let Some(asker) = asker.upgrade() {
                        live_streams_first();
                        asker.answered(verdict);
                    }
                }
                Report::Stop { tag, why } => streams::stop(tag, why),
                Report::Log { level, text } => {
                    let log = Log::cycle();
                    match level {
                        Level::Notice => log.notice(format_args!("stagedoor: {text}")),
                        Level::Warn => log.warn(format_args!("stagedoor: {text}")),
                        Level::Error => log.error(format_args!("stagedoor: {text}")),
                    }
                }
            }
        }
    }
}

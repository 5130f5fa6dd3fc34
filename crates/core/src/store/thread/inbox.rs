//! What the event loop and the store thread hand each other, and the thread's end of it. The event
//! loop's is the [`Desk`](super::desk::Desk).
//!
//! Neither waits for the other, wherever that one is stopped ([`exchange`](super::exchange)). What else
//! both know are single words. Only who has nothing to do waits, to be unparked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::Report;
use super::exchange::Exchange;
use super::watch::Change;
use crate::hook;
use crate::store::history::SessionEvent;
use crate::store::visitor::Visitor;

/// How many entries a queue that has been emptied keeps its memory for: after a storm it goes back.
const ROOM: usize = 128;

/// A key that waits for its answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) ticket: u64,
    pub(super) visitor: Arc<Visitor>,
    pub(super) asked: Instant,
}

/// What the thread finds to do.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) asks: VecDeque<Ask>,
    pub(super) events: VecDeque<SessionEvent>,
    /// As many at most as keys were let in.
    pub(super) changes: VecDeque<Change>,
    /// Events that were dropped, because the thread is stuck in the disk.
    pub(super) dropped: usize,
    /// No more work comes, and what is there is to be done by then.
    pub(super) closing: Option<Instant>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.asks.is_empty()
            && self.events.is_empty()
            && self.changes.is_empty()
            && self.closing.is_none()
    }

    /// Adds what is there, and leaves nothing.
    fn take_up(&mut self, there: &mut Work) {
        self.asks.append(&mut there.asks);
        self.events.append(&mut there.events);
        self.changes.append(&mut there.changes);
        self.dropped += std::mem::take(&mut there.dropped);
        self.closing = there.closing.take().or(self.closing);
    }

    /// Gives back the memory of a storm that is over. Whoever fills queues calls it: memory that the other
    /// side has allocated is not freed without the lock that allocates there (malloc's arenas).
    pub(super) fn trim(&mut self) {
        trim(&mut self.asks);
        trim(&mut self.events);
        trim(&mut self.changes);
    }
}

fn trim<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > ROOM {
        *queue = VecDeque::new();
    }
}

/// The way to the thread, and the one back.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) work: Exchange<Work>,
    pub(super) reports: Exchange<VecDeque<Report>>,
    /// The event loop is to be woken for the next report. Not for any but the first, because whoever takes
    /// reports takes all of them, and not when it will look anyway.
    pub(super) awaits: AtomicBool,
    /// Events that were recorded and are neither in the database nor dropped.
    pub(super) owed: AtomicUsize,
    pub(super) ended: AtomicBool,
    /// Who waits for that.
    pub(super) mourner: OnceLock<Thread>,
    /// Since when the thread is at work, in milliseconds after `epoch`; 0 when it is not.
    busy: AtomicU64,
    epoch: Instant,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            work: Exchange::default(),
            reports: Exchange::default(),
            awaits: AtomicBool::new(true),
            owed: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            mourner: OnceLock::new(),
            busy: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }
}

impl Inbox {
    /// Adds what there is to do to `work`; waits for it until `until`, or, without, as long as it takes.
    pub(super) fn take(&self, until: Option<Instant>, work: &mut Work) {
        self.busy.store(0, Ordering::Relaxed);
        work.trim();
        loop {
            self.work.read(|there| {
                hook::point(hook::STORE_TAKES);
                work.take_up(there);
            });
            if !work.is_empty() {
                break;
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => break,
                Some(left) => thread::park_timeout(left),
            }
        }
        self.busy.store(self.now(), Ordering::Relaxed);
    }

    /// Says whether the event loop has to be woken.
    pub(super) fn report(&self, report: Report) -> bool {
        self.reports.write(|there| {
            hook::point(hook::STORE_REPORTS);
            trim(there);
            there.push_back(report);
        });
        // Behind the report: who has looked in between, and found nothing, awaits it.
        self.awaits.swap(false, Ordering::AcqRel)
    }

    /// So many of the events that were recorded are written, or dropped.
    pub(super) fn settle(&self, events: usize) {
        self.owed.fetch_sub(events, Ordering::Relaxed);
    }

    /// There are so many more.
    pub(super) fn owe(&self, events: usize) {
        self.owed.fetch_add(events, Ordering::Relaxed);
    }

    /// The thread is no more, for whatever reason.
    pub(super) fn end(&self) {
        self.busy.store(0, Ordering::Relaxed);
        self.ended.store(true, Ordering::Release);
        fence(Ordering::SeqCst); // one of both sees the other, see `Desk::wait_for_end`
        if let Some(mourner) = self.mourner.get() {
            mourner.unpark();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// How long the thread has been at one piece of work.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    fn now(&self) -> u64 {
        1 + self.epoch.elapsed().as_millis() as u64
    }
}

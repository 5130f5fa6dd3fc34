//! The event loop's end of what it and the store thread hand each other.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::{self, Thread};
use std::time::Instant;

use super::inbox::{Ask, Inbox, Work};
use super::watch::Change;
use super::{Report, StoreGone};
use crate::store::error::StoreError;
use crate::store::history::{MAX_WAITING, SessionEvent};

/// How many keys may wait for a thread that does not come round to them. Each of their callers has
/// a time limit of its own; beyond this the next one is refused at once.
const MAX_ASKS: usize = 4096;

/// What the event loop alone knows, and the way to the thread.
#[derive(Debug)]
pub(super) struct Desk {
    inbox: Arc<Inbox>,
    /// The tickets that have yet to be answered.
    open: BTreeSet<u64>,
    /// What was taken or said here, and is yet to be handed out.
    reports: VecDeque<Report>,
    thread: Option<Thread>,
    is_closed: bool,
    path: PathBuf,
}

impl Desk {
    pub(super) fn new(inbox: Arc<Inbox>, path: PathBuf) -> Self {
        let (open, reports) = (BTreeSet::new(), VecDeque::new());
        Self { inbox, open, reports, thread: None, is_closed: false, path }
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Result<(), StoreGone> {
        if self.is_closed || self.inbox.has_ended() {
            return Err(StoreGone::Ended);
        }
        let ticket = ask.ticket;
        self.tell(|work| match work.asks.len() {
            MAX_ASKS.. => Err(StoreGone::Behind),
            _ => {
                work.asks.push_back(ask);
                Ok(())
            }
        })?;
        self.open.insert(ticket);
        Ok(())
    }

    pub(super) fn record(&mut self, event: SessionEvent) -> Result<(), StoreGone> {
        self.expect_open()?;
        self.inbox.owe(1); // ahead of it, so that it is never settled before
        let dropped = self.tell(|work| {
            let excess = (work.events.len() >= MAX_WAITING).then(|| work.events.pop_front());
            work.dropped += usize::from(excess.is_some());
            work.events.push_back(event);
            excess
        });
        self.inbox.settle(usize::from(dropped.is_some()));
        Ok(())
    }

    pub(super) fn change(&mut self, change: Change) -> Result<(), StoreGone> {
        self.expect_open()?;
        self.tell(|work| work.changes.push_back(change));
        Ok(())
    }

    /// Has the thread look at what there is to do.
    pub(super) fn rouse(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }

    pub(super) fn will_look(&self) {
        self.inbox.awaits.store(false, Ordering::Release);
    }

    pub(super) fn take_reports(&mut self) -> VecDeque<Report> {
        self.collect();
        std::mem::take(&mut self.reports)
    }

    /// A report of the event loop itself.
    pub(super) fn say(&mut self, report: Report) {
        self.reports.push_back(report);
    }

    /// A thread is about to begin, and has so many events of the one before.
    pub(super) fn begin(&mut self, inherited: usize) {
        self.collect();
        let waiting = self.tell(|work| work.events.len());
        self.inbox.owed.store(inherited + waiting, Ordering::Relaxed);
        self.inbox.ended.store(false, Ordering::Release);
    }

    /// It has begun.
    pub(super) fn has_begun(&mut self, thread: &Thread) {
        self.thread = Some(thread.clone());
    }

    /// Announces the end.
    pub(super) fn close(&mut self, by: Instant) {
        self.is_closed = true;
        self.tell(|work| work.closing = Some(by));
        self.rouse();
    }

    /// Waits for the thread's end, until `by` at most, and returns how many events are unwritten.
    pub(super) fn wait_for_end(&self, by: Instant) -> usize {
        let _ = self.inbox.mourner.set(thread::current());
        fence(Ordering::SeqCst); // one of both sees the other, see `Inbox::end`
        while !self.inbox.has_ended() {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        self.inbox.owed.load(Ordering::Relaxed)
    }

    fn expect_open(&self) -> Result<(), StoreGone> {
        if self.is_closed { Err(StoreGone::Ended) } else { Ok(()) }
    }

    /// Tells the thread something that it finds when it is roused. If it has looked just now and found
    /// nothing, what it had been roused for before may have been in hand here.
    fn tell<T>(&self, change: impl FnOnce(&mut Work) -> T) -> T {
        let (result, has_looked) = self.inbox.work.write(|work| {
            work.trim();
            change(work)
        });
        if has_looked {
            self.rouse();
        }
        result
    }

    /// Takes what the thread has said. One that has ended says no more: what it was asked is answered with
    /// an error.
    fn collect(&mut self) {
        let has_ended = self.inbox.has_ended(); // before what it has said, which is all of it then
        self.inbox.awaits.swap(true, Ordering::AcqRel);
        let known = self.reports.len();
        self.inbox.reports.read(|there| self.reports.append(there));
        for report in self.reports.range(known..) {
            if let Report::Answer { ticket, .. } = report {
                self.open.remove(ticket);
            }
        }
        if has_ended && !self.open.is_empty() {
            self.tell(|work| work.asks.clear());
            let fault = StoreError::Panicked { path: self.path.clone() };
            for ticket in std::mem::take(&mut self.open) {
                self.reports.push_back(Report::Answer { ticket, verdict: Err(fault.clone()) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_looks_while_something_is_added_is_roused_again() {
        let inbox = Arc::new(Inbox::default());
        let mut desk = Desk::new(Arc::clone(&inbox), PathBuf::new());
        desk.has_begun(&thread::current());
        let is_roused = || {
            let began = Instant::now();
            thread::park_timeout(Duration::from_secs(5));
            began.elapsed() < Duration::from_secs(3)
        };
        for _ in 0..3 {
            desk.tell(|work| {
                work.dropped += 1;
                inbox.work.read(|_| panic!("it is in hand"));
            });
            assert!(is_roused());
            let mut taken = 0;
            inbox.work.read(|work| taken = std::mem::take(&mut work.dropped));
            assert_eq!(taken, 1);
        }
    }
}

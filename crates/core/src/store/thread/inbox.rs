//! What the event loop and the store thread hand each other.
//!
//! Both sides hold the lock for a push or a take only, so the event loop never waits for a
//! database. Nobody is woken under the lock: on the same processor the one who is woken may run at
//! once, and would wait for it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::watch::Change;
use super::{Report, StoreGone};
use crate::store::error::StoreError;
use crate::store::history::{MAX_WAITING, SessionEvent};
use crate::store::visitor::Visitor;

/// How many keys may wait for a thread that does not come round to them. Each of their callers has
/// a time limit of its own; beyond this the next one is refused at once.
const MAX_ASKS: usize = 4096;

/// A key that waits for its answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) ticket: u64,
    pub(super) visitor: Arc<Visitor>,
    pub(super) asked: Instant,
}

/// The two queues to the thread, and the one back.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// There is work, or an end.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asks: VecDeque<Ask>,
    /// The tickets that have yet to be answered.
    open: BTreeSet<u64>,
    events: VecDeque<SessionEvent>,
    /// As many at most as keys were let in.
    changes: Vec<Change>,
    reports: VecDeque<Report>,
    /// The event loop takes the reports in a moment, without being woken.
    will_look: bool,
    /// Events that were dropped here, because the thread is stuck in the disk.
    dropped: usize,
    /// Events that were taken by the thread and are not yet in the database.
    taken: usize,
    /// No more work comes, and what is there is to be done by then.
    closing: Option<Instant>,
    /// Since when the thread is at work.
    busy: Option<Instant>,
    ended: bool,
}

/// What the thread finds to do.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) asks: VecDeque<Ask>,
    pub(super) events: VecDeque<SessionEvent>,
    pub(super) changes: Vec<Change>,
    pub(super) dropped: usize,
    pub(super) closing: Option<Instant>,
}

impl Inbox {
    pub(super) fn ask(&self, ask: Ask) -> Result<(), StoreGone> {
        let mut state = self.open()?;
        if state.ended {
            return Err(StoreGone::Ended);
        }
        if state.asks.len() >= MAX_ASKS {
            return Err(StoreGone::Behind);
        }
        state.open.insert(ask.ticket);
        state.asks.push_back(ask);
        Ok(())
    }

    /// Has the thread look at what there is to do.
    pub(super) fn rouse(&self) {
        self.work.notify_one();
    }

    pub(super) fn record(&self, event: SessionEvent) -> Result<(), StoreGone> {
        let mut state = self.open()?;
        if state.events.len() >= MAX_WAITING {
            state.events.pop_front();
            state.dropped += 1;
        }
        state.events.push_back(event);
        Ok(())
    }

    pub(super) fn change(&self, change: Change) -> Result<(), StoreGone> {
        let mut state = self.open()?;
        state.changes.push(change);
        Ok(())
    }

    /// Says whether the event loop has to be woken: not for any but the first that waits, because
    /// whoever takes reports takes all of them, and not when it will look anyway.
    pub(super) fn report(&self, report: Report) -> bool {
        let mut state = self.state();
        if let Report::Answer { ticket, .. } = report {
            state.open.remove(&ticket);
        }
        state.reports.push_back(report);
        state.reports.len() == 1 && !state.will_look
    }

    pub(super) fn will_look(&self) {
        self.state().will_look = true;
    }

    pub(super) fn take_reports(&self) -> VecDeque<Report> {
        let mut state = self.state();
        state.will_look = false;
        std::mem::take(&mut state.reports)
    }

    /// Takes what there is to do; waits for it until `until`, or, without, as long as it takes.
    ///
    /// An end that was announced is returned at once, again and again: the thread paces itself.
    pub(super) fn take(&self, until: Option<Instant>) -> Work {
        let mut state = self.state();
        state.busy = None;
        while state.asks.is_empty()
            && state.events.is_empty()
            && state.changes.is_empty()
            && state.closing.is_none()
        {
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.busy = Some(Instant::now());
        state.taken += state.events.len();
        Work {
            asks: std::mem::take(&mut state.asks),
            events: std::mem::take(&mut state.events),
            changes: std::mem::take(&mut state.changes),
            dropped: std::mem::take(&mut state.dropped),
            closing: state.closing,
        }
    }

    /// So many of the events that were taken are written, or dropped.
    pub(super) fn settle(&self, events: usize) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(events);
    }

    /// Announces the end.
    pub(super) fn close(&self, by: Instant) {
        self.state().closing = Some(by);
        self.rouse();
    }

    /// Waits for the thread's end, until `by` at most, and returns how many events are unwritten.
    pub(super) fn wait_for_end(&self, by: Instant) -> usize {
        let mut state = self.state();
        while !state.ended {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken + state.events.len()
    }

    /// How long the thread has been at one piece of work.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        self.state().busy.map(|since| since.elapsed())
    }

    /// A thread begins, which has so many events of the one before.
    pub(super) fn begin(&self, inherited: usize) {
        let mut state = self.state();
        state.taken = inherited;
        state.ended = false;
    }

    /// The thread is no more, for whatever reason. What was asked is answered with `fault`.
    pub(super) fn end(&self, fault: StoreError) {
        let mut state = self.state();
        state.ended = true;
        state.busy = None;
        state.asks.clear();
        for ticket in std::mem::take(&mut state.open) {
            state.reports.push_back(Report::Answer { ticket, verdict: Err(fault.clone()) });
        }
        self.ended.notify_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreGone> {
        let state = self.state();
        if state.closing.is_some() { Err(StoreGone::Ended) } else { Ok(state) }
    }

    /// Nothing panics under this lock, and each step leaves the state sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

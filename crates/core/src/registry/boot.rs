//! Who writes down that nginx has started.

use std::sync::atomic::Ordering;

use super::{Owner, Table};

/// The values of `Header::boot`.
const DUE: u32 = 0;
const UNDER_WAY: u32 = 1;
const DONE: u32 = 2;

impl Table<'_> {
    /// Gives it to a process if nobody had it yet: the first worker of a server that has just
    /// started. Says whether it did.
    pub fn take_boot(&mut self, worker: Owner) -> bool {
        let is_due = self.header.boot.load(Ordering::Acquire) == DUE;
        if is_due {
            // In this order: a death in between leaves it to the next.
            self.header.booter = worker;
            self.header.boot.store(UNDER_WAY, Ordering::Release);
        }
        is_due
    }

    /// The process that has yet to do it, which may be gone.
    pub fn booter(&self) -> Option<Owner> {
        let is_under_way = self.header.boot.load(Ordering::Acquire) == UNDER_WAY;
        is_under_way.then_some(self.header.booter)
    }

    /// Passes it on from a process that is gone, unless somebody else has it by now. Says whether
    /// it did.
    pub fn inherit_boot(&mut self, from: Owner, worker: Owner) -> bool {
        let is_left = self.booter() == Some(from);
        if is_left {
            // A death in between leaves a pid with another's start time: nobody that runs.
            self.header.booter = worker;
        }
        is_left
    }

    /// It is done.
    pub fn end_boot(&mut self) {
        self.header.boot.store(DONE, Ordering::Release);
    }
}

//! Who holds a name, and who waits to have it next.
//!
//! Both sit in the entry, and one word says which seat is whose. A handover is one store to that
//! word: whoever dies around it leaves the name with the one or the other, never with both or
//! nobody.

use std::sync::atomic::{AtomicU32, Ordering};

use super::OwnerSlot;

/// The second seat holds the name, not the first.
const SECOND: u32 = 1;
/// The other seat waits for it.
const WAITING: u32 = 2;
/// The holder has been handed the name, and has not taken it up yet.
const HANDED: u32 = 4;

/// One who holds a name or waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Seat {
    /// Of the claim.
    pub(super) serial: u64,
    /// When the holder went live, or began to wait; in microseconds since 1970 (UTC).
    pub(super) since: u64,
    pub(super) owner: OwnerSlot,
}

/// The two seats of an entry.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Seats {
    seats: [Seat; 2],
    order: AtomicU32,
}

impl Seats {
    /// Seats the first holder of an entry that is free.
    pub(super) fn take(&mut self, holder: Seat) {
        self.seats[0] = holder;
        self.order.store(0, Ordering::Release);
    }

    pub(super) fn holder(&self) -> Seat {
        self.seats[self.position()]
    }

    /// Who had the name before it was handed over, as long as nobody waits.
    pub(super) fn other(&self) -> Seat {
        self.seats[1 - self.position()]
    }

    pub(super) fn heir(&self) -> Option<Seat> {
        (self.order() & WAITING != 0).then(|| self.seats[1 - self.position()])
    }

    /// Seats who waits, in place of whoever did.
    pub(super) fn wait(&mut self, heir: Seat) {
        self.give_up();
        self.seats[1 - self.position()] = heir;
        self.order.store(self.order() | WAITING, Ordering::Release);
    }

    /// Has another process answer for the holder.
    pub(super) fn reassign(&mut self, owner: OwnerSlot) {
        self.seats[self.position()].owner = owner;
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&mut self) {
        self.order.store(self.order() & !WAITING, Ordering::Release);
    }

    /// Lets the one who waits have the name. Says whether there was one.
    pub(super) fn hand_over(&mut self) -> bool {
        let order = self.order();
        if order & WAITING != 0 {
            self.order.store((order & SECOND) ^ SECOND | HANDED, Ordering::Release);
        }
        order & WAITING != 0
    }

    /// The holder is live.
    pub(super) fn take_up(&mut self, since: u64) {
        self.seats[self.position()].since = since;
        self.order.store(self.order() & !HANDED, Ordering::Release);
    }

    pub(super) fn is_taken_up(&self) -> bool {
        self.order() & HANDED == 0
    }

    /// What a death before the seat is anybody's may leave there.
    #[cfg(test)]
    pub(super) fn damage(&mut self, noise: u64) {
        if self.heir().is_none() {
            let owner = self.holder().owner;
            self.seats[1 - self.position()] = Seat { serial: noise, since: noise, owner };
        }
    }

    fn order(&self) -> u32 {
        self.order.load(Ordering::Acquire)
    }

    fn position(&self) -> usize {
        (self.order() & SECOND) as usize
    }
}

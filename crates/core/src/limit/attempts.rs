//! The attempts of all addresses, as plain data that fits in shared memory.
//!
//! One slot is one address under one limit, and says until when its failures are outstanding: a
//! failure adds the time in which one attempt comes back (the virtual scheduling of ITU-T I.371,
//! annex A). A slot whose time has come says nothing any more and is free, so nothing has to be
//! cleared up, and zeroes are an empty table.
//!
//! An address has its place in a set of [`WAYS`] slots. In a set that is full, the slot whose time
//! comes first makes place: the one with the fewest outstanding failures. A crowd of addresses that
//! fail once each takes the places of one another, and not of one that is locked out. To be
//! forgotten, that one needs as many others in its set as there are slots, each with at least as
//! much outstanding; and nobody can tell which those are, because the sets are chosen by a hash
//! with a secret.
//!
//! The table locks nothing: the caller holds the zone's mutex. Whoever dies inside leaves a slot as
//! it was, free, or done: each step is one store.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{Denial, Limit, Source};

/// Slots in a set: 128 bytes.
const WAYS: usize = 8;

/// One part in so many of the zone is the table's: 2,000 addresses in 1 MB, and a stream still
/// takes less than 512 bytes.
const SHARE: usize = 32;

/// How many slots a zone of so many bytes has.
pub fn slots_within(bytes: usize) -> usize {
    bytes / SHARE / (WAYS * size_of::<Slot>()) * WAYS
}

/// What an address has outstanding under a limit.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// A hash of both, and in the lowest bits how many attempts are out. A worker that dies leaves
    /// those out; the number means nothing any more when the slot's time has come.
    who: AtomicU64,
    /// In nanoseconds of the machine's monotonic clock.
    until: AtomicU64,
}

/// The bits of `who` that count.
const OUT: u64 = 0xffff;

impl Slot {
    fn is(&self, place: Place) -> bool {
        self.who.load(Ordering::Acquire) & !OUT == place.who
    }

    fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    fn out(&self, now: u64) -> u64 {
        if self.until() > now { self.who.load(Ordering::Acquire) & OUT } else { 0 }
    }

    fn write(&self, place: Place, until: u64, out: u64) {
        self.until.store(until, Ordering::Release);
        self.who.store(place.who | out.min(OUT), Ordering::Release);
    }
}

/// What the places of addresses depend on.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Secret {
    /// A new one, from the system's CSPRNG.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub fn generate() -> Result<Secret, getrandom::Error> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)?;
        Ok(Secret(secret))
    }
}

/// The table, borrowed from wherever it lies.
#[derive(Debug)]
pub struct Attempts<'a> {
    secret: Secret,
    slots: &'a mut [Slot],
}

/// An attempt that is out, to be settled once.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Charge {
    place: Place,
    until: u64,
    interval: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    who: u64,
    set: u64,
}

impl<'a> Attempts<'a> {
    /// The table in these slots.
    pub fn open(secret: Secret, slots: &'a mut [Slot]) -> Attempts<'a> {
        Attempts { secret, slots }
    }

    /// Takes an attempt out of a source's bucket. `now` is the machine's monotonic clock, in
    /// nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Denial`] when there is none; the bucket stays as it is.
    pub fn take(&mut self, source: Source, limit: Limit, now: u64) -> Result<Charge, Denial> {
        let (place, interval) = (self.place(source, limit), limit.interval());
        let set = self.set(place);
        let there = set.iter().find(|slot| slot.is(place));
        let until = there.map_or(0, Slot::until).max(now).saturating_add(interval);
        let out = there.map_or(0, |slot| slot.out(now));
        if until > now.saturating_add(limit.window()) {
            return Err(if out > 0 { Denial::Out(limit) } else { Denial::UsedUp(limit) });
        }
        match there {
            Some(slot) => slot.write(place, until, out + 1),
            None => {
                if let Some(slot) = set.iter().min_by_key(|slot| slot.until()) {
                    slot.write(place, 0, 0);
                    slot.write(place, until, 1);
                }
            }
        }
        Ok(Charge { place, until, interval })
    }

    /// An attempt has failed.
    pub fn fail(&mut self, charge: Charge, now: u64) {
        self.settle(charge.place, 0, now);
    }

    /// Gives an attempt back, less what has come back by itself since.
    pub fn give_back(&mut self, charge: Charge, now: u64) {
        let back = charge.until.saturating_sub(now).min(charge.interval);
        self.settle(charge.place, back, now);
    }

    fn settle(&mut self, place: Place, back: u64, now: u64) {
        if let Some(slot) = self.set(place).iter().find(|slot| slot.is(place)) {
            let out = slot.out(now).saturating_sub(1);
            slot.write(place, slot.until().saturating_sub(back), out);
        }
    }

    fn place(&self, source: Source, limit: Limit) -> Place {
        let hash = Sha256::new()
            .chain_update(self.secret.0)
            .chain_update(source.bytes())
            .chain_update(limit.interval().to_ne_bytes())
            .chain_update(limit.burst.to_ne_bytes())
            .finalize();
        let word =
            |at: usize| hash[at..at + 8].iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        Place { who: word(0) & !OUT, set: word(8) }
    }

    fn set(&self, place: Place) -> &[Slot] {
        let sets = self.slots.as_chunks::<WAYS>().0;
        match sets.len() as u64 {
            0 => &[],
            count => &sets[(place.set % count) as usize],
        }
    }
}

#[cfg(test)]
mod tests;

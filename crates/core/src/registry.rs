//! The live table: who is on, as plain data that fits in shared memory.
//!
//! A stream that has ended stays in the table, so that its viewers can be told, until its name is
//! claimed again or its entry is needed: the oldest ended one makes place for a new stream when
//! none is free. A live one never does.
//!
//! nginx's workers are processes, and any of them can be killed between two instructions. So that
//! what the others find is always usable, the table is built on three rules:
//!
//! * **An entry's state is the only truth.** The hash chains, the free list and the list of ended
//!   streams are indexes over the entries; [`Table::recover`] rebuilds them from the states alone.
//!   Whose a live entry is stands in one word, too, so that it is handed over at once or not at all.
//! * **A change is announced.** Every change sets `changing` first and clears it last. Whoever takes
//!   the lock and finds it set knows that its holder died inside, and recovers before anything else.
//! * **Nothing is allocated.** The table is laid out once; indexes stand in for pointers.
//!
//! The table itself locks nothing: the caller holds the zone's mutex for as long as it has a
//! [`Table`].

mod boot;
mod ended;
mod entry;
mod handover;
mod listing;
mod names;
mod owners;
mod seats;
mod shape;

pub use entry::{Entry, Text};
pub use handover::{Standing, WaitError};
pub use listing::{Figures, Listed, PART};
pub use names::{NameMark, end_is_told, is_live, is_told};
pub use owners::{Owner, OwnerSlot};
pub use shape::Shape;

use std::sync::atomic::{AtomicU32, Ordering};

use entry::State;
use seats::Seat;
use thiserror::Error;

use crate::hook;

/// "No entry", in chains and in the free list.
const NONE: u32 = u32::MAX;

/// What stands once in front of the table.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Header {
    changing: AtomicU32,
    boot: AtomicU32,
    free: u32,
    live: u32,
    oldest_ended: u32,
    newest_ended: u32,
    serial: u64,
    wishes: u32,
    booter: Owner,
}

/// The table, borrowed from wherever its parts lie.
#[derive(Debug)]
pub struct Table<'a> {
    header: &'a mut Header,
    owners: &'a mut [Owner],
    buckets: &'a mut [u32],
    entries: &'a mut [Entry],
    /// One an entry; these are read without the lock, too.
    marks: &'a [NameMark],
}

/// The right to one entry, for a stream that is live or waits for another one's end; given back
/// once with [`Table::release`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    index: u32,
    serial: u64,
}

#[cfg(test)]
impl Claim {
    /// A claim of no table's.
    pub(crate) fn numbered(serial: u64) -> Claim {
        Claim { index: 0, serial }
    }
}

/// What a claim records of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The public name; one live stream each.
    pub username: &'a str,
    /// The streamer's row in the database.
    pub streamer_id: i64,
    /// The RTMP application; longer names than an entry holds are cut.
    pub app: &'a str,
    /// The publisher's address, as text.
    pub client_addr: &'a str,
    /// When the stream went live, in microseconds since 1970 (UTC).
    pub started_at: u64,
}

/// What the table knows of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A stream of this name is live.
    Live,
    /// One was, until then: microseconds since 1970 (UTC).
    Ended {
        /// Its end.
        at: u64,
    },
    /// None was, or it is forgotten.
    Unknown,
}

/// A stream whose worker died while it was live, or before the database knew of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostStream {
    /// Its public name.
    pub username: String,
    /// The streamer's row in the database.
    pub streamer_id: i64,
    /// The RTMP application, as far as the entry held it.
    pub app: String,
    /// The publisher's address, as text.
    pub client_addr: String,
    /// When the stream went live, in microseconds since 1970 (UTC).
    pub started_at: u64,
    /// The claim whose end is told with it.
    pub claim: Claim,
    /// The claim that it was live with: not the same, if its name was handed to another stream that never
    /// went live.
    pub former: Claim,
    /// When it ended, in microseconds since 1970 (UTC), if it was not live any more and that is known.
    pub ended_at: Option<u64>,
}

impl LostStream {
    fn of(index: u32, entry: &Entry) -> LostStream {
        let holder = entry.seats.holder();
        let is_its_own = entry.seats.is_taken_up();
        let former = if is_its_own { holder } else { entry.seats.other() };
        LostStream {
            claim: Claim { index, serial: holder.serial },
            former: Claim { index, serial: former.serial },
            ended_at: (is_its_own && entry.is_ended()).then_some(entry.ended_at),
            username: entry.username().to_owned(),
            streamer_id: entry.streamer_id(),
            app: entry.app().to_owned(),
            client_addr: entry.client_addr().to_owned(),
            started_at: entry.started_at(),
        }
    }

    /// Whether it was live until its worker's death, rather than ended before.
    pub fn was_live(&self) -> bool {
        self.is_whole() && self.ended_at.is_none()
    }

    /// Whether its name was not handed on before its end was told.
    pub fn is_whole(&self) -> bool {
        self.claim == self.former
    }
}

/// Why a stream cannot be claimed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClaimError {
    /// The stream is live already, in a process that may or may not be there any more.
    #[error("the stream is live already")]
    Held(Owner),
    /// Every entry is taken.
    #[error("all {0} entries of the live registry are taken")]
    Full(usize),
    /// The name does not fit an entry; a [`crate::username::Username`] always does.
    #[error("the username is empty or longer than {} bytes", Text::CAPACITY)]
    Name,
}

impl<'a> Table<'a> {
    /// Lays out an empty table.
    pub fn create(
        header: &'a mut Header,
        owners: &'a mut [Owner],
        buckets: &'a mut [u32],
        entries: &'a mut [Entry],
        marks: &'a [NameMark],
    ) -> Table<'a> {
        *header = Header::default();
        owners.fill(Owner::default());
        for entry in entries.iter_mut() {
            *entry = Entry::default();
        }
        marks.iter().for_each(NameMark::clear);
        let mut table = Table { header, owners, buckets, entries, marks };
        table.rebuild();
        table
    }

    /// Takes up a table that is there, and mends it if its last user died inside a change.
    pub fn open(
        header: &'a mut Header,
        owners: &'a mut [Owner],
        buckets: &'a mut [u32],
        entries: &'a mut [Entry],
        marks: &'a [NameMark],
    ) -> Table<'a> {
        let mut table = Table { header, owners, buckets, entries, marks };
        if table.header.changing.load(Ordering::Acquire) != 0 {
            table.recover();
        }
        table
    }

    /// Streams that are live.
    pub fn live(&self) -> usize {
        self.header.live as usize
    }

    /// Streams that can be live at once.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a live stream.
    pub fn find(&self, username: &str) -> Option<&Entry> {
        self.position(username).map(|index| &self.entries[index]).filter(|entry| entry.is_live())
    }

    /// Whether a stream of this name is live, or was.
    pub fn presence(&self, username: &str) -> Presence {
        match self.position(username).map(|index| &self.entries[index]) {
            Some(entry) if entry.is_live() => Presence::Live,
            Some(entry) => Presence::Ended { at: entry.ended_at },
            None => Presence::Unknown,
        }
    }

    /// Makes `stream` live, held by the process in `slot`.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Held`] names the process that has it; whether that process still runs is for
    /// the caller to find out, outside of the lock.
    pub fn claim(&mut self, slot: OwnerSlot, stream: &Stream<'_>) -> Result<Claim, ClaimError> {
        if stream.username.is_empty() || stream.username.len() > Text::CAPACITY {
            return Err(ClaimError::Name);
        }
        let known = self.position(stream.username);
        if let Some(index) = known
            && self.entries[index].is_live()
        {
            return Err(ClaimError::Held(self.owner(self.entries[index].seats.holder().owner)));
        }
        // The entry to forget: the name's last stream, or, if no entry is free, the oldest ended.
        let has_free = (self.header.free as usize) < self.entries.len();
        let forgotten = match known {
            Some(index) => Some(index as u32),
            None if has_free => None,
            None if (self.header.oldest_ended as usize) < self.entries.len() => {
                Some(self.header.oldest_ended)
            }
            None => return Err(ClaimError::Full(self.entries.len())),
        };
        self.change(|table| {
            if let Some(index) = forgotten {
                table.forget(index);
            }
            let index = table.header.free;
            let bucket = table.bucket(stream.username);
            table.header.serial += 1;
            let serial = table.header.serial;
            let entry = &mut table.entries[index as usize];
            table.header.free = entry.next;
            let since = stream.started_at;
            hook::point(hook::REGISTRY);
            entry.fill(Seat { serial, since, owner: slot }, stream);
            entry.next = table.buckets[bucket];
            hook::point(hook::REGISTRY);
            entry.state.store(State::LIVE, Ordering::Release);
            hook::point(hook::REGISTRY);
            table.mark(index);
            hook::point(hook::REGISTRY);
            table.buckets[bucket] = index;
            table.header.live += 1;
            Ok(Claim { index, serial })
        })
    }

    /// Ends a claim, and with it the stream: at `ended_at`, in microseconds since 1970 (UTC). The
    /// name goes to whoever waits for it; a claim that waits itself waits no more. Says whether
    /// there was anything to end, so that a second release does nothing.
    pub fn release(&mut self, claim: Claim, ended_at: u64) -> bool {
        match self.standing(claim) {
            Standing::Holds => self.change(|table| table.vacate(claim.index, ended_at)),
            Standing::Waits(_) => {
                self.change(|table| table.entries[claim.index as usize].seats.give_up());
            }
            Standing::Ended => return false,
        }
        true
    }

    /// Mends the table after a process died inside a change: an entry that was not yet live, or was
    /// being forgotten, is free; every other one stays what it is.
    fn recover(&mut self) {
        hook::point(hook::REGISTRY);
        self.rebuild();
        hook::point(hook::REGISTRY);
        self.header.changing.store(0, Ordering::Release);
    }

    /// Runs one change between the marks that [`Table::open`] looks for.
    fn change<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        hook::point(hook::REGISTRY);
        self.header.changing.swap(1, Ordering::AcqRel);
        hook::point(hook::REGISTRY);
        let result = action(self);
        hook::point(hook::REGISTRY);
        self.header.changing.store(0, Ordering::Release);
        result
    }

    /// Sets up chains, lists and count from the entries' states.
    fn rebuild(&mut self) {
        self.buckets.fill(NONE);
        self.header.free = NONE;
        self.header.live = 0;
        for index in (0..self.entries.len()).rev() {
            let is_live = self.entries[index].is_live();
            if is_live || self.entries[index].is_ended() {
                let bucket = self.bucket(self.entries[index].username());
                self.entries[index].next = self.buckets[bucket];
                self.buckets[bucket] = index as u32;
                self.header.live += u32::from(is_live);
            } else {
                self.entries[index].state.store(State::FREE, Ordering::Release);
                self.entries[index].next = self.header.free;
                self.header.free = index as u32;
            }
        }
        self.rebuild_ended();
        for index in 0..self.entries.len() as u32 {
            self.mark(index);
        }
    }

    fn mark(&self, index: u32) {
        self.marks[index as usize].set(&self.entries[index as usize]);
    }

    /// Ends the stream of a live entry, for whoever waits for its name or for good.
    fn vacate(&mut self, index: u32, ended_at: u64) {
        hook::point(hook::REGISTRY);
        if !self.entries[index as usize].seats.hand_over() {
            self.end(index, ended_at);
        }
    }

    fn live_entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize).filter(|entry| entry.is_live())
    }

    fn position(&self, username: &str) -> Option<usize> {
        if self.buckets.is_empty() {
            return None;
        }
        self.chain(self.bucket(username)).find(|&index| self.entries[index].username() == username)
    }

    /// The indexes of a chain. Bounded by the number of entries, so that not even a damaged chain
    /// can hold a worker.
    fn chain(&self, bucket: usize) -> impl Iterator<Item = usize> + '_ {
        let mut index = self.buckets[bucket];
        std::iter::from_fn(move || {
            let entry = self.entries.get(index as usize)?;
            let here = index as usize;
            index = entry.next;
            Some(here)
        })
        .take(self.entries.len())
    }

    fn bucket(&self, username: &str) -> usize {
        (fnv1a(username.as_bytes()) % self.buckets.len() as u64) as usize
    }
}

/// 64-bit FNV-1a. Names come out of the operator's database, so nobody gains by colliding.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;

//! A name that passes from one live stream to the next without being free in between.
//!
//! Who wants the name waits for it; the holder finds that out, ends its stream, and its release
//! hands the name over. A holder that dies is struck, which hands the name over too.

use thiserror::Error;

use super::seats::Seat;
use super::{Claim, LostStream, Owner, OwnerSlot, Stream, Table};

/// How long a stream is left alone: two encoders that fight for a name change it no oftener.
const LEFT_ALONE: u64 = 1_000_000;

/// Why a name cannot be waited for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WaitError {
    /// Nobody holds it any more: it can be claimed.
    #[error("the stream is not live any more")]
    Free,
    /// The stream has gone live within the last second.
    #[error("the stream went live a moment ago")]
    TooSoon,
    /// Another publish waits for it.
    #[error("another publish takes the stream over already")]
    Awaited,
}

/// How a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds its name.
    Holds,
    /// It waits for this process.
    Waits(Owner),
    /// It has been released.
    Ended,
}

impl Table<'_> {
    /// Ends a claim that waits, or was handed its name and has not taken it up: then the one who held
    /// the name before has ended, and is returned, because the database may not know.
    pub fn renounce(&mut self, claim: Claim, ended_at: u64) -> Option<LostStream> {
        let was_handed = self.standing(claim) == Standing::Holds;
        self.release(claim, ended_at);
        let entry = self.entries.get(claim.index as usize).filter(|entry| entry.is_ended())?;
        was_handed.then(|| LostStream::of(claim.index, entry))
    }

    /// Waits for a name that is held. The claim takes effect when the holder's ends; until then it
    /// can be taken back, and after that ended, with [`Table::release`]. `now` in microseconds
    /// since 1970 (UTC).
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn wait_for(
        &mut self,
        slot: OwnerSlot,
        username: &str,
        now: u64,
    ) -> Result<Claim, WaitError> {
        let live = |&index: &usize| self.entries[index].is_live();
        let index = self.position(username).filter(live).ok_or(WaitError::Free)?;
        let seats = &self.entries[index].seats;
        // A clock that was set back leaves nobody alone for longer.
        if now.abs_diff(seats.holder().since) < LEFT_ALONE {
            return Err(WaitError::TooSoon);
        }
        if seats.heir().is_some() {
            return Err(WaitError::Awaited);
        }
        Ok(self.change(|table| {
            table.header.serial += 1;
            let serial = table.header.serial;
            table.header.wishes = table.header.wishes.wrapping_add(1);
            table.entries[index].seats.wait(Seat { serial, since: now, owner: slot });
            Claim { index: index as u32, serial }
        }))
    }

    /// How a claim stands.
    pub fn standing(&self, claim: Claim) -> Standing {
        match self.live_entry(claim.index).map(|entry| (entry.seats.holder(), entry.seats.heir())) {
            Some((holder, _)) if holder.serial == claim.serial => Standing::Holds,
            Some((holder, Some(heir))) if heir.serial == claim.serial => {
                Standing::Waits(self.owner(holder.owner))
            }
            _ => Standing::Ended,
        }
    }

    /// The process that waits for the name that a claim holds; it may or may not be there any more.
    pub fn heir(&self, claim: Claim) -> Option<Owner> {
        let seats = &self.live_entry(claim.index)?.seats;
        let heir = seats.heir().filter(|_| seats.holder().serial == claim.serial)?;
        Some(self.owner(heir.owner))
    }

    /// Changes whenever somebody begins to wait for a name, whichever.
    pub fn wishes(&self) -> u32 {
        self.header.wishes
    }

    /// Says what has been handed over to a claim. The name stays.
    pub fn describe(&mut self, claim: Claim, stream: &Stream<'_>) {
        if self.standing(claim) == Standing::Holds {
            self.change(|table| table.entries[claim.index as usize].describe(stream));
        }
    }
}

//! The processes that hold streams.
//!
//! A pid alone says little: the kernel gives it to somebody else soon after its process died. With
//! the process's start time it is unique for as long as the machine runs.

use std::fmt;

use super::{Entry, LostStream, Table};
use crate::hook;

/// A process: its pid and its start time as in field 22 of `/proc/PID/stat` (clock ticks since
/// boot). A pid of 0 is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Owner {
    /// The process.
    pub pid: i32,
    /// Its start time.
    pub start_time: u64,
}

impl Owner {
    /// The process that [`fmt::Display`] has written.
    pub fn parse(text: &str) -> Option<Owner> {
        let (pid, start_time) = text.split_once('-')?;
        Some(Owner { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.start_time)
    }
}

/// A process's place among the owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct OwnerSlot(u32);

impl Table<'_> {
    /// Enters a process, or finds where it stands; `None` when there is no room for it.
    pub fn enter(&mut self, owner: Owner) -> Option<OwnerSlot> {
        let slot = self
            .owners
            .iter()
            .position(|there| *there == owner)
            .or_else(|| self.owners.iter().position(|there| there.pid == 0))?;
        // A death in between leaves a pid with another's start time: nobody that runs, soon struck.
        self.owners[slot] = owner;
        Some(OwnerSlot(slot as u32))
    }

    /// The processes that are entered.
    pub fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.owners.iter().copied().filter(|owner| owner.pid != 0)
    }

    /// Strikes a process off, which ends every stream it still held; returns those. It waits for no
    /// name any more either. `ended_at` is in microseconds since 1970 (UTC).
    pub fn strike(&mut self, owner: Owner, ended_at: u64) -> Vec<LostStream> {
        let Some(slot) = self.owners.iter().position(|there| *there == owner && there.pid != 0)
        else {
            return Vec::new();
        };
        let place = OwnerSlot(slot as u32);
        let with = |has: fn(&Entry, OwnerSlot) -> bool| -> Vec<u32> {
            (0..self.entries.len() as u32)
                .filter(|&index| self.live_entry(index).is_some_and(|entry| has(entry, place)))
                .collect()
        };
        let held = with(|entry, place| entry.seats.holder().owner == place);
        let awaited = with(|entry, place| entry.seats.heir().is_some_and(|it| it.owner == place));
        let entries = held.iter().map(|&index| &self.entries[index as usize]);
        let lost = entries.filter(|it| it.seats.is_taken_up()).map(LostStream::of).collect();
        self.change(|table| {
            for index in awaited {
                table.entries[index as usize].seats.give_up();
            }
            for index in held {
                table.vacate(index, ended_at);
            }
            hook::point(hook::REGISTRY);
            table.owners[slot] = Owner::default();
        });
        lost
    }

    pub(super) fn owner(&self, slot: OwnerSlot) -> Owner {
        self.owners.get(slot.0 as usize).copied().unwrap_or_default()
    }
}

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

    /// Strikes a process off, which ends every stream it still held; returns those, and those of whose end
    /// the database may not know: to see to that is from now on for the process `by`. It waits for no name any
    /// more either. `ended_at` is in microseconds since 1970 (UTC).
    pub fn strike(&mut self, owner: Owner, by: Owner, ended_at: u64) -> Vec<LostStream> {
        let Some(place) = self.slot(owner) else { return Vec::new() };
        let with = |has: fn(&Entry, OwnerSlot) -> bool| -> Vec<u32> {
            (0..self.entries.len() as u32)
                .filter(|&index| self.live_entry(index).is_some_and(|entry| has(entry, place)))
                .collect()
        };
        let held = with(|entry, place| entry.seats.holder().owner == place);
        let awaited = with(|entry, place| entry.seats.heir().is_some_and(|it| it.owner == place));
        let untold = self.untold(place);
        let lost: Vec<LostStream> = held
            .iter()
            .chain(&untold)
            .map(|&index| LostStream::of(index, &self.entries[index as usize]))
            .collect();
        // Who has no place of its own yet gets this one.
        let heir = if by == owner { None } else { self.slot(by) };
        let inherits = heir.is_none() && by != owner && !lost.is_empty();
        self.change(|table| {
            for index in awaited {
                table.entries[index as usize].seats.give_up();
            }
            for &index in &held {
                table.vacate(index, ended_at);
            }
            if let Some(heir) = heir {
                for index in held.into_iter().chain(untold) {
                    let entry = &mut table.entries[index as usize];
                    if entry.is_ended() {
                        entry.seats.reassign(heir);
                    }
                }
            }
            hook::point(hook::REGISTRY);
            table.owners[place.0 as usize] = if inherits { by } else { Owner::default() };
        });
        lost
    }

    /// Strikes a process off that ends. One that could not tell the database of all its streams' ends, or still
    /// holds one, stays, for whoever finds it gone.
    pub fn leave(&mut self, owner: Owner, ended_at: u64) {
        let Some(slot) = self.slot(owner) else { return };
        let holds = |entry: &Entry| entry.is_live() && entry.seats.holder().owner == slot;
        if self.untold(slot).is_empty() && !self.entries.iter().any(holds) {
            self.strike(owner, owner, ended_at);
        }
    }

    /// The ended streams of a process of whose end the database may not know.
    fn untold(&self, slot: OwnerSlot) -> Vec<u32> {
        let is_untold = |index: &u32| {
            let (entry, mark) = (&self.entries[*index as usize], &self.marks[*index as usize]);
            let holder = entry.seats.holder();
            entry.is_ended() && holder.owner == slot && !mark.is_told(holder.serial)
        };
        (0..self.entries.len() as u32).filter(is_untold).collect()
    }

    fn slot(&self, owner: Owner) -> Option<OwnerSlot> {
        let slot = self.owners.iter().position(|there| *there == owner && there.pid != 0)?;
        Some(OwnerSlot(slot as u32))
    }

    pub(super) fn owner(&self, slot: OwnerSlot) -> Owner {
        self.owners.get(slot.0 as usize).copied().unwrap_or_default()
    }
}

//! The processes that hold streams.
//!
//! A pid alone says little: the kernel gives it to somebody else soon after its process died. With
//! the process's start time it is unique for as long as the machine runs.

use super::{LostStream, Table};

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

    /// Strikes a process off, which ends every stream it still held; returns those. `ended_at` is in
    /// microseconds since 1970 (UTC).
    pub fn strike(&mut self, owner: Owner, ended_at: u64) -> Vec<LostStream> {
        let Some(slot) = self.owners.iter().position(|there| *there == owner && there.pid != 0)
        else {
            return Vec::new();
        };
        let held: Vec<u32> = (0..self.entries.len() as u32)
            .filter(|&index| {
                let entry = &self.entries[index as usize];
                entry.is_live() && entry.owner == OwnerSlot(slot as u32)
            })
            .collect();
        let lost = held
            .iter()
            .map(|&index| {
                let entry = &self.entries[index as usize];
                LostStream {
                    username: entry.username().to_owned(),
                    streamer_id: entry.streamer_id(),
                }
            })
            .collect();
        self.change(|table| {
            for index in held {
                table.end(index, ended_at);
            }
            table.owners[slot] = Owner::default();
        });
        lost
    }

    pub(super) fn owner(&self, slot: OwnerSlot) -> Owner {
        self.owners.get(slot.0 as usize).copied().unwrap_or_default()
    }
}

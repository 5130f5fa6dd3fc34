//! Streams that have ended and are not forgotten yet: a list over the entries, oldest end first.

use std::sync::atomic::Ordering;

use super::entry::State;
use super::{NONE, Table};
use crate::hook;

impl Table<'_> {
    /// Makes a live entry an ended one; its name stays known.
    pub(super) fn end(&mut self, index: u32, ended_at: u64) {
        let entry = &mut self.entries[index as usize];
        entry.ended_at = ended_at;
        hook::point(hook::REGISTRY);
        entry.state.swap(State::ENDED, Ordering::AcqRel);
        hook::point(hook::REGISTRY);
        self.mark(index);
        hook::point(hook::REGISTRY);
        self.header.live -= 1;
        self.append_ended(index);
    }

    /// Takes an ended entry out of its chain and of the list, and puts it on the free list.
    pub(super) fn forget(&mut self, index: u32) {
        let at = index as usize;
        let bucket = self.bucket(self.entries[at].username());
        self.entries[at].state.swap(State::FREE, Ordering::AcqRel);
        hook::point(hook::REGISTRY);

        let next = self.entries[at].next;
        let before = self.chain(bucket).find(|&before| self.entries[before].next == index);
        match before {
            Some(before) => self.entries[before].next = next,
            None => self.buckets[bucket] = next,
        }
        hook::point(hook::REGISTRY);

        let (older, newer) = (self.entries[at].older, self.entries[at].newer);
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.header.oldest_ended = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.header.newest_ended = older,
        }
        hook::point(hook::REGISTRY);

        self.entries[at].next = self.header.free;
        self.header.free = index;
    }

    /// Sets the list up from the entries' states. The one allocation of the table, made only after
    /// a process has died inside a change.
    pub(super) fn rebuild_ended(&mut self) {
        self.header.oldest_ended = NONE;
        self.header.newest_ended = NONE;
        let mut ended: Vec<u32> = (0..self.entries.len() as u32)
            .filter(|&index| self.entries[index as usize].is_ended())
            .collect();
        ended.sort_by_key(|&index| {
            let entry = &self.entries[index as usize];
            (entry.ended_at, entry.seats.holder().serial)
        });
        for index in ended {
            self.append_ended(index);
        }
    }

    fn append_ended(&mut self, index: u32) {
        let newest = self.header.newest_ended;
        let entry = &mut self.entries[index as usize];
        entry.older = newest;
        entry.newer = NONE;
        match self.entries.get_mut(newest as usize) {
            Some(newest) => newest.newer = index,
            None => self.header.oldest_ended = index,
        }
        self.header.newest_ended = index;
    }
}

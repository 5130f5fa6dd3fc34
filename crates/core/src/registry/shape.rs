//! How large a table a piece of memory holds.

use super::{Entry, Header, NONE, NameMark, Owner};

/// How many entries, buckets and owners a piece of memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Live streams at most.
    pub entries: usize,
    /// Hash chains.
    pub buckets: usize,
    /// Processes that can hold streams at the same time; old workers count until they are gone.
    pub owners: usize,
}

impl Shape {
    /// The largest table that fits in `bytes`, or `None` if not even one entry does.
    ///
    /// One process slot for every eight streams, between 16 and 1,024: a server that is reloaded
    /// under load keeps a generation of workers for each reload.
    pub fn within(bytes: usize) -> Option<Shape> {
        let per_entry = size_of::<Entry>() + size_of::<NameMark>() + size_of::<u32>();
        let guess = bytes.checked_sub(size_of::<Header>())? / per_entry;
        let owners = (guess / 8).clamp(16, 1024);
        let rest = bytes.checked_sub(size_of::<Header>() + owners * size_of::<Owner>())?;
        let entries = (rest / per_entry).min(NONE as usize - 1);
        (entries > 0).then_some(Shape { entries, buckets: entries, owners })
    }
}

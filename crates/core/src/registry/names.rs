//! Which names are live, for whoever must not hold up the others: it takes no lock.
//!
//! One word stands for each entry. It is an index over the entries like the others, changed with them
//! and rebuilt from them. Who looks without the lock sees a name that is live all the while; of one that
//! begins or ends meanwhile it may see either.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, fnv1a};

/// What stands for the name of an entry's live stream; 0 where there is none.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct NameMark(AtomicU64);

impl NameMark {
    pub(super) fn set(&self, entry: &Entry) {
        let mark = if entry.is_live() { mark(entry.username()) } else { 0 };
        self.0.store(mark, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Whether a stream of this name is live. Two names with the same 64-bit mark would be taken for each other.
pub fn is_live(marks: &[NameMark], username: &str) -> bool {
    let wanted = mark(username);
    marks.iter().any(|mark| mark.0.load(Ordering::Acquire) == wanted)
}

fn mark(username: &str) -> u64 {
    fnv1a(username.as_bytes()).max(1)
}

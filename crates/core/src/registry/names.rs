//! Which names are live, for whoever must not hold up the others: it takes no lock.
//!
//! One word stands for each entry. It is an index over the entries like the others, changed with them
//! and rebuilt from them. Who looks without the lock sees a name that is live all the while; of one that
//! begins or ends meanwhile it may see either.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::Entry;

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

/// Whether a stream of this name is live. Two names with the same 64-bit mark would be taken for each other,
/// and here somebody would gain: while such a name is live, nobody is told of the other's end. Many
/// applications have their users choose names, so the mark is of a kind that none can be found for.
pub fn is_live(marks: &[NameMark], username: &str) -> bool {
    let wanted = mark(username);
    marks.iter().any(|mark| mark.0.load(Ordering::Acquire) == wanted)
}

fn mark(username: &str) -> u64 {
    let digest = <[u8; 32]>::from(Sha256::digest(username.as_bytes()));
    let (words, _) = digest.as_chunks::<8>();
    u64::from_le_bytes(words[0]).max(1)
}

//! Which names are live, and whose end the database knows, for whoever must not hold up the others: it takes
//! no lock.
//!
//! One word stands for the name of each entry. It is an index over the entries like the others, changed with them
//! and rebuilt from them. Who looks without the lock sees a name that is live all the while; of one that
//! begins or ends meanwhile it may see either.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{Claim, Entry};

/// What is known of an entry without the lock.
#[derive(Debug, Default)]
#[repr(C)]
pub struct NameMark {
    /// Stands for the name of its live stream; 0 where there is none.
    name: AtomicU64,
    /// Of its streams, the serial number of the last one whose end the database knows.
    told: AtomicU64,
}

impl NameMark {
    pub(super) fn set(&self, entry: &Entry) {
        let mark = if entry.is_live() { mark(entry.username()) } else { 0 };
        self.name.store(mark, Ordering::Release);
    }

    /// Whether the database knows of the end of the claim with this serial number, or of a later one's.
    pub(super) fn is_told(&self, serial: u64) -> bool {
        self.told.load(Ordering::Acquire) >= serial
    }

    /// As for an entry that never had a stream.
    pub(super) fn clear(&self) {
        self.name.store(0, Ordering::Release);
        self.told.store(0, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn is_set(&self) -> bool {
        self.name.load(Ordering::Acquire) != 0
    }
}

/// Whether a stream of this name is live. Two names with the same 64-bit mark would be taken for each other,
/// and here somebody would gain: while such a name is live, nobody is told of the other's end. Many
/// applications have their users choose names, so the mark is of a kind that none can be found for.
pub fn is_live(marks: &[NameMark], username: &str) -> bool {
    let wanted = mark(username);
    marks.iter().any(|mark| mark.name.load(Ordering::Acquire) == wanted)
}

/// Notes that the database knows of the end of a claim's stream, or will never take it: nobody has to tell it
/// when the process that held the claim dies.
pub fn end_is_told(marks: &[NameMark], claim: Claim) {
    if let Some(mark) = marks.get(claim.index as usize) {
        mark.told.fetch_max(claim.serial, Ordering::AcqRel);
    }
}

/// Whether that was noted of a claim, or of one that had its entry later.
pub fn is_told(marks: &[NameMark], claim: Claim) -> bool {
    marks.get(claim.index as usize).is_some_and(|mark| mark.is_told(claim.serial))
}

fn mark(username: &str) -> u64 {
    let digest = <[u8; 32]>::from(Sha256::digest(username.as_bytes()));
    let (words, _) = digest.as_chunks::<8>();
    u64::from_le_bytes(words[0]).max(1)
}

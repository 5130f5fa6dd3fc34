//! Small files that many viewers ask for again and again, in memory for as long as they stay the file
//! that was read.

use std::rc::Rc;

/// How many files there can be. A path has one place, which it shares with others.
const SLOTS: usize = 256;

/// A point of time in the file system: seconds since 1970 (UTC), and nanoseconds.
pub type Timestamp = (i64, i64);

/// A date without anything below 10 ms is of a file system that does not keep more of it, in
/// nanoseconds: exFAT, or those that count in seconds.
const FINE: i64 = 10_000_000;

/// The longest time, in seconds, that all has the same date there: FAT counts in two. ext2, ext3, and ext4
/// with inodes of 128 bytes count in one.
const COARSE: i64 = 2;

/// What tells a file from what it was before, and from one that was put in its place (stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The file system.
    pub device: u64,
    /// Its number there. It comes again when a file was removed.
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
    /// When its contents were last changed.
    pub modified: Timestamp,
    /// When anything of it was: contents, name, owner, permissions.
    pub changed: Timestamp,
}

impl Version {
    /// Whether a change after `now`, by the clock of the file system, makes another version. One
    /// in the same tick of that clock may not, so that a file which was changed just now has to be
    /// looked at once more.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        is_over(self.changed, now) && is_over(self.modified, now)
    }
}

/// Whether a change after `now` has another date than this one.
fn is_over(date: Timestamp, now: Timestamp) -> bool {
    let (seconds, nanoseconds) = date;
    match nanoseconds % FINE {
        0 => seconds + COARSE <= now.0,
        _ => date < now,
    }
}

/// The files.
#[derive(Debug, Default)]
pub struct Cache {
    slots: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    path: Vec<u8>,
    version: Version,
    bytes: Rc<Vec<u8>>,
}

impl Cache {
    /// No file. Takes no memory until there is one.
    pub const fn new() -> Cache {
        Cache { slots: Vec::new() }
    }

    /// The contents of the file at `path`, if they are known of this version.
    pub fn get(&self, path: &[u8], version: &Version) -> Option<Rc<Vec<u8>>> {
        let entry = self.slots.get(slot(path))?.as_ref()?;
        (entry.path == path && entry.version == *version).then(|| Rc::clone(&entry.bytes))
    }

    /// Keeps the contents of a file: instead of its former version, or of another file's. Where there is
    /// no memory for that, it is not kept.
    pub fn put(&mut self, path: &[u8], version: Version, bytes: Rc<Vec<u8>>) {
        let mut name = Vec::new();
        if self.slots.try_reserve_exact(SLOTS - self.slots.len()).is_err()
            || name.try_reserve_exact(path.len()).is_err()
        {
            return;
        }
        self.slots.resize_with(SLOTS, || None);
        name.extend_from_slice(path);
        self.slots[slot(path)] = Some(Entry { path: name, version, bytes });
    }
}

/// FNV-1a, eight bytes at a time. Only streams that are live have files here, so nobody gains by
/// colliding.
fn slot(path: &[u8]) -> usize {
    let (words, rest) = path.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash = words.iter().chain([&last]).fold(0xcbf2_9ce4_8422_2325, |hash: u64, &word| {
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    });
    (hash % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(inode: u64, changed: i64) -> Version {
        let time = (1_700_000_000, changed);
        Version { device: 1, inode, len: 3, modified: time, changed: time }
    }

    fn contents(text: &str) -> Rc<Vec<u8>> {
        Rc::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_file_is_known_while_it_is_what_was_read() {
        let mut cache = Cache::new();
        assert_eq!(cache.get(b"/hls/a.m3u8", &version(1, 1)), None);
        cache.put(b"/hls/a.m3u8", version(1, 1), contents("one"));
        assert_eq!(cache.get(b"/hls/a.m3u8", &version(1, 1)), Some(contents("one")));
        assert_eq!(cache.get(b"/hls/b.m3u8", &version(1, 1)), None);
        let known = version(1, 1);
        for other in [
            Version { device: 2, ..known },
            Version { inode: 2, ..known },
            Version { len: 4, ..known },
            Version { modified: (1_700_000_000, 2), ..known },
            Version { changed: (1_700_000_001, 1), ..known },
        ] {
            assert_eq!(cache.get(b"/hls/a.m3u8", &other), None, "{other:?}");
        }
        cache.put(b"/hls/a.m3u8", version(2, 2), contents("two"));
        assert_eq!(cache.get(b"/hls/a.m3u8", &version(1, 1)), None);
        assert_eq!(cache.get(b"/hls/a.m3u8", &version(2, 2)), Some(contents("two")));
    }

    #[test]
    fn a_file_of_this_very_moment_may_change_unseen() {
        assert!(!version(1, 5).is_settled((1_700_000_000, 5)));
        assert!(!version(1, 5).is_settled((1_699_999_999, 9)), "by a clock that was set back");
        assert!(version(1, 5).is_settled((1_700_000_000, 6)));
        let replaced = Version { modified: (1, 0), ..version(1, 5) };
        assert!(!replaced.is_settled((1_700_000_000, 5)), "an old file under a new name");
        assert!(replaced.is_settled((1_700_000_000, 6)));
    }

    #[test]
    fn where_dates_are_coarse_a_moment_is_seconds() {
        for rest in [0, 10_000_000, 990_000_000] {
            let time = (1_700_000_000, rest);
            let version = Version { modified: time, changed: time, ..version(1, 1) };
            assert!(!version.is_settled((1_700_000_001, 999_999_999)), "{rest}");
            assert!(version.is_settled((1_700_000_002, 0)), "{rest}");
        }
    }

    #[test]
    fn names_that_differ_little_have_places_of_their_own() {
        let mut taken = [false; SLOTS];
        for name in 0..SLOTS {
            taken[slot(format!("/var/lib/stagedoor/hls/user{name}/index.m3u8").as_bytes())] = true;
        }
        // at random it were 1 - 1/e of them
        assert!(taken.iter().filter(|&&is_taken| is_taken).count() > SLOTS / 2);
    }

    proptest! {
        #[test]
        fn what_comes_back_is_the_last_that_was_put(
            steps in prop::collection::vec(("[ab]{1,9}", 0_u64..3, any::<bool>()), 0..200),
        ) {
            let mut cache = Cache::new();
            let mut last = std::collections::HashMap::new();
            for (path, inode, is_put) in steps {
                let path = path.into_bytes();
                if is_put {
                    let bytes = contents(&format!("{path:?} {inode}"));
                    cache.put(&path, version(inode, 1), Rc::clone(&bytes));
                    last.insert(path, (inode, bytes));
                } else if let Some(bytes) = cache.get(&path, &version(inode, 1)) {
                    prop_assert_eq!(last.get(&path), Some(&(inode, bytes)));
                }
            }
        }
    }
}

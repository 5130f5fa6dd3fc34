//! Telling whether the database file is still the one that is open.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::StoreError;

/// Which file stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

/// A file and its state. SQLite trusts its page cache as long as the log says nothing new, so it
/// does not see a file that was overwritten in place or made unreadable; the change time shows
/// both, and checkpoints too, which are rare enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: FileId,
    access: Access,
    size: u64,
    changed: (i64, i64),
}

/// Whose a file is, and what others may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let file = fs::metadata(path).map_err(|error| StoreError::from_io(path, &error))?;
        if !file.is_file() {
            return Err(StoreError::NotAFile { path: path.to_owned() });
        }
        Ok(Self {
            id: FileId::of(&file),
            access: Access { mode: file.mode(), uid: file.uid(), gid: file.gid() },
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// Whether both are of the same file, which nobody has been given or denied meanwhile.
    pub(super) fn has_same_access(&self, other: Stamp) -> bool {
        (self.id, self.access) == (other.id, other.access)
    }

    /// When the file, its permissions or its name last changed.
    pub(super) fn changed_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::new(seconds.try_into().unwrap_or(0), nanoseconds as u32);
        UNIX_EPOCH + since
    }
}

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { dev: file.dev(), ino: file.ino() }
    }

    /// As `/proc/locks` names it, with the two parts of the device number as in makedev(3).
    pub(super) fn in_proc_locks(self) -> String {
        let Self { dev, ino } = self;
        let major = ((dev >> 8) & 0xfff) | ((dev >> 32) & !0xfff);
        let minor = (dev & 0xff) | ((dev >> 12) & !0xff);
        format!("{major:02x}:{minor:02x}:{ino}")
    }
}

/// The write-ahead log of the database, or its index: beside the file itself, where the path is a
/// symbolic link to it.
pub(super) fn side_file(path: &Path, suffix: &str) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The side files that stand beside a database.
#[derive(Clone, Debug)]
pub(super) struct SideFiles {
    /// Where the database itself is.
    database: PathBuf,
    ids: [Option<FileId>; 2],
}

const SIDE_FILES: [&str; 2] = ["-wal", "-shm"];

const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

impl SideFiles {
    pub(super) fn of(path: &Path) -> Self {
        let database = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let ids = Self::ids(&database);
        Self { database, ids }
    }

    fn ids(path: &Path) -> [Option<FileId>; 2] {
        let id = |suffix| fs::metadata(side_file(path, suffix)).ok().map(|file| FileId::of(&file));
        SIDE_FILES.map(id)
    }

    /// Removes those that still stand under their name, after their database, `former`, went away
    /// from beneath them.
    ///
    /// The caller holds the former database open, so that none of the inodes can be another file's
    /// by now.
    pub(super) fn remove(&self, former: FileId) -> Result<(), StoreError> {
        let path = &self.database;
        if fs::metadata(path).is_ok_and(|file| FileId::of(&file) == former) {
            return Ok(()); // a symbolic link to it was turned, and itself is where it was
        }
        let then_and_now = self.ids.into_iter().zip(Self::ids(path));
        for (suffix, (then, now)) in SIDE_FILES.into_iter().zip(then_and_now) {
            if then.is_none() || then != now {
                continue;
            }
            let file = side_file(path, suffix);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let reason = error.to_string();
                    return Err(StoreError::StaleLog { path: path.to_owned(), file, reason });
                }
                _ => (), // removed, by us or by another worker
            }
        }
        Ok(())
    }
}

/// Whether a log with anything in it stands beside the database.
pub(super) fn has_log(path: &Path) -> bool {
    log_age(path).is_some()
}

/// Whether a rollback journal stands beside the database that is not at its end: of a transaction
/// that runs, or of one that a crash cut off and that the next user undoes. At its end a journal is
/// removed, emptied or its header overwritten (<https://www.sqlite.org/fileformat.html>, section 3).
pub(super) fn has_open_journal(path: &Path) -> bool {
    let mut magic = [0; JOURNAL_MAGIC.len()];
    let journal = File::open(side_file(path, "-journal"));
    journal.and_then(|mut journal| journal.read_exact(&mut magic)).is_ok() && magic == JOURNAL_MAGIC
}

/// How long ago a log with anything in it was last written.
pub(super) fn log_age(path: &Path) -> Option<Duration> {
    let log = fs::metadata(side_file(path, "-wal")).ok().filter(|log| log.len() > 0)?;
    Some(log.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default())
}

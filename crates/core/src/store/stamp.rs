//! Telling whether the database file is still the one that is open.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let file = fs::metadata(path).map_err(|error| StoreError::from_io(path, &error))?;
        if !file.is_file() {
            return Err(StoreError::NotAFile { path: path.to_owned() });
        }
        Ok(Self {
            id: FileId::of(&file),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl FileId {
    fn of(file: &Metadata) -> Self {
        Self { dev: file.dev(), ino: file.ino() }
    }
}

/// The write-ahead log of the database, or its index.
pub(super) fn side_file(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The side files that stand beside a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideFiles([Option<FileId>; 2]);

const SIDE_FILES: [&str; 2] = ["-wal", "-shm"];

impl SideFiles {
    pub(super) fn of(path: &Path) -> Self {
        let id = |suffix| fs::metadata(side_file(path, suffix)).ok().map(|file| FileId::of(&file));
        Self(SIDE_FILES.map(id))
    }

    /// Removes those that still stand under their name, after their database went away from beneath
    /// them.
    ///
    /// The caller holds the former database open, so that none of the inodes can be another file's
    /// by now.
    pub(super) fn remove(self, path: &Path) -> Result<(), StoreError> {
        let now = Self::of(path);
        for (suffix, (then, now)) in SIDE_FILES.into_iter().zip(self.0.into_iter().zip(now.0)) {
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
    fs::metadata(side_file(path, "-wal")).is_ok_and(|file| file.len() > 0)
}

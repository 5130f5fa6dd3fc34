//! The database file itself, before SQLite sees it.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use super::AdminError;
use crate::store::stamp::side_file;

const ROOT: u32 = 0;
const GROUP_WRITE: u32 = 0o020;

/// Creates an empty file unless there is one, and says whether it did.
pub(super) fn create(path: &Path) -> Result<bool, AdminError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(AdminError::NoDirectory(directory.to_owned()));
    }
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        file => file.map(drop),
    };
    file.and_then(|()| hand_over(path, directory)).and_then(|()| remove_logs(path)).map_err(
        |error| AdminError::NotCreated { path: path.to_owned(), reason: error.to_string() },
    )?;
    Ok(true)
}

/// Undoes [`create`] after a failure, as far as it can be undone.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Gives what root made to whom the directory belongs; a directory that its group may write makes a
/// database that the group may write. SQLite gives the side files the mode of the database, and,
/// for root, its owner.
fn hand_over(path: &Path, directory: &Path) -> io::Result<()> {
    let (file, directory) = (fs::metadata(path)?, fs::metadata(directory)?);
    if file.uid() == ROOT && (file.uid(), file.gid()) != (directory.uid(), directory.gid()) {
        chown(path, Some(directory.uid()), Some(directory.gid()))?;
    }
    if directory.mode() & GROUP_WRITE != 0 {
        fs::set_permissions(path, Permissions::from_mode(file.mode() | GROUP_WRITE))?;
    }
    Ok(())
}

/// A log beside a database that has just come into being is that of a former one, and would be read
/// into it.
fn remove_logs(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(side_file(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    Ok(())
}

//! A worker's connection: open as long as the file under its name stays the same one.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;
use super::schema;
use super::stamp::{SideFiles, Stamp, has_log};

/// The database of a worker, open or not.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    open: Option<Opened>,
    /// Counts the connections that were opened.
    connection: u64,
}

/// Which state of the database a connection sees. Another one means that somebody else has written
/// to it, or that it is another database; what this process writes makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    connection: u64,
    data_version: i64,
}

#[derive(Debug)]
struct Opened {
    db: Connection,
    stamp: Stamp,
    side_files: SideFiles,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Read and written, or only read if the file says so.
    Shared,
    /// A WAL database needs its index even to be read. Where this user can make none and there is
    /// no log to read, the file alone is the database as long as its stamp stays.
    Immutable,
}

impl Database {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, connection: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The connection to the file that stands under the path now, with the schema this Stagedoor
    /// knows.
    ///
    /// Each statement on it, and its opening, waits for a lock so long at most. When the file is
    /// gone the connection stays, unused: the file may come back, and while it is open its inode
    /// and those of its side files cannot become another file's.
    pub(super) fn ready(&mut self, wait: Duration) -> Result<&mut Connection, StoreError> {
        let stamp = Stamp::of(&self.path)?;
        if let Some(former) = self.open.as_ref().filter(|open| open.stamp.id != stamp.id) {
            former.leave(&self.path)?;
        }
        // The former connection is closed before another one opens the same file.
        drop(self.open.take_if(|open| !open.is_current(&self.path, stamp)));
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                self.connection += 1;
                Opened::at(&self.path, stamp, wait)?
            }
        };
        let busy = open.db.busy_timeout(wait);
        busy.map_err(|error| StoreError::from_sqlite(&self.path, &error))?;
        Ok(&mut self.open.insert(open).db)
    }

    /// The state that [`Database::ready`]'s connection sees, without a look at any row.
    pub(super) fn version(&mut self, wait: Duration) -> Result<Version, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<i64> {
            db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
        };
        let data_version = read(self.ready(wait)?);
        let data_version =
            data_version.map_err(|error| StoreError::from_sqlite(&self.path, &error))?;
        Ok(Version { connection: self.connection, data_version })
    }

    /// Gives up the connection, after an error that may lie in it.
    pub(super) fn close(&mut self) {
        self.open = None;
    }
}

impl Opened {
    fn at(path: &Path, stamp: Stamp, wait: Duration) -> Result<Self, StoreError> {
        let (db, mode) = match open_shared(path, wait) {
            Ok(db) => (db, Mode::Shared),
            Err(StoreError::Unreadable { .. } | StoreError::ReadOnly { .. }) if !has_log(path) => {
                (open_immutable(path)?, Mode::Immutable)
            }
            Err(StoreError::Unreadable { path, .. }) => {
                let reason =
                    "its -wal or -shm file, or their directory, is closed to it".to_owned();
                return Err(StoreError::Unreadable { path, reason });
            }
            Err(error) => return Err(error),
        };
        Ok(Self { db, stamp, side_files: SideFiles::of(path), mode })
    }

    /// Takes leave of a database that another one has replaced: what its log holds goes into its
    /// file, wherever that is by now, and the log out of its successor's way.
    fn leave(&self, path: &Path) -> Result<(), StoreError> {
        if self.mode == Mode::Immutable {
            return Ok(()); // it has no log, and can remove none
        }
        // Best effort: where nothing can be written, nothing was.
        let _ = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        self.side_files.remove(path)
    }

    fn is_current(&self, path: &Path, stamp: Stamp) -> bool {
        self.stamp == stamp && (self.mode == Mode::Shared || !has_log(path))
    }
}

/// Opens for reading and writing, never creating. SQLite itself falls back to reading where the
/// file's permissions allow no more.
fn open_shared(path: &Path, wait: Duration) -> Result<Connection, StoreError> {
    let fault = |error| StoreError::from_sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fault)?;
    db.busy_timeout(wait).map_err(fault)?;
    configure(&db).map_err(fault)?;
    schema::expect_version(&db, path)?;
    schema::expect_tables(&db, path)?;
    Ok(db)
}

/// Opens the file alone: takes no lock, reads no log, creates nothing.
pub(super) fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(immutable_uri(path), flags).map_err(|error| {
        // SQLite says that it cannot open a URI; the system says why.
        match File::open(path) {
            Err(reason) => StoreError::from_io(path, &reason),
            Ok(_) => StoreError::from_sqlite(path, &error),
        }
    })?;
    schema::expect_version(&db, path)?;
    schema::expect_tables(&db, path)?;
    Ok(db)
}

/// What every connection that may write has in common.
pub(super) fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "trusted_schema", false)
}

/// The path as a URI (<https://www.sqlite.org/uri.html>): all bytes but the plainest are escaped.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

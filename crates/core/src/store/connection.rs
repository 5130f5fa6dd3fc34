//! A worker's connection: open as long as the file under its name stays the same one.

mod seen;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::seen::{Look, Seen, data_version};
use super::error::StoreError;
use super::layout::Layout;
use super::patience;
use super::schema;
use super::stamp::{FileId, SideFiles, Stamp, has_log, log_age};
use super::succession::Heir;

/// How long nothing is added to a log before it is emptied. A busy log is left to SQLite, because
/// each time it is put into the database every other worker opens that anew, see [`Stamp`].
const REST: Duration = Duration::from_secs(1);

/// How old what is known of the schema's version may be: another process may migrate the database under
/// an open connection. The statement that asks takes half as long as a lookup.
pub(super) const VERSION_AGE: Duration = Duration::from_millis(50);

/// The database of a worker, open or not.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    layout: Layout,
    open: Option<Opened>,
    /// The last connection that was in order, while there is none: it answers nothing, but knows
    /// whose the side files are, see [`Opened::leave`].
    former: Option<Opened>,
    heir: Heir,
    /// Counts the connections that were opened, and the changes that SQLite's own count does not tell
    /// of: the content of the file is another one.
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
    seen: Seen,
    side_files: SideFiles,
    mode: Mode,
    /// When its schema had the version that is expected.
    expected_at: Instant,
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
    pub(super) fn new(path: PathBuf, layout: Layout) -> Self {
        Self { path, layout, open: None, former: None, heir: Heir::default(), connection: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The connection to the file that stands under the path now, with the layout that is expected.
    ///
    /// Each statement on it, and its opening, waits for a lock so long at most. When the file is
    /// gone the connection stays, unused: the file may come back, and while it is open its inode
    /// and those of its side files cannot become another file's.
    pub(super) fn ready(&mut self, wait: Duration) -> Result<&mut Connection, StoreError> {
        patience::set(wait);
        let stamp = Stamp::of(&self.path).map_err(|error| self.layout.explain(error))?;
        self.leave_if_replaced(stamp)?;
        if let Some(open) = &mut self.open
            && !open.is_current(&self.path, stamp)
        {
            match open.looks_again(&self.path, stamp)? {
                Look::Counted => {}
                Look::Uncounted => self.connection += 1,
                Look::Useless => self.close(),
            }
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                if self.former.is_none() {
                    self.heir.settle(&self.path, wait)?;
                }
                self.connection += 1;
                Opened::at(&self.path, &self.layout, stamp)?
            }
        };
        let open = self.open.insert(open);
        self.former = None;
        if open.expected_at.elapsed() >= VERSION_AGE {
            open.expect_version(&self.path, &self.layout)?;
        }
        Ok(&mut open.db)
    }

    /// Leaves a database that another one has replaced, and says whether it did. One `stat`.
    pub(super) fn look(&mut self) -> Result<bool, StoreError> {
        if self.open.is_none() && self.former.is_none() {
            return Ok(false);
        }
        match Stamp::of(&self.path) {
            Ok(stamp) => self.leave_if_replaced(stamp),
            Err(_) => Ok(false), // it may come back, see `Database::ready`
        }
    }

    fn leave_if_replaced(&mut self, stamp: Stamp) -> Result<bool, StoreError> {
        match self.open.as_ref().or(self.former.as_ref()) {
            Some(former) if former.seen.stamp.id != stamp.id => former.leave()?,
            _ => return Ok(false),
        }
        (self.open, self.former) = (None, None);
        Ok(true)
    }

    /// Puts a log to which nothing was added for a while into the database. Never waits; what
    /// cannot be done now is done later, or by somebody else.
    pub(super) fn empty_log(&mut self) {
        let is_due = self.layout.owns_log() && log_age(&self.path).is_some_and(|age| age >= REST);
        if !is_due || self.ready(Duration::ZERO).is_err() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let emptied = open.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let (Ok(()), Ok(stamp)) = (emptied, Stamp::of(&self.path))
            && stamp.id == open.seen.stamp.id
        {
            open.seen.stamp = stamp; // this change is our own
        }
    }

    /// The state that [`Database::ready`]'s connection sees, without a look at any row.
    pub(super) fn version(&mut self, wait: Duration) -> Result<Version, StoreError> {
        let data_version = data_version(self.ready(wait)?);
        let data_version =
            data_version.map_err(|error| StoreError::from_sqlite(&self.path, &error))?;
        Ok(Version { connection: self.connection, data_version })
    }

    /// [`Database::ready`]'s connection has written. Without a log that changes the file, which is not
    /// somebody else's doing; with one, the next transaction puts its mark in the log's index, and better
    /// now than while a key waits.
    pub(super) fn has_written(&mut self) {
        let Some(open) = &mut self.open else { return };
        if has_log(&self.path) {
            let _ = open.expect_version(&self.path, &self.layout); // or the next key meets it
        } else if let Ok(stamp) = Stamp::of(&self.path) {
            open.seen.has_written(&open.db, stamp);
        }
    }

    /// Gives up the connection, after an error that may lie in it.
    pub(super) fn close(&mut self) {
        if let Some(open) = self.open.take().filter(|open| open.mode == Mode::Shared) {
            self.former = Some(open);
        }
    }
}

impl Drop for Database {
    /// A worker that ends just after the database was replaced may be the last that can clear up.
    fn drop(&mut self) {
        let _ = self.look();
    }
}

impl Opened {
    fn at(path: &Path, layout: &Layout, stamp: Stamp) -> Result<Self, StoreError> {
        let (db, mode) = match open_shared(path, layout, stamp.id) {
            Ok(db) => {
                if matches!(layout, Layout::Native) {
                    write_behind(&db).map_err(|error| StoreError::from_sqlite(path, &error))?;
                }
                (db, Mode::Shared)
            }
            Err(StoreError::Unreadable { .. } | StoreError::ReadOnly { .. }) if !has_log(path) => {
                (open_immutable(path, layout)?, Mode::Immutable)
            }
            Err(StoreError::Unreadable { path: at, .. }) => {
                if let Err(error @ StoreError::Unreadable { .. }) = open_immutable(path, layout) {
                    return Err(error); // the file itself
                }
                let reason =
                    "its -wal or -shm file, or their directory, is closed to it".to_owned();
                return Err(StoreError::Unreadable { path: at, reason });
            }
            Err(error) => return Err(error),
        };
        let expected_at = Instant::now();
        let seen = Seen::of(&db, stamp);
        let seen = seen.map_err(|error| StoreError::from_sqlite(path, &error))?;
        let side_files = SideFiles::of(path);
        Ok(Self { db, seen, side_files, mode, expected_at })
    }

    fn expect_version(&mut self, path: &Path, layout: &Layout) -> Result<(), StoreError> {
        layout.expect_version(&self.db, path)?;
        self.expected_at = Instant::now();
        Ok(())
    }

    /// Takes leave of a database that another one has replaced: what its log holds goes into its
    /// file, wherever that is by now, and the log out of its successor's way.
    fn leave(&self) -> Result<(), StoreError> {
        if self.mode == Mode::Immutable {
            return Ok(()); // it has no log, and can remove none
        }
        // Best effort: where nothing can be written, nothing was.
        let _ = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        self.side_files.remove(self.seen.stamp.id)
    }

    fn is_current(&self, path: &Path, stamp: Stamp) -> bool {
        self.seen.stamp == stamp && (self.mode == Mode::Shared || !has_log(path))
    }

    /// Whether the connection is good for what the file holds now, and if so, has it see that.
    fn looks_again(&mut self, path: &Path, stamp: Stamp) -> Result<Look, StoreError> {
        if self.mode == Mode::Immutable {
            return Ok(Look::Useless);
        }
        let look = self.seen.looks_again(&self.db, stamp);
        look.map_err(|error| StoreError::from_sqlite(path, &error))
    }
}

/// What a database holds at one moment: as long as this lives, its connection sees nothing else.
pub(super) struct Snapshot<'db>(&'db Connection);

impl<'db> Snapshot<'db> {
    /// The moment is that of the first look.
    pub(super) fn of(db: &'db Connection) -> rusqlite::Result<Self> {
        db.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(db))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written. An error that is worth one shows with the next transaction.
        let _ = self.0.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

/// Opens for reading and writing, never creating. SQLite itself falls back to reading where the
/// file's permissions allow no more.
fn open_shared(path: &Path, layout: &Layout, id: FileId) -> Result<Connection, StoreError> {
    let mut db = connect(path, id, OpenFlags::empty(), patience::install)?;
    layout.prepare(&mut db).map_err(|error| StoreError::from_sqlite(path, &error))?;
    layout.expect(&db, path)?;
    Ok(db)
}

/// A connection to this file, which stands under the path; the caller knows that the side files
/// there are its own. `patient` tells it how to wait for locks.
pub(super) fn connect(
    path: &Path,
    id: FileId,
    flags: OpenFlags,
    patient: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StoreError> {
    let fault = |error| StoreError::from_sqlite(path, &error);
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(fault)?;
    // Should another file have taken its place, this connection never wrote anything anywhere.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    db.set_db_config(keep_log, true).map_err(fault)?;
    let read = patient(&mut db).and_then(|()| configure(&db)).and_then(|()| schema::version(&db)); // opens the log
    if Stamp::of(path)?.id != id {
        return Err(StoreError::Unsettled { path: path.to_owned() });
    }
    db.set_db_config(keep_log, false).map_err(fault)?;
    read.map_err(fault)?;
    Ok(db)
}

/// Opens the file alone: takes no lock, reads no log, creates nothing.
fn open_immutable(path: &Path, layout: &Layout) -> Result<Connection, StoreError> {
    let mut db = connect_immutable(path)?;
    layout.prepare(&mut db).map_err(|error| StoreError::from_sqlite(path, &error))?;
    layout.expect(&db, path)?;
    Ok(db)
}

/// The file alone, whatever it holds.
pub(super) fn connect_immutable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri(path, "immutable=1"), flags).map_err(|error| {
        // SQLite says that it cannot open a URI; the system says why.
        match File::open(path) {
            Err(reason) => StoreError::from_io(path, &reason),
            Ok(_) => StoreError::from_sqlite(path, &error),
        }
    })?;
    let distrusted = distrust_schema(&db);
    distrusted.map_err(|error| StoreError::from_sqlite(path, &error))?;
    Ok(db)
}

/// What every connection that may write has in common.
fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // One plan for all values: SQLite plans again, which takes longer than a lookup, where it thinks
    // that a number might be small.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    distrust_schema(db)
}

/// What stands in the schema may not do more than what a statement of ours may.
fn distrust_schema(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "trusted_schema", false)
}

/// In a database with a log, a commit of a worker's does not wait for the disk: see "Durability" in
/// [`crate::store`].
fn write_behind(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "NORMAL")
}

/// The path as a URI (<https://www.sqlite.org/uri.html>) with a query, such as `immutable=1`: all
/// bytes of the path but the plainest are escaped.
pub(super) fn uri(path: &Path, query: &str) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?" + query
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::fixture::Fixture;

    #[test]
    fn a_statement_is_planned_once_whatever_it_is_asked() {
        let fixture = Fixture::new();
        let mut database = Database::new(fixture.path().to_owned(), Layout::Native);
        let db = database.ready(Duration::from_millis(100)).unwrap();
        let query = "SELECT 1 FROM sessions s JOIN streamers u ON u.id = s.streamer_id
                     WHERE s.app = :key";
        for key in ["0", "1", "text"] {
            assert!(!db.prepare_cached(query).unwrap().exists([key]).unwrap());
        }
        let plans = db.prepare_cached(query).unwrap().get_status(StatementStatus::RePrepare);
        assert_eq!(plans, 0);
    }
}

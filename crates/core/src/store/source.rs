//! The database of another program, read without a trace.
//!
//! Nothing in it is changed, and no file comes into being beside it: not even the index of a log
//! (`-shm`), which SQLite makes for whoever reads a WAL database, and which, left there by root,
//! would lock its own program out. A program that uses the database meanwhile goes on as ever.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::connection::uri;
use super::error::StoreError;
use super::stamp::{Stamp, side_file};

/// How often is looked again while somebody else writes. More often than SQLite itself does, so that
/// a gap between two transactions is met even where they follow close on one another.
const PAUSE: Duration = Duration::from_millis(1);

/// Where a database's header says how it is written, and what stands there in WAL mode
/// (<https://www.sqlite.org/fileformat.html>, section 1.3.3).
const WRITE_VERSION: usize = 18;
const WAL: u8 = 2;

/// How the database can be read as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// SQLite's lock keeps writers from the file for as long as it is read.
    Locked,
    /// There is a log with an index, which is SQLite's to judge: whoever writes goes on in the log.
    Logged,
    /// Nobody has a log open: file and log are the database for as long as neither changes.
    Resting { file: Stamp, log: Option<(u64, SystemTime)> },
}

impl Way {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let file = Stamp::of(path)?;
        let log = fs::metadata(side_file(path, "-wal")).ok();
        Ok(match log {
            Some(_) if side_file(path, "-shm").exists() => Self::Logged,
            None if !is_in_wal_mode(path)? => Self::Locked,
            // Without the time of the last change, which SQLite sets when root opens a log.
            log => Self::Resting {
                file,
                log: log
                    .filter(|log| log.len() > 0)
                    .and_then(|log| Some((log.len(), log.modified().ok()?))),
            },
        })
    }

    /// A connection in a transaction that has begun to read.
    fn open(self, path: &Path) -> rusqlite::Result<Connection> {
        match self {
            Self::Locked => connect(path, ""),
            // An index that is only read: SQLite makes its own in memory where nobody else uses it.
            // Where somebody does, it may find no mark in it for a reader, and has to set one.
            Self::Logged => match connect(path, "readonly_shm=1") {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
                    connect(path, "")
                }
                opened => opened,
            },
            Self::Resting { log: None, .. } => connect(path, "immutable=1"),
            // No locks, because there is no index to hold them.
            Self::Resting { log: Some(_), .. } => connect(path, "vfs=unix-none"),
        }
    }
}

fn connect(path: &Path, query: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(uri(path, query), flags)?;
    db.busy_timeout(Duration::ZERO)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    if query == "vfs=unix-none" {
        // Who has a log alone has its index in memory.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    db.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema")?;
    Ok(db)
}

fn is_in_wal_mode(path: &Path) -> Result<bool, StoreError> {
    let mut header = Vec::with_capacity(WRITE_VERSION + 1);
    File::open(path)
        .and_then(|file| file.take(WRITE_VERSION as u64 + 1).read_to_end(&mut header))
        .map_err(|error| StoreError::from_io(path, &error))?;
    Ok(header.get(WRITE_VERSION) == Some(&WAL))
}

/// What `body` reads from the database under `path`, all of it at one moment.
///
/// `body` runs again when what it read may have changed meanwhile. Waits so long at most for those
/// who write; the error is then [`StoreError::Locked`].
pub(super) fn read<T, E: From<StoreError>>(
    path: &Path,
    wait: Duration,
    mut body: impl FnMut(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    // SQLite's side files are beside the file itself.
    let path = &fs::canonicalize(path).map_err(|error| StoreError::from_io(path, &error))?;
    let until = Instant::now() + wait;
    loop {
        let way = Way::of(path)?;
        let error = match way.open(path) {
            Ok(db) => {
                let read = body(&db);
                if matches!(way, Way::Locked | Way::Logged) || Way::of(path)? == way {
                    return read;
                }
                StoreError::Locked { path: path.to_owned() }
            }
            Err(error) if is_passing(&error) || Way::of(path)? != way => fault(path, &error),
            Err(error) => return Err(fault(path, &error).into()),
        };
        if Instant::now() >= until {
            return Err(error.into());
        }
        thread::sleep(PAUSE);
    }
}

/// Whether it may be better in a moment: while somebody writes, or when the log was removed, or a
/// journal that its writer was about to remove was taken for that of a crash.
fn is_passing(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, ReadOnly};
    let passing = [DatabaseBusy, DatabaseLocked, CannotOpen, ReadOnly];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}

/// Why the database cannot be read. Of what is only read, the one thing that has to be written is
/// the end of a transaction that its program did not finish.
fn fault(path: &Path, error: &rusqlite::Error) -> StoreError {
    match StoreError::from_sqlite(path, error) {
        StoreError::ReadOnly { path, .. } => {
            let reason = "its program left a transaction unfinished, and has to open it first";
            StoreError::Sqlite { path, reason: reason.to_owned() }
        }
        fault => fault,
    }
}

/// Whether the database under `path` is that of another program, as far as can be seen: it holds
/// tables, and they are not those of Stagedoor.
pub(super) fn is_foreign(path: &Path) -> bool {
    let look = |db: &Connection| db.query_row(IS_FOREIGN, [], |row| row.get(0));
    // The log beside it may be that of another database. It matters only where there is no more.
    match connect(path, "immutable=1").and_then(|db| look(&db)) {
        Ok(Some(is_foreign)) => is_foreign,
        _ => read(path, Duration::ZERO, |db| look(db).map_err(|error| fault(path, &error)))
            .ok()
            .flatten()
            .unwrap_or(false),
    }
}

/// NULL for a database without tables. What Stagedoor made has a version, and had this table in
/// every one.
const IS_FOREIGN: &str = "
    SELECT CASE WHEN EXISTS (SELECT 1 FROM sqlite_schema) THEN
        (SELECT user_version FROM pragma_user_version) <= 0
        OR NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'streamers')
    END";

#[cfg(test)]
mod tests;

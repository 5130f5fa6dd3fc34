//! The store as the `stagedoor` command uses it: it creates, migrates and changes, and waits for
//! locks.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};
use thiserror::Error;

use super::connection::connect;
use super::error::StoreError;
use super::schema;
use super::source;
use super::succession::Heir;
use crate::key::KeyError;
use crate::timestamp;
use crate::username::Username;

mod file;
mod import;
mod keys;

pub use import::{BadRow, Change, ImportError, Imported, QueryFault, RowFault};
pub use keys::Rotated;

/// How long a command waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command was refused.
#[derive(Debug, Error)]
pub enum AdminError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the username \"{0}\" is taken")]
    UsernameTaken(Username),
    #[error("there is no streamer \"{0}\"")]
    UnknownStreamer(String),
    #[error("the streamer \"{0}\" is not live")]
    NotLive(String),
    #[error("directory \"{0}\" does not exist")]
    NoDirectory(PathBuf),
    #[error("database \"{path}\" cannot be created: {reason}")]
    NotCreated { path: PathBuf, reason: String },
    #[error("database \"{0}\" is that of another program")]
    Foreign(PathBuf),
}

/// What [`Store::create`] found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    Created,
    Updated { from: i64, to: i64 },
    UpToDate,
}

/// A streamer as operators see them. Times are UTC text, see [`timestamp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamer {
    pub id: i64,
    /// As it stands in the database: another program may have written what is no [`Username`].
    pub username: String,
    pub is_active: bool,
    pub created_at: String,
    pub key_changed_at: String,
    /// Whether a session is open.
    pub is_live: bool,
    /// The start of the last session.
    pub last_started_at: Option<String>,
}

/// One stream from start to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub username: String,
    pub app: String,
    pub client_addr: String,
    pub started_at: String,
    pub stopped_at: Option<String>,
    pub end_reason: Option<String>,
    /// In whole seconds, up to now while the stream is live.
    pub duration: i64,
}

/// The administrator's side of the database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// Creates the database, or brings it up to date.
    ///
    /// A file made by root in somebody else's directory is given to the directory's owner and
    /// group, and SQLite makes its side files likewise, so that nginx's workers can use them.
    pub fn create(path: &Path) -> Result<(Self, Init), AdminError> {
        let created = file::create(path)?;
        let store = Self::connect(path).and_then(|store| store.initialise());
        if created && store.is_err() {
            file::remove(path);
        }
        store
    }

    /// Opens a database that is there and up to date.
    pub fn open(path: &Path) -> Result<Self, AdminError> {
        let store = Self::connect(path)?;
        schema::expect_version(&store.db, path)?;
        schema::expect_tables(&store.db, path)?;
        Ok(store)
    }

    fn connect(path: &Path) -> Result<Self, AdminError> {
        let advise = |error| AdminError::from(file::advise(path, error));
        let real = file::resolve(path).map_err(advise)?;
        // Before it is opened for writing, which would put its log into it, or undo a transaction.
        if source::is_foreign(&real) {
            return Err(AdminError::Foreign(path.to_owned()));
        }
        Self::connect_to(path, &real).map_err(advise)
    }

    fn connect_to(path: &Path, real: &Path) -> Result<Self, StoreError> {
        let fault = |error| StoreError::from_sqlite(path, &error);
        let id = Heir::settle_patiently(real)?;
        let db =
            connect(real, id, OpenFlags::SQLITE_OPEN_NOFOLLOW, |db| db.busy_timeout(BUSY_TIMEOUT))?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(fault)?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn initialise(mut self) -> Result<(Self, Init), AdminError> {
        let from = schema::migrate(&mut self.db, &self.path)?;
        let to = schema::VERSION;
        let init = match from {
            from if from == to => Init::UpToDate,
            1.. => Init::Updated { from, to },
            _ => Init::Created,
        };
        let pragmas = || {
            self.db.pragma_update(None, "journal_mode", "WAL")?;
            // Whoever looks at the file alone (`check`) sees the new version.
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        pragmas().map_err(|error| self.fault(&error))?;
        Ok((self, init))
    }

    /// All streamers, by username.
    pub fn list(&self) -> Result<Vec<Streamer>, AdminError> {
        let sql = format!("{STREAMERS} ORDER BY username");
        let list = || self.db.prepare(&sql)?.query_map([], streamer)?.collect::<Result<_, _>>();
        list().map_err(|error| self.fault(&error).into())
    }

    /// One streamer; case does not matter.
    pub fn show(&self, username: &str) -> Result<Streamer, AdminError> {
        let sql = format!("{STREAMERS} WHERE username = ?1");
        let found = self.db.query_row(&sql, [username], streamer).optional();
        found
            .map_err(|error| self.fault(&error))?
            .ok_or_else(|| AdminError::UnknownStreamer(username.to_owned()))
    }

    /// Says whether the streamer may stream.
    pub fn set_active(&mut self, username: &str, is_active: bool) -> Result<(), AdminError> {
        let sql = "UPDATE streamers SET is_active = ?2 WHERE username = ?1";
        self.change(username, sql, params![username, is_active])
    }

    /// Asks for the end of the streamer's live session and returns that session's id. The worker
    /// that carries it sees the request, ends the stream and closes the row.
    pub fn kick(&mut self, username: &str) -> Result<i64, AdminError> {
        let streamer = self.show(username)?;
        let kick = || -> rusqlite::Result<Option<i64>> {
            let transaction = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
            let session = transaction.query_row(LIVE, [streamer.id], |row| row.get(0))?;
            transaction.execute(KICK, params![session, now()])?;
            transaction.commit()?;
            Ok(session)
        };
        let session = kick().map_err(|error| self.fault(&error))?;
        session.ok_or(AdminError::NotLive(streamer.username))
    }

    /// Whether a session has ended, or was removed with its streamer.
    pub fn has_ended(&self, session: i64) -> Result<bool, AdminError> {
        let sql = "SELECT 1 FROM sessions WHERE id = ?1 AND stopped_at IS NULL";
        let open = self.db.query_row(sql, [session], |_| Ok(())).optional();
        Ok(open.map_err(|error| self.fault(&error))?.is_none())
    }

    /// Removes the streamer and, with them, the history of their sessions.
    pub fn remove(&mut self, username: &str) -> Result<(), AdminError> {
        self.change(username, "DELETE FROM streamers WHERE username = ?1", params![username])
    }

    /// The last `limit` sessions, of one streamer or of all, the latest first.
    pub fn sessions(&self, username: Option<&str>, limit: u32) -> Result<Vec<Session>, AdminError> {
        if let Some(username) = username {
            self.show(username)?;
        }
        let sessions = || {
            let mut rows = self.db.prepare(SESSIONS)?;
            rows.query_map(params![username, limit, now()], session)?.collect::<Result<_, _>>()
        };
        sessions().map_err(|error| self.fault(&error).into())
    }

    fn change(
        &mut self,
        username: &str,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<(), AdminError> {
        match self.db.execute(sql, params) {
            Ok(0) => Err(AdminError::UnknownStreamer(username.to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault(&error).into()),
        }
    }

    fn fault(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, error)
    }
}

const STREAMERS: &str = "
    SELECT id, username, is_active, created_at, key_changed_at,
           EXISTS (SELECT 1 FROM sessions WHERE streamer_id = streamers.id AND stopped_at IS NULL),
           (SELECT max(started_at) FROM sessions WHERE streamer_id = streamers.id)
    FROM streamers";

/// Of several open sessions all but the last are left over from a crash.
const LIVE: &str = "SELECT max(id) FROM sessions WHERE streamer_id = ?1 AND stopped_at IS NULL";

const KICK: &str = "UPDATE sessions SET kick_requested_at = ?2 WHERE id = ?1";

const SESSIONS: &str = "
    SELECT sessions.id, username, app, client_addr, started_at, stopped_at, end_reason,
           max(0, coalesce(unixepoch(coalesce(stopped_at, ?3)) - unixepoch(started_at), 0))
    FROM sessions JOIN streamers ON streamers.id = streamer_id
    WHERE ?1 IS NULL OR username = ?1
    ORDER BY started_at DESC, sessions.id DESC LIMIT ?2";

fn streamer(row: &Row<'_>) -> rusqlite::Result<Streamer> {
    Ok(Streamer {
        id: row.get(0)?,
        username: row.get(1)?,
        is_active: row.get(2)?,
        created_at: row.get(3)?,
        key_changed_at: row.get(4)?,
        is_live: row.get(5)?,
        last_started_at: row.get(6)?,
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        username: row.get(1)?,
        app: row.get(2)?,
        client_addr: row.get(3)?,
        started_at: row.get(4)?,
        stopped_at: row.get(5)?,
        end_reason: row.get(6)?,
        duration: row.get(7)?,
    })
}

fn now() -> String {
    timestamp::utc(SystemTime::now())
}

#[cfg(test)]
mod tests;

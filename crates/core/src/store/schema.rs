//! The native schema, as the ordered list of its migrations.
//!
//! `user_version` counts the migrations that a database has been through; each runs in a
//! transaction of its own together with the step of the counter. A migration that was released is
//! never edited.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::StoreError;
use super::{history, lookup, recheck};

/// `AUTOINCREMENT`: an id is never used twice, so what is known of a removed streamer by id cannot
/// become another's. Of the indices on `sessions`, the first serves the history, the second who is
/// live.
///
/// 2: `stagedoor kick` marks a session, which the worker that carries it sees; and a session names
/// its worker, so that it can be closed when that has died.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE streamers (
        id             INTEGER PRIMARY KEY AUTOINCREMENT,
        username       TEXT NOT NULL COLLATE NOCASE UNIQUE,
        key_sha256     BLOB NOT NULL UNIQUE
                       CHECK (typeof(key_sha256) = 'blob' AND length(key_sha256) = 32),
        is_active      INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
        created_at     TEXT NOT NULL,
        key_changed_at TEXT NOT NULL
    );
    CREATE TABLE sessions (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        streamer_id INTEGER NOT NULL REFERENCES streamers (id) ON DELETE CASCADE,
        app         TEXT NOT NULL,
        client_addr TEXT NOT NULL,
        started_at  TEXT NOT NULL,
        stopped_at  TEXT,
        end_reason  TEXT
    );
    CREATE INDEX sessions_by_streamer ON sessions (streamer_id, started_at);
    CREATE INDEX sessions_open ON sessions (streamer_id) WHERE stopped_at IS NULL;
",
    "
    ALTER TABLE sessions ADD COLUMN kick_requested_at TEXT;
    ALTER TABLE sessions ADD COLUMN worker TEXT;
",
];

/// The version this Stagedoor knows.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

pub(super) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Brings the database up to date and returns the version it had.
///
/// Two processes may do so at once: the version is read again under each transaction's write lock.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<i64, StoreError> {
    migrate_along(MIGRATIONS, db, path)
}

fn migrate_along(steps: &[&str], db: &mut Connection, path: &Path) -> Result<i64, StoreError> {
    let fault = |error| StoreError::from_sqlite(path, &error);
    let known = steps.len() as i64;
    let before = version(db).map_err(fault)?;
    if before > known {
        return Err(StoreError::NewerVersion { path: path.to_owned(), found: before, known });
    }
    if before <= 0 && holds_tables(db).map_err(fault)? {
        let reason = "it holds tables of another program".to_owned();
        return Err(StoreError::WrongSchema { path: path.to_owned(), reason });
    }
    for (to, step) in (1i64..).zip(steps) {
        let mut step_up = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if version(&transaction)? < to {
                transaction.execute_batch(step)?;
                transaction.pragma_update(None, "user_version", to)?;
            }
            transaction.commit()
        };
        step_up().map_err(fault)?;
    }
    Ok(before)
}

fn holds_tables(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// Whether the database has the version this Stagedoor knows.
pub(super) fn expect_version(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    match version(db).map_err(|error| StoreError::from_sqlite(&path, &error))? {
        VERSION => Ok(()),
        found if found > VERSION => Err(StoreError::NewerVersion { path, found, known: VERSION }),
        found if found > 0 => Err(StoreError::OlderVersion { path, found, known: VERSION }),
        _ => match holds_tables(db) {
            Ok(false) => Err(StoreError::NotInitialised { path }),
            Ok(true) => {
                let reason = "it holds tables of another program".to_owned();
                Err(StoreError::WrongSchema { path, reason })
            }
            Err(error) => Err(StoreError::from_sqlite(&path, &error)),
        },
    }
}

/// Whether every statement that a worker runs can run.
pub(super) fn expect_tables(db: &Connection, path: &Path) -> Result<(), StoreError> {
    for sql in lookup::STATEMENTS.iter().chain(history::STATEMENTS).chain(recheck::STATEMENTS) {
        db.prepare(sql).map_err(|error| StoreError::from_sqlite(path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(db: &Connection) -> Vec<String> {
        let mut rows = db.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
        rows.query_map([], |row| row.get::<_, Option<String>>(0))
            .unwrap()
            .map(|sql| sql.unwrap().unwrap_or_default())
            .collect()
    }

    fn memory() -> (Connection, &'static Path) {
        (Connection::open_in_memory().unwrap(), Path::new("memory"))
    }

    #[test]
    fn migrating_twice_changes_nothing_the_second_time() {
        let (mut db, path) = memory();
        assert_eq!(migrate(&mut db, path).unwrap(), 0);
        let once = dump(&db);
        assert_eq!(migrate(&mut db, path).unwrap(), VERSION);
        assert_eq!(dump(&db), once);
        assert_eq!(version(&db).unwrap(), VERSION);
        expect_version(&db, path).unwrap();
        expect_tables(&db, path).unwrap();
    }

    #[test]
    fn a_later_migration_runs_once_and_keeps_the_rows() {
        let (mut db, path) = memory();
        migrate(&mut db, path).unwrap();
        db.execute(
            "INSERT INTO streamers (username, key_sha256, created_at, key_changed_at)
             VALUES ('benw', zeroblob(32), '', '')",
            [],
        )
        .unwrap();
        let mut steps = MIGRATIONS.to_vec();
        steps.push("ALTER TABLE streamers ADD COLUMN note TEXT NOT NULL DEFAULT 'none'");
        for before in [VERSION, VERSION + 1] {
            assert_eq!(migrate_along(&steps, &mut db, path).unwrap(), before);
        }
        let note: String =
            db.query_row("SELECT note FROM streamers", [], |row| row.get(0)).unwrap();
        assert_eq!(note, "none");
        let error = expect_version(&db, path).unwrap_err();
        assert!(matches!(error, StoreError::NewerVersion { found, .. } if found == VERSION + 1));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let (mut db, path) = memory();
        migrate(&mut db, path).unwrap();
        let before = dump(&db);
        let mut steps = MIGRATIONS.to_vec();
        steps.push("CREATE TABLE half (done); CREATE TABLE streamers (oops);");
        migrate_along(&steps, &mut db, path).unwrap_err();
        assert_eq!(dump(&db), before);
        assert_eq!(version(&db).unwrap(), VERSION);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let (mut db, path) = memory();
        db.execute_batch("CREATE TABLE auth_user (id)").unwrap();
        let error = migrate(&mut db, path).unwrap_err();
        assert!(matches!(error, StoreError::WrongSchema { .. }), "{error}");
        assert_eq!(dump(&db).len(), 1);
    }

    #[test]
    fn a_newer_database_is_not_migrated() {
        let (mut db, path) = memory();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = migrate(&mut db, path).unwrap_err();
        assert!(matches!(error, StoreError::NewerVersion { .. }), "{error}");
    }
}

//! Looking at the database from outside: `nginx -t`, and the master at its start.

use std::path::Path;

use rusqlite::Connection;
use thiserror::Error;

use super::connection::connect_immutable;
use super::error::StoreError;
use super::foreign::{Advice, StatementError, Statements};
use super::layout::Layout;
use super::schema;
use super::stamp::{Stamp, has_log, has_open_journal};

/// What is wrong with a database, or with the statements for it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CheckError {
    /// The configuration is wrong.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The database is, which can be mended while the server runs.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CheckError {
    pub(super) fn at_run_time(self, path: &Path) -> StoreError {
        match self {
            CheckError::Statement(error) => error.at(path),
            CheckError::Store(error) => error,
        }
    }
}

/// Whether a worker could answer keys from this database: it is there and has the layout that is
/// expected, and the operator's own statements can run on it.
///
/// The caller is often root. SQLite opens the file as immutable, so no `-wal`, `-shm` or `-journal`
/// file of root's comes into being, and none that is there is read. What an application has changed
/// is in its log alone for a while, and what it has yet to undo in its journal: a table that is not
/// found then may be there all the same.
pub fn check(path: &Path, layout: &Layout) -> Result<Vec<Advice>, CheckError> {
    match layout {
        Layout::Native => {
            Stamp::of(path)?;
            layout.expect(&connect_immutable(path)?, path)?;
            Ok(Vec::new())
        }
        Layout::Foreign(statements) => {
            check_statements(path, statements).map_err(|error| explain(error, path, layout))
        }
    }
}

fn check_statements(path: &Path, statements: &Statements) -> Result<Vec<Advice>, CheckError> {
    let db = match open(path) {
        Ok(db) => db,
        Err(fault) => {
            // What is wrong on any database is wrong on this one.
            let nowhere = Connection::open_in_memory();
            let nowhere = nowhere.map_err(|error| StoreError::from_sqlite(path, &error))?;
            return match statements.check(&nowhere, path) {
                Err(CheckError::Statement(error)) if !error.lacks_schema => Err(error.into()),
                _ => Err(fault.into()),
            };
        }
    };
    statements.check(&db, path)?;
    Ok(statements.advice(&db))
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    Stamp::of(path)?;
    let db = connect_immutable(path)?;
    schema::version(&db).map_err(|error| StoreError::from_sqlite(path, &error))?;
    Ok(db)
}

fn explain(error: CheckError, path: &Path, layout: &Layout) -> CheckError {
    match error {
        CheckError::Statement(error)
            if error.lacks_schema && (has_log(path) || has_open_journal(path)) =>
        {
            CheckError::Store(error.at(path))
        }
        CheckError::Statement(error) => CheckError::Statement(error),
        CheckError::Store(error) => CheckError::Store(layout.explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::fixture::Fixture;

    fn check(path: &Path) -> Result<(), CheckError> {
        super::check(path, &Layout::Native).map(drop)
    }

    #[test]
    fn a_sound_database_passes_and_no_file_is_left_behind() {
        let fixture = Fixture::new();
        let before = fixture.files();
        assert_eq!(before, ["stagedoor.db"]);
        check(fixture.path()).unwrap();
        assert_eq!(fixture.files(), before);
    }

    #[test]
    fn each_fault_is_named_and_no_file_is_left_behind() {
        let fixture = Fixture::new();
        let path = fixture.path();
        let fault = |text: &str| {
            let before = fixture.files();
            let found = check(path).unwrap_err().to_string();
            assert!(found.contains(text), "{found:?} lacks {text:?}");
            assert!(found.contains("stagedoor.db"), "{found:?} lacks the path");
            assert_eq!(fixture.files(), before);
        };
        let sound = fs::read(path).unwrap();

        fs::remove_file(path).unwrap();
        fault("does not exist");
        fs::create_dir(path).unwrap();
        fault("not a regular file");
        fs::remove_dir(path).unwrap();
        fs::write(path, "").unwrap();
        fault("is empty");
        fs::write(path, "x".repeat(5000)).unwrap();
        fault("not an SQLite database");
        let mut corrupt = sound.clone();
        corrupt[100..4096].fill(0xee); // the root page of the schema
        fs::write(path, corrupt).unwrap();
        fault("corrupt");
        let mut newer = sound.clone();
        newer[60..64].copy_from_slice(&99u32.to_be_bytes()); // user_version in the file's header
        fs::write(path, newer).unwrap();
        fault("version 99");
        fs::write(path, sound).unwrap();
        check(path).unwrap();
    }

    #[test]
    fn the_database_of_another_program_is_not_ours() {
        for version in [0, schema::VERSION] {
            let fixture = Fixture::empty();
            let db = Connection::open(fixture.path()).unwrap();
            db.execute_batch("CREATE TABLE auth_user (id)").unwrap();
            db.pragma_update(None, "user_version", version).unwrap();
            drop(db);
            let error = check(fixture.path()).unwrap_err();
            let CheckError::Store(error) = error else { panic!("{error}") };
            assert!(matches!(error, StoreError::WrongSchema { .. }), "{error}");
        }
    }

    #[test]
    fn a_path_of_odd_characters_is_checked_like_any_other() {
        let fixture = Fixture::named("a b?c#d%20&ä.db");
        check(fixture.path()).unwrap();
    }
}

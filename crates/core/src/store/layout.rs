//! Whose tables a database holds, and so how it is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::error::StoreError;
use super::foreign::Statements;
use super::history::OpenRow;
use super::lookup::{self, Verdict};
use super::recheck::{self, Admission};
use super::visitor::Visitor;
use super::{foreign, schema};
use crate::policy::Stop;

/// How long a write, or a look at the streams, waits for a lock of the operator's application.
///
/// In a rollback journal a writer has to find a moment without readers, which trying now and then
/// might never do: SQLite holds new readers back only while a writer waits.
pub(super) const FOREIGN_PATIENCE: Duration = Duration::from_millis(50);

/// Whose tables a database holds.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Stagedoor's own.
    Native,
    /// Those of the operator's application, which these statements know.
    Foreign(Arc<Statements>),
}

impl Layout {
    /// Readies a connection for what will be asked.
    pub(super) fn prepare(&self, db: &mut Connection) -> rusqlite::Result<()> {
        match self {
            Layout::Native => Ok(()),
            Layout::Foreign(_) => foreign::keep_deadlines(db),
        }
    }

    /// Whether the database is one that can be asked.
    pub(super) fn expect(&self, db: &Connection, path: &Path) -> Result<(), StoreError> {
        match self {
            Layout::Native => {
                schema::expect_version(db, path)?;
                schema::expect_tables(db, path)
            }
            Layout::Foreign(statements) => {
                statements.check(db, path).map_err(|error| error.at_run_time(path))
            }
        }
    }

    /// Whether a database that could be asked still has the version that it had.
    pub(super) fn expect_version(&self, db: &Connection, path: &Path) -> Result<(), StoreError> {
        match self {
            Layout::Native => schema::expect_version(db, path),
            Layout::Foreign(_) => Ok(()), // it has none that is known here
        }
    }

    /// Whose key this is.
    pub(super) fn look_up(
        &self,
        db: &Connection,
        path: &Path,
        visitor: &Visitor,
    ) -> Result<Verdict, StoreError> {
        match self {
            Layout::Native => lookup::native(db, path, visitor.digest()),
            Layout::Foreign(statements) => foreign::look_up(statements, db, path, visitor),
        }
    }

    /// Which of these streams the database no longer allows, and why. `T` names a stream; its row
    /// in a native history is there once it is written.
    ///
    /// A fault that concerns more than one row stops nobody; a row that cannot be read stops nobody
    /// either.
    pub(super) fn recheck<'a, T>(
        &self,
        db: &mut Connection,
        path: &Path,
        streams: impl Iterator<Item = (T, &'a Admission, Option<&'a OpenRow>)>,
    ) -> Result<Vec<(T, Stop)>, StoreError> {
        match self {
            Layout::Native => recheck::recheck(db, path, streams),
            Layout::Foreign(statements) => {
                let streams = streams.map(|(name, admission, _)| (name, admission));
                foreign::recheck(statements, db, path, streams)
            }
        }
    }

    /// How long what is not urgent waits for a lock.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Layout::Native => Duration::ZERO,
            Layout::Foreign(_) => FOREIGN_PATIENCE,
        }
    }

    /// Whether the log of the database is ours to empty. Another application may rely on its own.
    pub(super) fn owns_log(&self) -> bool {
        matches!(self, Layout::Native)
    }

    /// Looks for damage in what keys are answered from: the pages of the streamers, or of the whole
    /// database, whose tables only its application knows.
    pub(super) fn find_damage(&self) -> &'static str {
        match self {
            Layout::Native => "SELECT quick_check FROM pragma_quick_check('streamers') LIMIT 1",
            Layout::Foreign(_) => "SELECT quick_check FROM pragma_quick_check LIMIT 1",
        }
    }

    /// The same fault in the words that fit whose database it is.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        match (self, error) {
            (Layout::Foreign(_), StoreError::Missing { path }) => StoreError::Absent { path },
            (_, error) => error,
        }
    }
}

//! What the fuzz targets reach of an operator's own statements, on a database in memory.

use std::path::Path;

use rusqlite::Connection;

use super::foreign::{self, Advice, Statement, Statements, Values};
use super::{CheckError, StoreError, Verdict, Visitor};

fn path() -> &'static Path {
    Path::new(":memory:")
}

/// What `nginx -t` does with the statements.
pub fn check(statements: &Statements, db: &Connection) -> Result<Vec<Advice>, CheckError> {
    statements.check(db, path())?;
    Ok(statements.advice(db))
}

/// What a publish does.
pub fn look_up(
    statements: &Statements,
    db: &Connection,
    visitor: &Visitor,
) -> Result<Verdict, StoreError> {
    foreign::look_up(statements, db, path(), visitor)
}

/// What the start or the end of a stream does.
pub fn note(
    statement: &Statement,
    db: &Connection,
    visitor: &Visitor,
    username: &str,
    now: &str,
) -> rusqlite::Result<()> {
    let (username, now) = (Some(username), Some(now));
    statement.run(db, &Values { username, now, ..Values::of(visitor) })
}

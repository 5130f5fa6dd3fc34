//! The operator's query: may this key publish, and may this stream go on?

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Error, ErrorCode};

use super::check::{IS_ACTIVE, USERNAME};
use super::deadline::Deadline;
use super::{Statements, Values};
use crate::policy::Stop;
use crate::store::error::StoreError;
use crate::store::lookup::Verdict;
use crate::store::recheck::Admission;
use crate::store::visitor::Visitor;
use crate::username::Username;

/// How long the application's writers may have to wait for a look at live streams, and for one query
/// more. Where they write without a pause each turn at reading is hard to get, so it is used.
pub(super) const HOLD: Duration = Duration::from_millis(5);

/// What a row says.
struct Row {
    username: Username,
    is_active: bool,
}

/// Asks the query whose key this is. No row is nobody; a row that cannot be used is a fault, which
/// refuses the publish.
pub(in crate::store) fn look_up(
    statements: &Statements,
    db: &Connection,
    path: &Path,
    visitor: &Visitor,
) -> Result<Verdict, StoreError> {
    Ok(match ask(statements, db, path, visitor)? {
        None => Verdict::Unknown,
        // The application's row has no number that is known here.
        Some(Row { username, is_active: true }) => Verdict::Allowed { streamer_id: 0, username },
        Some(Row { username, is_active: false }) => Verdict::Inactive { username },
    })
}

/// Which of these streams the query no longer allows. A key that is nobody's any more, or another
/// name's, was replaced; which of an account and its key is gone, the query cannot tell.
pub(in crate::store) fn recheck<'a, T>(
    statements: &Statements,
    db: &mut Connection,
    path: &Path,
    streams: impl Iterator<Item = (T, &'a Admission)>,
) -> Result<Vec<(T, Stop)>, StoreError> {
    let mut stops = Vec::new();
    let mut streams = streams.peekable();
    while streams.peek().is_some() {
        let transaction =
            db.transaction().map_err(|error| StoreError::from_sqlite(path, &error))?;
        let until = Instant::now() + HOLD;
        for (name, admission) in streams.by_ref() {
            match ask(statements, &transaction, path, &admission.visitor) {
                Ok(row) => stops.extend(stop(row, admission).map(|stop| (name, stop))),
                Err(error) if error.concerns_one_row() => (),
                Err(error) => return Err(error),
            }
            if Instant::now() >= until {
                break;
            }
        }
    }
    Ok(stops)
}

fn stop(row: Option<Row>, admission: &Admission) -> Option<Stop> {
    match row {
        Some(row) if row.username != admission.username => Some(Stop::KeyReplaced),
        Some(Row { is_active: true, .. }) => None,
        Some(_) => Some(Stop::Banned),
        None => Some(Stop::KeyReplaced),
    }
}

fn ask(
    statements: &Statements,
    db: &Connection,
    path: &Path,
    visitor: &Visitor,
) -> Result<Option<Row>, StoreError> {
    let query = &statements.query;
    let unusable = |reason: String| StoreError::BadRow {
        path: path.to_owned(),
        directive: query.directive(),
        reason,
    };
    let values = Values::of(visitor);
    let fault = |error: Error| {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return unusable("no answer within a second".to_owned());
        }
        match query.refuses_values(db, &error) {
            true => unusable(format!("an error: {}", values.words(&error))),
            false => query.fault(path, &error),
        }
    };
    let _deadline = Deadline::begin();
    let mut statement = query.bind(db, &values).map_err(fault)?;
    let mut rows = statement.raw_query();
    let Some(row) = rows.next().map_err(fault)? else { return Ok(None) };
    // Known with the first row only: a `*` stands for other columns once the schema has changed.
    let column = |name| row.as_ref().column_index(name);
    let value = |at| row.get_ref(at).map_err(fault);
    let found = Row {
        username: username(value(column(USERNAME).map_err(fault)?)?).map_err(unusable)?,
        is_active: match column(IS_ACTIVE).ok() {
            None => true,
            Some(at) => is_active(value(at)?).map_err(unusable)?,
        },
    };
    match rows.next().map_err(fault)? {
        None => Ok(Some(found)),
        Some(_) => Err(unusable("more than one row".to_owned())),
    }
}

fn username(value: ValueRef<'_>) -> Result<Username, String> {
    let ValueRef::Text(text) = value else {
        return Err(format!("{} for \"{USERNAME}\", expected text", kind(value)));
    };
    let name =
        std::str::from_utf8(text).map_err(|_| format!("a \"{USERNAME}\" that is not UTF-8"))?;
    // The name itself stays out of the log: it is what breaks the rule.
    Username::parse(name).map_err(|error| format!("a \"{USERNAME}\" that cannot be one: {error}"))
}

/// As SQLite takes a number for true or false.
fn is_active(value: ValueRef<'_>) -> Result<bool, String> {
    match value {
        ValueRef::Integer(number) => Ok(number != 0),
        other => Err(format!("{} for \"{IS_ACTIVE}\", expected 1 or 0", kind(other))),
    }
}

fn kind(value: ValueRef<'_>) -> &'static str {
    match value.data_type() {
        Type::Null => "NULL",
        Type::Integer => "an integer",
        Type::Real => "a fraction",
        Type::Text => "text",
        Type::Blob => "a blob",
    }
}

//! The rows of an operator's query: what each says of a streamer, or why it says nothing.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Error, Row, Statement};
use thiserror::Error;

use super::ImportError;
use crate::key::{KeyDigest, KeyError, StreamKey};
use crate::store::error::StoreError;
use crate::username::{Username, UsernameError};

/// Why a query is none for an import.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QueryFault {
    #[error("holds more than one statement")]
    Several,
    #[error("is not a SELECT")]
    NotASelect,
    #[error("has a parameter, for which there is no value")]
    Parameter,
    #[error("returns no column \"{missing}\", only {found}")]
    NoColumn { missing: &'static str, found: String },
    #[error("returns two columns \"{0}\"")]
    TwoColumns(&'static str),
    #[error("returns both \"key\" and \"key_sha256\", and one of them has to do")]
    BothKeys,
    /// In SQLite's words.
    #[error("fails: {0}")]
    Fails(String),
}

/// What is wrong with a row. Never holds a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RowFault {
    #[error("the {column} is {found}, not {wanted}")]
    Type { column: &'static str, found: &'static str, wanted: &'static str },
    #[error(transparent)]
    Username(#[from] UsernameError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the stream key holds a \"?\", where encoders begin with arguments")]
    KeyWithArguments,
    #[error("the key_sha256 is neither 32 bytes nor 64 hex digits")]
    Digest,
    #[error("has the username of row {0}")]
    SameUsername(usize),
    #[error("has the stream key of row {0}")]
    SameKey(usize),
    #[error(
        "has the stream key of the streamer {0:?}, who is in the database and not in the query"
    )]
    KeyOfAnother(String),
}

/// A row that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Counted from 1, in the order of the query.
    pub row: usize,
    pub username: Option<Username>,
    pub fault: RowFault,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.username {
            Some(username) => write!(f, "row {} ({username}): {}", self.row, self.fault),
            None => write!(f, "row {}: {}", self.row, self.fault),
        }
    }
}

/// A streamer as the source has them.
#[derive(Debug)]
pub(super) struct Entry {
    row: usize,
    pub(super) username: Username,
    pub(super) key: KeyDigest,
    pub(super) is_active: bool,
}

impl Entry {
    pub(super) fn bad(&self, fault: RowFault) -> BadRow {
        BadRow { row: self.row, username: Some(self.username.clone()), fault }
    }
}

/// All rows of the query, if each of them is a streamer, and each another one.
pub(super) fn select(db: &Connection, path: &Path, query: &str) -> Result<Vec<Entry>, ImportError> {
    let fault = |error| match error {
        Error::MultipleStatement => QueryFault::Several.into(),
        error => match StoreError::from_sqlite(path, &error) {
            StoreError::Sqlite { reason, .. } | StoreError::WrongSchema { reason, .. } => {
                QueryFault::Fails(reason).into()
            }
            error => ImportError::Store(error),
        },
    };
    let mut statement = db.prepare(query).map_err(fault)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(QueryFault::NotASelect.into());
    }
    if statement.parameter_count() > 0 {
        return Err(QueryFault::Parameter.into());
    }
    let columns = Columns::of(&statement)?;
    let mut seen = Seen::default();
    let mut bad = Vec::new();
    let mut entries = Vec::new();
    let mut total = 0;
    let mut rows = statement.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        total += 1;
        match columns.entry(total, row).map_err(fault)?.and_then(|entry| seen.check(entry)) {
            Ok(entry) => entries.push(entry),
            Err(row) => bad.push(row),
        }
    }
    match bad.is_empty() {
        true => Ok(entries),
        false => Err(ImportError::Rows { bad, total }),
    }
}

/// Where the columns of the query are.
struct Columns {
    username: usize,
    key: Key,
    is_active: Option<usize>,
}

enum Key {
    Plain(usize),
    Digest(usize),
}

impl Columns {
    fn of(statement: &Statement<'_>) -> Result<Self, QueryFault> {
        let found: Vec<_> = statement.column_names().collect();
        let find = |name: &'static str| {
            let mut places =
                found.iter().enumerate().filter(|(_, found)| found.eq_ignore_ascii_case(name));
            match (places.next(), places.next()) {
                (Some(_), Some(_)) => Err(QueryFault::TwoColumns(name)),
                (place, _) => Ok(place.map(|(at, _)| at)),
            }
        };
        let missing = |missing| QueryFault::NoColumn { missing, found: found.join(", ") };
        Ok(Self {
            username: find("username")?.ok_or_else(|| missing("username"))?,
            key: match (find("key")?, find("key_sha256")?) {
                (Some(at), None) => Key::Plain(at),
                (None, Some(at)) => Key::Digest(at),
                (None, None) => return Err(missing("key")),
                (Some(_), Some(_)) => return Err(QueryFault::BothKeys),
            },
            is_active: find("is_active")?,
        })
    }

    fn entry(&self, number: usize, row: &Row<'_>) -> rusqlite::Result<Result<Entry, BadRow>> {
        let username = username(row.get_ref(self.username)?);
        let key = match self.key {
            Key::Plain(at) => plain_key(row.get_ref(at)?),
            Key::Digest(at) => digest(row.get_ref(at)?),
        };
        let is_active = self.is_active.map(|at| row.get_ref(at)).transpose()?;
        let is_active = is_active.map_or(Ok(true), flag);
        let bad = |username, fault| BadRow { row: number, username, fault };
        Ok(match (username, key, is_active) {
            (Ok(username), Ok(key), Ok(is_active)) => {
                Ok(Entry { row: number, username, key, is_active })
            }
            (Err(fault), _, _) => Err(bad(None, fault)),
            (Ok(username), Err(fault), _) | (Ok(username), _, Err(fault)) => {
                Err(bad(Some(username), fault))
            }
        })
    }
}

/// The row that each username and key was in last.
#[derive(Default)]
struct Seen {
    usernames: HashMap<String, usize>,
    keys: HashMap<KeyDigest, usize>,
}

impl Seen {
    fn check(&mut self, entry: Entry) -> Result<Entry, BadRow> {
        let username = entry.username.as_str().to_ascii_lowercase();
        let same_username = self.usernames.insert(username, entry.row);
        let same_key = self.keys.insert(entry.key, entry.row);
        match (same_username, same_key) {
            (Some(row), _) => Err(entry.bad(RowFault::SameUsername(row))),
            (None, Some(row)) => Err(entry.bad(RowFault::SameKey(row))),
            (None, None) => Ok(entry),
        }
    }
}

fn username(value: ValueRef<'_>) -> Result<Username, RowFault> {
    match value {
        // What is not UTF-8 holds bytes that are not allowed either.
        ValueRef::Text(text) => Ok(Username::parse(&String::from_utf8_lossy(text))?),
        value => Err(wrong_type("username", value, "text")),
    }
}

fn plain_key(value: ValueRef<'_>) -> Result<KeyDigest, RowFault> {
    match value {
        ValueRef::Text(key) | ValueRef::Blob(key) if key.contains(&b'?') => {
            Err(RowFault::KeyWithArguments)
        }
        ValueRef::Text(key) | ValueRef::Blob(key) => Ok(StreamKey::parse(key)?.digest()),
        value => Err(wrong_type("key", value, "text")),
    }
}

fn digest(value: ValueRef<'_>) -> Result<KeyDigest, RowFault> {
    match value {
        ValueRef::Text(hex) => KeyDigest::from_hex(hex).ok_or(RowFault::Digest),
        ValueRef::Blob(bytes) => {
            Ok(KeyDigest::from_bytes(bytes.try_into().map_err(|_| RowFault::Digest)?))
        }
        value => Err(wrong_type("key_sha256", value, "a blob or text")),
    }
}

/// A whole number as SQLite takes it for true or false. Text is refused, because to SQLite `'true'`
/// is false.
fn flag(value: ValueRef<'_>) -> Result<bool, RowFault> {
    match value {
        ValueRef::Integer(number) => Ok(number != 0),
        value => Err(wrong_type("is_active", value, "0 or 1")),
    }
}

fn wrong_type(column: &'static str, value: ValueRef<'_>, wanted: &'static str) -> RowFault {
    let found = match value.data_type() {
        Type::Null => "NULL",
        Type::Integer => "a number",
        Type::Real => "a fraction",
        Type::Text => "text",
        Type::Blob => "a blob",
    };
    RowFault::Type { column, found, wanted }
}

//! One statement and its parameters.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, Error, ErrorCode};

use crate::key::{KeyDigest, StreamKey};
use crate::store::error::{StoreError, reason};
use crate::store::visitor::Visitor;

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `stagedoor_query`.
    Query,
    /// `stagedoor_on_start`.
    Start,
    /// `stagedoor_on_stop`.
    Stop,
    /// `stagedoor_on_boot`.
    Boot,
}

impl Role {
    /// The directive that sets it.
    pub fn directive(self) -> &'static str {
        match self {
            Role::Query => "stagedoor_query",
            Role::Start => "stagedoor_on_start",
            Role::Stop => "stagedoor_on_stop",
            Role::Boot => "stagedoor_on_boot",
        }
    }

    /// The named parameters it may use. When nginx starts there is no stream that the others could
    /// speak of.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Role::Query => &[":key", ":key_sha256", ":app", ":addr"],
            Role::Start | Role::Stop => {
                &[":key", ":key_sha256", ":username", ":app", ":addr", ":now"]
            }
            Role::Boot => &[":now"],
        }
    }
}

/// A statement of the operator's.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(super) role: Role,
    pub(super) sql: String,
    /// Where it stands in the configuration.
    pub(super) place: String,
}

impl Statement {
    /// The statement at `place`, which is named in what is said of it.
    pub fn new(role: Role, sql: String, place: String) -> Statement {
        Statement { role, sql, place }
    }

    /// The directive that sets it.
    pub(in crate::store) fn directive(&self) -> &'static str {
        self.role.directive()
    }

    /// The statement with its parameters bound, to be stepped through.
    pub(super) fn bind<'db>(
        &self,
        db: &'db Connection,
        values: &Values<'_>,
    ) -> rusqlite::Result<CachedStatement<'db>> {
        let mut statement = db.prepare_cached(&self.sql)?;
        for index in 1..=statement.parameter_count() {
            let value = statement.parameter_name(index).and_then(|name| values.get(name));
            statement
                .raw_bind_parameter(index, value.unwrap_or(ToSqlOutput::Owned(Value::Null)))?;
        }
        Ok(statement)
    }

    /// Runs a statement that writes.
    pub(in crate::store) fn run(
        &self,
        db: &Connection,
        values: &Values<'_>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.bind(db, values)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {} // of RETURNING
        Ok(())
    }

    /// Whether it names a stream by nothing but its key, which is known as long as the stream's worker
    /// lives.
    pub(in crate::store) fn needs_key(&self, db: &Connection) -> rusqlite::Result<bool> {
        let statement = db.prepare_cached(&self.sql)?;
        let parameters = (1..=statement.parameter_count())
            .filter_map(|index| statement.parameter_name(index))
            .collect::<Vec<_>>();
        let names_key = parameters.iter().any(|&name| name == ":key" || name == ":key_sha256");
        Ok(names_key && !parameters.contains(&":username"))
    }

    /// Whether the values are at fault, and neither the statement nor the database: SQLite takes no
    /// such values, or fails on them in a statement that it understands.
    pub(in crate::store) fn refuses_values(&self, db: &Connection, error: &Error) -> bool {
        use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
        match error.sqlite_error_code() {
            Some(ConstraintViolation | TooBig | TypeMismatch) => true,
            // The same code has a statement that does not fit a schema that was changed.
            Some(ErrorCode::Unknown) => db.prepare(&self.sql).is_ok(),
            _ => false,
        }
    }

    /// The fault of a statement that did not run.
    pub(in crate::store) fn fault(&self, path: &Path, error: &Error) -> StoreError {
        if is_of_the_statement(error) {
            let (path, directive) = (path.to_owned(), self.role.directive());
            let reason = cannot_run(error);
            return StoreError::Statement { path, directive, reason };
        }
        StoreError::from_sqlite(path, error)
    }
}

/// In SQLite's words.
pub(super) fn cannot_run(error: &Error) -> String {
    format!("cannot run: SQLite says \"{}\"", reason(error))
}

/// SQLITE_ERROR: what SQLite does not understand, as opposed to what it cannot do now.
pub(super) fn is_of_the_statement(error: &Error) -> bool {
    matches!(error, Error::SqlInputError { .. })
        || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// What the named parameters stand for; what is not known is NULL.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Values<'a> {
    pub(in crate::store) key: Option<&'a StreamKey>,
    pub(in crate::store) digest: Option<&'a KeyDigest>,
    pub(in crate::store) username: Option<&'a str>,
    pub(in crate::store) app: Option<&'a str>,
    pub(in crate::store) client_addr: Option<&'a str>,
    /// UTC text, see [`crate::timestamp`].
    pub(in crate::store) now: Option<&'a str>,
}

impl<'a> Values<'a> {
    pub(in crate::store) fn of(visitor: &'a Visitor) -> Values<'a> {
        Values {
            key: visitor.key(),
            digest: Some(visitor.digest()),
            app: Some(visitor.app()),
            client_addr: Some(visitor.client_addr()),
            ..Values::default()
        }
    }

    /// SQLite's words for an error with these values, which a trigger or an extension may quote.
    pub(in crate::store) fn words(&self, error: &Error) -> String {
        let words = reason(error);
        match self.key.is_some_and(|key| key.is_told_by(&words)) {
            true => "the reason tells a part of the stream key".to_owned(),
            false => words,
        }
    }

    fn get(&self, parameter: &str) -> Option<ToSqlOutput<'_>> {
        let text = |text: &'a str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
        match parameter {
            ":key" => self.key.map(|key| bytes_or_text(key.expose())),
            ":key_sha256" => {
                self.digest.map(|digest| ToSqlOutput::Owned(Value::Text(digest.to_hex())))
            }
            ":username" => self.username.map(text),
            ":app" => self.app.map(text),
            ":addr" => self.client_addr.map(text),
            ":now" => self.now.map(text),
            _ => None,
        }
    }
}

/// A key is text to SQLite as long as it is UTF-8; SQLite compares no text with a blob, so another
/// key is nobody's.
fn bytes_or_text(key: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match std::str::from_utf8(key) {
        Ok(_) => ValueRef::Text(key),
        Err(_) => ValueRef::Blob(key),
    })
}

//! What can be wrong with the database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Error, ErrorCode};
use thiserror::Error;

/// Why the database did not answer. The text completes "stagedoor: …" in a log and never holds a
/// key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    #[error("database \"{path}\" does not exist, \"stagedoor init\" creates it")]
    Missing { path: PathBuf },
    /// The same of an application's database, which is not ours to make.
    #[error("database \"{path}\" does not exist")]
    Absent { path: PathBuf },
    #[error("database \"{path}\" is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("database \"{path}\" cannot be opened by this user: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("database \"{path}\" cannot be written by this user: {reason}")]
    ReadOnly { path: PathBuf, reason: String },
    #[error("database \"{path}\" is not an SQLite database")]
    NotADatabase { path: PathBuf },
    #[error("database \"{path}\" is corrupt: {reason}")]
    Corrupt { path: PathBuf, reason: String },
    #[error("database \"{path}\" is locked by another process")]
    Locked { path: PathBuf },
    #[error("database \"{path}\" cannot be read or written: {reason}")]
    Io { path: PathBuf, reason: String },
    #[error("database \"{path}\" is empty, \"stagedoor init\" sets it up")]
    NotInitialised { path: PathBuf },
    #[error(
        "database \"{path}\" has the older version {found}, \"stagedoor init\" updates it to {known}"
    )]
    OlderVersion { path: PathBuf, found: i64, known: i64 },
    #[error(
        "database \"{path}\" has version {found}, made by a newer Stagedoor, this one knows {known}"
    )]
    NewerVersion { path: PathBuf, found: i64, known: i64 },
    #[error("database \"{path}\" is not one of Stagedoor: {reason}")]
    WrongSchema { path: PathBuf, reason: String },
    #[error(
        "database \"{path}\" was replaced, but the log \"{file}\" of the former one is in the way: {reason}"
    )]
    StaleLog { path: PathBuf, file: PathBuf, reason: String },
    #[error("database \"{path}\" was replaced, and a process has yet to leave the former one")]
    Unsettled { path: PathBuf },
    #[error(
        "database \"{path}\" has an invalid username for streamer {streamer_id}, remove the streamer or set one of 1 to 64 characters of A-Z a-z 0-9 _ . @ + - that starts with neither \".\" nor \"-\""
    )]
    BadUsername { path: PathBuf, streamer_id: i64 },
    #[error("database \"{path}\" holds a value of the wrong type: {reason}")]
    BadValue { path: PathBuf, reason: String },
    #[error("database \"{path}\" does not fit {directive}, which {reason}")]
    Statement { path: PathBuf, directive: &'static str, reason: String },
    #[error("database \"{path}\" gives {directive} {reason}")]
    BadRow { path: PathBuf, directive: &'static str, reason: String },
    #[error("database \"{path}\" did not answer: {reason}")]
    Sqlite { path: PathBuf, reason: String },
    #[error("database \"{path}\" did not answer: a fault in Stagedoor, please report it")]
    Panicked { path: PathBuf },
}

impl StoreError {
    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Unsettled { .. })
    }

    /// Whether the fault lies in one row, so that other keys can still be answered.
    pub fn concerns_one_row(&self) -> bool {
        matches!(self, Self::BadUsername { .. } | Self::BadValue { .. } | Self::BadRow { .. })
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            io::ErrorKind::PermissionDenied => {
                Self::Unreadable { path, reason: "permission denied".to_owned() }
            }
            _ => Self::Io { path, reason: error.to_string() },
        }
    }

    pub(super) fn from_sqlite(path: &Path, error: &Error) -> Self {
        let path = path.to_owned();
        let reason = reason(error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, reason },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::Unreadable { path, reason }
            }
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path, reason },
            Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull) => Self::Io { path, reason },
            Some(ErrorCode::Unknown) if reason.starts_with("no such") => {
                Self::WrongSchema { path, reason }
            }
            None if is_wrong_value(error) => Self::BadValue { path, reason },
            _ => Self::Sqlite { path, reason },
        }
    }
}

/// SQLite's own words for an error, without the statement that rusqlite adds to some.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    }
}

fn is_wrong_value(error: &Error) -> bool {
    use Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}

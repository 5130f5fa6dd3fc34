//! Why a command is refused, in the words of the command line.

use std::io;

use stagedoor_core::store::{AdminError, BadRow, ImportError, StoreError};
use stagedoor_core::username::{Username, UsernameError};
use thiserror::Error;

/// Why a command was refused, with the way on where there is one.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("{0} (\"stagedoor list\" shows all)")]
    UnknownStreamer(AdminError),
    #[error("{0} (\"stagedoor rotate {1}\" gives them a new key)")]
    UsernameTaken(AdminError, Username),
    #[error("{0} (with --db or STAGEDOOR_DB elsewhere)")]
    Missing(StoreError),
    #[error(
        "{0}, which manages its streamers itself: nginx asks it with \"stagedoor_query\" in \
         nginx.conf (\"stagedoor import\" moves them into a database of Stagedoor)"
    )]
    Foreign(AdminError),
    #[error(
        "the stream of \"{0}\" does not end: no nginx that uses this database carries it (its \
         next start closes the session), or its workers cannot write to the database"
    )]
    StillLive(String),
    #[error(transparent)]
    Store(AdminError),
    #[error(transparent)]
    Username(#[from] UsernameError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("the output could not be written: {0}")]
    Output(io::Error),
    #[error("it is done, but the output could not be written: {0}")]
    Unreported(io::Error),
    #[error("the key could not be printed: {0}; {1} is not added")]
    NotAdded(io::Error, Username),
    #[error("the key could not be printed: {0}; {1} keeps the old one")]
    NotRotated(io::Error, String),
    #[error("the key could not be printed: {0} (\"stagedoor rotate {1}\" makes another one)")]
    KeyLost(io::Error, String),
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::UnknownStreamer(_) => Self::UnknownStreamer(error),
            AdminError::UsernameTaken(ref username) => {
                let username = username.clone();
                Self::UsernameTaken(error, username)
            }
            AdminError::Foreign(_) => Self::Foreign(error),
            AdminError::Store(error @ StoreError::Missing { .. }) => Self::Missing(error),
            error => Self::Store(error),
        }
    }
}

impl Refusal {
    /// What there is to say beyond the one line, a line each.
    pub(crate) fn details(&self) -> &[BadRow] {
        match self {
            Self::Import(ImportError::Rows { bad, .. }) => bad,
            _ => &[],
        }
    }
}

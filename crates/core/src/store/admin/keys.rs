//! Keys that are made here: each is handed over once, or taken back.

use rusqlite::{ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{AdminError, Store, now};
use crate::key::{KeyDigest, StreamKey};
use crate::username::Username;

/// A streamer's new key, and what it replaced.
#[derive(Debug)]
pub struct Rotated {
    pub key: StreamKey,
    id: i64,
    former: KeyDigest,
    changed_at: String,
}

pub(super) const REKEY: &str =
    "UPDATE streamers SET key_sha256 = ?2, key_changed_at = ?3 WHERE id = ?1";

impl Store {
    /// Adds an active streamer and returns their key, which is nowhere else from now on.
    pub fn add(&mut self, username: &Username) -> Result<StreamKey, AdminError> {
        let key = StreamKey::generate()?;
        let added = self.db.execute(
            "INSERT INTO streamers (username, key_sha256, created_at, key_changed_at)
             VALUES (?1, ?2, ?3, ?3)",
            params![username.as_str(), key.digest().as_bytes(), now()],
        );
        match added {
            Ok(_) => Ok(key),
            // Of the unique columns it is never the digest of a fresh key that is there already.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(AdminError::UsernameTaken(username.clone()))
            }
            Err(error) => Err(self.fault(&error).into()),
        }
    }

    /// Gives the streamer a new key; the old one is good for nothing from now on.
    pub fn rotate(&mut self, username: &str) -> Result<Rotated, AdminError> {
        let key = StreamKey::generate()?;
        let digest = key.digest();
        let rotate = || -> rusqlite::Result<Option<Rotated>> {
            let transaction = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
            let former = "SELECT id, key_sha256, key_changed_at FROM streamers WHERE username = ?1";
            let former = transaction
                .query_row(former, [username], |row| {
                    Ok((row.get(0)?, KeyDigest::from_bytes(row.get(1)?), row.get(2)?))
                })
                .optional()?;
            let Some((id, former, changed_at)) = former else { return Ok(None) };
            transaction.execute(REKEY, params![id, digest.as_bytes(), now()])?;
            transaction.commit()?;
            Ok(Some(Rotated { key, id, former, changed_at }))
        };
        let rotated = rotate().map_err(|error| self.fault(&error))?;
        rotated.ok_or_else(|| AdminError::UnknownStreamer(username.to_owned()))
    }

    /// Undoes [`Store::add`] for a key that could not be handed over.
    pub fn take_back_added(
        &mut self,
        username: &Username,
        key: StreamKey,
    ) -> Result<(), AdminError> {
        let sql = "DELETE FROM streamers WHERE username = ?1 AND key_sha256 = ?2";
        self.change(username.as_str(), sql, params![username.as_str(), key.digest().as_bytes()])
    }

    /// Undoes [`Store::rotate`] for a key that could not be handed over: the former one is good
    /// again. A live stream may have ended meanwhile.
    pub fn take_back_rotated(
        &mut self,
        username: &str,
        rotated: Rotated,
    ) -> Result<(), AdminError> {
        let Rotated { key, id, former, changed_at } = rotated;
        let sql = "UPDATE streamers SET key_sha256 = ?3, key_changed_at = ?4
                   WHERE id = ?1 AND key_sha256 = ?2";
        let (key, former) = (key.digest(), former.as_bytes());
        self.change(username, sql, params![id, key.as_bytes(), former, changed_at])
    }
}

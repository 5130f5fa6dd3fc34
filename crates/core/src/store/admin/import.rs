//! Taking over streamers and keys from the database of another program.
//!
//! The source decides: a key or flag that differs there is taken over. Streamers that it does not
//! have stay as they are. All rows are taken over or none, in one transaction.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, TransactionBehavior, params};
use thiserror::Error;

use super::keys::REKEY;
use super::{BUSY_TIMEOUT, Store, now};
use crate::key::KeyDigest;
use crate::store::error::StoreError;
use crate::store::source;
use crate::store::stamp::FileId;
use crate::username::Username;

mod rows;

pub use rows::{BadRow, QueryFault, RowFault};

use rows::Entry;

/// Why nothing was imported. Never holds a key.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("database \"{0}\" does not exist")]
    Missing(PathBuf),
    #[error("database \"{0}\" cannot be imported into itself")]
    Itself(PathBuf),
    #[error("the query {0}")]
    Query(#[from] QueryFault),
    #[error("nothing is imported, because of {} of {total} rows", bad.len())]
    Rows { bad: Vec<BadRow>, total: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A streamer of the source, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// As it stands in the native database from now on.
    pub username: String,
    pub is_active: bool,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    /// Which of the two differ.
    Updated {
        key: bool,
        is_active: bool,
    },
    Unchanged,
}

/// A streamer of the native database.
struct Native {
    id: i64,
    username: String,
    key: KeyDigest,
    is_active: bool,
}

impl Store {
    /// Takes over what `query` selects from the database under `source`, in the order of its rows;
    /// with `dry_run`, only says what that would be.
    ///
    /// A key that changes ends the streamer's live stream as a rotated one does.
    pub fn import(
        &mut self,
        source: &Path,
        query: &str,
        dry_run: bool,
    ) -> Result<Vec<Imported>, ImportError> {
        if same_file(source, &self.path) {
            return Err(ImportError::Itself(source.to_owned()));
        }
        let entries = source::read(source, BUSY_TIMEOUT, |db| rows::select(db, source, query));
        let entries = entries.map_err(|error| match error {
            ImportError::Store(StoreError::Missing { path }) => ImportError::Missing(path),
            error => error,
        })?;
        let behaviour = match dry_run {
            true => TransactionBehavior::Deferred,
            false => TransactionBehavior::Immediate,
        };
        let fault = |error| StoreError::from_sqlite(&self.path, &error);
        let transaction = Transaction::new_unchecked(&self.db, behaviour).map_err(fault)?;
        let natives = natives(&transaction).map_err(fault)?;
        let plan = plan(&entries, &natives)?;
        if !dry_run {
            write(&transaction, &plan).map_err(fault)?;
            transaction.commit().map_err(fault)?;
        }
        Ok(plan.iter().map(Step::told).collect())
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).ok().map(|file| FileId::of(&file));
    id(one).is_some_and(|one| Some(one) == id(other))
}

/// All streamers, by their names without case.
fn natives(db: &Transaction<'_>) -> rusqlite::Result<HashMap<String, Native>> {
    let mut rows = db.prepare("SELECT id, username, key_sha256, is_active FROM streamers")?;
    let natives = rows.query_map([], |row| {
        let username: String = row.get(1)?;
        let key = KeyDigest::from_bytes(row.get(2)?);
        let name = username.to_ascii_lowercase();
        Ok((name, Native { id: row.get(0)?, username, key, is_active: row.get(3)? }))
    })?;
    natives.collect()
}

/// What becomes of one entry.
struct Step<'a> {
    entry: &'a Entry,
    native: Option<&'a Native>,
}

impl Step<'_> {
    fn change(&self) -> Change {
        let Some(native) = self.native else { return Change::Added };
        match (native.key != self.entry.key, native.is_active != self.entry.is_active) {
            (false, false) => Change::Unchanged,
            (key, is_active) => Change::Updated { key, is_active },
        }
    }

    fn told(&self) -> Imported {
        let username = match self.native {
            Some(native) => native.username.clone(),
            None => self.entry.username.as_str().to_owned(),
        };
        Imported { username, is_active: self.entry.is_active, change: self.change() }
    }
}

/// Refuses keys of streamers whom the source does not have: nobody else's key changes.
fn plan<'a>(
    entries: &'a [Entry],
    natives: &'a HashMap<String, Native>,
) -> Result<Vec<Step<'a>>, ImportError> {
    let name = |username: &Username| username.as_str().to_ascii_lowercase();
    let steps: Vec<_> = entries
        .iter()
        .map(|entry| Step { entry, native: natives.get(&name(&entry.username)) })
        .collect();
    let mut others: HashMap<_, _> = natives.values().map(|native| (native.id, native)).collect();
    for native in steps.iter().filter_map(|step| step.native) {
        others.remove(&native.id);
    }
    let others: HashMap<_, _> =
        others.into_values().map(|other| (other.key, &other.username)).collect();
    let bad: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let other = others.get(&entry.key)?.to_string();
            Some(entry.bad(RowFault::KeyOfAnother(other)))
        })
        .collect();
    match bad.is_empty() {
        true => Ok(steps),
        false => Err(ImportError::Rows { bad, total: entries.len() }),
    }
}

fn write(db: &Transaction<'_>, plan: &[Step<'_>]) -> rusqlite::Result<()> {
    let now = now();
    // Keys may go round among streamers, and at no moment two may have the same.
    let mut free = db.prepare("UPDATE streamers SET key_sha256 = randomblob(32) WHERE id = ?1")?;
    let mut rekey = db.prepare(REKEY)?;
    let mut set_active = db.prepare("UPDATE streamers SET is_active = ?2 WHERE id = ?1")?;
    let mut add = db.prepare(
        "INSERT INTO streamers (username, key_sha256, is_active, created_at, key_changed_at)
         VALUES (?1, ?2, ?3, ?4, ?4)",
    )?;
    let rekeyed = || {
        plan.iter()
            .filter(|step| matches!(step.change(), Change::Updated { key: true, .. }))
            .filter_map(|step| Some((step.native?.id, step.entry.key)))
    };
    for (id, _) in rekeyed() {
        free.execute([id])?;
    }
    for (id, key) in rekeyed() {
        rekey.execute(params![id, key.as_bytes(), now])?;
    }
    for Step { entry, native } in plan {
        match native {
            None => add.execute(params![
                entry.username.as_str(),
                entry.key.as_bytes(),
                entry.is_active,
                now
            ])?,
            Some(native) if native.is_active != entry.is_active => {
                set_active.execute(params![native.id, entry.is_active])?
            }
            Some(_) => 0,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;

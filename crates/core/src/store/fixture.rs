//! A database in a directory of its own, for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::admin::Store;
use super::recheck::Admission;
use super::thread::{Boot, Server};
use super::visitor::Visitor;
use crate::key::KeyDigest;
use crate::registry::Owner;
use crate::username::Username;

pub(super) struct Fixture {
    dir: TempDir,
    path: PathBuf,
}

impl Fixture {
    /// With the native schema and no streamers.
    pub(super) fn new() -> Self {
        Self::named("stagedoor.db")
    }

    pub(super) fn named(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        Store::create(&path).unwrap();
        Self { dir, path }
    }

    /// Without a database.
    pub(super) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stagedoor.db");
        Self { dir, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn store(&self) -> Store {
        Store::open(&self.path).unwrap()
    }

    /// Adds a streamer and returns the digest of their key.
    pub(super) fn add(&self, username: &str) -> KeyDigest {
        self.store().add(&Username::parse(username).unwrap()).unwrap().digest()
    }

    /// A connection as any other program would have.
    pub(super) fn raw(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// The names in the directory, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Who has this key, as workers ask.
pub(super) fn visitor(key: KeyDigest) -> Arc<Visitor> {
    Arc::new(Visitor::known_by(key, "live", "192.0.2.7"))
}

/// What a streamer of the native schema is let in with.
pub(super) fn admission(streamer_id: i64, username: &str, key: KeyDigest) -> Admission {
    Admission { streamer_id, username: Username::parse(username).unwrap(), visitor: visitor(key) }
}

/// A server of which nothing is live, and of whose workers `dead` is gone.
#[derive(Debug, Default)]
pub(super) struct QuietServer {
    pub(super) dead: Option<Owner>,
}

impl Server for QuietServer {
    fn is_alive(&self, worker: Owner) -> bool {
        Some(worker) != self.dead
    }

    fn is_live(&self, _username: &str) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        Boot::Free
    }

    fn booted(&self) {}
}

//! A database of one case's own, and the server that its store thread belongs to.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use stagedoor_core::key::{KeyDigest, StreamKey};
use stagedoor_core::registry::Owner;
use stagedoor_core::store::foreign::{Role, Statement, Statements};
use stagedoor_core::store::thread::{Boot, Server};
use stagedoor_core::store::{Layout, Store, Visitor};
use stagedoor_core::username::Username;
use tempfile::TempDir;

/// Whose tables the database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Stagedoor's own, with a log.
    Native,
    /// An application's, with a rollback journal.
    Foreign,
}

/// A directory with a database of its own.
pub struct Scene {
    pub journal: Journal,
    pub directory: TempDir,
    pub path: PathBuf,
}

/// Made once, without faults: streamer 1, `benw`, may stream, `zoe` may not.
struct Template {
    directory: TempDir,
    native_key: StreamKey,
    native_banned_key: StreamKey,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::create(&directory.path().join("native")).unwrap();
        let native_key = store.add(&Username::parse("benw").unwrap()).unwrap();
        let native_banned_key = store.add(&Username::parse("zoe").unwrap()).unwrap();
        store.set_active("zoe", false).unwrap();
        drop(store);
        let db = Connection::open(directory.path().join("foreign")).unwrap();
        db.execute_batch(
            "CREATE TABLE users (name TEXT, key TEXT UNIQUE, is_active INTEGER, live_since TEXT);
             INSERT INTO users VALUES ('benw', 'benw-key', 1, NULL), ('zoe', 'zoe-key', 0, NULL);",
        )
        .unwrap();
        drop(db);
        Template { directory, native_key, native_banned_key }
    })
}

impl Scene {
    pub fn new(journal: Journal) -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stagedoor.db");
        let from = match journal {
            Journal::Native => "native",
            Journal::Foreign => "foreign",
        };
        fs::copy(template().directory.path().join(from), &path).unwrap();
        Scene { journal, directory, path }
    }
}

/// A server of one worker, with one stream or none.
#[derive(Debug, Default)]
pub struct Alone {
    pub is_live: AtomicBool,
}

impl Server for Alone {
    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, _username: &str) -> bool {
        self.is_live.load(Ordering::SeqCst)
    }

    fn boot(&self) -> Boot {
        Boot::Free
    }

    fn booted(&self) {}
}

/// How a database is asked and told.
pub fn layout(journal: Journal) -> Layout {
    let statement = |role, sql: &str| Statement::new(role, sql.to_owned(), "nginx.conf".to_owned());
    match journal {
        Journal::Native => Layout::Native,
        Journal::Foreign => Layout::Foreign(Arc::new(Statements {
            query: statement(
                Role::Query,
                "SELECT name AS username, is_active FROM users WHERE key = :key",
            ),
            on_start: Some(statement(
                Role::Start,
                "UPDATE users SET live_since = :now WHERE name = :username",
            )),
            on_stop: Some(statement(
                Role::Stop,
                "UPDATE users SET live_since = NULL WHERE name = :username",
            )),
            on_boot: None,
        })),
    }
}

/// The streamers' keys, and nobody's.
pub struct Keys {
    pub good: Arc<Visitor>,
    pub banned: Arc<Visitor>,
    pub nobodys: Arc<Visitor>,
}

impl Keys {
    pub fn of(journal: Journal) -> Keys {
        let (app, addr) = ("live", "192.0.2.7");
        let digest = |digest: KeyDigest| Arc::new(Visitor::known_by(digest, app, addr));
        let key =
            |key: &[u8]| Arc::new(Visitor::with_key(StreamKey::parse(key).unwrap(), app, addr));
        match journal {
            Journal::Native => Keys {
                good: digest(template().native_key.digest()),
                banned: digest(template().native_banned_key.digest()),
                nobodys: digest(KeyDigest::of(b"nobody's")),
            },
            Journal::Foreign => Keys {
                good: key(b"benw-key"),
                banned: key(b"zoe-key"),
                nobodys: key(b"nobodys-key"),
            },
        }
    }
}

//! Values bound into an operator's statements. Input, each on a line but the last: a username, an
//! application, an address; the length of a key in one byte, the key, and another key.
//!
//! A key finds its own row and changes that one; another finds nothing and changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use rusqlite::types::Value;
use stagedoor_core::key::StreamKey;
use stagedoor_core::store::foreign::{Role, Statement, Statements};
use stagedoor_core::store::{Verdict, Visitor, fuzzing};
use stagedoor_core::username::Username;

const SCHEMA: &str = "
    CREATE TABLE streams (
        key UNIQUE, key_sha256 TEXT UNIQUE, username TEXT, is_active INTEGER DEFAULT 1,
        streams_as TEXT, app TEXT, addr TEXT, started_at TEXT);
    INSERT INTO streams (key, username) VALUES ('benws', 'benw'), ('', 'empty'), (NULL, 'nobody'),
        (x'', 'blob'), (0, 'zero');";
const NOTE: &str = "UPDATE streams SET streams_as = :username, app = :app, addr = :addr,
    started_at = :now WHERE ";
const QUERY: &str = "SELECT username, is_active FROM streams WHERE ";
const MEANS: [&str; 2] = ["key = :key", "key_sha256 = :key_sha256"];
const NOW: &str = "2024-02-29 12:00:00.000000";

fn statement(role: Role, sql: &str, means: &str) -> Statement {
    Statement::new(role, format!("{sql}{means}"), "nginx.conf:1".to_owned())
}

struct Scene {
    db: Connection,
    statements: [Statements; 2],
}

impl Scene {
    fn new() -> Scene {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let statements = MEANS.map(|means| Statements {
            query: statement(Role::Query, QUERY, means),
            on_start: Some(statement(Role::Start, NOTE, means)),
            on_stop: None,
            on_boot: None,
        });
        Scene { db, statements }
    }

    fn rows_noted(&self) -> Vec<(String, String, String, String, String)> {
        let sql = "SELECT username, streams_as, app, addr, started_at FROM streams
            WHERE started_at IS NOT NULL";
        let mut rows = self.db.prepare_cached(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        rows.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

thread_local! {
    static SCENE: Scene = Scene::new();
}

fn parse(data: &[u8]) -> Option<([&str; 3], StreamKey, StreamKey)> {
    let mut lines = data.splitn(4, |&byte| byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next()?).ok();
    let texts = [text()?, text()?, text()?];
    let (len, keys) = lines.next()?.split_first()?;
    let (key, other) = keys.split_at_checked(usize::from(*len))?;
    Some((texts, StreamKey::parse(key).ok()?, StreamKey::parse(other).ok()?))
}

fuzz_target!(|data: &[u8]| {
    let Some(([username, app, addr], key, other)) = parse(data) else { return };
    if key.expose() == b"benws" || other.expose() == b"benws" {
        return;
    }
    SCENE.with(|scene| {
        scene.db.execute_batch("BEGIN").unwrap();
        let stored = match std::str::from_utf8(key.expose()) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(key.expose().to_vec()),
        };
        let digest = key.digest();
        let is_same = other.expose() == key.expose();
        scene
            .db
            .prepare_cached(
                "INSERT INTO streams (key, key_sha256, username) VALUES (?1, ?2, 'anna')",
            )
            .unwrap()
            .execute((stored, digest.to_hex()))
            .unwrap();
        let (key, other) = (Visitor::with_key(key, app, addr), Visitor::with_key(other, app, addr));
        for statements in &scene.statements {
            asks_and_notes(scene, statements, &key, &other, is_same, [username, app, addr]);
        }
        scene.db.execute_batch("ROLLBACK").unwrap();
    });
});

fn asks_and_notes(
    scene: &Scene,
    statements: &Statements,
    key: &Visitor,
    other: &Visitor,
    is_same: bool,
    [username, app, addr]: [&str; 3],
) {
    let anna = Username::parse("anna").unwrap();
    let allowed = Verdict::Allowed { streamer_id: 0, username: anna };
    assert_eq!(fuzzing::look_up(statements, &scene.db, key), Ok(allowed));
    if !is_same {
        assert_eq!(fuzzing::look_up(statements, &scene.db, other), Ok(Verdict::Unknown));
    }
    let note = statements.on_start.as_ref().unwrap();
    scene.db.execute_batch("UPDATE streams SET started_at = NULL").unwrap();
    if !is_same {
        fuzzing::note(note, &scene.db, other, username, NOW).unwrap();
        assert_eq!(scene.rows_noted(), []);
    }
    fuzzing::note(note, &scene.db, key, username, NOW).unwrap();
    let row = ["anna", username, app, addr, NOW].map(str::to_owned).into();
    assert_eq!(scene.rows_noted(), [row]);
}

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;

use super::ask::HOLD;
use super::*;
use crate::key::{KeyDigest, StreamKey};
use crate::policy::Stop;
use crate::store::check::CheckError;
use crate::store::error::StoreError;
use crate::store::lookup::Verdict;
use crate::store::recheck::Admission;
use crate::store::visitor::Visitor;
use crate::username::Username;

const QUERY: &str = "SELECT username, is_active FROM streams WHERE key = :key";

fn statement(role: Role, sql: &str) -> Statement {
    Statement::new(role, sql.to_owned(), "nginx.conf:7".to_owned())
}

fn statements(query: &str) -> Statements {
    Statements {
        query: statement(Role::Query, query),
        on_start: None,
        on_stop: None,
        on_boot: None,
    }
}

fn path() -> &'static Path {
    Path::new("site.db")
}

fn visitor(key: &[u8]) -> Visitor {
    Visitor::with_key(StreamKey::parse(key).unwrap(), "live", "192.0.2.7")
}

/// A table whose columns have no type, so that anything can stand in them.
fn site() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "CREATE TABLE streams (key, username, is_active);
         CREATE INDEX streams_key ON streams (key);
         INSERT INTO streams VALUES ('benws', 'benw', 1), ('zoes', 'zoe', 0);",
    )
    .unwrap();
    db
}

fn answer(db: &Connection, query: &str, key: &[u8]) -> Result<Verdict, StoreError> {
    look_up(&statements(query), db, path(), &visitor(key))
}

fn allowed(username: &str) -> Result<Verdict, StoreError> {
    Ok(Verdict::Allowed { streamer_id: 0, username: Username::parse(username).unwrap() })
}

fn mistake(db: &Connection, statements: &Statements) -> Result<(), String> {
    statements.check(db, path()).map_err(|error| error.to_string())
}

#[test]
fn a_key_answers_with_its_username() {
    let db = site();
    assert_eq!(answer(&db, QUERY, b"benws"), allowed("benw"));
    assert!(matches!(answer(&db, QUERY, b"zoes"), Ok(Verdict::Inactive { .. })));
    assert_eq!(answer(&db, QUERY, b"nobodys"), Ok(Verdict::Unknown));
    assert_eq!(answer(&db, QUERY, b"BENWS"), Ok(Verdict::Unknown));
    assert_eq!(
        answer(&db, "SELECT username FROM streams WHERE key = :key", b"zoes"),
        allowed("zoe")
    );
}

#[test]
fn every_parameter_has_its_value() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("CREATE TABLE seen (key, key_sha256, username, app, addr, now)").unwrap();
    let sql = "INSERT INTO seen VALUES (:key, :key_sha256, :username, :app, :addr, :now)";
    let visitor = visitor(b"abc");
    let values = Values { username: Some("benw"), now: Some("today"), ..Values::of(&visitor) };
    statement(Role::Start, sql).run(&db, &values).unwrap();
    let seen: Vec<String> = db
        .query_row("SELECT * FROM seen", [], |row| (0..6).map(|at| row.get(at)).collect())
        .unwrap();
    let digest = KeyDigest::of(b"abc").to_hex();
    assert_eq!(seen, ["abc", &digest, "benw", "live", "192.0.2.7", "today"]);
}

#[test]
fn a_digest_in_hex_finds_its_key() {
    let db = site();
    let hex = KeyDigest::of(b"benws").to_hex();
    db.execute("UPDATE streams SET key = ?1 WHERE username = 'benw'", [hex]).unwrap();
    let query = QUERY.replace(":key", ":key_sha256");
    assert_eq!(answer(&db, &query, b"benws"), allowed("benw"));
}

#[test]
fn a_row_that_cannot_be_used_is_a_fault_of_that_row() {
    let db = site();
    for (values, reason) in [
        ("NULL, 1", "NULL for \"username\""),
        ("7, 1", "an integer for \"username\""),
        ("x'62', 1", "a blob for \"username\""),
        ("CAST(x'ff' AS TEXT), 1", "not UTF-8"),
        ("'', 1", "empty"),
        ("'../x', 1", "cannot start with"),
        ("'a/b', 1", "holds only letters"),
        ("'benw', NULL", "NULL for \"is_active\""),
        ("'benw', 'yes'", "text for \"is_active\""),
        ("'benw', 0.5", "a fraction for \"is_active\""),
        ("'benw', 1), ('odd', 'benw', 1", "more than one row"),
    ] {
        db.execute("DELETE FROM streams WHERE key = 'odd'", []).unwrap();
        db.execute(&format!("INSERT INTO streams VALUES ('odd', {values})"), []).unwrap();
        let error = answer(&db, QUERY, b"odd").unwrap_err();
        assert!(error.concerns_one_row(), "{values}: {error}");
        assert!(error.to_string().contains(reason), "{values}: {error}");
        assert_eq!(answer(&db, QUERY, b"benws"), allowed("benw"));
    }
}

#[test]
fn a_key_on_which_the_query_fails_is_a_fault_of_that_key() {
    let db = site();
    let query = "SELECT username FROM streams WHERE key = json_extract(:key, '$')";
    let error = answer(&db, query, b"benws").unwrap_err();
    assert!(error.concerns_one_row(), "{error}");
    assert_eq!(
        error.to_string(),
        "database \"site.db\" gives stagedoor_query an error: malformed JSON"
    );
    assert_eq!(answer(&db, query, b"\"benws\""), allowed("benw"));
}

#[test]
fn a_query_that_never_ends_is_ended() {
    let mut db = site();
    keep_deadlines(&mut db).unwrap();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT username FROM streams, n WHERE key = 'benws' AND :key = 'zoes' AND i < 0";
    let error = answer(&db, endless, b"zoes").unwrap_err();
    assert!(error.concerns_one_row(), "{error}");
    assert!(error.to_string().ends_with("gives stagedoor_query no answer within a second"));
    assert_eq!(answer(&db, QUERY, b"benws"), allowed("benw"));
}

#[test]
fn a_fault_tells_no_part_of_the_key() {
    let db = site();
    db.execute_batch("CREATE VIRTUAL TABLE texts USING fts5(username)").unwrap();
    let query = "SELECT username FROM texts WHERE texts MATCH :key";
    let error = answer(&db, query, b"my-secret").unwrap_err().to_string();
    assert_eq!(
        error,
        "database \"site.db\" gives stagedoor_query an error: the reason tells a part of the stream key"
    );
}

#[test]
fn a_number_other_than_0_is_true() {
    let db = site();
    db.execute("UPDATE streams SET is_active = 4", []).unwrap();
    assert_eq!(answer(&db, QUERY, b"zoes"), allowed("zoe"));
}

#[test]
fn a_table_that_went_away_is_a_fault_of_the_database() {
    let db = site();
    assert_eq!(answer(&db, QUERY, b"benws"), allowed("benw"));
    db.execute_batch("DROP TABLE streams").unwrap();
    let error = answer(&db, QUERY, b"benws").unwrap_err();
    assert!(!error.concerns_one_row());
    assert_eq!(
        error.to_string(),
        "database \"site.db\" does not fit stagedoor_query, which cannot run: SQLite says \"no such table: streams\""
    );
}

/// Where the username stood the key stands now: published under it, everybody would see it.
#[test]
fn a_column_is_found_where_it_stands_after_a_change_of_the_schema() {
    let db = site();
    db.execute_batch("CREATE TABLE keys AS SELECT key, username FROM streams").unwrap();
    let query = "SELECT * FROM keys WHERE key = :key";
    assert_eq!(answer(&db, query, b"benws"), allowed("benw"));
    db.execute_batch(
        "DROP TABLE keys;
         CREATE TABLE keys AS SELECT rowid AS id, key, username FROM streams;",
    )
    .unwrap();
    assert_eq!(answer(&db, query, b"benws"), allowed("benw"));
}

#[test]
fn each_reason_to_stop_is_found() {
    let mut db = site();
    let admission = |username: &str, key: &[u8]| Admission {
        streamer_id: 0,
        username: Username::parse(username).unwrap(),
        visitor: Arc::new(visitor(key)),
    };
    let streams = [
        ("goes on", admission("benw", b"benws")),
        ("inactive", admission("zoe", b"zoes")),
        ("renamed", admission("ben", b"benws")),
        ("gone", admission("anna", b"annas")),
    ];
    let look = |db: &mut Connection| {
        let streams = streams.iter().map(|(name, admission)| (*name, admission));
        recheck(&statements(QUERY), db, path(), streams)
    };
    assert_eq!(
        look(&mut db).unwrap(),
        [("inactive", Stop::Banned), ("renamed", Stop::KeyReplaced), ("gone", Stop::KeyReplaced)]
    );
    db.execute("UPDATE streams SET username = NULL, is_active = 1", []).unwrap();
    assert_eq!(look(&mut db).unwrap(), [("gone", Stop::KeyReplaced)]);
    db.execute_batch("DROP TABLE streams").unwrap();
    assert!(look(&mut db).is_err());
}

/// With a rollback journal, the application writes between two looks, or not at all.
#[test]
fn streams_are_looked_at_together_but_not_for_long() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let [mut db, application] = [0, 1].map(|_| Connection::open(file.path()).unwrap());
    application.busy_timeout(Duration::ZERO).unwrap();
    application.execute_batch("CREATE TABLE streams (key, username, is_active)").unwrap();
    let admission = Admission {
        streamer_id: 0,
        username: Username::parse("benw").unwrap(),
        visitor: Arc::new(visitor(b"benws")),
    };
    let write = || application.execute("INSERT INTO streams VALUES ('zoes', 'zoe', 1)", []).is_ok();
    let mut written = Vec::new();
    let streams = (0..4).map(|at| {
        written.push(write());
        if at == 2 {
            thread::sleep(HOLD);
        }
        (at, &admission)
    });
    let stops = recheck(&statements(QUERY), &mut db, path(), streams).unwrap();
    assert_eq!(stops.len(), 4);
    assert_eq!(written, [true, false, false, true]);
}

#[test]
fn a_mistake_is_one_of_the_configuration_and_a_fault_is_not() {
    let db = site();
    mistake(&db, &statements(QUERY)).unwrap();
    let said = mistake(&db, &statements("SELECT 1")).unwrap_err();
    assert!(said.starts_with("\"stagedoor_query\" directive "), "{said}");
    assert!(said.ends_with(" in nginx.conf:7"), "{said}");
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "x".repeat(5000)).unwrap();
    let db = Connection::open(broken.path()).unwrap();
    let error = statements(QUERY).check(&db, path()).unwrap_err();
    assert!(matches!(error, CheckError::Store(StoreError::NotADatabase { .. })), "{error}");
}

#[test]
fn advice_is_given_where_it_helps() {
    let db = site();
    assert_eq!(statements(QUERY).advice(&db), []);
    let unindexed = statements("SELECT username FROM streams WHERE username || key = :key");
    assert!(
        matches!(&unindexed.advice(&db)[..], [Advice::NoIndex { table, .. }] if table == "streams")
    );
    let end =
        |sql: &str| Statements { on_stop: Some(statement(Role::Stop, sql)), ..statements(QUERY) };
    let by_key = end("DELETE FROM streams WHERE key = :key").advice(&db);
    assert!(matches!(by_key[..], [Advice::StopByKey { .. }]));
    for by_name in ["username = :username", "key = :key OR username = :username"] {
        let sql = format!("DELETE FROM streams WHERE {by_name}");
        assert_eq!(end(&sql).advice(&db), []);
    }
}

proptest! {
    #[test]
    fn a_key_finds_itself_and_nothing_else(
        key in proptest::collection::vec(prop_oneof![0x20..=0x7eu8, 0x80..=0xffu8], 1..=255),
        other in "[a-z'\";%_ -]{1,40}",
    ) {
        let db = site();
        let as_stored = match std::str::from_utf8(&key) {
            Ok(text) => rusqlite::types::Value::Text(text.to_owned()),
            Err(_) => rusqlite::types::Value::Blob(key.clone()),
        };
        db.execute("INSERT INTO streams VALUES (?1, 'anna', 1)", [as_stored]).unwrap();
        prop_assert_eq!(answer(&db, QUERY, &key), allowed("anna"));
        if other.as_bytes() != &key[..] && !["benws", "zoes"].contains(&other.as_str()) {
            prop_assert_eq!(answer(&db, QUERY, other.as_bytes()), Ok(Verdict::Unknown));
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(sql in ".{0,60}", role in 0..4usize) {
        let role = [Role::Query, Role::Start, Role::Stop, Role::Boot][role];
        let statements = Statements { on_start: Some(statement(role, &sql)), ..statements(QUERY) };
        let _ = statements.check(&site(), path());
    }
}

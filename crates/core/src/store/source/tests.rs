use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::SystemTime;

use rusqlite::Connection;

use super::*;
use crate::store::fixture::Fixture;

/// What stands in the directory: each file with its bytes and the time of its last change.
type Traces = BTreeMap<String, (Vec<u8>, SystemTime)>;

fn traces(fixture: &Fixture) -> Traces {
    let trace = |name: String| {
        let path = fixture.beside(&name);
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        (name, (fs::read(path).unwrap(), changed))
    };
    fixture.files().into_iter().map(trace).collect()
}

/// The database of another program with one table, in this journal mode.
fn foreign(fixture: &Fixture, mode: &str) -> Connection {
    let db = fixture.raw();
    db.pragma_update(None, "journal_mode", mode).unwrap();
    db.execute_batch("CREATE TABLE auth_user (id INTEGER, name TEXT)").unwrap();
    db
}

fn insert(db: &Connection, name: &str) {
    db.execute("INSERT INTO auth_user (name) VALUES (?1)", [name]).unwrap();
}

fn names(fixture: &Fixture) -> Result<String, StoreError> {
    let fault = |error| StoreError::from_sqlite(fixture.path(), &error);
    read(fixture.path(), Duration::ZERO, |db| {
        let sql = "SELECT group_concat(name) FROM auth_user";
        db.query_row(sql, [], |row| row.get(0)).map_err(fault)
    })
}

/// A copy of the files with these endings, as after a crash or from a backup.
fn copy(from: &Fixture, endings: &[&str]) -> Fixture {
    let copy = Fixture::empty();
    for ending in endings {
        fs::copy(side_file(from.path(), ending), side_file(copy.path(), ending)).unwrap();
    }
    copy
}

#[test]
fn a_database_at_rest_is_read_and_nothing_changes() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "WAL"] {
        let fixture = Fixture::empty();
        insert(&foreign(&fixture, mode), "benw");
        let before = traces(&fixture);
        assert_eq!(names(&fixture).unwrap(), "benw", "{mode}");
        assert!(traces(&fixture) == before, "{mode}: {:?}", fixture.files());
    }
}

#[test]
fn a_log_that_nobody_uses_is_read_with_its_index_and_without() {
    let fixture = Fixture::empty();
    let db = foreign(&fixture, "WAL");
    insert(&db, "benw");
    for endings in [&["", "-wal", "-shm"][..], &["", "-wal"]] {
        let copy = copy(&fixture, endings);
        let before = traces(&copy);
        assert_eq!(names(&copy).unwrap(), "benw", "{endings:?}");
        assert!(traces(&copy) == before, "{endings:?}: {:?}", copy.files());
    }
}

#[test]
fn whoever_uses_the_database_goes_on_writing() {
    let fixture = Fixture::empty();
    let db = foreign(&fixture, "WAL");
    let written = read(fixture.path(), Duration::ZERO, |source| {
        let mut rows = source.prepare("SELECT name FROM auth_user").unwrap();
        let mut rows = rows.query([]).unwrap();
        insert(&db, "benw");
        assert!(rows.next().unwrap().is_none_or(|row| row.get::<_, String>(0).unwrap() == "benw"));
        Ok::<_, StoreError>(db.changes())
    });
    assert_eq!(written.unwrap(), 1);
}

#[test]
fn a_transaction_that_was_left_unfinished_is_left_to_its_program() {
    let fixture = Fixture::empty();
    let db = foreign(&fixture, "DELETE");
    db.pragma_update(None, "cache_size", 1).unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute_batch(
        "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)
         INSERT INTO auth_user SELECT i, hex(randomblob(100)) FROM n",
    )
    .unwrap();
    let copy = copy(&fixture, &["", "-journal"]);
    let before = traces(&copy);
    let error = names(&copy).unwrap_err();
    assert!(error.to_string().contains("left a transaction unfinished"), "{error}");
    assert!(is_foreign(copy.path()));
    assert!(traces(&copy) == before);
}

#[test]
fn what_is_foreign_is_told_from_what_is_not() {
    let native = Fixture::new();
    assert!(!is_foreign(native.path()));
    native.raw().pragma_update(None, "user_version", 99).unwrap();
    assert!(!is_foreign(native.path()));
    for version in [0, 1, 99] {
        let fixture = Fixture::empty();
        assert!(!is_foreign(fixture.path()));
        File::create(fixture.path()).unwrap();
        assert!(!is_foreign(fixture.path()));
        foreign(&fixture, "WAL").pragma_update(None, "user_version", version).unwrap();
        assert!(is_foreign(fixture.path()));
    }
}

#[test]
fn a_schema_that_is_in_the_log_only_is_seen() {
    let fixture = Fixture::empty();
    let db = foreign(&fixture, "WAL");
    let copy = copy(&fixture, &["", "-wal"]);
    assert_eq!(fs::metadata(copy.path()).unwrap().len(), 4096);
    assert!(is_foreign(copy.path()));
    drop(db);
}

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use super::*;
use crate::key::KeyDigest;
use crate::store::fixture::Fixture;
use crate::store::stamp::side_file;

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn digest_in(fixture: &Fixture) -> Vec<u8> {
    let sql = "SELECT key_sha256 FROM streamers";
    fixture.raw().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn creating_twice_keeps_what_is_there() {
    let fixture = Fixture::empty();
    let (mut store, init) = Store::create(fixture.path()).unwrap();
    assert_eq!(init, Init::Created);
    store.add(&name("benw")).unwrap();
    let (store, init) = Store::create(fixture.path()).unwrap();
    assert_eq!(init, Init::UpToDate);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_created_database_is_in_wal_mode_and_not_for_everybody() {
    let fixture = Fixture::new();
    let mode: String =
        fixture.raw().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(fs::metadata(fixture.path()).unwrap().mode() & 0o007, 0);
}

#[test]
fn what_is_reported_done_is_synced() {
    let store = Fixture::new().store();
    let pragma = |sql| store.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("PRAGMA synchronous"), 2); // FULL
    assert_eq!(pragma("PRAGMA foreign_keys"), 1);
}

#[test]
fn root_gives_what_it_creates_to_the_owner_of_the_directory() {
    let fixture = Fixture::empty();
    let directory = fixture.path().parent().unwrap();
    if fs::metadata(directory).unwrap().uid() != 0 {
        return; // nobody else can give files away
    }
    chown(directory, Some(65_533), Some(65_534)).unwrap();
    let (mut store, _) = Store::create(fixture.path()).unwrap();
    store.add(&name("benw")).unwrap();
    for file in fixture.files() {
        let file = fs::metadata(fixture.beside(&file)).unwrap();
        assert_eq!((file.uid(), file.gid()), (65_533, 65_534));
    }
    assert_eq!(fixture.files().len(), 3);
}

#[test]
fn a_log_of_a_former_database_does_not_enter_a_new_one() {
    let fixture = Fixture::new();
    let worker = fixture.raw(); // keeps the log in place
    fixture.add("benw");
    fs::remove_file(fixture.path()).unwrap();
    let (store, init) = Store::create(fixture.path()).unwrap();
    assert_eq!(init, Init::Created);
    assert_eq!(store.list().unwrap(), []);
    drop(worker);
}

#[test]
fn creating_without_a_directory_names_the_directory() {
    let error = Store::create(&Fixture::empty().beside("no/such.db")).unwrap_err();
    assert!(matches!(error, AdminError::NoDirectory(_)), "{error}");
    assert!(error.to_string().contains("/no\" does not exist"), "{error}");
}

#[test]
fn opening_creates_nothing() {
    let fixture = Fixture::empty();
    let error = Store::open(fixture.path()).unwrap_err();
    assert!(matches!(error, AdminError::Store(StoreError::Missing { .. })), "{error}");
    assert_eq!(fixture.files().len(), 0);
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let fixture = Fixture::empty();
    let program = fixture.raw();
    program.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE auth_user (id)").unwrap();
    let copy = Fixture::empty();
    for suffix in ["", "-wal"] {
        fs::copy(side_file(fixture.path(), suffix), side_file(copy.path(), suffix)).unwrap();
    }
    let bytes = || copy.files().iter().map(|name| fs::read(copy.beside(name)).unwrap()).collect();
    let before: Vec<Vec<u8>> = bytes();
    let errors = [Store::create(copy.path()).unwrap_err(), Store::open(copy.path()).unwrap_err()];
    for error in errors {
        assert!(matches!(error, AdminError::Foreign(_)), "{error}");
    }
    assert!(bytes() == before && before.len() == 2);
}

#[test]
fn the_database_holds_the_digest_of_a_key_and_not_the_key() {
    let fixture = Fixture::new();
    let key = fixture.store().add(&name("benw")).unwrap();
    assert_eq!(digest_in(&fixture), KeyDigest::of(key.expose()).as_bytes());
    for file in fixture.files() {
        let bytes = fs::read(fixture.beside(&file)).unwrap();
        assert!(!bytes.windows(key.expose().len()).any(|window| window == key.expose()));
    }
}

#[test]
fn a_username_is_taken_whatever_its_case() {
    let mut store = Fixture::new().store();
    store.add(&name("benw")).unwrap();
    let error = store.add(&name("BenW")).unwrap_err();
    assert_eq!(error.to_string(), "the username \"BenW\" is taken");
    assert_eq!(store.show("BENW").unwrap().username, "benw");
}

#[test]
fn rotating_replaces_the_key_and_says_when() {
    let fixture = Fixture::new();
    let old = fixture.add("benw");
    let before = fixture.store().show("benw").unwrap();
    let new = fixture.store().rotate("benw").unwrap().key;
    assert_ne!(new.digest(), old);
    assert_eq!(digest_in(&fixture), new.digest().as_bytes());
    let after = fixture.store().show("benw").unwrap();
    assert_eq!(before.created_at, after.created_at);
    assert!(before.key_changed_at < after.key_changed_at);
}

#[test]
fn a_key_that_was_not_handed_over_leaves_everything_as_it_was() {
    let fixture = Fixture::new();
    let old = fixture.add("benw");
    let mut store = fixture.store();
    let before = store.list().unwrap();
    let rotated = store.rotate("benw").unwrap();
    store.take_back_rotated("benw", rotated).unwrap();
    let key = store.add(&name("anna")).unwrap();
    store.take_back_added(&name("anna"), key).unwrap();
    assert_eq!(store.list().unwrap(), before);
    assert_eq!(digest_in(&fixture), old.as_bytes());
}

#[test]
fn a_key_that_somebody_else_replaced_is_not_taken_back() {
    let fixture = Fixture::new();
    let mut store = fixture.store();
    let added = store.add(&name("benw")).unwrap();
    let rotated = store.rotate("benw").unwrap();
    let last = fixture.store().rotate("benw").unwrap().key;
    store.take_back_added(&name("benw"), added).unwrap_err();
    store.take_back_rotated("benw", rotated).unwrap_err();
    assert_eq!(digest_in(&fixture), last.digest().as_bytes());
}

#[test]
fn removing_a_streamer_removes_their_sessions() {
    let fixture = Fixture::new();
    fixture.add("benw");
    let sql = "INSERT INTO sessions (streamer_id, app, client_addr, started_at)
               VALUES (1, 'live', '::1', '2026-01-01 00:00:00.000000')";
    fixture.raw().execute(sql, []).unwrap();
    let mut store = fixture.store();
    assert!(store.show("benw").unwrap().is_live);
    store.remove("benw").unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(store.sessions(None, 10).unwrap(), []);
}

#[test]
fn kicking_marks_the_last_session_that_is_open() {
    let fixture = Fixture::new();
    fixture.add("benw");
    let mut store = fixture.store();
    let error = store.kick("BENW").unwrap_err();
    assert_eq!(error.to_string(), "the streamer \"benw\" is not live");
    let sql = "INSERT INTO sessions (streamer_id, app, client_addr, started_at)
               VALUES (1, 'live', '::1', '2026-01-01 00:00:00.000000')";
    let db = fixture.raw();
    db.execute(sql, []).unwrap();
    db.execute(sql, []).unwrap();
    assert_eq!(store.kick("BENW").unwrap(), 2);
    let sql = "SELECT group_concat(id) FROM sessions WHERE kick_requested_at IS NOT NULL";
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), "2");
    assert!(!store.has_ended(2).unwrap());
    db.execute("UPDATE sessions SET stopped_at = started_at", []).unwrap();
    assert!(store.has_ended(2).unwrap());
    assert!(matches!(store.kick("benw"), Err(AdminError::NotLive(_))));
}

#[test]
fn an_unknown_streamer_is_named_and_nothing_happens() {
    let mut store = Fixture::new().store();
    let errors = [
        store.show("ghost").unwrap_err(),
        store.rotate("ghost").unwrap_err(),
        store.set_active("ghost", false).unwrap_err(),
        store.kick("ghost").unwrap_err(),
        store.remove("ghost").unwrap_err(),
        store.sessions(Some("ghost"), 1).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "there is no streamer \"ghost\"");
    }
}

#[test]
fn the_list_is_in_the_order_of_names_and_says_who_is_banned() {
    let fixture = Fixture::new();
    for streamer in ["zoe", "Benw", "anna"] {
        fixture.add(streamer);
    }
    fixture.store().set_active("benw", false).unwrap();
    let list = fixture.store().list().unwrap();
    let list: Vec<_> = list.iter().map(|s| (s.username.as_str(), s.is_active)).collect();
    assert_eq!(list, [("anna", true), ("Benw", false), ("zoe", true)]);
}

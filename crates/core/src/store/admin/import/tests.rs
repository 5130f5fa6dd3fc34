use rusqlite::types::Null;
use rusqlite::{Connection, ToSql};

use super::*;
use crate::store::fixture::Fixture;

const QUERY: &str = "
    SELECT u.username, s.key, u.is_active
    FROM boltstream_stream s JOIN auth_user u ON u.id = s.user_id ORDER BY s.id";

/// A native database, and that of a Django application beside it.
struct Scene {
    native: Fixture,
    django: Fixture,
}

impl Scene {
    fn new() -> Self {
        let (native, django) = (Fixture::new(), Fixture::empty());
        let schema = "
            CREATE TABLE auth_user (id INTEGER PRIMARY KEY, username, is_active DEFAULT 1);
            CREATE TABLE boltstream_stream (id INTEGER PRIMARY KEY, key, user_id)";
        django.raw().execute_batch(schema).unwrap();
        Self { native, django }
    }

    fn with(streamers: &[(&str, &str)]) -> Self {
        let scene = Self::new();
        for (username, key) in streamers {
            scene.user(*username, *key);
        }
        scene
    }

    fn user(&self, username: impl ToSql, key: impl ToSql) {
        let db = self.django.raw();
        db.execute("INSERT INTO auth_user (username) VALUES (?1)", [username]).unwrap();
        let id = db.last_insert_rowid();
        let sql = "INSERT INTO boltstream_stream (key, user_id) VALUES (?1, ?2)";
        db.execute(sql, params![key, id]).unwrap();
    }

    fn django(&self, sql: &str) {
        self.django.raw().execute_batch(sql).unwrap();
    }

    fn run(&self, query: &str, dry_run: bool) -> Result<Vec<Imported>, ImportError> {
        self.native.store().import(self.django.path(), query, dry_run)
    }

    fn import(&self) -> Vec<Imported> {
        self.run(QUERY, false).unwrap()
    }

    fn changes(&self) -> Vec<Change> {
        self.import().into_iter().map(|imported| imported.change).collect()
    }

    fn refused(&self, query: &str) -> String {
        let before = dump(&self.native.raw());
        let error = self.run(query, false).unwrap_err();
        assert_eq!(dump(&self.native.raw()), before, "{error}");
        error.to_string()
    }

    /// What is wrong with the rows, a line each.
    fn bad(&self, query: &str) -> String {
        let before = dump(&self.native.raw());
        let Err(ImportError::Rows { bad, .. }) = self.run(query, false) else { panic!() };
        assert_eq!(dump(&self.native.raw()), before);
        bad.iter().map(|row| format!("{row}\n")).collect()
    }
}

/// All streamers with all columns.
fn dump(db: &Connection) -> Vec<String> {
    let sql = "SELECT concat_ws('|', id, username, hex(key_sha256), is_active, created_at,
                                key_changed_at) FROM streamers ORDER BY id";
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn key_of(scene: &Scene, username: &str) -> KeyDigest {
    let sql = "SELECT key_sha256 FROM streamers WHERE username = ?1";
    let bytes = scene.native.raw().query_row(sql, [username], |row| row.get(0)).unwrap();
    KeyDigest::from_bytes(bytes)
}

#[test]
fn streamers_are_added_with_the_digests_of_their_keys() {
    let scene = Scene::with(&[("benw", "key-of-benw"), ("Anna", "key-of-anna")]);
    scene.django("UPDATE auth_user SET is_active = 0 WHERE username = 'Anna'");
    let added = |username: &str, is_active| {
        let username = username.to_owned();
        Imported { username, is_active, change: Change::Added }
    };
    assert_eq!(scene.import(), [added("benw", true), added("Anna", false)]);
    assert_eq!(key_of(&scene, "benw"), KeyDigest::of(b"key-of-benw"));
    let list = scene.native.store().list().unwrap();
    let list: Vec<_> = list.iter().map(|s| (s.username.as_str(), s.is_active)).collect();
    assert_eq!(list, [("Anna", false), ("benw", true)]);
}

#[test]
fn a_second_import_changes_nothing() {
    let scene = Scene::with(&[("benw", "one"), ("anna", "two")]);
    scene.import();
    let once = dump(&scene.native.raw());
    assert_eq!(scene.changes(), [Change::Unchanged, Change::Unchanged]);
    assert_eq!(dump(&scene.native.raw()), once);
}

#[test]
fn a_changed_key_is_taken_over_and_says_when() {
    let scene = Scene::with(&[("benw", "one"), ("anna", "two")]);
    scene.import();
    let before = scene.native.store().list().unwrap();
    scene.django("UPDATE boltstream_stream SET key = 'new' WHERE key = 'one'");
    let rekeyed = Change::Updated { key: true, is_active: false };
    assert_eq!(scene.changes(), [rekeyed, Change::Unchanged]);
    assert_eq!(key_of(&scene, "benw"), KeyDigest::of(b"new"));
    let after = scene.native.store().list().unwrap();
    let [anna, benw] = &after[..] else { panic!("{after:?}") };
    assert_eq!(*anna, before[0]);
    assert!(benw.key_changed_at > before[1].key_changed_at);
    assert_eq!((benw.id, &benw.created_at), (before[1].id, &before[1].created_at));
}

#[test]
fn a_changed_flag_is_taken_over_and_leaves_the_key() {
    let scene = Scene::with(&[("benw", "one")]);
    scene.import();
    let before = scene.native.store().show("benw").unwrap();
    for is_active in [false, true] {
        scene.django(&format!("UPDATE auth_user SET is_active = {is_active}"));
        assert_eq!(scene.changes(), [Change::Updated { key: false, is_active: true }]);
        assert_eq!(scene.native.store().show("benw").unwrap().is_active, is_active);
    }
    assert_eq!(scene.native.store().show("benw").unwrap(), before);
    assert_eq!(key_of(&scene, "benw"), KeyDigest::of(b"one"));
}

#[test]
fn keys_may_go_round_among_streamers() {
    let scene = Scene::with(&[("a", "1"), ("b", "2"), ("c", "3")]);
    scene.import();
    scene.django("UPDATE boltstream_stream SET key = 1 + key % 3");
    scene.django("UPDATE boltstream_stream SET key = CAST(key AS TEXT)");
    assert_eq!(scene.changes(), [Change::Updated { key: true, is_active: false }; 3]);
    assert_eq!(key_of(&scene, "a"), KeyDigest::of(b"2"));
    assert_eq!(key_of(&scene, "c"), KeyDigest::of(b"1"));
}

#[test]
fn streamers_whom_the_source_does_not_have_stay() {
    let scene = Scene::with(&[("benw", "one")]);
    let key = scene.native.add("zoe");
    scene.import();
    scene.django("DELETE FROM boltstream_stream");
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.native.store().list().unwrap().len(), 2);
    assert_eq!(key_of(&scene, "zoe"), key);
}

#[test]
fn a_streamer_is_the_same_in_other_letters_and_keeps_the_spelling() {
    let scene = Scene::with(&[("BenW", "one")]);
    scene.native.add("benw");
    let imported = scene.import();
    assert_eq!(imported[0].username, "benw");
    assert_eq!(imported[0].change, Change::Updated { key: true, is_active: false });
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let scene = Scene::with(&[("benw", "one"), ("anna", "two")]);
    scene.native.add("benw");
    let before = dump(&scene.native.raw());
    let dry = scene.run(QUERY, true).unwrap();
    assert_eq!(dump(&scene.native.raw()), before);
    assert_eq!(scene.import(), dry);
    assert_ne!(dump(&scene.native.raw()), before);
}

#[test]
fn digests_are_taken_as_bytes_and_as_hex() {
    let scene = Scene::new();
    let (one, two) = (KeyDigest::of(b"one"), KeyDigest::of(b"two"));
    scene.user("benw", one.as_bytes());
    scene.user("anna", two.to_hex().to_uppercase());
    let query = QUERY.replace("s.key", "s.key AS key_sha256");
    assert_eq!(scene.run(&query, false).unwrap().len(), 2);
    assert_eq!((key_of(&scene, "benw"), key_of(&scene, "anna")), (one, two));
}

#[test]
fn without_is_active_everybody_is() {
    let scene = Scene::with(&[("benw", "one")]);
    scene.django("UPDATE auth_user SET is_active = 0");
    let query = "SELECT Username, KEY FROM auth_user JOIN boltstream_stream ON user_id = 1";
    assert!(scene.run(query, false).unwrap()[0].is_active);
}

#[test]
fn a_native_database_is_a_source_too() {
    let (one, other) = (Fixture::new(), Fixture::new());
    let key = one.add("benw");
    let query = "SELECT username, key_sha256, is_active FROM streamers";
    other.store().import(one.path(), query, false).unwrap();
    let raw = other.raw();
    let found: [u8; 32] =
        raw.query_row("SELECT key_sha256 FROM streamers", [], |row| row.get(0)).unwrap();
    assert_eq!(found, *key.as_bytes());
    let error = one.store().import(one.path(), query, false).unwrap_err();
    assert!(error.to_string().ends_with("cannot be imported into itself"), "{error}");
}

#[test]
fn each_bad_row_is_named_and_no_good_one_imported() {
    let scene = Scene::with(&[("good", "secret")]);
    scene.user("b/c", "secret-2");
    scene.user(Null, "secret-3");
    scene.user(b"bytes", "secret-4");
    scene.user("nokey", Null);
    scene.user("empty", "");
    scene.user("number", 17);
    scene.user("control", "secret\n");
    scene.user("long", "x".repeat(256));
    scene.user("question", "secret?x");
    scene.user("GOOD", "secret-11");
    scene.user("twin", "secret");
    scene.user("odd", "secret-13");
    scene.user("half", "secret-14");
    scene.django("UPDATE auth_user SET is_active = 'true' WHERE username = 'odd'");
    scene.django("UPDATE auth_user SET is_active = 0.5 WHERE username = 'half'");
    assert_eq!(
        scene.bad(QUERY),
        "row 2: a username holds only letters, digits and \"_\", \".\", \"@\", \"+\", \"-\"\n\
         row 3: the username is NULL, not text\n\
         row 4: the username is a blob, not text\n\
         row 5 (nokey): the key is NULL, not text\n\
         row 6 (empty): the stream key is empty\n\
         row 7 (number): the key is a number, not text\n\
         row 8 (control): the stream key holds a control character\n\
         row 9 (long): the stream key is longer than 255 bytes\n\
         row 10 (question): the stream key holds a \"?\", where encoders begin with arguments\n\
         row 11 (GOOD): has the username of row 1\n\
         row 12 (twin): has the stream key of row 1\n\
         row 13 (odd): the is_active is text, not 0 or 1\n\
         row 14 (half): the is_active is a fraction, not 0 or 1\n"
    );
    let refusal = scene.refused(QUERY);
    assert_eq!(refusal, "nothing is imported, because of 13 of 14 rows");
}

#[test]
fn what_is_no_digest_is_refused() {
    let scene = Scene::new();
    scene.user("short", [0u8; 31]);
    scene.user("nohex", "g".repeat(64));
    let bad = scene.bad(&QUERY.replace("s.key", "s.key AS key_sha256"));
    assert_eq!(
        bad,
        "row 1 (short): the key_sha256 is neither 32 bytes nor 64 hex digits\n\
         row 2 (nohex): the key_sha256 is neither 32 bytes nor 64 hex digits\n"
    );
}

#[test]
fn the_key_of_another_streamer_is_refused() {
    let scene = Scene::with(&[("ben", "one")]);
    scene.import();
    scene.django("UPDATE auth_user SET username = 'benw'");
    assert_eq!(
        scene.bad(QUERY),
        "row 1 (benw): has the stream key of the streamer \"ben\", who is in the database and not \
         in the query\n"
    );
}

#[test]
fn a_query_that_is_none_is_refused() {
    let scene = Scene::with(&[("benw", "one")]);
    let before = fs::read(scene.django.path()).unwrap();
    let cases = [
        ("SELECT username, key FROM nowhere", "fails: no such table: nowhere"),
        ("SELECT username key FROM", "fails: incomplete input"),
        ("SELECT 1; SELECT 2", "holds more than one statement"),
        ("DELETE FROM auth_user", "is not a SELECT"),
        ("DELETE FROM auth_user RETURNING username, id AS key", "is not a SELECT"),
        ("PRAGMA journal_mode = WAL", "is not a SELECT"),
        ("ATTACH 'other.db' AS other", "is not a SELECT"),
        ("", "is not a SELECT"),
        ("SELECT :username AS username, 1 AS key", "has a parameter, for which there is no value"),
        ("SELECT id, key FROM boltstream_stream", "returns no column \"username\", only id, key"),
        ("SELECT username FROM auth_user", "returns no column \"key\", only username"),
        (
            "SELECT *, username FROM auth_user, boltstream_stream",
            "returns two columns \"username\"",
        ),
        (
            "SELECT username, 1 AS key, 1 AS key_sha256 FROM auth_user",
            "returns both \"key\" and \"key_sha256\", and one of them has to do",
        ),
        (
            "SELECT username, abs(-9223372036854775807 - 1) AS key FROM auth_user",
            "fails: integer overflow",
        ),
    ];
    for (query, text) in cases {
        assert_eq!(scene.refused(query), format!("the query {text}"), "{query}");
    }
    assert_eq!(fs::read(scene.django.path()).unwrap(), before);
    assert_eq!(scene.django.files(), ["stagedoor.db"]);
}

#[test]
fn a_source_that_is_none_is_refused() {
    let scene = Scene::new();
    fs::remove_file(scene.django.path()).unwrap();
    assert!(scene.refused(QUERY).ends_with("stagedoor.db\" does not exist"));
    fs::write(scene.django.path(), "no database\n".repeat(100)).unwrap();
    assert!(scene.refused(QUERY).ends_with("is not an SQLite database"));
    fs::write(scene.django.path(), "").unwrap();
    assert_eq!(scene.refused(QUERY), "the query fails: no such table: boltstream_stream");
}

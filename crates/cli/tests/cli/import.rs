//! The database of another program: taken over, and otherwise left alone.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::scene::Scene;

const QUERY: &str = "SELECT u.username, s.key, u.is_active FROM boltstream_stream s
                     JOIN auth_user u ON u.id = s.user_id ORDER BY s.id";

/// The database of a Django application, beside ours, in this journal mode.
struct Django<'a> {
    scene: &'a Scene,
}

impl<'a> Django<'a> {
    fn new(scene: &'a Scene, mode: &str) -> Self {
        let django = Self { scene };
        let db = django.open();
        db.pragma_update(None, "journal_mode", mode).unwrap();
        db.execute_batch(
            "CREATE TABLE auth_user (id INTEGER PRIMARY KEY, username TEXT, is_active BOOL);
             CREATE TABLE boltstream_stream (id INTEGER PRIMARY KEY, key TEXT, user_id INTEGER);
             INSERT INTO auth_user VALUES (1, 'benw', 1), (2, 'anna', 1);
             INSERT INTO boltstream_stream VALUES (1, 'benws-secret', 1), (2, 'annas-secret', 2)",
        )
        .unwrap();
        django
    }

    fn open(&self) -> Connection {
        let db = Connection::open(self.scene.beside("db.sqlite3")).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap(); // Django's
        db
    }

    fn execute(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    /// The files of this database with the hashes of what is in them. Another process reads them:
    /// when this one closed a file it would lose SQLite's locks on it.
    fn hashes(&self) -> String {
        let names = self.scene.files().into_iter().filter(|name| name.starts_with("db.sqlite3"));
        let paths = names.map(|name| self.scene.beside(&name));
        let output = Command::new("sha256sum").args(paths).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

fn import(scene: &Scene) -> String {
    scene.done(&["import", "--query", QUERY, "db.sqlite3"])
}

fn list(scene: &Scene) -> String {
    scene.done(&["list"]).replace("\t-\t-\n", "\n")
}

#[test]
fn streamers_come_over_and_a_second_time_nothing_changes() {
    let scene = Scene::new();
    let django = Django::new(&scene, "DELETE");
    scene.done(&["add", "zoe"]);
    assert_eq!(import(&scene), "benw\tadded\nanna\tadded\n");
    assert_eq!(import(&scene), "benw\tunchanged\nanna\tunchanged\n");
    django.execute(
        "UPDATE boltstream_stream SET key = 'another' WHERE user_id = 1;
         UPDATE auth_user SET is_active = 0 WHERE id = 2",
    );
    assert_eq!(import(&scene), "benw\tnew key\nanna\tbanned\n");
    django.execute(
        "UPDATE boltstream_stream SET key = key || '!'; UPDATE auth_user SET is_active = 1",
    );
    assert_eq!(import(&scene), "benw\tnew key\nanna\tnew key, unbanned\n");
    assert_eq!(list(&scene), "anna\tactive\nbenw\tactive\nzoe\tactive\n");
}

#[test]
fn a_terminal_gets_what_changes_and_the_sums() {
    let scene = Scene::new();
    Django::new(&scene, "WAL").execute("UPDATE auth_user SET is_active = 0 WHERE id = 2");
    let file = scene.beside("db.sqlite3");
    let run = |option: &str| {
        let args = format!("import --query \"{QUERY}\" {option} {}", file.to_str().unwrap());
        scene.on_a_terminal(&args, &[("NO_COLOR", "1")])
    };
    let table = "USERNAME  CHANGE\nbenw      added\nanna      added, banned\n\n";
    assert_eq!(run("--dry-run"), format!("{table}2 to add, 0 to update, 0 unchanged\n"));
    assert_eq!(run(""), format!("{table}2 added, 0 updated, 0 unchanged\n"));
    assert_eq!(run(""), "0 added, 0 updated, 2 unchanged\n");
}

#[test]
fn json_names_the_columns_that_change() {
    let scene = Scene::new();
    let django = Django::new(&scene, "WAL");
    import(&scene);
    django.execute("UPDATE boltstream_stream SET key = 'another' WHERE user_id = 1");
    assert_eq!(
        scene.json(&["import", "--dry-run", "--query", QUERY, "db.sqlite3"]),
        json!({
            "dry_run": true, "added": 0, "updated": 1, "unchanged": 1,
            "streamers": [
                {
                    "username": "benw", "is_active": true,
                    "status": "updated", "changed": ["key_sha256"]
                },
                { "username": "anna", "is_active": true, "status": "unchanged", "changed": [] },
            ],
        })
    );
}

#[test]
fn a_dry_run_changes_nothing_and_creates_nothing() {
    let scene = Scene::new();
    let django = Django::new(&scene, "WAL");
    let before = (django.hashes(), list(&scene), scene.files());
    let dry = ["import", "--query", QUERY, "db.sqlite3", "--dry-run"];
    assert_eq!(scene.done(&dry), "benw\tadded\nanna\tadded\n");
    assert_eq!((django.hashes(), list(&scene), scene.files()), before);
    for args in [&dry[..], &dry[..4]] {
        let missing = scene.refused(&[&["--db", "none.db"], args].concat());
        assert!(missing.contains("\"stagedoor init\" creates it"), "{missing}");
        assert_eq!(scene.files(), before.2);
    }
}

#[test]
fn bad_rows_are_listed_and_none_is_imported() {
    let scene = Scene::new();
    let django = Django::new(&scene, "DELETE");
    django.execute(
        "INSERT INTO auth_user VALUES (3, 'carl/../x', 1), (4, 'dora', 1), (5, 'ANNA', 1);
         INSERT INTO boltstream_stream (key, user_id)
         VALUES ('carls-secret', 3), ('', 4), ('annas-other-secret', 5)",
    );
    let answer = scene.run(&["import", "--query", QUERY, "db.sqlite3"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        answer.stderr,
        "stagedoor: nothing is imported, because of 3 of 5 rows\n  \
         row 3: a username holds only letters, digits and \"_\", \".\", \"@\", \"+\", \"-\"\n  \
         row 4 (dora): the stream key is empty\n  \
         row 5 (ANNA): has the username of row 2\n"
    );
    assert_eq!(list(&scene), "");
}

#[test]
fn what_is_no_import_is_refused_in_one_line() {
    let scene = Scene::new();
    Django::new(&scene, "DELETE");
    let refused = |query, file| scene.refused(&["import", "--query", query, file]);
    assert!(refused(QUERY, "none.db").ends_with("none.db\" does not exist"));
    assert!(refused(QUERY, "stagedoor.db").ends_with("cannot be imported into itself"));
    assert_eq!(refused("DROP TABLE auth_user", "db.sqlite3"), "the query is not a SELECT");
    assert_eq!(refused("SELECT", "db.sqlite3"), "the query fails: incomplete input");
    assert_eq!(scene.run(&["import", "db.sqlite3"]).status, Some(2));
}

/// Writes to the database as an application does, until `done`: one transaction after the other, on
/// a connection that stays or on one for each. The keys change hands, and are never the same.
fn write(django: &Django<'_>, stays: bool, done: &AtomicBool) -> u64 {
    let sql = "BEGIN IMMEDIATE;
               UPDATE boltstream_stream SET key = 'x' || key WHERE id = 1;
               UPDATE boltstream_stream SET key = (SELECT key FROM boltstream_stream WHERE id = 2)
               WHERE id = 1;
               UPDATE boltstream_stream SET key = hex(randomblob(20)) WHERE id = 2;
               COMMIT";
    let staying = django.open();
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        match stays {
            true => staying.execute_batch(sql).unwrap(),
            false => django.execute(sql),
        }
        count += 1;
        thread::sleep(Duration::from_millis(1));
    }
    count
}

#[test]
fn a_program_that_writes_all_the_time_is_not_disturbed() {
    for (mode, stays) in [("WAL", true), ("WAL", false), ("DELETE", false)] {
        let scene = Scene::new();
        let django = Django::new(&scene, mode);
        let done = AtomicBool::new(false);
        let written = thread::scope(|scope| {
            let writer = scope.spawn(|| write(&django, stays, &done));
            let imports: Vec<_> =
                (0..15).map(|_| scene.run(&["import", "--query", QUERY, "db.sqlite3"])).collect();
            done.store(true, Ordering::Relaxed);
            for import in imports {
                assert_eq!((import.status, import.stderr.as_str()), (Some(0), ""), "{mode}");
                assert_eq!(import.stdout.lines().count(), 2, "{mode}");
            }
            writer.join().unwrap()
        });
        assert!(written > 15, "{mode}: {written} transactions");
        let check: String =
            django.open().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        assert_eq!(scene.files(), ["db.sqlite3", "stagedoor.db"], "{mode}");
    }
}

#[test]
fn what_an_open_application_has_in_its_log_comes_over() {
    let scene = Scene::new();
    let django = Django::new(&scene, "WAL");
    let application = django.open();
    application.execute("UPDATE boltstream_stream SET key = 'late' WHERE id = 1", []).unwrap();
    let but_for_the_index = |hashes: String| -> Vec<String> {
        assert_eq!(hashes.lines().count(), 3);
        hashes.lines().filter(|line| !line.ends_with("-shm")).map(str::to_owned).collect()
    };
    let before = but_for_the_index(django.hashes());
    assert_eq!(import(&scene), "benw\tadded\nanna\tadded\n");
    assert_eq!(but_for_the_index(django.hashes()), before);
    let sql = "SELECT lower(hex(key_sha256)) FROM streamers WHERE username = 'benw'";
    let digest: String = scene.raw().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(digest, "089001a35679a33ef3db0ca350db9b9a2f0136e0e327577b04b3b98127470961"); // of "late"
    drop(application);
}

#[test]
fn no_other_command_touches_the_database_of_another_program() {
    let scene = Scene::without_database();
    for mode in ["DELETE", "WAL"] {
        let django = Django::new(&scene, mode);
        let before = django.hashes();
        let of_benw = ["add", "show", "rotate", "ban", "unban", "kick", "remove", "sessions"];
        let commands = of_benw.map(|command| [command, "benw"]);
        let all = [&["init"][..], &["list"], &["sessions"], &["import", "--query", QUERY, "x.db"]];
        for command in all.into_iter().chain(commands.iter().map(|command| &command[..])) {
            let line = scene.refused(&[&["--db", "db.sqlite3"], command].concat());
            assert_eq!(
                line,
                "database \"db.sqlite3\" is that of another program, which manages its streamers \
                 itself: nginx asks it with \"stagedoor_query\" in nginx.conf (\"stagedoor \
                 import\" moves them into a database of Stagedoor)",
                "{command:?}"
            );
        }
        assert_eq!(django.hashes(), before, "{mode}");
        std::fs::remove_file(scene.beside("db.sqlite3")).unwrap();
    }
}

//! Streamers, keys and sessions.

use std::fs;

use serde_json::Value;

use crate::scene::{Scene, is_key};

#[test]
fn init_creates_a_database_and_says_so() {
    let scene = Scene::without_database();
    let path = scene.db().to_str().unwrap().to_owned();
    assert_eq!(scene.done(&["init"]), format!("{path}: created\n"));
    assert_eq!(scene.done(&["init"]), format!("{path}: is up to date\n"));
    assert_eq!(scene.files(), ["stagedoor.db"]);
}

#[test]
fn the_option_db_goes_before_the_environment() {
    let scene = Scene::without_database();
    scene.done(&["--db", "other.db", "init"]);
    scene.done(&["init", "--db", "third.db"]);
    assert!(!scene.db().exists());
    assert!(scene.beside("other.db").exists());
    assert!(scene.beside("third.db").exists());
}

#[test]
fn add_prints_the_key_alone_into_a_pipe() {
    let scene = Scene::new();
    let out = scene.done(&["add", "benw"]);
    assert!(is_key(out.strip_suffix('\n').unwrap()), "{out:?}");
}

#[test]
fn add_shows_on_a_terminal_where_the_key_goes() {
    let scene = Scene::new();
    let out = scene.on_a_terminal("add benw", &[("NO_COLOR", "1")]);
    assert_eq!(out.lines().filter(|line| is_key(line.trim())).count(), 1, "{out}");
    assert!(out.contains("OBS") && out.contains("Stream Key"), "{out}");
}

#[test]
fn rotate_prints_another_key_and_replaces_the_digest() {
    let scene = Scene::new();
    let old = scene.done(&["add", "benw"]);
    let digest = || -> Vec<u8> {
        scene.raw().query_row("SELECT key_sha256 FROM streamers", [], |row| row.get(0)).unwrap()
    };
    let before = digest();
    let new = scene.done(&["rotate", "BENW"]);
    assert!(is_key(new.trim_end()));
    assert_ne!(new, old);
    assert_ne!(digest(), before);
}

#[test]
fn keys_come_as_json_too() {
    let scene = Scene::new();
    for command in ["add", "rotate"] {
        let answer = scene.json(&[command, "benw"]);
        assert_eq!(answer["username"], "benw");
        assert!(is_key(answer["key"].as_str().unwrap()));
        assert_eq!(answer.as_object().unwrap().len(), 2);
    }
}

#[test]
fn nothing_but_add_and_rotate_ever_shows_a_key() {
    let scene = Scene::new();
    let key = scene.done(&["add", "benw"]);
    for args in [&["list"][..], &["show", "benw"], &["sessions"], &["ban", "benw"]] {
        for flags in [&[][..], &["--json"]] {
            let out = scene.done(&[flags, args].concat());
            assert!(!out.contains(key.trim_end()));
        }
    }
}

#[test]
fn list_says_who_is_banned_and_who_is_live() {
    let scene = Scene::new();
    for name in ["benw", "zoe", "anna"] {
        scene.done(&["add", name]);
    }
    scene.session(None, None);
    assert_eq!(scene.done(&["ban", "zoe"]), "zoe is banned\n");
    assert_eq!(
        scene.done(&["list"]),
        "anna\tactive\t-\t-\n\
         benw\tactive\tlive\t2026-01-02 03:04:05.000006\n\
         zoe\tbanned\t-\t-\n"
    );
    assert_eq!(scene.done(&["unban", "zoe"]), "zoe may stream\n");
    assert!(!scene.done(&["list"]).contains("banned"));
}

#[test]
fn list_as_json_has_the_names_of_the_columns() {
    let scene = Scene::new();
    assert_eq!(scene.json(&["list"]), Value::Array(vec![]));
    scene.done(&["add", "benw"]);
    scene.done(&["ban", "benw"]);
    let list = scene.json(&["list"]);
    let [benw] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&benw["id"], &benw["username"]), (&Value::from(1), &Value::from("benw")));
    assert_eq!((&benw["is_active"], &benw["is_live"]), (&Value::from(false), &Value::from(false)));
    assert_eq!(benw["created_at"], benw["key_changed_at"]);
    assert_eq!(benw["created_at"].as_str().unwrap().len(), "YYYY-MM-DD HH:MM:SS.ffffff".len());
    assert_eq!(benw["last_started_at"], Value::Null);
}

#[test]
fn sessions_show_start_end_reason_address_and_duration() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    scene.session(Some("2026-01-02 04:05:07.000000"), Some("closed by client"));
    let line = "benw\tlive\t192.0.2.7\t2026-01-02 03:04:05.000006\t2026-01-02 04:05:07.000000\t\
                3662\tclosed by client\n";
    assert_eq!(scene.done(&["sessions"]), line);
    assert_eq!(scene.done(&["sessions", "benw"]), line);
    assert!(scene.done(&["show", "benw"]).ends_with(line));
    let session = &scene.json(&["sessions"])[0];
    assert_eq!(session["end_reason"], "closed by client");
    assert_eq!(session["duration"], 3662);
    assert_eq!(scene.json(&["show", "benw"])["sessions"][0], *session);
    scene.session(None, None);
    assert_eq!(scene.done(&["sessions", "-n", "1"]).lines().count(), 1);
}

#[test]
fn kick_waits_for_the_end_of_the_stream() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    assert_eq!(scene.refused(&["kick", "benw"]), "the streamer \"benw\" is not live");
    for args in [&["kick", "BENW"][..], &["--json", "kick", "BENW"]] {
        scene.session(None, None);
        let db = scene.raw();
        let worker = std::thread::spawn(move || {
            let sql = "UPDATE sessions SET stopped_at = kick_requested_at, end_reason = 'kicked'
                       WHERE stopped_at IS NULL AND kick_requested_at IS NOT NULL";
            while db.execute(sql, []).unwrap_or(0) == 0 {
                std::thread::yield_now();
            }
        });
        let out = scene.done(args);
        worker.join().unwrap();
        assert!(
            ["benw is off the air\n", "{\n  \"username\": \"benw\",\n  \"kicked\": true\n}\n"]
                .contains(&out.as_str())
        );
    }
    scene.session(None, None);
    let refusal = scene.refused(&["kick", "benw"]);
    assert!(refusal.starts_with("the stream of \"benw\" does not end: "), "{refusal}");
}

#[test]
fn remove_takes_the_history_along() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    scene.session(None, None);
    assert_eq!(scene.done(&["remove", "benw"]), "benw is removed\n");
    assert_eq!(scene.done(&["list"]) + &scene.done(&["sessions"]), "");
}

#[test]
fn tables_and_colours_are_for_a_terminal_that_wants_them() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    scene.done(&["ban", "benw"]);
    let coloured = scene.on_a_terminal("list", &[]);
    assert!(coloured.contains("\x1b[31mbanned\x1b[0m"), "{coloured:?}");
    for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = scene.on_a_terminal("list", &[env]);
        let lines = "USERNAME  ACTIVE  LIVE  LAST STREAM\nbenw      banned  -     -\n";
        assert_eq!(plain, lines);
    }
}

#[test]
fn what_a_client_sent_cannot_steer_the_terminal() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    scene.session(None, None);
    scene.raw().execute("UPDATE sessions SET app = ?1", ["a\tb\n\x1b[2J"]).unwrap();
    let out = scene.done(&["sessions"]);
    assert_eq!(out.lines().count(), 1);
    assert!(out.contains("a\\tb\\n\\u{1b}[2J"), "{out:?}");
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let scene = Scene::without_database();
    let missing = scene.refused(&["add", "benw"]);
    assert!(missing.contains("does not exist, \"stagedoor init\" creates it"), "{missing}");
    assert!(missing.contains(scene.db().to_str().unwrap()), "{missing}");
    let nowhere = scene.refused(&["--db", "/no/such/place.db", "init"]);
    assert_eq!(nowhere, "directory \"/no/such\" does not exist");
    scene.done(&["init"]);
    scene.done(&["add", "benw"]);
    let taken = scene.refused(&["add", "BENW"]);
    assert!(taken.starts_with("the username \"BENW\" is taken"), "{taken}");
    for command in ["show", "rotate", "ban", "unban", "kick", "remove", "sessions"] {
        let unknown = scene.refused(&[command, "ghost"]);
        assert_eq!(unknown, "there is no streamer \"ghost\" (\"stagedoor list\" shows all)");
    }
    for name in ["../etc", "", ".x", "a b", &"x".repeat(65)] {
        assert!(scene.refused(&["add", name]).starts_with("a username "));
    }
    fs::write(scene.db(), "no database\n".repeat(100)).unwrap();
    assert!(scene.refused(&["list"]).ends_with("is not an SQLite database"));
}

#[test]
fn wrong_usage_ends_with_2_and_nothing_done() {
    let scene = Scene::new();
    for args in [&[][..], &["frobnicate"], &["add"], &["list", "--wrong"], &["add", "-x"]] {
        assert_eq!(scene.run(args).status, Some(2), "{args:?}");
    }
    assert_eq!(scene.done(&["list"]), "");
}

#[test]
fn the_help_teaches() {
    let scene = Scene::without_database();
    let help = scene.done(&["--help"]);
    for words in ["stagedoor add benw", "OBS", "Stream Key", "STAGEDOOR_DB", "Exit status"] {
        assert!(help.contains(words), "the help lacks {words:?}");
    }
    assert!(scene.done(&["remove", "--help"]).contains("history"));
}

//! Where the output cannot go.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::scene::{Answer, Scene, is_key};

/// What a command answers whose stdout is full, read-only, or a pipe that nobody reads.
fn without_room(scene: &Scene, args: &[&str]) -> [Answer; 3] {
    let (reader, pipe) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let read_only = File::open("/dev/null").unwrap();
    [Stdio::from(full), read_only.into(), pipe.into()]
        .map(|stdout| scene.command(args).stdout(stdout).output().unwrap().into())
}

/// The same whose stdout is closed.
fn closed(scene: &Scene, args: &[&str]) -> Answer {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" >&-", env!("CARGO_BIN_EXE_stagedoor")]).args(args);
    shell.env("STAGEDOOR_DB", scene.db()).output().unwrap().into()
}

fn streamers(scene: &Scene) -> Vec<(String, Vec<u8>, String)> {
    let sql = "SELECT username, key_sha256, key_changed_at FROM streamers ORDER BY username";
    let db = scene.raw();
    let mut rows = db.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_streamer_whose_key_could_not_be_printed_is_not_added() {
    let scene = Scene::new();
    for answer in without_room(&scene, &["add", "benw"]) {
        assert_eq!(answer.status, Some(1));
        assert!(answer.stderr.starts_with("stagedoor: the key could not be printed: "));
        assert!(answer.stderr.ends_with("; benw is not added\n"), "{}", answer.stderr);
        assert_eq!(streamers(&scene), []);
    }
}

#[test]
fn a_streamer_whose_new_key_could_not_be_printed_keeps_the_old_one() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    let before = streamers(&scene);
    for answer in without_room(&scene, &["rotate", "BENW"]) {
        assert_eq!(answer.status, Some(1));
        assert!(answer.stderr.ends_with("; benw keeps the old one\n"), "{}", answer.stderr);
        assert_eq!(streamers(&scene), before);
    }
}

#[test]
fn a_key_that_cannot_be_taken_back_is_reported() {
    let scene = Scene::new();
    let sql = "CREATE TRIGGER stay BEFORE DELETE ON streamers BEGIN SELECT RAISE(FAIL, ''); END";
    scene.raw().execute_batch(sql).unwrap();
    for answer in &without_room(&scene, &["add", "benw"])[..1] {
        assert!(answer.stderr.contains("\"stagedoor rotate benw\""), "{}", answer.stderr);
    }
    assert!(is_key(scene.done(&["rotate", "benw"]).trim_end()));
}

#[test]
fn without_stdout_nothing_is_done() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    let before = streamers(&scene);
    for args in [&["add", "anna"][..], &["rotate", "benw"], &["remove", "benw"], &["list"], &["-h"]]
    {
        let answer = closed(&scene, args);
        let said = "stagedoor: the output could not be written: it is closed\n";
        assert_eq!((answer.status, answer.stderr.as_str()), (Some(1), said), "{args:?}");
        assert_eq!(streamers(&scene), before);
    }
}

#[test]
fn output_that_is_lost_is_a_fault_unless_nobody_reads_it() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    for args in [&["list"][..], &["--json", "show", "benw"], &["--help"], &["--version"], &["man"]]
    {
        let [full, read_only, pipe] = without_room(&scene, args);
        for answer in [full, read_only] {
            assert_eq!(answer.status, Some(1), "{args:?}");
            assert!(answer.stderr.starts_with("stagedoor: the output could not be written: "));
        }
        assert_eq!((pipe.status, pipe.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn what_is_done_is_said_to_be_done() {
    let scene = Scene::new();
    scene.done(&["add", "benw"]);
    let [full, _, pipe] = without_room(&scene, &["ban", "benw"]);
    assert_eq!(full.status, Some(1));
    assert!(full.stderr.contains(": it is done, but the output could not be written: "));
    assert_eq!((pipe.status, pipe.stderr.as_str()), (Some(0), ""));
    assert!(scene.done(&["list"]).contains("banned"));
}

#[test]
fn a_refusal_that_cannot_be_said_is_still_one() {
    let scene = Scene::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let answer: Answer = scene.command(&["show", "ghost"]).stderr(full).output().unwrap().into();
    assert_eq!((answer.status, answer.stdout.as_str()), (Some(1), ""));
}

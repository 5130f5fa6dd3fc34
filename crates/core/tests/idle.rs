//! A store thread with nothing to do sleeps. (A test program of its own: it looks at all threads of
//! the process.)
#![allow(clippy::unwrap_used)] // a test program: its helpers fail as its tests do

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

use common::Alone;
use stagedoor_core::key::KeyDigest;
use stagedoor_core::registry::Owner;
use stagedoor_core::store::thread::{Settings, StoreThread};
use stagedoor_core::store::{Admission, Layout, Store, Visitor};
use stagedoor_core::username::Username;

/// How often the store thread gave up the processor so far, whether it wanted to or not.
fn switches() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let name = |task: &std::path::PathBuf| fs::read_to_string(task.join("comm")).unwrap();
    let mut threads = tasks.filter(|task| name(task).trim() == "stagedoor-store");
    let status = fs::read_to_string(threads.next().unwrap().join("status")).unwrap();
    assert_eq!(threads.next(), None);
    let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
    counts.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_thread_with_nothing_to_do_looks_at_its_file_four_times_a_second_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stagedoor.db");
    let username = Username::parse("benw").unwrap();
    let key = Store::create(&path).unwrap().0.add(&username).unwrap();
    let settings = Settings {
        path,
        layout: Layout::Native,
        worker: Owner::default(),
        server: Arc::new(Alone),
    };
    let (wake, woken) = channel();
    let thread = StoreThread::spawn(settings, move || wake.send(()).unwrap());
    thread.ask(1, Arc::new(Visitor::known_by(KeyDigest::of(b"x"), "live", "192.0.2.7"))).unwrap();
    woken.recv().unwrap();
    assert_looks();

    // with a stream to look after it is at the database as often, and at both at once
    let visitor = Arc::new(Visitor::known_by(key.digest(), "live", "192.0.2.7"));
    thread.watch(1, Admission { streamer_id: 1, username, visitor }).unwrap();
    thread.rouse();
    assert_looks();
}

#[track_caller]
fn assert_looks() {
    sleep(Duration::from_millis(600));
    let before = switches();
    sleep(Duration::from_millis(2000));
    let looks = switches() - before;
    assert!((1..=12).contains(&looks), "{looks}"); // 8, and some from which it was pushed
}

//! A store thread with nothing to do sleeps. (A test program of its own: it looks at all threads of
//! the process.)
#![allow(clippy::unwrap_used)] // a test program: its helpers fail as its tests do

use std::fs;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

use stagedoor_core::key::KeyDigest;
use stagedoor_core::registry::Owner;
use stagedoor_core::store::Store;
use stagedoor_core::store::thread::{Settings, StoreThread};

/// How often the store thread gave up the processor so far, whether it wanted to or not.
fn switches() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let name = |task: &std::path::PathBuf| fs::read_to_string(task.join("comm")).unwrap();
    let mut threads = tasks.filter(|task| name(task).trim() == "stagedoor-store");
    let status = fs::read_to_string(threads.next().unwrap().join("status")).unwrap();
    assert_eq!(threads.next(), None);
    status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect()
}

#[test]
fn a_thread_with_nothing_to_do_uses_no_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stagedoor.db");
    Store::create(&path).unwrap();
    let settings = Settings { path, worker: Owner::default(), is_alive: |_| true };
    let (wake, woken) = channel();
    let thread = StoreThread::spawn(settings, move || wake.send(()).unwrap()).unwrap();
    thread.ask(1, KeyDigest::of(b"x")).unwrap();
    woken.recv().unwrap();
    sleep(Duration::from_millis(100));
    let before = switches();
    assert_eq!(before.len(), 2);
    sleep(Duration::from_millis(1500));
    assert_eq!(switches(), before);
    thread.ask(2, KeyDigest::of(b"x")).unwrap();
    woken.recv().unwrap();
    assert_ne!(switches(), before);
}

//! The store under a user who may not do everything. Root may, so as root each test runs itself
//! again as nobody, whose the directory is.
#![allow(clippy::unwrap_used)] // a test program: its helpers fail as its tests do

mod common;

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::Alone;
use rusqlite::Connection;
use stagedoor_core::key::KeyDigest;
use stagedoor_core::registry::Owner;
use stagedoor_core::store::thread::{Level, Report, SessionEvent, Settings, StoreThread};
use stagedoor_core::store::{CheckError, Layout, Store, StoreError, Verdict, Visitor, check};
use stagedoor_core::username::Username;

const NOBODY: u32 = 65_534;

/// Held by who writes a program and starts it.
static STARTING: Mutex<()> = Mutex::new(());

/// Runs `body` in a directory that an ordinary user owns, as that user.
fn as_ordinary_user(test: &str, body: impl Fn(&Path)) {
    if let Some(directory) = std::env::var_os("STAGEDOOR_TEST_DIRECTORY") {
        return body(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    if fs::metadata(directory.path()).unwrap().uid() != 0 {
        return body(directory.path());
    }
    let own = directory.path().join("own");
    let program = directory.path().join("test");
    fs::create_dir(&own).unwrap();
    // What is written cannot be executed (ETXTBSY), and a child of another test's has the descriptor, too.
    let alone = STARTING.lock().unwrap();
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [directory.path(), &own, &program] {
        set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let child = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env("STAGEDOOR_TEST_DIRECTORY", own)
        .current_dir(directory.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(alone);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// What `nginx -t` says of the database.
fn fault(path: &Path) -> StoreError {
    match check(path, &Layout::Native).unwrap_err() {
        CheckError::Store(error) => error,
        CheckError::Statement(error) => unreachable!("{error}"),
    }
}

struct Worker {
    thread: StoreThread,
    woken: Receiver<()>,
}

impl Worker {
    fn on(path: &Path) -> Self {
        let (wake, woken) = channel();
        let settings = Settings {
            path: path.to_owned(),
            layout: Layout::Native,
            worker: Owner::default(),
            server: Arc::new(Alone),
        };
        let wake = move || wake.send(()).unwrap_or_default();
        Self { thread: StoreThread::spawn(settings, wake), woken }
    }

    /// The reports up to and with the answer.
    fn ask(&self, digest: KeyDigest) -> (Vec<String>, Result<Verdict, StoreError>) {
        self.thread.ask(1, Arc::new(Visitor::known_by(digest, "live", "192.0.2.7"))).unwrap();
        let mut logs = Vec::new();
        loop {
            for report in self.thread.reports() {
                match report {
                    Report::Answer { verdict, .. } => return (logs, verdict),
                    Report::Log { text, .. } => logs.push(text),
                    Report::Stop { .. } => unreachable!("nothing is live"),
                }
            }
            self.woken.recv_timeout(Duration::from_secs(5)).unwrap();
        }
    }

    fn log(&self) -> (Level, String) {
        loop {
            self.woken.recv_timeout(Duration::from_secs(5)).unwrap();
            if let Some(Report::Log { level, text }) = self.thread.reports().next() {
                return (level, text);
            }
        }
    }
}

fn allow(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn create(path: &Path) -> KeyDigest {
    let (mut store, _) = Store::create(path).unwrap();
    store.add(&Username::parse("benw").unwrap()).unwrap().digest()
}

fn assert_allowed(verdict: &Result<Verdict, StoreError>) {
    assert!(matches!(verdict, Ok(Verdict::Allowed { .. })), "{verdict:?}");
}

fn assert_unreadable(error: &StoreError, words: &str) {
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_file_closed_to_the_user_and_opened_again_under_a_running_worker() {
    let test = "a_file_closed_to_the_user_and_opened_again_under_a_running_worker";
    as_ordinary_user(test, |directory| {
        let path = directory.join("stagedoor.db");
        let key = create(&path);
        let worker = Worker::on(&path);
        assert_allowed(&worker.ask(key).1);
        allow(&path, 0o000);
        assert_unreadable(&fault(&path), "cannot be opened by this user");
        let (logs, verdict) = worker.ask(key);
        assert_unreadable(&verdict.unwrap_err(), "cannot be opened by this user");
        assert_eq!(logs.len(), 1);
        allow(&path, 0o640);
        assert_eq!(worker.log().0, Level::Notice);
        assert_allowed(&worker.ask(key).1);
    });
}

#[test]
fn a_directory_closed_to_the_user() {
    as_ordinary_user("a_directory_closed_to_the_user", |directory| {
        let path = directory.join("stagedoor.db");
        let key = create(&path);
        let worker = Worker::on(&path);
        assert_allowed(&worker.ask(key).1);
        allow(directory, 0o000);
        assert_unreadable(&worker.ask(key).1.unwrap_err(), "permission denied");
        assert_unreadable(&fault(&path), "permission denied");
        allow(directory, 0o755);
        assert_allowed(&worker.ask(key).1);
    });
}

#[test]
fn keys_are_answered_from_a_directory_that_is_read_only() {
    as_ordinary_user("keys_are_answered_from_a_directory_that_is_read_only", |directory| {
        let path = directory.join("stagedoor.db");
        let key = create(&path);
        assert!(!directory.join("stagedoor.db-wal").exists());
        allow(&path, 0o440);
        allow(directory, 0o555);
        let worker = Worker::on(&path);
        let (logs, verdict) = worker.ask(key);
        assert_allowed(&verdict);
        assert_eq!(logs, Vec::<String>::new());

        worker.thread.record(SessionEvent::Boot { at: SystemTime::now() }).unwrap();
        let (level, text) = worker.log();
        assert_eq!(level, Level::Warn);
        assert!(text.starts_with("session history is not written: "), "{text}");
        assert!(text.contains("cannot be written by this user"), "{text}");
        assert_allowed(&worker.ask(key).1);

        allow(directory, 0o755);
        allow(&path, 0o640);
        let (level, text) = worker.log();
        assert_eq!((level, text.as_str()), (Level::Notice, "session history is written again"));
    });
}

#[test]
fn a_change_is_seen_in_a_directory_that_is_read_only() {
    as_ordinary_user("a_change_is_seen_in_a_directory_that_is_read_only", |directory| {
        let path = directory.join("stagedoor.db");
        let key = create(&path);
        allow(directory, 0o555);
        let worker = Worker::on(&path);
        assert_allowed(&worker.ask(key).1);
        allow(directory, 0o755);
        Store::open(&path).unwrap().set_active("benw", false).unwrap();
        allow(directory, 0o555);
        let verdict = worker.ask(key).1;
        assert!(matches!(verdict, Ok(Verdict::Inactive { .. })), "{verdict:?}");
        allow(directory, 0o755);
    });
}

#[test]
fn a_log_that_another_user_left_is_named() {
    as_ordinary_user("a_log_that_another_user_left_is_named", |directory| {
        let path = directory.join("stagedoor.db");
        let key = create(&path);
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE streamers SET is_active = 0", []).unwrap();
        for side in ["stagedoor.db-wal", "stagedoor.db-shm"] {
            allow(&directory.join(side), 0o000); // as root's are to others
        }
        let worker = Worker::on(&path);
        let error = worker.ask(key).1.unwrap_err();
        assert_unreadable(&error, "its -wal or -shm file, or their directory");
    });
}

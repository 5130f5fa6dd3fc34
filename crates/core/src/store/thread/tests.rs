use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::SystemTime;

use rusqlite::Connection;

use super::*;
use crate::key::KeyDigest;
use crate::store::connection::VERSION_AGE;
use crate::store::fixture::{Fixture, QuietServer, admission, visitor};
use crate::username::Username;

mod boot;
mod faults;
mod life;
mod stopped;
mod succession;
mod watching;

const SOON: Duration = Duration::from_secs(5);

fn settings(path: PathBuf) -> Settings {
    let worker = Owner { pid: 1, start_time: 7 };
    Settings { path, layout: Layout::Native, worker, server: Arc::new(QuietServer::default()) }
}

/// A store thread on a database, with the event loop's part played by the test.
struct Scene {
    fixture: Fixture,
    thread: StoreThread,
    woken: Receiver<()>,
    reports: Vec<Report>,
    tickets: u64,
}

impl Scene {
    fn on(fixture: Fixture) -> Self {
        Self::with(fixture, |db, path, visitor| Layout::Native.look_up(db, path, visitor))
    }

    fn with(
        fixture: Fixture,
        lookup: fn(&Connection, &Path, &Visitor) -> Result<Verdict, StoreError>,
    ) -> Self {
        let (wake, woken) = channel();
        let settings = settings(fixture.path().to_owned());
        let wake = move || wake.send(()).unwrap_or_default();
        let thread = StoreThread::spawn_with(settings, Arc::new(lookup), Arc::new(wake));
        Self { fixture, thread, woken, reports: Vec::new(), tickets: 0 }
    }

    /// The first report that fits, of those that come soon; what comes before it is kept.
    fn wait_for<T>(&mut self, fits: impl Fn(&Report) -> Option<T>) -> T {
        let until = Instant::now() + SOON;
        loop {
            self.reports.extend(self.thread.reports());
            if let Some(at) = self.reports.iter().position(|report| fits(report).is_some()) {
                return fits(&self.reports.remove(at)).unwrap();
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.woken.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                panic!("the report does not come; there are {:?}", self.reports);
            }
        }
    }

    fn ask(&mut self, digest: KeyDigest) -> Result<Verdict, StoreError> {
        self.tickets += 1;
        let wanted = self.tickets;
        self.thread.ask(wanted, visitor(digest)).unwrap();
        self.wait_for(|report| match report {
            Report::Answer { ticket, verdict } if *ticket == wanted => Some(verdict.clone()),
            _ => None,
        })
    }

    fn log(&mut self) -> (Level, String) {
        self.wait_for(|report| match report {
            Report::Log { level, text } => Some((*level, text.clone())),
            _ => None,
        })
    }

    /// Nothing was logged but what the test has read.
    fn assert_quiet(&mut self) {
        self.reports.extend(self.thread.reports());
        assert_eq!(self.reports, []);
    }

    fn start(&self, tag: SessionTag) {
        let admission = admission(1, "benw", KeyDigest::of(b""));
        let event = SessionEvent::Started { tag, admission, at: SystemTime::now() };
        self.thread.record(event).unwrap();
        self.thread.rouse();
    }

    fn stop(&self, tag: SessionTag) {
        let (at, reason) = (SystemTime::now(), EndReason::Closed);
        self.thread
            .record(SessionEvent::Stopped { tag, claim: Claim::default(), at, reason })
            .unwrap();
        self.thread.rouse();
    }

    fn wait_for_rows(&self, wanted: i64) {
        let db = self.fixture.raw();
        let until = Instant::now() + SOON;
        while rows(&db) != wanted {
            assert!(Instant::now() < until, "{} rows, not {wanted}", rows(&db));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn rows(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap()
}

fn allowed(username: &str) -> Result<Verdict, StoreError> {
    Ok(Verdict::Allowed { streamer_id: 1, username: Username::parse(username).unwrap() })
}

#[test]
fn keys_are_answered_each_under_its_ticket() {
    let fixture = Fixture::new();
    let (benw, zoe) = (fixture.add("benw"), fixture.add("zoe"));
    fixture.store().set_active("zoe", false).unwrap();
    let mut scene = Scene::on(fixture);
    assert_eq!(scene.ask(benw), allowed("benw"));
    let username = Username::parse("zoe").unwrap();
    assert_eq!(scene.ask(zoe), Ok(Verdict::Inactive { username }));
    assert_eq!(scene.ask(KeyDigest::of(b"nobody's")), Ok(Verdict::Unknown));
    scene.assert_quiet();
}

#[test]
fn a_streamer_added_or_banned_meanwhile_is_known_at_once() {
    let mut scene = Scene::on(Fixture::new());
    assert_eq!(scene.ask(KeyDigest::of(b"early")), Ok(Verdict::Unknown));
    let benw = scene.fixture.add("benw");
    assert_eq!(scene.ask(benw), allowed("benw"));
    scene.fixture.store().set_active("benw", false).unwrap();
    assert!(matches!(scene.ask(benw), Ok(Verdict::Inactive { .. })));
}

#[test]
fn sessions_are_written_soon_and_in_order() {
    let fixture = Fixture::new();
    fixture.add("benw");
    let scene = Scene::on(fixture);
    scene.start(1);
    scene.wait_for_rows(1);
    scene.stop(1);
    scene.start(2);
    scene.wait_for_rows(2);
    let sessions = scene.fixture.store().sessions(None, 10).unwrap();
    assert_eq!(sessions[0].stopped_at, None);
    assert_eq!(sessions[1].end_reason.as_deref(), Some("closed by client"));
}

#[test]
fn keys_are_answered_while_another_process_holds_up_the_history() {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let mut scene = Scene::on(fixture);
    let writer = scene.fixture.raw();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    for tag in 0..100 {
        scene.start(tag);
        assert_eq!(scene.ask(benw), allowed("benw"));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(rows(&writer), 0);
    writer.execute_batch("COMMIT").unwrap();
    scene.wait_for_rows(100);
    scene.assert_quiet();
}

#[test]
fn a_shutdown_writes_what_waits() {
    let fixture = Fixture::new();
    fixture.add("benw");
    let scene = Scene::on(fixture);
    for tag in 0..1000 {
        scene.start(tag);
    }
    assert_eq!(scene.thread.shutdown(SOON), 0);
    assert_eq!(rows(&scene.fixture.raw()), 1000);
}

#[test]
fn a_shutdown_waits_for_a_locked_database_no_longer_than_it_may() {
    let fixture = Fixture::new();
    fixture.add("benw");
    let scene = Scene::on(fixture);
    let writer = scene.fixture.raw();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.start(1);
    scene.start(2);
    let begun = Instant::now();
    assert_eq!(scene.thread.shutdown(Duration::from_millis(200)), 2);
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[test]
fn a_shutdown_without_a_database_does_not_wait() {
    let scene = Scene::on(Fixture::empty());
    scene.start(1);
    let begun = Instant::now();
    assert_eq!(scene.thread.shutdown(SOON), 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn rows_that_were_dropped_are_counted_in_the_log() {
    let mut scene = Scene::on(Fixture::empty());
    scene.log(); // missing
    for tag in 0..5000 {
        scene.start(tag);
    }
    let mut dropped = 0;
    while dropped < 5000 - 4096 {
        let (level, text) = scene.log();
        assert_eq!(level, Level::Warn);
        let (count, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest, "entries of the session history were dropped");
        dropped += count.parse::<usize>().unwrap();
    }
    assert_eq!(dropped, 5000 - 4096);
}

#[test]
fn a_panic_refuses_one_key_and_no_more() {
    fn lookup(db: &Connection, path: &Path, visitor: &Visitor) -> Result<Verdict, StoreError> {
        assert!(*visitor.digest() != KeyDigest::of(b"bang"), "this one is meant to panic");
        Layout::Native.look_up(db, path, visitor)
    }
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let mut scene = Scene::with(fixture, lookup);
    assert_eq!(scene.ask(benw), allowed("benw"));
    let error = scene.ask(KeyDigest::of(b"bang")).unwrap_err();
    assert!(matches!(error, StoreError::Panicked { .. }), "{error}");
    assert_eq!(scene.ask(benw), allowed("benw"));
    assert_eq!(scene.log().0, Level::Error);
    assert_eq!(scene.log().0, Level::Notice);
}

//! A store thread whose database fails, with the event loop's part played here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use stagedoor_core::registry::{Claim, Owner};
use stagedoor_core::store::thread::{
    EndReason, Report, Server, SessionEvent, SessionTag, Settings, StoreThread,
};
use stagedoor_core::store::{Admission, Verdict};
use stagedoor_core::username::Username;

use crate::case::{Case, Outcome};
use crate::fixture::{Alone, Journal, Keys, Scene, layout};
use crate::plan::{HANG, Plan};
use crate::row::Row;

/// How long a case may take to meet its fault, and to be over it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker, as far as its store thread is concerned.
struct Worker {
    thread: StoreThread,
    server: Arc<Alone>,
    keys: Keys,
    journal: Journal,
    tickets: u64,
    sessions: SessionTag,
    started_at: SystemTime,
}

impl Worker {
    fn start(path: &Path, journal: Journal) -> Worker {
        let server = Arc::new(Alone::default());
        let settings = Settings {
            path: path.to_owned(),
            layout: layout(journal),
            worker: Owner { pid: 1, start_time: 7 },
            server: Arc::clone(&server) as Arc<dyn Server>,
        };
        Worker {
            thread: StoreThread::spawn(settings, || ()),
            server,
            keys: Keys::of(journal),
            journal,
            tickets: 0,
            sessions: 0,
            started_at: SystemTime::now(),
        }
    }

    fn start_stream(&mut self) {
        self.sessions += 1;
        self.server.is_live.store(true, Ordering::SeqCst);
        let streamer_id = if self.journal == Journal::Native { 1 } else { 0 };
        let username = Username::parse("benw").unwrap();
        let visitor = Arc::clone(&self.keys.good);
        let admission = Admission { streamer_id, username, visitor };
        self.started_at = SystemTime::now();
        let (tag, at) = (self.sessions, self.started_at);
        self.thread.watch(tag, admission.clone()).unwrap();
        self.thread.record(SessionEvent::Started { tag, admission, at }).unwrap();
        self.thread.rouse();
    }

    fn stop_stream(&mut self) {
        self.server.is_live.store(false, Ordering::SeqCst);
        let (tag, at, reason) = (self.sessions, SystemTime::now(), EndReason::Closed);
        self.thread.unwatch(tag).unwrap();
        self.thread
            .record(SessionEvent::Stopped { tag, claim: Claim::default(), at, reason })
            .unwrap();
        self.thread.rouse();
    }

    /// Asks for all three keys, and says whether each answer was as it is without a fault.
    fn ask(&mut self, outcome: &mut Outcome) -> bool {
        let first = self.tickets;
        for visitor in [&self.keys.good, &self.keys.banned, &self.keys.nobodys] {
            self.tickets += 1;
            self.thread.ask(self.tickets, Arc::clone(visitor)).unwrap();
        }
        let (until, mut answered, mut right) = (Instant::now() + PATIENCE, 0, 0);
        while answered < 3 && Instant::now() < until {
            for report in self.thread.reports().collect::<Vec<_>>() {
                match report {
                    Report::Answer { ticket, verdict } if ticket > first => {
                        answered += 1;
                        right += usize::from(is_right(ticket - first, &verdict, outcome));
                    }
                    Report::Stop { why, .. } => {
                        outcome.wrong.push(format!("a stream was ended: {why:?}"));
                    }
                    Report::Log { text, .. } if text.contains("dropped") => {
                        outcome.wrong.push(text);
                    }
                    _ => (),
                }
            }
            sleep(Duration::from_micros(500));
        }
        outcome.expect(answered == 3, || format!("{answered} of 3 keys were answered"));
        right == 3
    }
}

/// A fault is never more than no answer.
fn is_right(
    which: u64,
    verdict: &Result<Verdict, impl std::fmt::Display>,
    outcome: &mut Outcome,
) -> bool {
    let is_right = match (which, verdict) {
        (_, Err(_)) => return false,
        (1, Ok(Verdict::Allowed { username, .. })) => username.as_str() == "benw",
        (2, Ok(Verdict::Inactive { .. })) | (3, Ok(Verdict::Unknown)) => true,
        _ => false,
    };
    outcome.expect(is_right, || format!("key {which} was answered {:?}", verdict.as_ref().ok()));
    is_right
}

/// Streams begin and end and keys are asked until the fault has come and gone.
pub fn run(case: &Case, scene: Scene) -> Outcome {
    let journal = scene.journal;
    let plan = Plan::set(scene.directory.path(), case.call, case.code, case.lasting);
    let mut worker = Worker::start(&scene.path, journal);
    let mut outcome = Outcome::default();
    let until = Instant::now() + PATIENCE;
    let mut is_live = false;
    while outcome.recovery.is_none() && Instant::now() < until {
        match is_live {
            true => worker.stop_stream(),
            false => worker.start_stream(),
        }
        is_live = !is_live;
        let over = plan.over().filter(|over| *over <= Instant::now());
        if worker.ask(&mut outcome)
            && let Some(over) = over
        {
            outcome.recovery = Some(over.elapsed());
        }
    }
    // Every other case leaves its last stream on.
    if is_live != case.call.is_multiple_of(2) {
        match is_live {
            true => worker.stop_stream(),
            false => worker.start_stream(),
        }
        is_live = !is_live;
    }
    let (sessions, started_at) = (worker.sessions, worker.started_at);
    let unwritten = worker.thread.shutdown(PATIENCE);
    outcome.expect(unwritten == 0, || format!("{unwritten} events were not written"));
    drop(plan);
    match journal {
        Journal::Native => check_rows(&scene.path, sessions as i64, is_live, &mut outcome),
        Journal::Foreign => check_told(&scene.path, is_live.then_some(started_at), &mut outcome),
    }
    outcome
}

/// Each session has one row, and all but one that is still on have ended as they did.
fn check_rows(path: &Path, sessions: i64, is_live: bool, outcome: &mut Outcome) {
    let db = Connection::open(path).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let rows = count("SELECT count(DISTINCT started_at) FROM sessions WHERE streamer_id = 1");
    let all = count("SELECT count(*) FROM sessions");
    outcome.expect((rows, all) == (sessions, sessions), || {
        format!("{sessions} sessions have {all} rows, {rows} of them with a start of their own")
    });
    let closed = count("SELECT count(*) FROM sessions WHERE end_reason = 'closed by client'");
    let expected = sessions - i64::from(is_live);
    outcome.expect(closed == expected, || format!("{closed} rows of {expected} are closed"));
    check_integrity(&db, outcome);
}

/// The application believes what is so.
fn check_told(path: &Path, live_since: Option<SystemTime>, outcome: &mut Outcome) {
    let db = Connection::open(path).unwrap();
    let told: Option<String> = db
        .query_row("SELECT live_since FROM users WHERE name = 'benw'", [], |row| row.get(0))
        .unwrap();
    let expected = live_since.map(stagedoor_core::timestamp::utc);
    outcome.expect(told == expected, || format!("told {told:?}, not {expected:?}"));
    check_integrity(&db, outcome);
}

pub fn check_integrity(db: &Connection, outcome: &mut Outcome) {
    let found: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    outcome.expect(found == "ok", || format!("the database is damaged: {found}"));
}

/// A thread that does not come back from the disk is left behind when its worker ends.
pub fn stuck() -> Row {
    let case = Case { call: 60, code: HANG, lasting: Duration::from_secs(3) };
    let begun = Instant::now();
    let scene = Scene::new(Journal::Native);
    let plan = Plan::set(scene.directory.path(), case.call, case.code, case.lasting);
    let mut worker = Worker::start(&scene.path, Journal::Native);
    while plan.over().is_none() && begun.elapsed() < PATIENCE {
        worker.start_stream();
        worker.stop_stream();
        sleep(Duration::from_millis(20));
    }
    let is_stuck = plan.over().is_some();
    let left = Instant::now();
    let unwritten = worker.thread.shutdown(Duration::from_millis(500));
    let took = left.elapsed();
    let is_good = is_stuck && unwritten > 0 && took < Duration::from_secs(2);
    Row {
        subject: "store thread, native database".to_owned(),
        fault: "a call of SQLite hangs for 3 s while the worker ends".to_owned(),
        injected: usize::from(is_stuck),
        expected: "the worker waits for 0.5 s and leaves the thread behind".to_owned(),
        seen: format!("{:.1} s, {unwritten} events unwritten", took.as_secs_f64()),
        is_good,
        recovery: Vec::new(),
    }
}

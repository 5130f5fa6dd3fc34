use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rusqlite::Connection;

use super::*;
use crate::key::{KeyDigest, StreamKey};
use crate::registry::{Claim, LostStream, Owner};
use crate::store::fixture::admission;
use crate::store::foreign::Role;
use crate::store::history::{EndReason, Flushed, History, MAX_WAITING};
use crate::store::layout::Layout;
use crate::store::patience;
use crate::store::thread::Boot;
use crate::store::visitor::Visitor;

const START: &str = "UPDATE users SET started_at = :now WHERE name = :username";
const STOP: &str = "UPDATE users SET started_at = NULL WHERE name = :username";

#[derive(Debug, Default)]
struct Stage {
    live: Mutex<HashSet<String>>,
    told: Mutex<Vec<Claim>>,
}

impl Server for Stage {
    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, username: &str) -> bool {
        self.live.lock().unwrap().contains(username)
    }

    fn end_is_told(&self, claim: Claim) {
        self.told.lock().unwrap().push(claim);
    }

    fn is_told(&self, claim: Claim) -> bool {
        self.told.lock().unwrap().contains(&claim)
    }

    fn boot(&self) -> Boot {
        Boot::Free
    }

    fn booted(&self) {}
}

struct Scene {
    stage: Arc<Stage>,
    history: History,
    db: Connection,
}

impl Scene {
    fn with(start: &str, stop: &str) -> Self {
        Self::on(Connection::open_in_memory().unwrap(), start, stop)
    }

    fn on(db: Connection, start: &str, stop: &str) -> Self {
        let statement = |role, sql: &str| Statement::new(role, sql.to_owned(), String::new());
        let statements = Statements {
            query: statement(Role::Query, "SELECT name AS username FROM users WHERE :key"),
            on_start: Some(statement(Role::Start, start)),
            on_stop: Some(statement(Role::Stop, stop)),
            on_boot: Some(statement(Role::Boot, "UPDATE users SET started_at = NULL")),
        };
        db.execute_batch(
            "CREATE TABLE users (name UNIQUE, started_at);
             INSERT INTO users VALUES ('benw', NULL), ('zoe', NULL);",
        )
        .unwrap();
        let stage = Arc::new(Stage::default());
        let layout = Layout::Foreign(Arc::new(statements));
        let server = Arc::clone(&stage) as Arc<dyn Server>;
        let history = History::new(&layout, Owner::default(), server);
        Self { stage, history, db }
    }

    fn write(&mut self, events: impl IntoIterator<Item = SessionEvent>) -> Flushed {
        self.history.add(events.into_iter().collect());
        self.history.flush(&mut self.db, Path::new("site.db")).unwrap()
    }

    fn is_live(&self, live: &[&str]) {
        *self.stage.live.lock().unwrap() = live.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Who is live, as the application has it, and since which second.
    fn told(&self) -> Vec<(String, String)> {
        let sql = "SELECT name, started_at FROM users WHERE started_at IS NOT NULL ORDER BY name";
        let mut users = self.db.prepare(sql).unwrap();
        let rows = users.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn second(n: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + n)
}

fn started(tag: u64, username: &str, at: u64) -> SessionEvent {
    let admission = admission(0, username, KeyDigest::of(b"x"));
    SessionEvent::Started { tag, admission, at: second(at) }
}

fn stopped(tag: u64) -> SessionEvent {
    let claim = Claim::numbered(tag);
    SessionEvent::Stopped { tag, claim, at: second(90), reason: EndReason::Closed }
}

fn lost(username: &str) -> SessionEvent {
    let stream = LostStream {
        username: username.to_owned(),
        streamer_id: 0,
        app: "live".to_owned(),
        client_addr: "192.0.2.7".to_owned(),
        started_at: 0,
        claim: Claim::default(),
        former: Claim::default(),
        ended_at: None,
    };
    SessionEvent::Lost { at: second(90), streams: vec![stream] }
}

fn since(username: &str, at: &str) -> (String, String) {
    (username.to_owned(), format!("2023-11-14 22:{at}.000000"))
}

#[test]
fn the_application_hears_of_start_and_end() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0), started(2, "zoe", 5)]);
    assert_eq!(scene.told(), [since("benw", "13:20"), since("zoe", "13:25")]);
    assert_eq!(scene.write([stopped(1)]), Flushed { events: 1, ..Flushed::default() });
    assert_eq!(scene.told(), [since("zoe", "13:25")]);
}

#[test]
fn an_end_is_noted_once_it_is_told_and_not_if_it_is_for_another_to_tell() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0), started(2, "zoe", 5)]);
    scene.is_live(&["zoe"]);
    scene.history.add([stopped(1), stopped(2)].into());
    assert_eq!(*scene.stage.told.lock().unwrap(), []);
    scene.write([]);
    assert_eq!(*scene.stage.told.lock().unwrap(), [Claim::numbered(1)]);
}

#[test]
fn what_was_refused_for_good_needs_nobody_else() {
    let mut scene = Scene::with(START, "UPDATE users SET started_at = json(:username)");
    scene.write([started(1, "benw", 0)]);
    scene.write([stopped(1)]);
    assert_eq!(*scene.stage.told.lock().unwrap(), [Claim::numbered(1)]);
}

#[test]
fn a_name_that_was_handed_on_is_told_of_once() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0), stopped(1), started(2, "benw", 5)]);
    let former = |serial| {
        let SessionEvent::Lost { at, mut streams } = lost("benw") else { unreachable!() };
        streams[0].former = Claim::numbered(serial);
        SessionEvent::Lost { at, streams }
    };
    scene.write([former(1)]);
    assert_eq!(scene.told(), [since("benw", "13:25")], "its end was told");
    scene.write([former(7)]);
    assert_eq!(scene.told(), []);
}

#[test]
fn a_page_of_the_application_that_reads_and_then_writes_is_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("site.db");
    let mut scene = Scene::on(Connection::open(&path).unwrap(), START, STOP);
    patience::install(&mut scene.db).unwrap();
    scene.history.add([started(1, "benw", 1)].into());
    let page = Connection::open(&path).unwrap();
    page.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    let began = Instant::now();
    let writer = thread::spawn(move || {
        while scene.history.flush(&mut scene.db, Path::new("site.db")).is_err() {}
        scene
    });
    thread::sleep(Duration::from_millis(20));
    page.execute_batch("UPDATE users SET name = 'zed' WHERE name = 'zoe'; COMMIT").unwrap();
    let scene = writer.join().unwrap();
    assert_eq!(scene.told(), [since("benw", "13:21")]);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_name_that_is_live_again_is_not_told_to_have_ended() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0)]);
    scene.is_live(&["benw"]);
    scene.write([stopped(1), lost("benw")]);
    assert_eq!(scene.told(), [since("benw", "13:20")]);
}

#[test]
fn streams_of_a_worker_that_died_have_ended() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0)]);
    scene.write([lost("benw")]);
    assert_eq!(scene.told(), []);
}

#[test]
fn an_end_by_key_cannot_be_told_when_the_key_is_lost_and_that_is_said() {
    let mut scene = Scene::with(START, "UPDATE users SET started_at = NULL WHERE :key = 'x'");
    scene.write([started(1, "benw", 0)]);
    let refused = scene.write([lost("benw")]).refused;
    assert_eq!(
        refused,
        ["stagedoor_on_stop was not run for streams whose worker died, because it names them by \
          their key, username: \"benw\""]
    );
}

#[test]
fn a_start_of_nginx_is_told_and_noted() {
    let mut scene = Scene::with(START, STOP);
    scene.write([started(1, "benw", 0)]);
    let flushed = scene.write([SessionEvent::Boot { at: second(1) }]);
    assert!(flushed.booted);
    assert_eq!(scene.told(), []);
}

#[test]
fn what_the_database_refuses_is_left_out_and_said() {
    let mut scene = Scene::with("INSERT INTO users VALUES (:username, :now)", STOP);
    let refused = scene.write([started(1, "benw", 0), started(2, "anna", 0)]).refused;
    assert_eq!(
        refused,
        ["stagedoor_on_start failed: UNIQUE constraint failed: users.name, username: \"benw\""]
    );
    assert_eq!(scene.told(), [since("anna", "13:20")]);
}

#[test]
fn a_statement_that_undoes_the_transaction_does_not_undo_the_others() {
    let mut scene = Scene::with("INSERT OR ROLLBACK INTO users VALUES (:username, :now)", STOP);
    let events = [started(1, "anna", 0), started(2, "benw", 0), started(3, "otto", 0)];
    let flushed = scene.write(events);
    assert_eq!((flushed.events, flushed.refused.len()), (1, 1));
    assert_eq!(scene.told(), []);
    scene.write([]);
    assert_eq!(scene.told(), [since("anna", "13:20"), since("otto", "13:20")]);
    scene.write([stopped(1), stopped(2), stopped(3)]);
    assert_eq!(scene.told(), []);
}

/// As Django has all of its foreign keys: looked at with the commit.
#[test]
fn what_the_database_refuses_at_the_end_is_left_out_alone() {
    let mut scene = Scene::with("INSERT INTO live VALUES (:username)", STOP);
    let live = "CREATE TABLE live (name REFERENCES users (name) DEFERRABLE INITIALLY DEFERRED)";
    scene.db.execute_batch(&format!("PRAGMA foreign_keys = ON; {live}")).unwrap();
    let names = ["benw", "zoe", "anna", "benw", "zoe"];
    scene.history.add((0..).zip(names).map(|(tag, name)| started(tag, name, 0)).collect());
    let mut refused = Vec::new();
    while scene.history.waiting() > 0 {
        refused.extend(scene.write([]).refused);
    }
    assert_eq!(
        refused,
        ["stagedoor_on_start failed: FOREIGN KEY constraint failed, username: \"anna\""]
    );
    let live: i64 = scene.db.query_row("SELECT count(*) FROM live", [], |row| row.get(0)).unwrap();
    assert_eq!(live, 4);
}

#[test]
fn a_statement_that_fails_on_a_row_is_left_out() {
    let start = "UPDATE users SET started_at = json_set(started_at, '$.at', :now)
                 WHERE name = :username";
    let mut scene = Scene::with(start, STOP);
    scene.db.execute_batch("UPDATE users SET started_at = 'x' WHERE name = 'zoe'").unwrap();
    let flushed = scene.write([started(1, "zoe", 0), started(2, "benw", 0), stopped(1)]);
    assert_eq!(
        (flushed.events, flushed.refused),
        (3, vec!["stagedoor_on_start failed: malformed JSON, username: \"zoe\"".to_owned()])
    );
    assert_eq!(scene.told(), []);
}

#[test]
fn what_a_trigger_says_of_a_key_is_not_said() {
    let mut scene = Scene::with("UPDATE users SET started_at = :key WHERE name = :username", STOP);
    scene
        .db
        .execute_batch(
            "CREATE TRIGGER no BEFORE UPDATE ON users
             BEGIN SELECT RAISE(ABORT, 'not ' || NEW.started_at); END",
        )
        .unwrap();
    let visitor = Visitor::with_key(StreamKey::parse(b"secret").unwrap(), "live", "192.0.2.7");
    let admission =
        Admission { visitor: Arc::new(visitor), ..admission(0, "benw", KeyDigest::of(b"")) };
    let refused = scene.write([SessionEvent::Started { tag: 1, admission, at: second(0) }]).refused;
    assert_eq!(
        refused,
        [
            "stagedoor_on_start failed: the reason tells a part of the stream key, username: \"benw\""
        ]
    );
}

#[test]
fn a_start_of_nginx_that_is_refused_is_over_nevertheless() {
    for refuse in [
        "CREATE TRIGGER no BEFORE UPDATE ON users BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        "CREATE TRIGGER no BEFORE UPDATE ON users BEGIN INSERT INTO live VALUES ('anna'); END",
    ] {
        let mut scene = Scene::with(START, STOP);
        let live = "CREATE TABLE live (name REFERENCES users (name) DEFERRABLE INITIALLY DEFERRED)";
        scene.db.execute_batch(&format!("PRAGMA foreign_keys = ON; {live}; {refuse}")).unwrap();
        let flushed = scene.write([SessionEvent::Boot { at: second(1) }]);
        assert!(flushed.booted && flushed.refused.len() == 1, "{flushed:?}");
    }
}

#[test]
fn a_start_of_nginx_is_not_dropped_for_what_comes_after() {
    let mut scene = Scene::with(START, STOP);
    scene.history.add([SessionEvent::Boot { at: second(1) }].into());
    let events = (0..MAX_WAITING as u64).map(|tag| started(tag, "benw", 0));
    assert_eq!(scene.history.add(events.collect()), 1);
    assert!(scene.write([]).booted);
}

#[test]
fn a_transaction_that_failed_is_written_again() {
    let mut scene = Scene::with(START, STOP);
    scene.db.execute_batch("ALTER TABLE users RENAME TO others").unwrap();
    scene.history.add([started(1, "benw", 0)].into());
    let error = scene.history.flush(&mut scene.db, Path::new("site.db")).unwrap_err();
    assert!(error.to_string().contains("stagedoor_on_start"), "{error}");
    scene.db.execute_batch("ALTER TABLE others RENAME TO users").unwrap();
    scene.write([stopped(1)]);
    assert_eq!(scene.told(), []);
    assert_eq!(scene.history.waiting(), 0);
}

use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;

use super::*;
use crate::key::KeyDigest;
use crate::store::Session;
use crate::store::fixture::{Fixture, QuietServer, admission};
use crate::timestamp;

fn second(n: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + n)
}

fn started(tag: SessionTag, streamer_id: i64, at: u64) -> SessionEvent {
    let admission = admission(streamer_id, "benw", KeyDigest::of(b""));
    SessionEvent::Started { tag, admission, at: second(at) }
}

fn stopped(tag: SessionTag, at: u64, reason: EndReason) -> SessionEvent {
    SessionEvent::Stopped { tag, claim: Claim::default(), at: second(at), reason }
}

const ME: Owner = Owner { pid: 1, start_time: 7 };
const DEAD: Owner = Owner { pid: 2, start_time: 7 };

fn history_of(worker: Owner) -> History {
    History::new(&Layout::Native, worker, Arc::new(QuietServer { dead: Some(DEAD) }))
}

struct Scene {
    fixture: Fixture,
    history: History,
    db: Connection,
}

impl Scene {
    /// With the streamers 1 and 2.
    fn new() -> Self {
        let fixture = Fixture::new();
        fixture.add("benw");
        fixture.add("zoe");
        let db = fixture.raw();
        Self { fixture, history: history_of(ME), db }
    }

    /// Writes events as a worker that is no more.
    fn write_as_dead<const N: usize>(&mut self, events: [SessionEvent; N]) {
        let mut dead = history_of(DEAD);
        dead.add(events.into());
        dead.flush(&mut self.db, self.fixture.path()).unwrap();
    }

    fn write(&mut self, events: impl IntoIterator<Item = SessionEvent>) {
        assert_eq!(self.history.add(events.into_iter().collect()), 0);
        while self.history.waiting() > 0 {
            self.history.flush(&mut self.db, self.fixture.path()).unwrap();
        }
    }

    /// The latest first.
    fn sessions(&self) -> Vec<Session> {
        self.fixture.store().sessions(None, 100_000).unwrap()
    }

    fn ends(&self) -> Vec<Option<String>> {
        self.sessions().into_iter().map(|session| session.end_reason).collect()
    }
}

#[test]
fn a_stream_leaves_one_row_with_its_start_and_end() {
    let mut scene = Scene::new();
    scene.write([started(7, 1, 0)]);
    let [live] = &scene.sessions()[..] else { panic!("one row") };
    assert_eq!((live.username.as_str(), live.app.as_str()), ("benw", "live"));
    assert_eq!(live.client_addr, "192.0.2.7");
    assert_eq!(live.started_at, "2023-11-14 22:13:20.000000");
    assert_eq!((&live.stopped_at, &live.end_reason), (&None, &None));
    scene.write([stopped(7, 90, EndReason::Closed)]);
    let [ended] = &scene.sessions()[..] else { panic!("one row") };
    assert_eq!(ended.stopped_at.as_deref(), Some("2023-11-14 22:14:50.000000"));
    assert_eq!(ended.end_reason.as_deref(), Some("closed by client"));
    assert_eq!(ended.duration, 90);
}

#[test]
fn start_and_end_may_be_written_together() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0), stopped(1, 5, EndReason::TakenOver), started(1, 1, 6)]);
    assert_eq!(scene.ends(), [None, Some("taken over".to_owned())]);
    scene.write([stopped(1, 9, EndReason::Lost)]);
    assert_eq!(scene.ends(), [Some("connection lost".to_owned()), Some("taken over".to_owned())]);
}

#[test]
fn an_end_without_a_start_is_ignored() {
    let mut scene = Scene::new();
    scene.write([stopped(3, 1, EndReason::Closed), started(4, 1, 2)]);
    scene.write([stopped(4, 3, EndReason::Closed), stopped(4, 9, EndReason::Lost)]);
    assert_eq!(scene.ends(), [Some("closed by client".to_owned())]);
}

#[test]
fn what_a_dead_worker_left_open_is_closed_and_nothing_else() {
    let mut scene = Scene::new();
    let mut dead = history_of(DEAD);
    dead.add([started(1, 1, 0), started(2, 2, 5), stopped(2, 6, EndReason::Closed)].into());
    dead.flush(&mut scene.db, scene.fixture.path()).unwrap();
    let other = "INSERT INTO sessions (streamer_id, app, client_addr, started_at, worker)
                 VALUES (2, '', '', '', 'no worker'), (2, '', '', '', NULL)";
    scene.db.execute(other, []).unwrap();
    scene.write([started(1, 1, 20), SessionEvent::Lost { at: second(10), streams: vec![] }]);
    let of = |name: &str| scene.fixture.store().sessions(Some(name), 9).unwrap();
    let ends: Vec<_> = of("benw").into_iter().map(|session| session.stopped_at).collect();
    assert_eq!(ends, [None, Some("2023-11-14 22:13:30.000000".to_owned())]);
    assert_eq!(of("benw")[1].end_reason.as_deref(), Some("crash"));
    let ends: Vec<_> = of("zoe").into_iter().map(|session| session.end_reason).collect();
    assert_eq!(ends, [Some("closed by client".to_owned()), None, None]);
}

#[test]
fn a_stream_that_was_lost_before_its_row_began_has_one_too() {
    let mut scene = Scene::new();
    let lost = |streamer_id, at: u64| LostStream {
        username: String::new(),
        streamer_id,
        app: "live".to_owned(),
        client_addr: "192.0.2.7".to_owned(),
        started_at: (1_700_000_000 + at) * 1_000_000,
        claim: Claim::default(),
        former: Claim::default(),
        ended_at: None,
    };
    let mut dead = history_of(DEAD);
    dead.add([started(1, 1, 0)].into());
    dead.flush(&mut scene.db, scene.fixture.path()).unwrap();
    let streams = vec![lost(1, 0), lost(2, 3), lost(99, 3)];
    let event = SessionEvent::Lost { at: second(10), streams };
    scene.write([event.clone(), event]);
    let sessions = scene.sessions();
    let rows = sessions.iter().map(|it| (it.username.as_str(), it.duration, it.app.as_str()));
    assert_eq!(rows.collect::<Vec<_>>(), [("zoe", 7, "live"), ("benw", 10, "live")]);
    assert_eq!(scene.ends(), [Some("crash".to_owned()), Some("crash".to_owned())]);
}

#[test]
fn an_end_that_is_written_late_is_right_all_the_same() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0)]);
    scene.write([SessionEvent::Boot { at: second(10) }, stopped(1, 9, EndReason::Closed)]);
    assert_eq!(scene.ends(), [Some("closed by client".to_owned())]);
    assert_eq!(scene.sessions()[0].stopped_at.as_deref(), Some("2023-11-14 22:13:29.000000"));
}

#[test]
fn a_boot_closes_every_row_of_the_former_life() {
    let mut scene = Scene::new();
    scene.write_as_dead([started(1, 1, 0), started(2, 2, 5)]);
    scene.db.execute("UPDATE sessions SET worker = NULL WHERE streamer_id = 2", []).unwrap();
    scene.write([SessionEvent::Boot { at: second(60) }]);
    assert_eq!(scene.ends(), [Some("crash".to_owned()), Some("crash".to_owned())]);
}

#[test]
fn a_boot_leaves_the_rows_of_another_server_that_runs() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0)]);
    scene.write([SessionEvent::Boot { at: second(60) }]);
    assert_eq!(scene.ends(), [None]);
}

#[test]
fn a_boot_closes_rows_of_a_clock_that_was_ahead() {
    let mut scene = Scene::new();
    let ahead = SystemTime::now() + Duration::from_secs(86_400);
    let admission = admission(1, "benw", KeyDigest::of(b""));
    let start = SessionEvent::Started { tag: 1, admission, at: ahead };
    scene.write_as_dead([start]);
    scene.write([SessionEvent::Boot { at: SystemTime::now() }]);
    assert_eq!(scene.ends(), [Some("crash".to_owned())]);
    let sessions = scene.sessions();
    assert_eq!(sessions[0].stopped_at.as_ref(), Some(&sessions[0].started_at));
}

#[test]
fn a_streamer_removed_meanwhile_holds_up_nobody() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0)]);
    scene.fixture.store().remove("benw").unwrap();
    scene.write([started(2, 1, 1), started(3, 2, 2), stopped(1, 3, EndReason::Closed)]);
    assert_eq!(scene.sessions().len(), 1);
    assert_eq!(scene.sessions()[0].username, "zoe");
}

#[test]
fn a_row_that_the_database_refuses_holds_up_nobody() {
    let mut scene = Scene::new();
    let trigger = "CREATE TRIGGER no_zoe BEFORE INSERT ON sessions WHEN new.streamer_id = 2
                   BEGIN SELECT raise(ABORT, 'not zoe'); END";
    scene.db.execute_batch(trigger).unwrap();
    scene.write([started(1, 1, 0), started(2, 2, 1), started(3, 1, 2)]);
    assert_eq!(scene.sessions().len(), 2);
}

#[test]
fn in_another_database_the_row_of_the_same_id_is_left_alone() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0)]);
    let mut other = Scene::new();
    other.write([started(1, 1, 30)]);
    scene.history.add([stopped(1, 60, EndReason::Closed)].into());
    scene.history.flush(&mut other.db, other.fixture.path()).unwrap();
    assert_eq!(other.ends(), [None]);
}

#[test]
fn while_another_process_writes_everything_keeps_waiting() {
    let mut scene = Scene::new();
    let writer = scene.fixture.raw();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.db.busy_timeout(Duration::ZERO).unwrap();
    scene.history.add([started(1, 1, 0), stopped(1, 1, EndReason::Closed)].into());
    let error = scene.history.flush(&mut scene.db, scene.fixture.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert_eq!(scene.history.waiting(), 2);
    writer.execute_batch("COMMIT").unwrap();
    scene.write([]);
    assert_eq!(scene.ends(), [Some("closed by client".to_owned())]);
}

#[test]
fn a_full_queue_drops_the_oldest_and_keeps_the_order() {
    let mut scene = Scene::new();
    let flood = (0..MAX_WAITING as u64 + 10).map(|n| started(n, 1, n));
    assert_eq!(scene.history.add(flood.collect()), 10);
    scene.write([]);
    let sessions = scene.sessions();
    assert_eq!(sessions.len(), MAX_WAITING);
    assert_eq!(sessions.last().unwrap().started_at, timestamp::utc(second(10)));
    assert!(sessions.is_sorted_by(|later, earlier| later.id > earlier.id));
}

#[test]
fn a_start_whose_commit_failed_after_it_had_come_true_is_not_written_twice() {
    let mut scene = Scene::new();
    scene.write([started(1, 1, 0)]);
    scene.history.scribe.commits(); // and nothing said that it was done
    scene.write([started(1, 1, 0), stopped(1, 9, EndReason::Closed)]);
    let sessions = scene.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].end_reason.as_deref(), Some("closed by client"));
}

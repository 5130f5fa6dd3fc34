//! Streams that run while the database changes under them.

use super::*;

/// What is promised.
const PROMISED: Duration = Duration::from_secs(1);

/// Longer than a look takes to come.
const A_WHILE: Duration = Duration::from_millis(700);

impl Scene {
    /// Streamers `benw` and `zoe` are live as sessions 1 and 2.
    fn carrying() -> Self {
        let fixture = Fixture::new();
        let keys = [fixture.add("benw"), fixture.add("zoe")];
        let scene = Self::on(fixture);
        for (id, (username, key)) in (1..).zip(["benw", "zoe"].into_iter().zip(keys)) {
            let (tag, at, admission) = (id as u64, SystemTime::now(), admission(id, username, key));
            let event = SessionEvent::Started { tag, admission: admission.clone(), at };
            scene.thread.record(event).unwrap();
            scene.thread.watch(tag, admission).unwrap();
            scene.thread.rouse();
        }
        scene.wait_for_rows(2);
        thread::sleep(A_WHILE); // both are seen
        scene
    }

    fn assert_stopped(&mut self, wanted: SessionTag, reason: Stop) {
        let changed = Instant::now();
        let stop = self.wait_for(|report| match report {
            Report::Stop { tag, why } => Some((*tag, *why)),
            _ => None,
        });
        assert_eq!(stop, (wanted, reason));
        assert!(changed.elapsed() < PROMISED, "{:?}", changed.elapsed());
    }

    fn assert_nothing_happens(&mut self) {
        thread::sleep(A_WHILE);
        self.assert_quiet();
    }
}

#[test]
fn whatever_forbids_a_stream_ends_that_one_once() {
    let mut scene = Scene::carrying();
    scene.fixture.store().set_active("benw", false).unwrap();
    scene.assert_stopped(1, Stop::Banned);
    scene.fixture.store().kick("zoe").unwrap();
    scene.assert_stopped(2, Stop::Kicked);
    scene.fixture.store().rotate("zoe").unwrap();
    scene.assert_nothing_happens();
}

#[test]
fn a_stream_that_was_forbidden_before_its_first_look_ends() {
    let fixture = Fixture::new();
    let key = fixture.add("benw");
    let mut scene = Scene::on(fixture);
    scene.fixture.store().rotate("benw").unwrap();
    scene.thread.watch(1, admission(1, "benw", key)).unwrap();
    scene.assert_stopped(1, Stop::KeyReplaced);
}

#[test]
fn a_stream_that_begins_later_is_looked_at_too() {
    let mut scene = Scene::carrying();
    scene.fixture.add("anna");
    thread::sleep(A_WHILE);
    scene.thread.watch(3, admission(3, "anna", KeyDigest::of(b"former"))).unwrap();
    scene.assert_stopped(3, Stop::KeyReplaced);
    scene.assert_nothing_happens();
}

#[test]
fn a_stream_that_has_ended_is_not_ended_again() {
    let mut scene = Scene::carrying();
    scene.thread.unwatch(1).unwrap();
    scene.fixture.store().remove("benw").unwrap();
    scene.assert_nothing_happens();
}

#[test]
fn another_database_under_the_same_name_is_a_change() {
    let mut scene = Scene::carrying();
    let other = Fixture::new();
    other.add("benw"); // with another key, and without zoe
    other.raw().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    fs::rename(other.path(), scene.fixture.path()).unwrap();
    let mut stops = [1, 2].map(|_| {
        scene.wait_for(|report| match report {
            Report::Stop { tag, why } => Some((*tag, *why)),
            _ => None,
        })
    });
    stops.sort_by_key(|(tag, _)| *tag);
    assert_eq!(stops, [(1, Stop::KeyReplaced), (2, Stop::Removed)]);
}

#[test]
fn a_database_that_is_out_of_order_ends_nothing_until_it_is_back() {
    let mut scene = Scene::carrying();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    scene.fixture.raw().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    fs::rename(&path, &away).unwrap();
    assert_eq!(scene.log().0, Level::Error);
    scene.assert_nothing_happens();
    let banned = Connection::open(&away).unwrap();
    banned.execute("UPDATE streamers SET is_active = 0 WHERE id = 2", []).unwrap();
    banned.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(banned);
    fs::write(&path, "").unwrap();
    assert_eq!(scene.log().0, Level::Error);
    scene.assert_nothing_happens();
    fs::rename(&away, &path).unwrap();
    assert_eq!(scene.log().0, Level::Notice);
    scene.assert_stopped(2, Stop::Banned);
    scene.assert_quiet();
}

#[test]
fn a_fault_that_keys_do_not_meet_is_said_once() {
    let mut scene = Scene::carrying();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sessions'";
    let root: u32 = scene.fixture.raw().query_row(root, [], |row| row.get(0)).unwrap();
    let (start, end) = ((root - 1) as usize * 4096, root as usize * 4096);
    let sound = scene.keep();
    scene.overwrite(start as u64, &[0xee; 4096]);
    let (level, text) = scene.log();
    assert_eq!(level, Level::Error);
    assert!(text.starts_with("live streams are not checked: "), "{text:?}");
    scene.assert_nothing_happens();
    scene.overwrite(start as u64, &sound[start..end]);
    assert_eq!(scene.log(), (Level::Notice, "live streams are checked again".to_owned()));
    scene.assert_nothing_happens();
}

#[test]
fn a_change_counts_once_it_is_committed() {
    let mut scene = Scene::carrying();
    let tyrant = scene.fixture.raw();
    tyrant.execute_batch("BEGIN IMMEDIATE; UPDATE streamers SET is_active = 0").unwrap();
    scene.assert_nothing_happens();
    tyrant.execute_batch("COMMIT").unwrap();
    let mut stopped = [1, 2].map(|_| {
        scene.wait_for(|report| match report {
            Report::Stop { tag, why: Stop::Banned } => Some(*tag),
            _ => None,
        })
    });
    stopped.sort_unstable();
    assert_eq!(stopped, [1, 2]);
}

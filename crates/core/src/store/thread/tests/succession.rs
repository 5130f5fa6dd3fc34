//! Another database takes the name of the one in use, and somebody opens it who never had the
//! former open.

use super::*;
use crate::store::Store;

/// Longer than a worker takes to look.
const A_WHILE: Duration = Duration::from_millis(700);

/// A worker on a database with streamer `benw`, and a database with streamer `zoe` alone beside it.
fn heirs() -> (Scene, Fixture, KeyDigest) {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let mut scene = Scene::on(fixture);
    assert_eq!(scene.ask(benw), allowed("benw"));
    let other = Fixture::named("other.db");
    other.add("zoe");
    (scene, other, benw)
}

impl Scene {
    /// Moves the other database in, while the former one has a log.
    fn replace(&self, other: &Fixture) {
        self.fixture.add("late");
        assert!(self.log_is_full());
        fs::rename(other.path(), self.fixture.path()).unwrap();
    }

    fn log_is_full(&self) -> bool {
        fs::metadata(self.fixture.beside("stagedoor.db-wal")).is_ok_and(|log| log.len() > 0)
    }

    /// Another worker.
    fn another(&self) -> StoreThread {
        StoreThread::spawn(settings(self.fixture.path().to_owned()), || ())
    }

    fn assert_only_zoe(&self) {
        let list = self.fixture.store().list().unwrap();
        let names: Vec<_> = list.iter().map(|streamer| streamer.username.as_str()).collect();
        assert_eq!(names, ["zoe"]);
        let check = "PRAGMA integrity_check";
        let sound: String = self.fixture.raw().query_row(check, [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}

fn answer(thread: &StoreThread, digest: KeyDigest) -> Result<Verdict, StoreError> {
    thread.ask(1, visitor(digest)).unwrap();
    let until = Instant::now() + SOON;
    loop {
        match thread.reports().next() {
            Some(Report::Answer { verdict, .. }) => return verdict,
            Some(report) => panic!("{report:?}"),
            None => (),
        }
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_worker_that_nobody_asks_leaves_it() {
    let (mut scene, other, _) = heirs();
    scene.replace(&other);
    thread::sleep(A_WHILE);
    assert!(!scene.log_is_full());
    scene.assert_only_zoe();
    scene.assert_quiet();
}

#[test]
fn a_worker_that_starts_just_then_sees_the_new_one_alone() {
    let (mut scene, other, benw) = heirs();
    scene.replace(&other);
    let second = scene.another();
    assert_eq!(answer(&second, benw), Ok(Verdict::Unknown));
    assert_eq!(second.shutdown(SOON), 0);
    scene.assert_only_zoe();
    scene.assert_quiet();
}

#[test]
fn what_a_command_changes_just_then_stays() {
    let (mut scene, other, benw) = heirs();
    scene.replace(&other);
    scene.fixture.store().set_active("zoe", false).unwrap();
    assert_eq!(scene.ask(benw), Ok(Verdict::Unknown));
    scene.start(1);
    scene.wait_for_rows(1);
    assert!(!scene.fixture.store().show("zoe").unwrap().is_active);
    scene.assert_only_zoe();
    scene.assert_quiet();
}

#[test]
fn a_worker_that_ends_just_then_clears_up_behind_it() {
    let (scene, other, _) = heirs();
    scene.replace(&other);
    let Scene { fixture, thread, .. } = scene;
    assert_eq!(thread.shutdown(SOON), 0);
    assert_eq!(fixture.files(), ["stagedoor.db"]);
    assert_eq!(fixture.store().list().unwrap()[0].username, "zoe");
}

#[test]
fn a_fault_that_one_of_two_workers_has_met_keeps_neither_from_leaving() {
    let (mut scene, other, benw) = heirs();
    let second = scene.another();
    assert_eq!(answer(&second, benw), allowed("benw"));
    scene.fixture.raw().pragma_update(None, "user_version", 99).unwrap();
    thread::sleep(VERSION_AGE);
    assert!(matches!(scene.ask(benw), Err(StoreError::NewerVersion { .. })));
    assert_eq!(scene.log().0, Level::Error);
    fs::rename(other.path(), scene.fixture.path()).unwrap();
    assert_eq!(scene.log().0, Level::Notice);
    assert_eq!(scene.ask(benw), Ok(Verdict::Unknown));
    assert_eq!(answer(&second, benw), Ok(Verdict::Unknown));
    scene.start(1);
    scene.wait_for_rows(1);
    scene.assert_only_zoe();
}

#[test]
fn a_worker_that_alone_had_a_fault_leaves_it() {
    let (mut scene, other, benw) = heirs();
    scene.fixture.raw().pragma_update(None, "user_version", 99).unwrap();
    thread::sleep(VERSION_AGE);
    assert!(matches!(scene.ask(benw), Err(StoreError::NewerVersion { .. })));
    assert!(scene.log_is_full());
    fs::rename(other.path(), scene.fixture.path()).unwrap();
    assert_eq!(scene.ask(benw), Ok(Verdict::Unknown));
    scene.assert_only_zoe();
}

#[test]
fn the_log_of_a_database_at_rest_is_empty() {
    let (mut scene, _, benw) = heirs();
    scene.fixture.add("late");
    assert!(scene.log_is_full());
    let until = Instant::now() + SOON;
    while scene.log_is_full() {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(50));
    }
    let copy = scene.fixture.beside("copy.db");
    fs::copy(scene.fixture.path(), &copy).unwrap();
    assert_eq!(Store::open(&copy).unwrap().list().unwrap().len(), 2);
    assert_eq!(scene.ask(benw), allowed("benw"));
    scene.assert_quiet();
}

#[test]
fn behind_a_symbolic_link_either_may_change() {
    let (fixture, other) = (Fixture::named("real.db"), Fixture::named("other.db"));
    let (benw, link) = (fixture.add("benw"), fixture.beside("link.db"));
    let third = Fixture::named("third.db");
    let zoe = other.add("zoe");
    std::os::unix::fs::symlink(fixture.path(), &link).unwrap();
    let thread = StoreThread::spawn(settings(link.clone()), || ());
    assert_eq!(answer(&thread, benw), allowed("benw"));
    fixture.add("late");
    fs::rename(other.path(), fixture.path()).unwrap();
    assert_eq!(answer(&thread, zoe), allowed("zoe"));
    assert_eq!(fixture.store().list().unwrap().len(), 1);
    let anna = fixture.add("anna"); // in the log of the one that stays where it is
    std::os::unix::fs::symlink(third.path(), fixture.beside("next")).unwrap();
    fs::rename(fixture.beside("next"), &link).unwrap();
    assert_eq!(answer(&thread, anna), Ok(Verdict::Unknown));
    assert_eq!(fixture.store().list().unwrap().len(), 2);
}

//! The database goes wrong in every way that is known, and is put right again, while nginx runs.

use super::*;

/// Longer than the look at a database that is out of order may take to come.
const RECOVERY: Duration = Duration::from_secs(1);

impl Scene {
    /// With streamer 1, `benw`, known to be allowed.
    fn live() -> (Self, KeyDigest) {
        let fixture = Fixture::new();
        let benw = fixture.add("benw");
        let mut scene = Self::on(fixture);
        assert_eq!(scene.ask(benw), allowed("benw"));
        scene.assert_quiet();
        (scene, benw)
    }

    /// The fault answers every key, is logged once, and its words are these.
    fn assert_fault(&mut self, benw: KeyDigest, words: &str) {
        let error = self.ask(benw).unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} lacks {words:?}");
        assert!(error.contains(self.fixture.path().to_str().unwrap()), "{error:?} lacks the path");
        assert_eq!(self.log(), (Level::Error, error.clone()));
        assert_eq!(self.ask(benw).unwrap_err().to_string(), error);
        self.assert_quiet();
    }

    /// It is noticed without anybody asking.
    fn assert_recovery(&mut self, benw: KeyDigest) {
        let mended = Instant::now();
        let (level, text) = self.log();
        assert!(mended.elapsed() < RECOVERY, "{:?}", mended.elapsed());
        assert_eq!(level, Level::Notice);
        assert!(text.contains("available again"), "{text:?}");
        assert_eq!(self.ask(benw), allowed("benw"));
        self.assert_quiet();
    }

    pub(super) fn keep(&self) -> Vec<u8> {
        self.fixture.raw().query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
        fs::read(self.fixture.path()).unwrap()
    }

    /// Overwrites the file under its open connections.
    pub(super) fn overwrite(&self, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.fixture.path()).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }
}

#[test]
fn missing_at_the_start_then_created() {
    let mut scene = Scene::on(Fixture::empty());
    let (level, text) = scene.log();
    assert_eq!(level, Level::Error);
    assert!(text.contains("does not exist"), "{text:?}");
    assert!(matches!(scene.ask(KeyDigest::of(b"x")), Err(StoreError::Missing { .. })));
    scene.assert_quiet();
    assert_eq!(scene.fixture.files().len(), 0);
    crate::store::Store::create(scene.fixture.path()).unwrap();
    let benw = scene.fixture.add("benw");
    scene.assert_recovery(benw);
}

#[test]
fn moved_away_and_back_with_all_that_was_in_its_log() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    let zoe = scene.fixture.add("zoe"); // in the log only
    fs::rename(&path, &away).unwrap();
    scene.assert_fault(benw, "does not exist");
    fs::rename(&away, &path).unwrap();
    scene.assert_recovery(benw);
    assert!(matches!(scene.ask(zoe), Ok(Verdict::Allowed { .. })));
}

#[test]
fn deleted_and_created_anew() {
    let (mut scene, benw) = Scene::live();
    fs::remove_file(scene.fixture.path()).unwrap();
    scene.assert_fault(benw, "does not exist");
    crate::store::Store::create(scene.fixture.path()).unwrap();
    let benw = scene.fixture.add("benw");
    scene.assert_recovery(benw);
}

#[test]
fn a_directory_in_its_place() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    scene.assert_fault(benw, "is not a regular file");
    fs::remove_dir(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    scene.assert_recovery(benw);
}

#[test]
fn an_empty_file_in_its_place() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    fs::rename(&path, &away).unwrap();
    fs::write(&path, "").unwrap();
    scene.assert_fault(benw, "is empty");
    fs::rename(&away, &path).unwrap();
    scene.assert_recovery(benw);
}

#[test]
fn a_file_of_another_kind_in_its_place() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    let zoe = scene.fixture.add("zoe"); // in the log only
    fs::rename(&path, &away).unwrap();
    fs::write(&path, "no database\n".repeat(1000)).unwrap();
    scene.assert_fault(benw, "is not an SQLite database");
    fs::rename(&away, &path).unwrap();
    scene.assert_recovery(benw);
    assert!(matches!(scene.ask(zoe), Ok(Verdict::Allowed { .. })));
}

#[test]
fn a_header_overwritten_in_place() {
    let (mut scene, benw) = Scene::live();
    let sound = scene.keep();
    scene.overwrite(0, &[0xee; 100]);
    scene.assert_fault(benw, "is not an SQLite database");
    scene.overwrite(0, &sound[..100]);
    scene.assert_recovery(benw);
}

#[test]
fn pages_overwritten_in_place() {
    let (mut scene, benw) = Scene::live();
    let sound = scene.keep();
    scene.overwrite(4096, &vec![0xee; sound.len() - 4096]);
    scene.assert_fault(benw, "is corrupt");
    thread::sleep(RECOVERY); // looks, and finds it as it was
    scene.assert_quiet();
    scene.overwrite(4096, &sound[4096..]);
    scene.assert_recovery(benw);
}

#[test]
fn cut_short_in_place() {
    let (mut scene, benw) = Scene::live();
    let sound = scene.keep();
    let file = fs::OpenOptions::new().write(true).open(scene.fixture.path()).unwrap();
    file.set_len(5000).unwrap();
    scene.assert_fault(benw, "is corrupt");
    scene.overwrite(0, &sound);
    scene.assert_recovery(benw);
}

#[test]
fn locked_by_another_process() {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let tyrant = fixture.raw();
    tyrant.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let mut scene = Scene::on(fixture);
    let (level, text) = scene.log();
    assert_eq!(level, Level::Error);
    assert!(text.contains("is locked by another process"), "{text:?}");
    let asked = Instant::now();
    assert!(matches!(scene.ask(benw), Err(StoreError::Locked { .. })));
    let answered = asked.elapsed();
    assert!((1.0..2.0).contains(&answered.as_secs_f32()), "{answered:?}");
    scene.assert_quiet();
    drop(tyrant);
    scene.assert_recovery(benw);
}

#[test]
fn many_keys_on_a_locked_database_do_not_wait_for_one_another() {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let tyrant = fixture.raw();
    tyrant.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let mut scene = Scene::on(fixture);
    scene.log();
    let asked = Instant::now();
    for ticket in 1000..1200 {
        scene.thread.ask(ticket, visitor(benw)).unwrap();
    }
    assert!(matches!(scene.ask(benw), Err(StoreError::Locked { .. })));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    drop(tyrant);
}

#[test]
fn locked_for_a_moment_is_waited_for() {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    // A database in rollback mode is closed to readers while it is written.
    fixture.raw().pragma_update(None, "journal_mode", "DELETE").unwrap();
    let writer = fixture.raw();
    let mut scene = Scene::on(fixture);
    assert_eq!(scene.ask(benw), allowed("benw"));
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    scene.thread.ask(99, visitor(benw)).unwrap();
    thread::sleep(Duration::from_millis(600));
    assert_eq!(scene.thread.reports().count(), 0);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(scene.ask(benw), allowed("benw"));
    let Some(Report::Answer { ticket: 99, verdict }) = scene.reports.pop() else {
        panic!("the first was answered first");
    };
    assert_eq!(verdict, allowed("benw"));
    scene.assert_quiet();
}

#[test]
fn brought_to_a_newer_version_under_the_open_connection() {
    let (mut scene, benw) = Scene::live();
    let version = |n: i64| scene.fixture.raw().pragma_update(None, "user_version", n).unwrap();
    let known: i64 =
        scene.fixture.raw().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    version(99);
    thread::sleep(VERSION_AGE);
    scene.assert_fault(benw, "has version 99, made by a newer Stagedoor");
    scene.fixture.raw().pragma_update(None, "user_version", known).unwrap();
    scene.assert_recovery(benw);
}

#[test]
fn without_its_table() {
    let (mut scene, benw) = Scene::live();
    scene.fixture.raw().execute_batch("ALTER TABLE streamers RENAME TO gone").unwrap();
    scene.assert_fault(benw, "is not one of Stagedoor: no such table");
    scene.fixture.raw().execute_batch("ALTER TABLE gone RENAME TO streamers").unwrap();
    scene.assert_recovery(benw);
}

#[test]
fn replaced_by_rename_the_new_one_answers_from_the_next_key_on() {
    let (mut scene, benw) = Scene::live();
    scene.fixture.add("in-the-log-of-the-former");
    let other = Fixture::named("other.db");
    other.add("x");
    let zoe = other.add("zoe");
    fs::rename(other.path(), scene.fixture.path()).unwrap();
    let username = Username::parse("zoe").unwrap();
    assert_eq!(scene.ask(zoe), Ok(Verdict::Allowed { streamer_id: 2, username }));
    assert_eq!(scene.ask(benw), Ok(Verdict::Unknown));
    scene.start(1);
    scene.wait_for_rows(1);
    let list = scene.fixture.store().list().unwrap();
    let list: Vec<_> = list.iter().map(|streamer| streamer.username.as_str()).collect();
    assert_eq!(list, ["x", "zoe"]);
    let check = "PRAGMA integrity_check";
    let sound: String = scene.fixture.raw().query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    scene.assert_quiet();
}

#[test]
fn replaced_under_two_workers_both_work_on_the_new_one() {
    let (mut scene, _) = Scene::live();
    let settings = settings(scene.fixture.path().to_owned());
    let (wake, woken) = channel();
    let second = StoreThread::spawn(settings, move || wake.send(()).unwrap_or_default());
    second.ask(1, visitor(KeyDigest::of(b"x"))).unwrap();
    woken.recv_timeout(SOON).unwrap();
    assert_eq!(second.reports().count(), 1);

    let other = Fixture::named("other.db");
    let zoe = other.add("zoe");
    fs::rename(other.path(), scene.fixture.path()).unwrap();
    assert_eq!(scene.ask(zoe), allowed("zoe"));
    scene.start(1);
    scene.wait_for_rows(1); // in the new log
    second.ask(2, visitor(zoe)).unwrap();
    woken.recv_timeout(SOON).unwrap();
    let verdict = allowed("zoe");
    assert_eq!(second.reports().collect::<Vec<_>>(), [Report::Answer { ticket: 2, verdict }]);
    assert_eq!(second.shutdown(SOON), 0);
    scene.stop(1);
    scene.start(2);
    scene.wait_for_rows(2);
    let sessions = scene.fixture.store().sessions(None, 9).unwrap();
    assert_eq!(sessions[1].end_reason.as_deref(), Some("closed by client"));
}

#[test]
fn the_former_database_keeps_what_was_in_its_log() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    scene.fixture.add("late"); // in the log only
    let other = Fixture::named("other.db");
    fs::rename(&path, &away).unwrap();
    fs::rename(other.path(), &path).unwrap();
    assert_eq!(scene.ask(benw), Ok(Verdict::Unknown));
    assert_eq!(crate::store::Store::open(&away).unwrap().list().unwrap().len(), 2);
}

#[test]
fn a_streamer_with_an_invalid_name_is_refused_alone() {
    let (mut scene, benw) = Scene::live();
    let zoe = scene.fixture.add("zoe");
    let sql = "UPDATE streamers SET username = '../' || username WHERE username = 'zoe'";
    scene.fixture.raw().execute(sql, []).unwrap();
    assert!(matches!(scene.ask(zoe), Err(StoreError::BadUsername { streamer_id: 2, .. })));
    assert_eq!(scene.ask(benw), allowed("benw"));
    scene.assert_quiet();
}

#[test]
fn sessions_that_ended_during_a_fault_are_written_after_it() {
    let (mut scene, benw) = Scene::live();
    let (path, away) = (scene.fixture.path().to_owned(), scene.fixture.beside("away"));
    scene.start(1);
    scene.wait_for_rows(1);
    fs::rename(&path, &away).unwrap();
    scene.stop(1);
    scene.start(2);
    let (level, text) = scene.log();
    assert_eq!(level, Level::Error, "{text}");
    fs::rename(&away, &path).unwrap();
    scene.wait_for_rows(2);
    let sessions = scene.fixture.store().sessions(None, 9).unwrap();
    assert!(sessions[1].stopped_at.is_some());
    scene.assert_recovery(benw);
}

//! A thread that ends by a fault of its own, and the one that takes its place.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A server whose answer makes a thread panic outside of its work on the database.
#[derive(Debug, Default)]
struct Explosive {
    is_armed: AtomicBool,
}

impl Server for Explosive {
    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, _username: &str) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        assert!(!self.is_armed.load(Ordering::SeqCst), "this one is meant to panic");
        Boot::Free
    }

    fn booted(&self) {}
}

fn scene_with(lookup: Lookup) -> (Scene, Arc<Explosive>, KeyDigest) {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let server = Arc::new(Explosive::default());
    let settings = Settings {
        server: Arc::clone(&server) as Arc<dyn Server>,
        ..settings(fixture.path().to_owned())
    };
    let (wake, woken) = channel();
    let wake = Arc::new(move || wake.send(()).unwrap_or_default());
    let thread = StoreThread::spawn_with(settings, lookup, wake);
    let mut scene = Scene { fixture, thread, woken, reports: Vec::new(), tickets: 0 };
    assert_eq!(scene.ask(benw), allowed("benw"));
    (scene, server, benw)
}

fn scene() -> (Scene, Arc<Explosive>, KeyDigest) {
    scene_with(Arc::new(|db: &_, path: &_, visitor: &_| Layout::Native.look_up(db, path, visitor)))
}

impl Scene {
    /// The next thing that is written ends the thread.
    fn break_down(&mut self, server: &Explosive) {
        server.is_armed.store(true, Ordering::SeqCst);
        self.start(1);
        let (level, text) = self.log();
        assert_eq!(level, Level::Error);
        assert!(text.contains("has ended"), "{text:?}");
        self.wait_until_ended();
        server.is_armed.store(false, Ordering::SeqCst);
    }

    fn wait_until_ended(&self) {
        let until = Instant::now() + SOON;
        while !self.thread.has_ended() {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_for_another(&mut self) {
        let until = Instant::now() + SOON;
        while self.thread.has_ended() {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(20));
            self.thread.look_after();
        }
        assert_eq!(self.log(), (Level::Notice, "another store thread has been started".to_owned()));
    }
}

#[test]
fn another_thread_takes_the_place_of_one_that_has_ended() {
    let (mut scene, server, benw) = scene();
    scene.break_down(&server);
    assert_eq!(scene.thread.ask(99, visitor(benw)), Err(StoreGone::Ended));
    scene.wait_for_another();
    assert_eq!(scene.ask(benw), allowed("benw"));
    scene.assert_quiet();
}

#[test]
fn what_was_taken_and_what_comes_in_between_is_written_once() {
    let (mut scene, server, _) = scene();
    scene.break_down(&server); // session 1 has been taken
    scene.stop(1);
    scene.start(2);
    scene.wait_for_another();
    scene.wait_for_rows(2);
    scene.stop(2);
    assert_eq!(scene.thread.shutdown(SOON), 0);
    let sessions = scene.fixture.store().sessions(None, 10).unwrap();
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|it| it.end_reason.as_deref() == Some("closed by client")));
}

#[test]
fn a_stream_that_is_watched_is_watched_by_the_next_thread() {
    let (mut scene, server, benw) = scene();
    scene.thread.watch(1, admission(1, "benw", benw)).unwrap();
    scene.break_down(&server);
    scene.fixture.store().set_active("benw", false).unwrap();
    scene.wait_for_another();
    let stop = scene.wait_for(|report| match report {
        Report::Stop { tag, why } => Some((*tag, *why)),
        _ => None,
    });
    assert_eq!(stop, (1, Stop::Banned));
}

#[test]
fn a_key_that_waits_while_the_thread_ends_is_answered_at_once() {
    let slow = KeyDigest::of(b"slow");
    let (mut scene, server, _) = scene_with(Arc::new(move |db: &_, path: &_, visitor: &_| {
        match *Visitor::digest(visitor) == slow {
            true => Err(StoreError::Locked { path: Path::to_owned(path) }),
            false => Layout::Native.look_up(db, path, visitor),
        }
    }));
    scene.thread.ask(50, visitor(slow)).unwrap();
    let begun = Instant::now();
    scene.break_down(&server);
    let answer = scene.wait_for(|report| match report {
        Report::Answer { ticket: 50, verdict } => Some(verdict.clone()),
        _ => None,
    });
    assert!(matches!(answer, Err(StoreError::Panicked { .. })), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_thread_that_ends_again_and_again_is_started_twice_a_second_at_most() {
    let (mut scene, server, _) = scene();
    scene.break_down(&server);
    server.is_armed.store(true, Ordering::SeqCst);
    let (begun, mut starts) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(2500) {
        scene.thread.look_after();
        starts += usize::from(!scene.thread.has_ended());
        thread::sleep(Duration::from_millis(5));
        if !scene.thread.has_ended() {
            scene.wait_until_ended();
        }
    }
    assert!((1..=5).contains(&starts), "{starts}");
}

#[test]
fn a_shutdown_has_another_thread_write_what_waits() {
    let (mut scene, server, _) = scene();
    thread::sleep(Duration::from_secs(1)); // its predecessor has lived for long enough
    scene.break_down(&server);
    assert_eq!(scene.thread.shutdown(SOON), 0);
    assert_eq!(rows(&scene.fixture.raw()), 1);
}

#[test]
fn a_thread_that_is_stuck_is_left_behind_at_the_end_and_said_to_be_stuck_before() {
    let (hang, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (hangs, goes_on) = (Arc::clone(&hang), Arc::clone(&go_on));
    let (mut scene, _, benw) = scene_with(Arc::new(move |db: &_, path: &_, visitor: &_| {
        while hangs.load(Ordering::SeqCst) && !goes_on.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        Layout::Native.look_up(db, path, visitor)
    }));
    hang.store(true, Ordering::SeqCst);
    scene.thread.ask(50, visitor(benw)).unwrap();
    let until = Instant::now() + 2 * SOON;
    let said = loop {
        assert!(Instant::now() < until);
        scene.thread.look_after();
        match scene.thread.reports().next() {
            Some(Report::Log { level: Level::Error, text }) => break text,
            _ => thread::sleep(Duration::from_millis(50)),
        }
    };
    assert!(said.contains("has not come back to the store thread for 5 s"), "{said:?}");
    assert!(!scene.thread.has_ended());
    scene.start(1);
    let begun = Instant::now();
    assert_eq!(scene.thread.shutdown(Duration::from_millis(200)), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    go_on.store(true, Ordering::SeqCst);
}

//! That nginx has started is written down before anything that happens since.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server of which another worker has yet to write down that it has started.
#[derive(Debug)]
struct Starting {
    boot: Mutex<Boot>,
    asked: AtomicUsize,
}

impl Server for Starting {
    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, _username: &str) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut boot = self.boot.lock().unwrap();
        let now = *boot;
        if now == Boot::Inherited {
            *boot = Boot::Free;
        }
        now
    }

    fn booted(&self) {
        *self.boot.lock().unwrap() = Boot::Free;
    }
}

/// A row that is open from a former life, and a stream that has begun since.
fn scene() -> (Scene, Arc<Starting>) {
    let fixture = Fixture::new();
    fixture.add("benw");
    let former = "INSERT INTO sessions (streamer_id, app, client_addr, started_at)
                  VALUES (1, 'former', '', '2020-01-01 00:00:00.000000')";
    fixture.raw().execute(former, []).unwrap();
    let server =
        Arc::new(Starting { boot: Mutex::new(Boot::Elsewhere), asked: AtomicUsize::new(0) });
    let settings = Settings {
        server: Arc::clone(&server) as Arc<dyn Server>,
        ..settings(fixture.path().to_owned())
    };
    let (wake, woken) = channel();
    let thread = StoreThread::spawn(settings, move || wake.send(()).unwrap_or_default());
    let scene = Scene { fixture, thread, woken, reports: Vec::new(), tickets: 0 };
    scene.start(1);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(rows(&scene.fixture.raw()), 1);
    (scene, server)
}

fn ends(scene: &Scene) -> Vec<Option<String>> {
    let sessions = scene.fixture.store().sessions(None, 10).unwrap();
    sessions.into_iter().map(|session| session.end_reason).collect()
}

#[test]
fn what_happens_before_another_worker_is_done_waits() {
    let (mut scene, server) = scene();
    let key = scene.fixture.add("zoe");
    assert!(matches!(scene.ask(key), Ok(Verdict::Allowed { .. })));
    server.booted();
    scene.wait_for_rows(2);
    assert_eq!(ends(&scene), [None, None]);
}

#[test]
fn once_that_is_done_nobody_asks_about_it_any_more() {
    let (scene, server) = scene();
    server.booted();
    scene.wait_for_rows(2);
    let asked = server.asked.load(Ordering::SeqCst);
    scene.start(2);
    scene.wait_for_rows(3);
    assert_eq!(server.asked.load(Ordering::SeqCst), asked);
}

#[test]
fn the_worker_that_takes_it_over_writes_it_first() {
    let (scene, server) = scene();
    *server.boot.lock().unwrap() = Boot::Inherited;
    scene.wait_for_rows(2);
    assert_eq!(ends(&scene), [None, Some("crash".to_owned())]);
    scene.stop(1);
    assert_eq!(scene.thread.shutdown(SOON), 0);
}

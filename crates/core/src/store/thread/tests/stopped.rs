//! A thread that is stopped anywhere, as by a debugger or a page that the disk does not give, while it
//! has something in hand: the event loop goes on.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::hook;

thread_local! {
    /// Where this store thread stops, if it does.
    static STOP: RefCell<Option<Arc<Stop>>> = const { RefCell::new(None) };
}

/// Has the store thread of one server stop at one place.
#[derive(Debug)]
struct Stop {
    place: &'static str,
    is_armed: AtomicBool,
    times: AtomicUsize,
}

impl Stop {
    fn at(place: &'static str) -> Arc<Stop> {
        hook::install(passed);
        Arc::new(Stop { place, is_armed: AtomicBool::new(false), times: AtomicUsize::new(0) })
    }

    /// Until what is returned is dropped. Whoever waits for the thread does so for two seconds, so that a
    /// test fails and ends.
    fn arm(self: &Arc<Self>) -> Armed {
        self.is_armed.store(true, Ordering::SeqCst);
        let stop = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(2));
            stop.is_armed.store(false, Ordering::SeqCst);
        });
        Armed(Arc::clone(self))
    }

    fn wait_until_stopped(&self) {
        let until = Instant::now() + SOON;
        while self.times.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Armed(Arc<Stop>);

impl Drop for Armed {
    fn drop(&mut self) {
        self.0.is_armed.store(false, Ordering::SeqCst);
    }
}

fn passed(place: &str) {
    let stop = STOP.with_borrow(|stop| stop.clone().filter(|stop| stop.place == place));
    let Some(stop) = stop else { return };
    if stop.is_armed.load(Ordering::SeqCst) {
        stop.times.fetch_add(1, Ordering::SeqCst);
    }
    while stop.is_armed.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Debug)]
struct Stoppable(Arc<Stop>);

impl Server for Stoppable {
    fn thread_begins(&self) {
        STOP.set(Some(Arc::clone(&self.0)));
    }

    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, _username: &str) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        Boot::Free
    }

    fn booted(&self) {}
}

fn scene(stop: &Arc<Stop>) -> (Scene, KeyDigest) {
    let fixture = Fixture::new();
    let benw = fixture.add("benw");
    let server = Arc::new(Stoppable(Arc::clone(stop)));
    let settings = Settings { server, ..settings(fixture.path().to_owned()) };
    let (wake, woken) = channel();
    let wake = move || wake.send(()).unwrap_or_default();
    let thread = StoreThread::spawn(settings, wake);
    let mut scene = Scene { fixture, thread, woken, reports: Vec::new(), tickets: 0 };
    assert_eq!(scene.ask(benw), allowed("benw"));
    (scene, benw)
}

/// All that the event loop does with a thread, but for waiting for its end.
fn everything(scene: &mut Scene, benw: KeyDigest) {
    scene.thread.put(50, visitor(benw)).unwrap();
    scene.thread.will_look();
    scene.thread.rouse();
    scene.start(1);
    scene.thread.watch(1, admission(1, "benw", benw)).unwrap();
    scene.thread.unwatch(1).unwrap();
    scene.stop(1);
    assert!(!scene.thread.has_ended());
    scene.thread.look_after();
    scene.reports.extend(scene.thread.reports());
}

fn the_event_loop_goes_on(place: &'static str) {
    let stop = Stop::at(place);
    let (mut scene, benw) = scene(&stop);
    let armed = stop.arm();
    scene.thread.ask(40, visitor(benw)).unwrap();
    stop.wait_until_stopped();
    let begun = Instant::now();
    for _ in 0..100 {
        everything(&mut scene, benw);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(scene.reports, []);
    drop(armed);

    scene.wait_for_rows(100);
    let answers = (0..101).map(|_| {
        scene.wait_for(|report| match report {
            Report::Answer { ticket, verdict } => Some((*ticket, verdict.clone())),
            _ => None,
        })
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers[0], (40, allowed("benw")));
    assert!(answers[1..].iter().all(|answer| *answer == (50, allowed("benw"))));
    assert_eq!(scene.thread.shutdown(SOON), 0);
}

#[test]
fn while_it_takes_what_it_is_told_the_event_loop_goes_on() {
    the_event_loop_goes_on(hook::STORE_TAKES);
}

#[test]
fn while_it_leaves_an_answer_the_event_loop_goes_on() {
    the_event_loop_goes_on(hook::STORE_REPORTS);
}

#[test]
fn an_answer_that_the_event_loop_has_looked_for_too_early_is_announced() {
    let stop = Stop::at(hook::STORE_REPORTS);
    let (scene, benw) = scene(&stop);
    while scene.woken.try_recv().is_ok() {}
    scene.thread.ask(40, visitor(benw)).unwrap();
    scene.woken.recv_timeout(SOON).unwrap(); // and before it looks, there is another one
    let armed = stop.arm();
    scene.thread.ask(41, visitor(benw)).unwrap();
    stop.wait_until_stopped();
    assert_eq!(scene.thread.reports().count(), 0);
    drop(armed);
    scene.woken.recv_timeout(SOON).unwrap();
    assert_eq!(scene.thread.reports().count(), 2);
}

#[test]
fn a_worker_that_ends_waits_for_it_no_longer_than_it_may() {
    for place in [hook::STORE_TAKES, hook::STORE_REPORTS] {
        let stop = Stop::at(place);
        let (mut scene, benw) = scene(&stop);
        let armed = stop.arm();
        scene.thread.ask(40, visitor(benw)).unwrap();
        stop.wait_until_stopped();
        everything(&mut scene, benw);
        let begun = Instant::now();
        assert_eq!(scene.thread.shutdown(Duration::from_millis(200)), 2);
        assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
        drop(armed);
    }
}

/// Many of everything, from both sides at once.
#[test]
fn nothing_is_lost_or_late_while_both_are_at_it() {
    const ROUNDS: u64 = 20_000;
    let (fixture, taken) = (Fixture::new(), Arc::new(AtomicUsize::new(0)));
    let benw = fixture.add("benw");
    let counts = Arc::clone(&taken);
    let lookup: Lookup = Arc::new(move |_: &_, _: &_, _: &_| {
        counts.fetch_add(1, Ordering::SeqCst);
        allowed("benw")
    });
    let (wake, woken) = channel();
    let wake = Arc::new(move || wake.send(()).unwrap_or_default());
    let thread = StoreThread::spawn_with(settings(fixture.path().to_owned()), lookup, wake);
    let (mut next, mut slow) = (1, 0);
    for round in 1..=ROUNDS {
        thread.put(round, visitor(benw)).unwrap();
        thread.rouse();
        if round % 3 == 0 {
            // Told, and not roused for: it must not take the key's turn away.
            thread.watch(round, admission(1, "benw", benw)).unwrap();
            thread.unwatch(round).unwrap();
        }
        if round % 7 == 0 {
            thread.will_look();
        }
        let is_due = round % 16 == 0;
        loop {
            for report in thread.reports() {
                assert_eq!(report, Report::Answer { ticket: next, verdict: allowed("benw") });
                next += 1;
            }
            if !is_due || next > round {
                break;
            }
            let begun = Instant::now();
            woken.recv_timeout(SOON).unwrap();
            slow += usize::from(begun.elapsed() > Duration::from_millis(150));
        }
    }
    // The thread looks by itself four times a second: a key that it was not roused for waits as long.
    assert!(slow < 3, "{slow} of {} waits", ROUNDS / 16);
    assert_eq!(thread.shutdown(SOON), 0);
    assert_eq!(taken.load(Ordering::SeqCst), ROUNDS as usize + 1); // one looks whether it is in order
}

//! One thread after the other: who starts them, and what passes from one to the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::inbox::Inbox;
use super::run::Loop;
use super::{Level, Lookup, Report, Settings, Wake};

/// How soon a thread may follow the one before: one that has lived for longer is replaced at once, and
/// one that always ends at once costs no more than a start each time that somebody looks.
const PAUSE: Duration = Duration::from_millis(500);

/// When a thread counts as stuck: nothing that it does takes longer while the disk answers.
const STUCK: Duration = Duration::from_secs(5);

/// The state of a thread that could not go on, or could not begin. Nobody ever waits for it: the event
/// loop looks while there is no thread, and the thread at its start and its end.
type Former = Arc<Mutex<Option<Box<Loop>>>>;

/// What is needed to start a thread, and to look after it.
pub(super) struct Life {
    settings: Settings,
    lookup: Lookup,
    inbox: Arc<Inbox>,
    wake: Wake,
    former: Former,
    started: Instant,
    is_stuck: bool,
}

impl Life {
    pub(super) fn begin(
        settings: Settings,
        lookup: Lookup,
        inbox: Arc<Inbox>,
        wake: Wake,
        desk: &mut Desk,
    ) -> Self {
        let (former, started) = (Former::default(), Instant::now());
        let mut life = Self { settings, lookup, inbox, wake, former, started, is_stuck: false };
        life.start(desk);
        life
    }

    /// See [`StoreThread::look_after`](super::StoreThread::look_after).
    pub(super) fn look_after(&mut self, desk: &mut Desk) {
        if !self.has_ended() {
            self.note_stuck(desk);
        } else if self.started.elapsed() >= PAUSE && self.start(desk) {
            log(desk, Level::Notice, "another store thread has been started".to_owned());
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.inbox.has_ended()
    }

    /// Starts a thread, with the state of the one before it, and says whether it could.
    fn start(&mut self, desk: &mut Desk) -> bool {
        self.started = Instant::now();
        let state = take(&self.former).unwrap_or_else(|| {
            let (inbox, wake) = (Arc::clone(&self.inbox), Arc::clone(&self.wake));
            Box::new(Loop::new(self.settings.clone(), Arc::clone(&self.lookup), inbox, wake))
        });
        desk.begin(state.inherited());
        put(&self.former, state);
        let end = End { inbox: Arc::clone(&self.inbox), wake: Arc::clone(&self.wake) };
        let former = Arc::clone(&self.former);
        let thread = Builder::new().name("stagedoor-store".to_owned());
        let started = thread.spawn(move || live(end, &former));
        match &started {
            Ok(thread) => desk.has_begun(thread.thread()),
            Err(error) => log(
                desk,
                Level::Error,
                format!(
                    "every publish is refused, because no store thread can be started: {error}"
                ),
            ),
        }
        started.is_ok()
    }

    fn note_stuck(&mut self, desk: &mut Desk) {
        let is_stuck = self.inbox.busy_for().is_some_and(|time| time >= STUCK);
        if is_stuck != self.is_stuck {
            self.is_stuck = is_stuck;
            let path = self.settings.path.display();
            match is_stuck {
                true => log(
                    desk,
                    Level::Error,
                    format!(
                        "database \"{path}\" has not come back to the store thread for {} s; \
                         publishes are refused until it does",
                        STUCK.as_secs()
                    ),
                ),
                false => log(desk, Level::Notice, "the store thread goes on".to_owned()),
            }
        }
    }
}

fn log(desk: &mut Desk, level: Level, text: String) {
    desk.say(Report::Log { level, text });
}

/// A thread's life. What it must not take with it is in `former` afterwards.
fn live(end: End, former: &Former) {
    if let Some(mut state) = take(former)
        && catch_unwind(AssertUnwindSafe(|| state.run())).is_err()
    {
        let text = "the store thread has ended by a fault in Stagedoor, please report it";
        end.inbox.report(Report::Log { level: Level::Error, text: text.to_owned() });
        state.start_over();
        put(former, state);
    }
    drop(end);
}

fn take(former: &Former) -> Option<Box<Loop>> {
    former.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn put(former: &Former, state: Box<Loop>) {
    *former.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
}

/// Tells the other end that the thread is no more, whether it panicked or never began.
struct End {
    inbox: Arc<Inbox>,
    wake: Wake,
}

impl Drop for End {
    fn drop(&mut self) {
        self.inbox.end();
        (self.wake)();
    }
}

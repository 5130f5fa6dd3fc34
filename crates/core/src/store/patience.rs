//! How a worker waits for a lock.
//!
//! SQLite's own patience grows: it looks again after 1, 2, 5 … 100 ms. Where others write without a
//! pause, the gaps in which a lock is to be had are shorter than that.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// Between two looks at a lock that somebody has.
const PAUSE: Duration = Duration::from_millis(1);

thread_local! {
    /// How long each statement of this thread waits.
    static WAIT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long each statement on this thread's connections waits for a lock from now on.
pub(super) fn set(wait: Duration) {
    WAIT.set(wait);
}

/// Waits until it is worth another look.
pub(super) fn pause() {
    thread::sleep(PAUSE);
}

/// Has a connection wait as [`set`] says.
pub(super) fn install(db: &mut Connection) -> rusqlite::Result<()> {
    let mut began = Instant::now();
    db.busy_handler(Some(move |looks: i32| {
        if looks == 0 {
            began = Instant::now();
        }
        let is_patient = began.elapsed() < WAIT.get();
        if is_patient {
            pause();
        }
        is_patient
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::Fixture;

    #[test]
    fn a_statement_waits_as_long_as_was_said_and_gets_what_is_free_meanwhile() {
        let fixture = Fixture::new();
        let (other, mut db) = (fixture.raw(), fixture.raw());
        install(&mut db).unwrap();
        let write = |db: &Connection| db.execute_batch("BEGIN IMMEDIATE; COMMIT");

        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        set(Duration::from_millis(50));
        let began = Instant::now();
        assert!(write(&db).is_err());
        assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());

        set(Duration::from_secs(60));
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(20));
                other.execute_batch("COMMIT").unwrap();
            });
            write(&db).unwrap();
        });
    }
}

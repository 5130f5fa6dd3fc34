//! How long a query may take.
//!
//! One that never ends, for some key that somebody sends, would keep its worker from ever answering
//! another.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// A query of one row by an index takes microseconds. Below `stagedoor_timeout`'s default, so that
/// the log tells the reason.
const LONGEST: Duration = Duration::from_secs(1);

/// How many of SQLite's instructions go by between two looks at the clock: less than a millisecond.
const STEPS: i32 = 10_000;

thread_local! {
    /// Of the query that this thread runs.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// As long as it lives, statements of this thread are interrupted when they take too long.
pub(super) struct Deadline(());

impl Deadline {
    pub(super) fn begin() -> Deadline {
        DEADLINE.set(Some(Instant::now() + LONGEST));
        Deadline(())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        DEADLINE.set(None);
    }
}

/// Has a connection look at the clock.
pub(in crate::store) fn keep_deadlines(db: &mut Connection) -> rusqlite::Result<()> {
    let is_over = || DEADLINE.get().is_some_and(|at| Instant::now() >= at);
    db.progress_handler(STEPS, Some(is_over))
}

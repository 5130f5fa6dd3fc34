//! The store on a database that fails: what `make faults` runs before it turns to nginx.
//!
//!     stagedoor-faults EVERY RESULTS
//!
//! SQLite's calls to the system are counted from the moment a database is opened, and every
//! EVERYth of the first 200 is made to fail, in each of the ways of [`FAULTS`]: once, and for
//! [`LASTING`]. Each line that is added to RESULTS is a row of the table, see `tools/faults.sh`.
#![allow(clippy::unwrap_used)] // a test program: it fails as a test does

mod case;
mod command;
mod fixture;
mod plan;
mod row;
mod store;
mod vfs;

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rusqlite::ffi;

use case::{Case, Outcome};
use fixture::{Journal, Scene};
use plan::HANG;
use row::Row;

/// How many of the calls are made to fail.
const CALLS: u32 = 200;

/// How long a fault lasts that does not pass at once.
const LASTING: Duration = Duration::from_millis(60);

/// How long a call takes that hangs.
const HANGING: Duration = Duration::from_millis(300);

/// Until a database that has just been put in its place is opened without a wait
/// (`stagedoor_core::store`): that is no fault.
const YOUNG: Duration = Duration::from_millis(1100);

/// Cases at once: they mostly wait.
const AT_ONCE: usize = 12;

const FAULTS: [(&str, i32); 5] = [
    ("BUSY", ffi::SQLITE_BUSY),
    ("IOERR", ffi::SQLITE_IOERR),
    ("FULL", ffi::SQLITE_FULL),
    ("CORRUPT", ffi::SQLITE_CORRUPT),
    ("NOTADB", ffi::SQLITE_NOTADB),
];

/// What meets faults.
struct Subject {
    name: &'static str,
    journal: Journal,
    run: fn(&Case, Scene) -> Outcome,
    expected: &'static str,
    /// How soon after the end of a fault.
    within: Duration,
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "store thread, native database",
        journal: Journal::Native,
        run: store::run,
        expected: "refuses or answers rightly; no stream ends; each session has its one row; back \
                   within 1 s",
        within: Duration::from_secs(1),
    },
    Subject {
        name: "store thread, an application's database",
        journal: Journal::Foreign,
        run: store::run,
        expected: "refuses or answers rightly; no stream ends; what was told is true; back within 1 s",
        within: Duration::from_secs(1),
    },
    Subject {
        name: "command stagedoor",
        journal: Journal::Native,
        run: command::run,
        // Two seconds where a log may be a former database's; and now and then SQLite's own patience
        // with an index that nobody mends, ten seconds (walTryBeginRead).
        expected: "what it reported done is in the database; back within 12 s",
        within: Duration::from_secs(12),
    },
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(every), Some(results), None) = (
        arguments.next().and_then(|it| it.to_str()?.parse::<usize>().ok()),
        arguments.next(),
        arguments.next(),
    ) else {
        eprintln!("usage: stagedoor-faults EVERY RESULTS");
        return ExitCode::from(2);
    };
    vfs::register();
    let calls: Vec<u32> = (1..=CALLS).step_by(every.max(1)).collect();
    let mut is_good = true;
    for subject in &SUBJECTS {
        for (name, code) in FAULTS {
            let cases = calls.iter().flat_map(|&call| {
                [Duration::ZERO, LASTING].map(|lasting| Case { call, code, lasting })
            });
            let what = format!("SQLite returns {name} at call 1 to {CALLS}, once and for 60 ms");
            is_good &= report(subject, &what, cases.collect()).write(&results);
        }
        let cases = calls.iter().map(|&call| Case { call, code: HANG, lasting: HANGING });
        let what = format!("call 1 to {CALLS} of SQLite hangs for 300 ms");
        is_good &= report(subject, &what, cases.collect()).write(&results);
    }
    is_good &= store::stuck().write(&results);
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(subject: &Subject, what: &str, cases: Vec<Case>) -> Row {
    let scenes: Vec<Scene> = cases.iter().map(|_| Scene::new(subject.journal)).collect();
    thread::sleep(YOUNG);
    let cases = Mutex::new(cases.into_iter().zip(scenes));
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((case, scene)) = cases.lock().unwrap().next() else { return };
                    let outcome = (subject.run)(&case, scene);
                    outcomes.lock().unwrap().push((case, outcome));
                }
            });
        }
    });
    Row::of(subject.name, what, subject.expected, subject.within, &outcomes.into_inner().unwrap())
}

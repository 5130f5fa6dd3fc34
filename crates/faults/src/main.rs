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
use fixture::Journal;
use plan::HANG;
use row::Row;

/// How many of the calls are made to fail.
const CALLS: u32 = 200;

/// How long a fault lasts that does not pass at once.
const LASTING: Duration = Duration::from_millis(60);

/// How long a call takes that hangs.
const HANGING: Duration = Duration::from_millis(300);

/// Cases at once: they mostly wait.
const AT_ONCE: usize = 12;

const FAULTS: [(&str, i32); 5] = [
    ("BUSY", ffi::SQLITE_BUSY),
    ("IOERR", ffi::SQLITE_IOERR),
    ("FULL", ffi::SQLITE_FULL),
    ("CORRUPT", ffi::SQLITE_CORRUPT),
    ("NOTADB", ffi::SQLITE_NOTADB),
];

/// What meets the fault.
type Subject = fn(&Case) -> Outcome;

/// Each with what is expected of it, and how soon after the end of a fault, in milliseconds.
const SUBJECTS: [(&str, Subject, &str, u64); 3] = [
    (
        "store thread, native database",
        |case| store::run(case, Journal::Native),
        "refuses or answers rightly; no stream ends; each session has its one row; back within 1 s",
        1000,
    ),
    (
        "store thread, an application's database",
        |case| store::run(case, Journal::Foreign),
        "refuses or answers rightly; no stream ends; what was told is true; back within 1 s",
        1000,
    ),
    (
        "command stagedoor",
        command::run,
        // It waits for up to two seconds where a log may be a former database's.
        "what it reported done is in the database; back within 2 s",
        2000,
    ),
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
    for (subject, run, expected, within) in SUBJECTS {
        let within = Duration::from_millis(within);
        for (name, code) in FAULTS {
            let cases = calls.iter().flat_map(|&call| {
                [Duration::ZERO, LASTING].map(|lasting| Case { call, code, lasting })
            });
            let what = format!("SQLite returns {name} at call 1 to {CALLS}, once and for 60 ms");
            is_good &=
                report(subject, &what, expected, within, run, cases.collect()).write(&results);
        }
        let cases = calls.iter().map(|&call| Case { call, code: HANG, lasting: HANGING });
        let what = format!("call 1 to {CALLS} of SQLite hangs for 300 ms");
        is_good &= report(subject, &what, expected, within, run, cases.collect()).write(&results);
    }
    is_good &= store::stuck().write(&results);
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(
    subject: &str,
    what: &str,
    expected: &str,
    within: Duration,
    run: Subject,
    cases: Vec<Case>,
) -> Row {
    let (cases, outcomes) = (Mutex::new(cases.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().next() else { return };
                    let outcome = run(&case);
                    outcomes.lock().unwrap().push((case, outcome));
                }
            });
        }
    });
    Row::of(subject, what, expected, within, &outcomes.into_inner().unwrap())
}

//! A row of the table.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use crate::case::{Case, Outcome};

/// A row of the table; `tools/faults.sh` knows the columns.
#[derive(Debug)]
pub struct Row {
    pub subject: String,
    pub fault: String,
    pub injected: usize,
    pub expected: String,
    pub seen: String,
    pub is_good: bool,
    pub recovery: Vec<Duration>,
}

impl Row {
    /// Of all cases of a fault; things are to be right again within that time of its end.
    pub fn of(
        subject: &str,
        fault: &str,
        expected: &str,
        within: Duration,
        outcomes: &[(Case, Outcome)],
    ) -> Row {
        let mut recovery: Vec<Duration> =
            outcomes.iter().filter_map(|(_, outcome)| outcome.recovery).collect();
        recovery.sort();
        let wrong: Vec<String> = outcomes
            .iter()
            .flat_map(|(case, outcome)| {
                outcome.wrong.iter().map(move |it| format!("{case:?}: {it}"))
            })
            .collect();
        for wrong in wrong.iter().take(10) {
            eprintln!("{subject}, {fault}: {wrong}");
        }
        for (case, outcome) in outcomes {
            if let Some(late) = outcome.recovery.filter(|&it| it > within) {
                eprintln!("{subject}, {fault}: {case:?}: back after {late:?}");
            }
        }
        let missed = outcomes.len() - recovery.len();
        let late = recovery.iter().filter(|&&it| it > within).count();
        let seen = match (wrong.len(), missed, late) {
            (0, 0, 0) => "as expected".to_owned(),
            (wrong, missed, late) => {
                format!("{wrong} wrong, {missed} never met or never over, {late} late")
            }
        };
        Row {
            subject: subject.to_owned(),
            fault: fault.to_owned(),
            injected: outcomes.len(),
            expected: expected.to_owned(),
            is_good: seen == "as expected",
            seen,
            recovery,
        }
    }

    /// Adds the row to the file, and says whether it is good.
    pub fn write(&self, results: &OsStr) -> bool {
        let milliseconds = |at: Option<&Duration>| {
            at.map_or("-".to_owned(), |it| format!("{:.0}", it.as_secs_f64() * 1000.0))
        };
        let median = milliseconds(self.recovery.get(self.recovery.len() / 2));
        let worst = milliseconds(self.recovery.last());
        let verdict = if self.is_good { "ok" } else { "FAILED" };
        let Self { subject, fault, injected, expected, seen, .. } = self;
        let line = format!(
            "{subject}\t{fault}\t{injected}\t{expected}\t{seen}\t{verdict}\t{median}\t{worst}\n"
        );
        let mut file = OpenOptions::new().create(true).append(true).open(results).unwrap();
        file.write_all(line.as_bytes()).unwrap();
        println!("{verdict}: {subject}: {fault}: {injected} times, {seen}, {median}/{worst} ms");
        self.is_good
    }
}

//! What has happened since the server started, as numbers that only grow.
//!
//! They lie in shared memory beside the live table, and every worker adds to them without a lock. A
//! worker that is killed leaves them as they are: each is one word. What belongs together is counted
//! by one addition, and what can be derived (all refusals, all answers) is summed up when it is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::policy::Refusal;
use crate::store::thread::EndReason;

/// The refusals that a publish can meet, as metrics name them.
pub const REFUSALS: [(Refusal, &str); 5] = [
    (Refusal::InvalidKey, "invalid_key"),
    (Refusal::Inactive, "inactive"),
    (Refusal::AlreadyStreaming, "already_streaming"),
    (Refusal::Unavailable, "unavailable"),
    (Refusal::TooManyAttempts, "too_many_attempts"),
];

/// The ends that a stream can come to.
pub const ENDS: [EndReason; 9] = [
    EndReason::Closed,
    EndReason::Lost,
    EndReason::Kicked,
    EndReason::Banned,
    EndReason::Removed,
    EndReason::KeyReplaced,
    EndReason::TakenOver,
    EndReason::Shutdown,
    EndReason::Crash,
];

/// Upper bounds of the histogram's buckets, in microseconds and as metrics write them in seconds. A
/// lookup takes some 0.03 ms; the default `stagedoor_timeout` is 2 s.
pub const BOUNDS: [(u64, &str); 18] = [
    (10, "0.00001"),
    (25, "0.000025"),
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
];

/// The counters in shared memory. Zeroes are their start.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    accepted: AtomicU64,
    withdrawn: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    ended: [AtomicU64; ENDS.len()],
    store_errors: AtomicU64,
    messages_refused: AtomicU64,
    /// One for each bound, and one for what took longer.
    answers: [AtomicU64; BOUNDS.len() + 1],
    answer_nanoseconds: AtomicU64,
}

/// Their values at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Publishes that went live.
    pub accepted: u64,
    /// Publishes whose client was gone before they were decided.
    pub withdrawn: u64,
    /// Publishes that were refused, in the order of [`REFUSALS`].
    pub refused: [u64; REFUSALS.len()],
    /// Streams that have ended, in the order of [`ENDS`].
    pub ended: [u64; ENDS.len()],
    /// Questions that the store did not answer, or not in time.
    pub store_errors: u64,
    /// Messages that nginx-rtmp was not given to read.
    pub messages_refused: u64,
    /// Questions by the time until they were answered or given up: one for each of [`BOUNDS`], and
    /// one for what took longer.
    pub answers: [u64; BOUNDS.len() + 1],
    /// All that time together.
    pub answer_time: Duration,
}

impl Counters {
    /// A publish went live.
    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    /// The client of a publish was gone before it was decided.
    pub fn withdrawn(&self) {
        add(&self.withdrawn, 1);
    }

    /// A publish was refused.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(index) = REFUSALS.iter().position(|&(there, _)| there == refusal) {
            add(&self.refused[index], 1);
        }
    }

    /// So many streams came to this end.
    pub fn ended(&self, reason: EndReason, streams: usize) {
        if let Some(index) = ENDS.iter().position(|&there| there == reason) {
            add(&self.ended[index], streams as u64);
        }
    }

    /// The store answered a question, or was given up, after this time.
    pub fn answered(&self, after: Duration, is_error: bool) {
        let within = BOUNDS.iter().position(|&(bound, _)| after <= Duration::from_micros(bound));
        add(&self.answers[within.unwrap_or(BOUNDS.len())], 1);
        add(&self.answer_nanoseconds, u64::try_from(after.as_nanos()).unwrap_or(0));
        if is_error {
            self.store_error();
        }
    }

    /// There was no store to ask.
    pub fn store_error(&self) {
        add(&self.store_errors, 1);
    }

    /// A message was refused, and its session closed.
    pub fn message_refused(&self) {
        add(&self.messages_refused, 1);
    }

    /// The values now.
    pub fn totals(&self) -> Totals {
        Totals {
            accepted: get(&self.accepted),
            withdrawn: get(&self.withdrawn),
            refused: self.refused.each_ref().map(get),
            ended: self.ended.each_ref().map(get),
            store_errors: get(&self.store_errors),
            messages_refused: get(&self.messages_refused),
            answers: self.answers.each_ref().map(get),
            answer_time: Duration::from_nanos(get(&self.answer_nanoseconds)),
        }
    }
}

impl Totals {
    /// All refusals with their names.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        REFUSALS.iter().zip(self.refused).map(|(&(_, name), count)| (name, count))
    }

    /// All ends with their names: those of the history, as one word.
    pub fn ends(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        ENDS.iter().zip(self.ended).map(|(end, count)| (end.as_str().replace(' ', "_"), count))
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_publish_has_one_counter() {
        let counters = Counters::default();
        counters.accepted();
        counters.withdrawn();
        for (refusal, _) in REFUSALS {
            counters.refused(refusal);
        }
        let totals = counters.totals();
        assert_eq!(
            (totals.accepted, totals.withdrawn, totals.refused),
            (1, 1, [1; REFUSALS.len()])
        );
    }

    #[test]
    fn every_end_has_one_counter() {
        let counters = Counters::default();
        for end in ENDS {
            counters.ended(end, 2);
        }
        assert_eq!(counters.totals().ended, [2; ENDS.len()]);
        let names: Vec<_> = counters.totals().ends().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn an_answer_is_in_the_first_bucket_that_holds_it() {
        let counters = Counters::default();
        for micros in [0, 50, 51, 5_000_000, 5_000_001] {
            counters.answered(Duration::from_micros(micros), micros > 5_000_000);
        }
        let totals = counters.totals();
        assert_eq!(totals.answers[..5], [1, 0, 1, 1, 0]);
        assert_eq!(totals.answers[BOUNDS.len() - 1..], [1, 1]);
        assert_eq!(totals.answer_time, Duration::from_micros(10_000_102));
        assert_eq!(totals.store_errors, 1);
    }

    #[test]
    fn a_refused_message_is_counted() {
        let counters = Counters::default();
        counters.message_refused();
        assert_eq!(counters.totals(), Totals { messages_refused: 1, ..Totals::default() });
    }

    #[test]
    fn bounds_rise_and_read_as_they_are() {
        assert!(BOUNDS.is_sorted_by(|a, b| a.0 < b.0));
        for (micros, text) in BOUNDS {
            assert_eq!(text.parse::<f64>().unwrap() * 1e6, micros as f64, "{text}");
        }
    }
}

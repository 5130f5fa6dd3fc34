//! Lines that somebody else decides how often to write: one a second at most, and how many there
//! would have been.

use std::fmt::Arguments;
use std::time::{Duration, Instant};

/// A line comes this often at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Option<Instant>,
    held: u64,
}

impl Throttle {
    /// Nothing was written yet.
    pub const fn new() -> Throttle {
        Throttle { last: None, held: 0 }
    }

    /// Whether a line may be written now. If not, it is held: counted, for [`Throttle::release`].
    pub fn admits(&mut self, now: Instant) -> bool {
        let admits = self.held == 0 && self.is_due(now);
        match admits {
            true => self.last = Some(now),
            false => self.held += 1,
        }
        admits
    }

    /// How many lines were held, if there were any and that may be said now.
    pub fn release(&mut self, now: Instant) -> Option<u64> {
        if self.held == 0 || !self.is_due(now) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL)
    }
}

/// One kind of line that nobody sums up: each says how many were held since the one before.
#[derive(Debug, Default)]
pub struct Telling(Throttle);

impl Telling {
    /// Nothing was written yet.
    pub const fn new() -> Telling {
        Telling(Throttle::new())
    }

    /// Writes a line, or holds it if one was written within the last second.
    pub fn tell(&mut self, now: Instant, line: Arguments<'_>, write: impl FnOnce(Arguments<'_>)) {
        if !self.0.is_due(now) {
            self.0.held += 1;
            return;
        }
        match std::mem::replace(&mut self.0, Throttle { last: Some(now), held: 0 }).held {
            0 => write(line),
            held => write(format_args!("{line}; so were {held} since the last such line")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_written_and_the_others_are_counted() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert!(throttle.admits(now));
        assert_eq!((0..41).filter(|_| throttle.admits(now)).count(), 0);
        assert_eq!(throttle.release(now + INTERVAL / 2), None);
        assert_eq!(throttle.release(now + INTERVAL), Some(41));
        assert_eq!(throttle.release(now + INTERVAL), None);
    }

    #[test]
    fn a_second_apart_each_line_is_written() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for second in 0..5 {
            assert!(throttle.admits(now + second * INTERVAL));
        }
    }

    #[test]
    fn those_that_were_held_are_spoken_of_before_the_next() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert!(throttle.admits(now));
        assert!(!throttle.admits(now));
        assert!(!throttle.admits(now + 2 * INTERVAL));
        assert_eq!(throttle.release(now + 2 * INTERVAL), Some(2));
    }

    #[test]
    fn what_was_said_of_the_held_is_a_line_of_its_own() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert!(throttle.admits(now));
        assert!(!throttle.admits(now));
        assert_eq!(throttle.release(now + INTERVAL), Some(1));
        assert!(!throttle.admits(now + INTERVAL + INTERVAL / 2));
        assert_eq!(throttle.release(now + 2 * INTERVAL), Some(1));
        assert!(throttle.admits(now + 3 * INTERVAL));
    }

    #[test]
    fn a_line_says_how_many_were_held_before_it() {
        let (mut telling, start) = (Telling::new(), Instant::now());
        let mut written = Vec::new();
        for ms in [0, 1, 999, 1000, 1001, 5000, 6000] {
            let now = start + Duration::from_millis(ms);
            telling.tell(now, format_args!("at {ms}"), |line| written.push(line.to_string()));
        }
        assert_eq!(
            written,
            [
                "at 0",
                "at 1000; so were 2 since the last such line",
                "at 5000; so were 1 since the last such line",
                "at 6000"
            ]
        );
    }
}

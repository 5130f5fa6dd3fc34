//! A line a second, however often there is something to say.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Remembers the last line, and how many were held back since.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// No line yet.
    pub const fn new() -> Throttle {
        Throttle { last: None, held_back: 0 }
    }

    /// Whether a line may go out now: then how many were held back since the last one.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_it_says_how_many_there_were() {
        let start = Instant::now();
        let mut throttle = Throttle::new();
        let admitted: Vec<_> = [0, 1, 999, 1000, 1001, 5000]
            .map(|ms| throttle.admit(start + Duration::from_millis(ms)))
            .into();
        assert_eq!(admitted, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}

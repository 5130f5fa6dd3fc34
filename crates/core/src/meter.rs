//! How much a publisher sends: from the counter that nginx-rtmp keeps for a session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over which time the bitrate is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// The shortest time that a bitrate is taken over.
const LEAST: Duration = Duration::from_secs(1);

/// Where nginx-rtmp sets its 32-bit counter back to 0 (ngx_rtmp_handler.c, ngx_rtmp_recv).
const SET_BACK_AT: u32 = 0xf000_0000;

/// One stream's meter. It is read about once a second.
#[derive(Clone, Debug)]
pub struct Meter {
    counter: u32,
    bytes: u64,
    /// When the stream had so many bytes, oldest first; the first one is as old as the window, or
    /// the start.
    readings: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// A meter for a stream that begins now, at this state of the session's counter.
    pub fn new(counter: u32, now: Instant) -> Meter {
        Meter { counter, bytes: 0, readings: VecDeque::from([(now, 0)]) }
    }

    /// Reads the session's counter.
    pub fn read(&mut self, counter: u32, now: Instant) {
        self.bytes += u64::from(match counter.checked_sub(self.counter) {
            Some(since) => since,
            // Set back in between; the few bytes that it overshot by are forgotten.
            None => SET_BACK_AT.saturating_sub(self.counter) + counter,
        });
        self.counter = counter;
        self.readings.push_back((now, self.bytes));
        let is_over = |at: Instant| now.duration_since(at) >= WINDOW;
        while self.readings.get(1).is_some_and(|&(at, _)| is_over(at)) {
            self.readings.pop_front();
        }
    }

    /// Bytes since the stream began.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bits a second over the last seconds.
    pub fn bitrate(&self) -> u64 {
        let (Some(&(from, before)), Some(&(to, after))) =
            (self.readings.front(), self.readings.back())
        else {
            return 0;
        };
        let bits = u128::from(after - before) * 8;
        // A first reading may come right after the start: what came by then counts as a second's.
        let time = to.duration_since(from).max(LEAST);
        u64::try_from(bits * 1_000_000 / time.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_are_counted_from_the_streams_start() {
        let start = Instant::now();
        let mut meter = Meter::new(3_000, start);
        assert_eq!((meter.bytes(), meter.bitrate()), (0, 0));
        meter.read(4_000, start + SECOND);
        assert_eq!((meter.bytes(), meter.bitrate()), (1_000, 8_000));
    }

    #[test]
    fn the_bitrate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::new(0, start);
        for second in 1..=20 {
            meter.read(
                if second <= 10 { 1_000_000 * second } else { 10_000_000 },
                start + SECOND * second,
            );
            match second {
                10 => assert_eq!(meter.bitrate(), 8_000_000),
                15.. => assert_eq!(meter.bitrate(), 0, "after {second} seconds"),
                _ => assert!(meter.bitrate() > 0),
            }
            assert!(meter.readings.len() <= 7);
        }
    }

    #[test]
    fn what_comes_right_after_the_start_counts_as_a_seconds() {
        let start = Instant::now();
        let mut meter = Meter::new(0, start);
        meter.read(1_000, start + SECOND / 100);
        assert_eq!(meter.bitrate(), 8_000);
    }

    proptest! {
        /// A session's counter as nginx-rtmp keeps it.
        #[test]
        fn no_byte_is_lost_where_the_counter_is_set_back(
            start in 0..SET_BACK_AT,
            seconds in proptest::collection::vec(proptest::collection::vec(1..8_000_000u32, 0..40), 1..40),
        ) {
            let now = Instant::now();
            let mut meter = Meter::new(start, now);
            let (mut counter, mut sent, mut overshot) = (start, 0u64, 0u64);
            for (second, pieces) in seconds.iter().enumerate() {
                for &piece in pieces {
                    counter += piece;
                    sent += u64::from(piece);
                    if counter >= SET_BACK_AT {
                        overshot += u64::from(counter - SET_BACK_AT);
                        counter = 0;
                    }
                }
                meter.read(counter, now + SECOND * (second as u32 + 1));
            }
            prop_assert_eq!(meter.bytes(), sent - overshot);
        }
    }
}

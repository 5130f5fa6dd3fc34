//! HLS and DASH: what a path is over HTTP, whose stream it belongs to, which headers its answer gets,
//! which playlists are in memory, and how that of a stream that has ended is closed; which are one file.

pub mod cache;
pub mod cors;
pub mod endlist;
pub mod freshness;
pub mod path;
pub mod writer;

use std::time::Duration;

use crate::registry::Presence;

/// Whether a stream's files are served where only live streams are: while it is live, and for
/// `linger` after its end. `now`, which is asked where it matters, is in microseconds since 1970 (UTC).
pub fn is_served(presence: Presence, linger: Duration, now: impl FnOnce() -> u64) -> bool {
    match presence {
        Presence::Live => true,
        Presence::Ended { at } => u128::from(now().saturating_sub(at)) < linger.as_micros(),
        Presence::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_served_while_it_is_live_and_until_its_linger_is_over() {
        let linger = Duration::from_secs(30);
        let ended = Presence::Ended { at: 1_000_000 };
        assert!(is_served(Presence::Live, Duration::ZERO, || 0));
        assert!(is_served(ended, linger, || 1_000_000));
        assert!(is_served(ended, linger, || 30_999_999));
        assert!(!is_served(ended, linger, || 31_000_000));
        assert!(!is_served(Presence::Unknown, linger, || 0));
    }

    #[test]
    fn without_linger_a_stream_is_gone_at_its_end() {
        assert!(!is_served(Presence::Ended { at: 5 }, Duration::ZERO, || 5));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_end_the_linger() {
        assert!(is_served(Presence::Ended { at: 9_000_000 }, Duration::from_secs(1), || 5));
    }
}

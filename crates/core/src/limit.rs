//! How often an address may fail to show a good key, and which addresses have failed.
//!
//! A limit is a bucket of attempts for each address: it holds [`Limit`]'s burst at most, a failure
//! takes one out, and they come back at the limit's rate. An attempt is taken before the key is
//! looked up and given back when it was no failure, so that attempts made at the same time cannot
//! be more than the bucket held; while some are out, those that find none left may wait. Which names were tried plays no part: nobody can lock a streamer
//! out from elsewhere.

mod attempts;
mod source;

pub use attempts::{Attempts, Charge, Secret, Slot, slots_within};
pub use source::Source;

use std::fmt;

use thiserror::Error;

const SECOND: u64 = 1_000_000_000;

/// What a rate counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
}

/// A limit, as `stagedoor_auth_limit` sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    rate: u32,
    unit: Unit,
    burst: u32,
}

/// Why an address gets no attempt; completes the sentence "publish refused: …".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// Its failures have used them up.
    #[error("{0} is used up")]
    UsedUp(Limit),
    /// Some are out, and may come back.
    #[error("the address has attempts at {0} out")]
    Out(Limit),
}

impl Limit {
    /// As many attempts as a limit holds that does not say.
    const BURST: u32 = 10;

    /// A rate as nginx's `limit_req_zone` has it, `30r/m` or `5r/s`, of at least one.
    pub fn parse(rate: &str) -> Option<Limit> {
        let (rate, unit) = match (rate.strip_suffix("r/s"), rate.strip_suffix("r/m")) {
            (Some(rate), _) => (rate, Unit::Second),
            (_, Some(rate)) => (rate, Unit::Minute),
            _ => return None,
        };
        Some(Limit { rate: positive(rate)?, unit, burst: Limit::BURST })
    }

    /// The limit with another burst, given as `burst=N`, of at least one.
    pub fn with_burst(self, burst: &str) -> Option<Limit> {
        Some(Limit { burst: positive(burst.strip_prefix("burst=")?)?, ..self })
    }

    /// How long it takes for one attempt to come back, in nanoseconds.
    fn interval(self) -> u64 {
        let unit = match self.unit {
            Unit::Second => SECOND,
            Unit::Minute => 60 * SECOND,
        };
        (unit / u64::from(self.rate)).max(1)
    }

    /// How long it takes for all of them, in nanoseconds.
    fn window(self) -> u64 {
        self.interval().saturating_mul(self.burst.into())
    }
}

impl Default for Limit {
    /// A streamer who has pasted the wrong key has some tries; a guesser has 30 a minute.
    fn default() -> Limit {
        Limit { rate: 30, unit: Unit::Minute, burst: Limit::BURST }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
        };
        write!(f, "{}r/{unit} burst={}", self.rate, self.burst)
    }
}

fn positive(digits: &str) -> Option<u32> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&number| is_plain && number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_limit_req() {
        for (text, interval) in [
            ("30r/m", 2 * SECOND),
            ("1r/m", 60 * SECOND),
            ("5r/s", SECOND / 5),
            ("007r/s", SECOND / 7),
            ("4294967295r/s", 1),
        ] {
            assert_eq!(Limit::parse(text).unwrap().interval(), interval, "{text}");
        }
        for text in
            ["", "0r/s", "-1r/s", "+1r/s", "30", "30r", "30r/h", "30R/m", "r/m", "1.5r/s", " 1r/s"]
        {
            assert_eq!(Limit::parse(text), None, "{text}");
        }
        assert_eq!(Limit::parse("4294967296r/s"), None);
    }

    #[test]
    fn a_burst_is_a_whole_number_of_at_least_one() {
        let limit = Limit::parse("5r/s").unwrap();
        assert_eq!(limit.with_burst("burst=3").unwrap().to_string(), "5r/s burst=3");
        for text in ["burst=0", "burst=", "burst", "burst=-1", "burst=x", "3", "burst=1.5"] {
            assert_eq!(limit.with_burst(text), None, "{text}");
        }
    }

    #[test]
    fn the_default_is_what_the_documentation_says() {
        assert_eq!(Limit::default().to_string(), "30r/m burst=10");
        assert_eq!(Limit::parse("30r/m"), Some(Limit::default()));
        assert_eq!(Limit::default().window(), 20 * SECOND);
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let limit = Limit::parse("1r/m").unwrap().with_burst("burst=4294967295").unwrap();
        assert_eq!(limit.window(), u64::MAX);
    }
}

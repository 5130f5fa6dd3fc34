//! How much is read of a connection at a time, for a worker that has others to serve.
//!
//! What comes is handled before more is read, and how long that takes is the sender's choice: a message may be
//! one byte long, and have an audience. So who has more to say than was read is timed from one read to the
//! next. Who takes long gets less at a time, and once a turn of the event loop has lasted, it waits for the next
//! turn. Who stops having more to say is nobody special; no time is looked at for those.

/// How much is read at a time at most, in bytes, of a connection that is handled quickly.
pub const HELPING: usize = 8 << 10;

/// The least that is read at a time: eight messages of one byte.
const LEAST: usize = 16;

/// To handle what was read should not take longer, in nanoseconds.
const LONG: u64 = 2_000_000;

/// Who takes less than this may have more.
const SHORT: u64 = 500_000;

/// Who had more to say is read again, or told to wait, long before that.
const GONE: u64 = 10_000_000_000;

/// How many connections that are slow to handle are remembered.
const SLOW: usize = 64;

/// When something is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Nanoseconds of a clock that nobody sets.
    pub now: u64,
    /// Which turn of the event loop it is: when that began.
    pub turn: u64,
    /// Whether it has lasted long enough for those who have had something of it.
    pub is_late: bool,
}

/// What a connection may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many bytes; [`HELPING`] says that there is no need to be careful with it.
    Read(usize),
    /// Nothing more until the next turn.
    Wait,
}

/// The connections that send faster than they are read, by a number of the caller's.
#[derive(Debug, Default)]
pub struct Pace {
    flooders: Vec<Flooder>,
}

#[derive(Debug)]
struct Flooder {
    connection: usize,
    share: usize,
    /// When it was read last, if it had more to say and has not been told to wait.
    read: Option<u64>,
    /// The turn for the end of which it waits.
    waits: Option<u64>,
}

impl Pace {
    /// Of nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { flooders: Vec::new() }
    }

    /// What a connection may have now. `moment` is not asked where nobody floods.
    pub fn share(&mut self, connection: usize, moment: impl FnOnce() -> Moment) -> Share {
        let Some(flooder) = self.find(connection) else { return Share::Read(HELPING) };
        let moment = moment();
        flooder.waits = None;
        if let Some(read) = flooder.read.take() {
            flooder.learn(moment.now.saturating_sub(read));
            if moment.is_late {
                flooder.waits = Some(moment.turn);
                return Share::Wait;
            }
        }
        Share::Read(flooder.share)
    }

    /// It was read, and has more to say or not. `now` is not asked if it has not.
    pub fn was_read(&mut self, connection: usize, has_more: bool, now: impl FnOnce() -> u64) {
        match (self.find(connection), has_more) {
            (Some(flooder), true) => flooder.read = Some(now()),
            (Some(flooder), false) => {
                flooder.read = None;
                if flooder.share == HELPING {
                    self.forget(connection);
                }
            }
            (None, true) => {
                let now = now();
                // Who was read that long ago, and not since, was closed.
                let is_there = |read: u64| now.saturating_sub(read) < GONE;
                self.flooders.retain(|it| it.read.is_none_or(is_there));
                if self.flooders.len() >= SLOW
                    && let Some(idle) = self.flooders.iter().position(|it| it.read.is_none())
                {
                    self.flooders.swap_remove(idle);
                }
                if self.flooders.try_reserve(1).is_ok() {
                    let read = Some(now);
                    self.flooders.push(Flooder { connection, share: HELPING, read, waits: None });
                }
            }
            (None, false) => (),
        }
    }

    /// Whether it was read in this turn and had more to say.
    #[must_use]
    pub fn is_flooding(&self, connection: usize) -> bool {
        self.flooders.iter().any(|it| it.connection == connection && it.read.is_some())
    }

    /// Whether it was told to wait for the end of this turn.
    pub fn waits(&self, connection: usize, turn: impl FnOnce() -> u64) -> bool {
        let waits =
            self.flooders.iter().find(|it| it.connection == connection).and_then(|it| it.waits);
        waits.is_some_and(|waits| waits == turn())
    }

    /// The number is another connection's from now on.
    pub fn forget(&mut self, connection: usize) {
        self.flooders.retain(|it| it.connection != connection);
    }

    fn find(&mut self, connection: usize) -> Option<&mut Flooder> {
        self.flooders.iter_mut().find(|it| it.connection == connection)
    }
}

impl Flooder {
    /// What it had took so long.
    fn learn(&mut self, took: u64) {
        if took > LONG {
            self.share = (self.share / 4).max(LEAST);
        } else if took < SHORT {
            self.share = (self.share * 2).min(HELPING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: usize = 1;
    const OTHER: usize = 2;

    fn at(now: u64, turn: u64, is_late: bool) -> impl FnOnce() -> Moment {
        move || Moment { now, turn, is_late }
    }

    fn nobody_asks<T>() -> T {
        panic!("the time is looked at for somebody who does not flood")
    }

    #[test]
    fn who_has_no_more_to_say_is_never_timed() {
        let mut pace = Pace::new();
        assert_eq!(pace.share(ONE, nobody_asks), Share::Read(HELPING));
        pace.was_read(ONE, false, nobody_asks);
        assert!(!pace.is_flooding(ONE) && !pace.waits(ONE, nobody_asks));
        pace.was_read(OTHER, true, || 0);
        assert_eq!(pace.share(ONE, nobody_asks), Share::Read(HELPING));
        pace.was_read(ONE, false, nobody_asks);
    }

    #[test]
    fn who_floods_waits_once_the_turn_has_lasted_and_has_something_of_each() {
        let mut pace = Pace::new();
        for turn in 0..10 {
            assert_eq!(pace.share(ONE, at(0, turn, true)), Share::Read(HELPING));
            pace.was_read(ONE, true, || 0);
            assert_eq!(pace.share(ONE, at(SHORT, turn, false)), Share::Read(HELPING));
            pace.was_read(ONE, true, || SHORT);
            assert!(pace.is_flooding(ONE) && !pace.waits(ONE, || turn));
            assert_eq!(pace.share(ONE, at(LONG, turn, true)), Share::Wait);
            assert!(
                !pace.is_flooding(ONE) && pace.waits(ONE, || turn) && !pace.waits(ONE, || turn + 1)
            );
        }
        assert_eq!(pace.share(ONE, at(0, 10, true)), Share::Read(HELPING));
        pace.was_read(ONE, false, || 0);
        assert!(pace.flooders.is_empty());
    }

    #[test]
    fn others_in_between_change_nothing() {
        let mut pace = Pace::new();
        pace.was_read(ONE, true, || 0);
        pace.share(OTHER, nobody_asks);
        pace.was_read(OTHER, false, nobody_asks);
        assert!(pace.is_flooding(ONE));
        pace.was_read(OTHER, true, || 0);
        pace.forget(OTHER);
        assert_eq!(pace.share(ONE, at(1, 0, true)), Share::Wait);
    }

    #[test]
    fn who_takes_long_gets_less_and_the_time_in_which_it_waits_does_not_count() {
        let mut pace = Pace::new();
        let mut now = 0;
        let mut shares = Vec::new();
        for turn in 0..8 {
            let Share::Read(share) = pace.share(ONE, at(now, turn, false)) else { unreachable!() };
            shares.push(share);
            pace.was_read(ONE, true, || now);
            now += share as u64 * 10_000; // 10 µs a byte
            assert_eq!(pace.share(ONE, at(now, turn, true)), Share::Wait);
            now += 1_000 * LONG;
        }
        assert_eq!(shares, [8192, 2048, 512, 128, 128, 128, 128, 128]);
        // It is slow when it comes again, and not for good.
        pace.share(ONE, at(now, 8, false));
        pace.was_read(ONE, false, || now);
        for share in [128, 256, 512, 1024, 2048, 4096, 8192, 8192] {
            assert_eq!(pace.share(ONE, at(now, 9, false)), Share::Read(share));
            pace.was_read(ONE, true, || now);
        }
        pace.share(ONE, at(now, 9, false));
        pace.was_read(ONE, false, || now);
        assert!(pace.flooders.is_empty());
    }

    #[test]
    fn who_is_closed_in_the_middle_of_it_is_forgotten() {
        let mut pace = Pace::new();
        for connection in 0..1_000 {
            pace.was_read(connection, true, || 0);
        }
        assert_eq!(pace.flooders.len(), 1_000);
        pace.was_read(ONE + 1_000, true, || GONE);
        assert_eq!(pace.flooders.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded_by_those_who_flood_now() {
        let mut pace = Pace::new();
        for connection in 0..1_000 {
            pace.was_read(connection, true, || 0);
            pace.share(connection, at(2 * LONG, 0, false));
            pace.was_read(connection, false, || 0);
        }
        assert_eq!(pace.flooders.len(), SLOW);
    }
}

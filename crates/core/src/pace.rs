//! How much is read of a connection at a time, for a worker that has others to serve.
//!
//! What comes is handled before more is read, and how long that takes is the sender's choice: a message may be
//! one byte long, and have an audience. So who has more to say than was read, or says it in very many messages, is
//! timed from then on. Who takes long gets less at a time, and once a turn of the event loop has lasted, it waits
//! for the next turn. Who does neither is nobody special; no time is looked at for those.

/// How much is read at a time at most, in bytes, of a connection that is handled quickly.
pub const HELPING: usize = 8 << 10;

/// Who sends so many messages in what is read at a time is timed: several times the pictures and sound of a second.
pub const MANY: u32 = 512;

/// What such a one gets until it is known how long that takes.
const LITTLE: usize = 512;

/// The least that is read at a time: eight messages of one byte.
const LEAST: usize = 16;

/// To handle what was read should not take longer, in nanoseconds.
const LONG: u64 = 2_000_000;

/// Who takes less than this may have more.
const SHORT: u64 = 500_000;

/// Who has flooded is remembered for so long since it was read last, in nanoseconds.
const MEMORY: u64 = 10_000_000_000;

/// When something is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
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
    /// When it was read last.
    read: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has said all for now.
    Idle,
    /// It has more to say, and what it has said is being handled.
    Handled,
    /// It has more to say.
    Ready,
    /// It waits for the end of this turn.
    Waits(u64),
}

impl Pace {
    /// Of nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { flooders: Vec::new() }
    }

    /// Called before anything else is done where more is to be read: if this connection floods, what was read is
    /// handled by now, in nanoseconds of a clock that nobody sets. Says whether it does. `now` is not asked if it
    /// does not.
    pub fn was_handled(&mut self, connection: usize, now: impl FnOnce() -> u64) -> bool {
        let Some(flooder) = self.find(connection) else { return false };
        if flooder.stage == Stage::Handled {
            flooder.learn(now().saturating_sub(flooder.read));
            flooder.stage = Stage::Ready;
        }
        flooder.stage == Stage::Ready
    }

    /// What a connection may have now. `moment` is not asked where it does not flood.
    pub fn share(&mut self, connection: usize, moment: impl FnOnce() -> Moment) -> Share {
        let Some(flooder) = self.find(connection) else { return Share::Read(HELPING) };
        let moment = moment();
        if matches!(flooder.stage, Stage::Ready | Stage::Handled) && moment.is_late {
            flooder.stage = Stage::Waits(moment.turn);
            return Share::Wait;
        }
        flooder.stage = Stage::Idle;
        Share::Read(flooder.share)
    }

    /// It was read, and has more to say or not. `now` is not asked if it does not flood.
    pub fn was_read(&mut self, connection: usize, has_more: bool, now: impl FnOnce() -> u64) {
        match (self.find(connection), has_more) {
            (Some(flooder), _) => {
                flooder.read = now();
                flooder.stage = if has_more { Stage::Handled } else { Stage::Idle };
                if !has_more && flooder.share == HELPING {
                    self.forget(connection);
                }
            }
            (None, true) => self.remember(connection, HELPING, Stage::Handled, now()),
            (None, false) => (),
        }
    }

    /// What was read of it last were [`MANY`] messages or more.
    pub fn had_many(&mut self, connection: usize, now: impl FnOnce() -> u64) {
        match self.find(connection) {
            Some(flooder) if flooder.stage == Stage::Idle => {
                flooder.share = flooder.share.min(LITTLE)
            }
            Some(_) => (),
            None => self.remember(connection, LITTLE, Stage::Idle, now()),
        }
    }

    /// Whether it was told to wait for the end of this turn.
    pub fn waits(&self, connection: usize, turn: impl FnOnce() -> u64) -> bool {
        let flooder = self.flooders.iter().find(|it| it.connection == connection);
        match flooder.map(|it| it.stage) {
            Some(Stage::Waits(waits)) => waits == turn(),
            _ => false,
        }
    }

    /// The number is another connection's from now on.
    pub fn forget(&mut self, connection: usize) {
        self.flooders.retain(|it| it.connection != connection);
    }

    /// Those who were closed meanwhile are forgotten some time.
    fn remember(&mut self, connection: usize, share: usize, stage: Stage, read: u64) {
        self.flooders.retain(|it| read.saturating_sub(it.read) < MEMORY);
        if self.flooders.try_reserve(1).is_ok() {
            self.flooders.push(Flooder { connection, share, read, stage });
        }
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

    fn at(turn: u64, is_late: bool) -> impl FnOnce() -> Moment {
        move || Moment { turn, is_late }
    }

    fn nobody_asks<T>() -> T {
        panic!("the time is looked at for somebody who does not flood")
    }

    #[test]
    fn who_has_no_more_to_say_is_never_timed() {
        let mut pace = Pace::new();
        assert_eq!(pace.share(ONE, nobody_asks), Share::Read(HELPING));
        pace.was_read(ONE, false, nobody_asks);
        assert!(!pace.was_handled(ONE, nobody_asks) && !pace.waits(ONE, nobody_asks));
        pace.was_read(OTHER, true, || 0);
        assert_eq!(pace.share(ONE, nobody_asks), Share::Read(HELPING));
        pace.was_read(ONE, false, nobody_asks);
    }

    #[test]
    fn who_floods_waits_once_the_turn_has_lasted_and_has_something_of_each() {
        let mut pace = Pace::new();
        for turn in 0..10 {
            assert_eq!(pace.share(ONE, at(turn, true)), Share::Read(HELPING));
            pace.was_read(ONE, true, || 0);
            assert!(pace.was_handled(ONE, || SHORT));
            assert_eq!(pace.share(ONE, at(turn, false)), Share::Read(HELPING));
            pace.was_read(ONE, true, || SHORT);
            assert!(pace.was_handled(ONE, || LONG) && !pace.waits(ONE, || turn));
            assert_eq!(pace.share(ONE, at(turn, true)), Share::Wait);
            assert!(!pace.was_handled(ONE, nobody_asks));
            assert!(pace.waits(ONE, || turn) && !pace.waits(ONE, || turn + 1));
        }
        assert_eq!(pace.share(ONE, at(10, true)), Share::Read(HELPING));
        pace.was_read(ONE, false, || 0);
        assert!(pace.flooders.is_empty());
    }

    #[test]
    fn others_in_between_change_nothing_and_their_time_is_not_its_own() {
        let mut pace = Pace::new();
        for turn in 0..10 {
            pace.share(ONE, at(turn, false));
            pace.was_read(ONE, true, || 0);
            assert!(pace.was_handled(ONE, || 10_000));
            pace.share(OTHER, nobody_asks);
            pace.was_read(OTHER, false, nobody_asks);
            assert_eq!(pace.share(ONE, at(turn, true)), Share::Wait);
        }
        pace.was_read(OTHER, true, || 0);
        pace.forget(OTHER);
        assert_eq!(pace.share(ONE, at(10, false)), Share::Read(HELPING));
    }

    #[test]
    fn who_takes_long_gets_less_and_the_time_in_which_it_waits_does_not_count() {
        let mut pace = Pace::new();
        let mut now = 0;
        let mut shares = Vec::new();
        for turn in 0..8 {
            let Share::Read(share) = pace.share(ONE, at(turn, false)) else { unreachable!() };
            shares.push(share);
            pace.was_read(ONE, true, || now);
            now += share as u64 * 10_000; // 10 µs a byte
            assert!(pace.was_handled(ONE, || now));
            assert_eq!(pace.share(ONE, at(turn, true)), Share::Wait);
            now += 1_000 * LONG;
        }
        assert_eq!(shares, [8192, 2048, 512, 128, 128, 128, 128, 128]);
        // It is slow when it comes again, and not for good.
        pace.share(ONE, at(8, false));
        pace.was_read(ONE, false, || now);
        for share in [128, 256, 512, 1024, 2048, 4096, 8192, 8192] {
            assert_eq!(pace.share(ONE, at(9, false)), Share::Read(share));
            pace.was_read(ONE, true, || now);
            pace.was_handled(ONE, || now);
        }
        pace.share(ONE, at(9, false));
        pace.was_read(ONE, false, || now);
        assert!(pace.flooders.is_empty());
    }

    #[test]
    fn who_comes_with_many_messages_at_a_time_is_slow_before_it_floods() {
        let mut pace = Pace::new();
        pace.was_read(ONE, false, nobody_asks);
        pace.had_many(ONE, || 0);
        assert_eq!(pace.share(ONE, at(0, true)), Share::Read(LITTLE));
        pace.was_read(ONE, true, || 0);
        pace.was_handled(ONE, || 2 * LONG);
        pace.had_many(ONE, nobody_asks);
        assert_eq!(pace.share(ONE, at(0, false)), Share::Read(LITTLE / 4));
    }

    #[test]
    fn a_crowd_of_slow_ones_is_remembered() {
        let mut pace = Pace::new();
        for turn in 0..4 {
            for connection in 0..1_000 {
                let share = [HELPING, HELPING / 4, HELPING / 16, HELPING / 64][turn as usize];
                assert_eq!(pace.share(connection, at(turn, true)), Share::Read(share));
                pace.was_read(connection, true, || 0);
                pace.was_handled(connection, || 2 * LONG);
                assert_eq!(pace.share(connection, at(turn, true)), Share::Wait);
            }
        }
    }

    #[test]
    fn who_is_closed_is_forgotten() {
        let mut pace = Pace::new();
        for connection in 0..1_000 {
            pace.was_read(connection, true, || 0);
        }
        assert_eq!(pace.flooders.len(), 1_000);
        pace.was_read(ONE + 1_000, true, || MEMORY);
        assert_eq!(pace.flooders.len(), 1);
    }
}

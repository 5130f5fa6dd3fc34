use proptest::prelude::*;

use super::*;
use crate::limit::SECOND;

const MINUTE: u64 = 60 * SECOND;

fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|_| Slot::default()).collect()
}

fn open(slots: &mut [Slot]) -> Attempts<'_> {
    Attempts::open(Secret([7; 16]), slots)
}

fn address(number: u32) -> Source {
    Source::V4(number.to_be_bytes())
}

/// Attempts that fail, until there is none left.
fn fail(attempts: &mut Attempts<'_>, source: Source, limit: Limit, now: u64) -> u32 {
    let mut count = 0;
    while let Ok(charge) = attempts.take(source, limit, now) {
        attempts.fail(charge, now);
        count += 1;
    }
    count
}

#[test]
fn ten_attempts_may_fail_and_one_more_every_two_seconds() {
    let (mut slots, limit, now) = (slots(64), Limit::default(), 5 * MINUTE);
    let mut attempts = open(&mut slots);
    assert_eq!(fail(&mut attempts, address(1), limit, now), 10);
    assert_eq!(attempts.take(address(1), limit, now + 2 * SECOND - 1), Err(Denial::UsedUp(limit)));
    assert_eq!(fail(&mut attempts, address(1), limit, now + 2 * SECOND), 1);
    assert_eq!(fail(&mut attempts, address(1), limit, now + 8 * SECOND), 3);
    assert_eq!(fail(&mut attempts, address(1), limit, now + MINUTE), 10);
}

#[test]
fn what_is_refused_costs_nothing_more() {
    let (mut slots, limit) = (slots(64), Limit::default());
    let mut attempts = open(&mut slots);
    fail(&mut attempts, address(1), limit, MINUTE);
    for _ in 0..1000 {
        assert!(attempts.take(address(1), limit, MINUTE + SECOND).is_err());
    }
    assert!(attempts.take(address(1), limit, MINUTE + 2 * SECOND).is_ok());
}

#[test]
fn each_address_and_each_limit_has_its_own_attempts() {
    let (mut slots, limit) = (slots(64), Limit::default());
    let other = Limit::parse("5r/s").unwrap().with_burst("burst=3").unwrap();
    let mut attempts = open(&mut slots);
    for source in [address(1), address(2), Source::of("2001:db8::1").unwrap()] {
        assert_eq!(fail(&mut attempts, source, limit, MINUTE), 10);
        assert_eq!(fail(&mut attempts, source, other, MINUTE), 3);
    }
    assert_eq!(fail(&mut attempts, Source::of("2001:db8::ffff:2").unwrap(), limit, MINUTE), 0);
}

#[test]
fn attempts_in_flight_count_until_they_are_given_back() {
    let (mut slots, limit) = (slots(64), Limit::default());
    let mut attempts = open(&mut slots);
    let mut flying: Vec<Charge> =
        (0..10).map(|_| attempts.take(address(1), limit, MINUTE).unwrap()).collect();
    assert_eq!(attempts.take(address(1), limit, MINUTE), Err(Denial::Out(limit)));
    attempts.give_back(flying.remove(4), MINUTE + 1);
    flying.push(attempts.take(address(1), limit, MINUTE + 1).unwrap());
    for charge in flying {
        assert_eq!(attempts.take(address(1), limit, MINUTE + 1), Err(Denial::Out(limit)));
        attempts.fail(charge, MINUTE + 1);
    }
    assert_eq!(attempts.take(address(1), limit, MINUTE + 1), Err(Denial::UsedUp(limit)));
}

#[test]
fn attempts_that_a_dead_worker_had_out_come_back_like_failures() {
    let (mut slots, limit) = (slots(64), Limit::default());
    let mut attempts = open(&mut slots);
    for _ in 0..10 {
        let _ = attempts.take(address(1), limit, MINUTE).unwrap();
    }
    assert_eq!(fail(&mut attempts, address(1), limit, MINUTE + 6 * SECOND), 3);
    assert_eq!(fail(&mut attempts, address(1), limit, 2 * MINUTE), 10);
    let last = attempts.take(address(1), limit, 2 * MINUTE);
    assert_eq!(last, Err(Denial::UsedUp(limit)), "none is out any more");
}

#[test]
fn what_came_back_by_itself_is_not_given_back_again() {
    let (mut slots, limit) = (slots(64), Limit::default());
    let mut attempts = open(&mut slots);
    let early: Vec<Charge> =
        (0..10).map(|_| attempts.take(address(1), limit, MINUTE).unwrap()).collect();
    let later = 2 * MINUTE;
    assert_eq!(fail(&mut attempts, address(1), limit, later), 10);
    for charge in early {
        attempts.give_back(charge, later);
    }
    assert_eq!(fail(&mut attempts, address(1), limit, later), 0);
}

#[test]
fn a_crowd_that_fails_once_each_does_not_free_who_is_locked_out() {
    let (mut slots, limit) = (slots(slots_within(1 << 20)), Limit::default());
    let mut attempts = open(&mut slots);
    fail(&mut attempts, address(0), limit, MINUTE);
    for number in 1..200_000 {
        // All within the ten seconds after which five of ten attempts are back.
        let now = MINUTE + u64::from(number) * (10 * SECOND / 200_000);
        assert!(attempts.take(address(number), limit, now).is_ok(), "a newcomer is let in");
    }
    assert_eq!(fail(&mut attempts, address(0), limit, MINUTE + 10 * SECOND), 5);
}

#[test]
fn a_thousand_addresses_that_are_locked_out_are_all_known() {
    // Four a set, and more than eight in one of fifty sets (Poisson).
    let (mut slots, limit) = (slots(slots_within(1 << 20)), Limit::default());
    assert_eq!(slots.len(), 2048);
    let mut attempts = open(&mut slots);
    let crowd = || (0..1000).map(address);
    for source in crowd() {
        fail(&mut attempts, source, limit, MINUTE);
    }
    let forgotten = crowd().filter(|&it| attempts.take(it, limit, MINUTE).is_ok()).count();
    assert!(forgotten <= 30, "{forgotten}");
}

#[test]
fn two_secrets_place_addresses_differently() {
    let (mut one, mut two) = (slots(2048), slots(2048));
    let one = Attempts::open(Secret::generate().unwrap(), &mut one);
    let two = Attempts::open(Secret::generate().unwrap(), &mut two);
    let limit = Limit::default();
    let set = |attempts: &Attempts<'_>, n| attempts.place(address(n), limit).set % 256;
    let same = (0..1000).filter(|&n| set(&one, n) == set(&two, n)).count();
    assert!(same < 50, "{same}");
}

#[test]
fn a_zone_of_the_smallest_size_has_slots() {
    assert!(slots_within(7 * 4096) >= 48);
    assert_eq!(slots_within(0), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Fail,
    Succeed,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Fail),
        2 => Just(Step::Succeed),
        2 => (0..5 * SECOND).prop_map(Step::Wait),
        1 => (0..MINUTE).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..200)
}

fn limits() -> impl Strategy<Value = Limit> {
    (1..200u32, any::<bool>(), 1..20u32).prop_map(|(rate, by_minute, burst)| {
        let limit =
            Limit::parse(&format!("{rate}r/{}", if by_minute { 'm' } else { 's' })).unwrap();
        limit.with_burst(&format!("burst={burst}")).unwrap()
    })
}

proptest! {
    #[test]
    fn in_no_time_more_fail_than_the_burst_and_what_came_back(limit in limits(), steps in steps()) {
        let mut slots = slots(64);
        let mut attempts = open(&mut slots);
        let (mut now, mut failures) = (MINUTE, Vec::new());
        for step in steps {
            match step {
                Step::Wait(time) => now += time,
                Step::Fail => {
                    if let Ok(charge) = attempts.take(address(1), limit, now) {
                        attempts.fail(charge, now);
                        failures.push(now);
                    }
                }
                Step::Succeed => {
                    if let Ok(charge) = attempts.take(address(1), limit, now) {
                        attempts.give_back(charge, now);
                    }
                }
            }
        }
        for (first, from) in failures.iter().enumerate() {
            for (last, until) in failures.iter().enumerate().skip(first) {
                let most = u64::from(limit.burst) + (until - from) / limit.interval();
                prop_assert!((last - first + 1) as u64 <= most);
            }
        }
    }

    #[test]
    fn a_good_key_changes_nothing(limit in limits(), failed in 0..20u32, goods in 1..50u32) {
        let (mut with, mut without) = (slots(64), slots(64));
        for (slots, goods) in [(&mut with, goods), (&mut without, 0)] {
            let mut attempts = open(slots);
            for _ in 0..failed {
                if let Ok(charge) = attempts.take(address(1), limit, MINUTE) {
                    attempts.fail(charge, MINUTE);
                }
            }
            for _ in 0..goods {
                if let Ok(charge) = attempts.take(address(1), limit, MINUTE) {
                    attempts.give_back(charge, MINUTE);
                }
            }
        }
        let left = |slots: &mut Vec<Slot>| fail(&mut open(slots), address(1), limit, MINUTE);
        prop_assert_eq!(left(&mut with), left(&mut without));
    }

    #[test]
    fn whatever_a_dead_worker_left_is_a_table(
        words in proptest::collection::vec((any::<u64>(), 0..3 * MINUTE), 64),
        limit in limits(),
    ) {
        let mut slots: Vec<Slot> = words
            .into_iter()
            .map(|(who, until)| Slot { who: who.into(), until: until.into() })
            .collect();
        let mut attempts = open(&mut slots);
        prop_assert_eq!(fail(&mut attempts, address(1), limit, MINUTE), limit.burst);
    }
}

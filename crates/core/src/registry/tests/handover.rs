//! Names that pass from one stream to the next.

use super::*;

#[test]
fn a_name_passes_to_whoever_waits_for_it_without_being_free() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let old = table.claim(one, &stream("benw")).unwrap();
    assert_eq!(table.heir(old), None);
    let wishes = table.wishes();
    let new = table.wait_for(two, "benw", 5 * SECOND).unwrap();
    assert_ne!(table.wishes(), wishes);
    assert_eq!(table.heir(old), Some(TWO));
    assert_eq!((table.standing(old), table.standing(new)), (Standing::Holds, Standing::Waits(ONE)));
    assert!(table.release(old, 9));
    assert_eq!((table.standing(old), table.standing(new)), (Standing::Ended, Standing::Holds));
    assert_eq!(table.claim(one, &stream("benw")), Err(ClaimError::Held(TWO)));
    assert_eq!(table.find("benw").map(Entry::started_at), Some(5 * SECOND));
    table.describe(new, &Stream { client_addr: "192.0.2.9", ..stream("benw") });
    assert_eq!(table.find("benw").map(Entry::client_addr), Some("192.0.2.9"));
    assert!(!table.release(old, 9));
    assert!(table.release(new, 9));
    assert_eq!(table.live(), 0);
}

#[test]
fn whoever_waits_can_give_up_and_then_the_holder_is_left_alone() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let one = table.enter(ONE).unwrap();
    let old = table.claim(one, &stream("benw")).unwrap();
    let new = table.wait_for(one, "benw", 5 * SECOND).unwrap();
    assert!(table.release(new, 9));
    assert_eq!(table.heir(old), None);
    assert!(!table.release(new, 9));
    assert!(table.release(old, 9));
    assert_eq!(table.standing(new), Standing::Ended);
    assert!(table.find("benw").is_none());
}

#[test]
fn a_stream_is_left_alone_for_a_second_and_waited_for_by_one() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let one = table.enter(ONE).unwrap();
    assert_eq!(table.wait_for(one, "benw", 0), Err(WaitError::Free));
    let since = 10 * SECOND;
    let old = table.claim(one, &Stream { started_at: since, ..stream("benw") }).unwrap();
    assert_eq!(table.wait_for(one, "benw", since + SECOND - 1), Err(WaitError::TooSoon));
    let new = table.wait_for(one, "benw", since + SECOND).unwrap();
    assert_eq!(table.wait_for(one, "benw", since + SECOND), Err(WaitError::Awaited));
    table.release(old, 9);
    // Also before the new holder has described itself.
    assert_eq!(table.wait_for(one, "benw", since + SECOND + 1), Err(WaitError::TooSoon));
    // The clock was set back.
    assert!(table.wait_for(one, "benw", 0).is_ok());
    table.release(new, 9);
}

#[test]
fn a_holder_that_is_struck_hands_over_and_one_that_waits_leaves_no_trace() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let a = table.claim(one, &stream("a")).unwrap();
    let b = table.claim(two, &stream("b")).unwrap();
    let c = table.claim(one, &stream("c")).unwrap();
    let waits_for_a = table.wait_for(two, "a", SECOND * 2).unwrap();
    let waits_for_b = table.wait_for(one, "b", SECOND * 2).unwrap();
    let waits_for_c = table.wait_for(one, "c", SECOND * 2).unwrap();
    assert_eq!(table.strike(ONE, TWO, 9).len(), 2);
    assert_eq!(table.standing(a), Standing::Ended);
    assert_eq!(table.standing(waits_for_a), Standing::Holds);
    assert_eq!(table.find("a").map(Entry::client_addr), Some("192.0.2.1"));
    assert_eq!((table.standing(b), table.heir(b)), (Standing::Holds, None));
    assert_eq!(table.standing(waits_for_b), Standing::Ended);
    assert_eq!(
        (table.standing(c), table.standing(waits_for_c)),
        (Standing::Ended, Standing::Ended)
    );
    assert_eq!(table.live(), 2);
    let (told, lost): (Vec<_>, Vec<_>) =
        table.strike(TWO, ONE, 9).into_iter().partition(|stream| !stream.was_live());
    let names = |streams: Vec<LostStream>| -> Vec<_> {
        streams.into_iter().map(|stream| stream.username).collect()
    };
    assert_eq!(
        names(lost),
        ["b"],
        "whoever was handed a name and never went live has lost no stream"
    );
    assert_eq!(names(told), ["a", "c"], "but the ends of those before may not be known");
    assert_eq!(table.live(), 0);
}

#[test]
fn who_renounces_a_name_that_was_handed_over_answers_for_the_one_before() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let holder = table.claim(one, &stream("a")).unwrap();
    let waits = table.wait_for(two, "a", SECOND * 2).unwrap();
    assert_eq!(table.renounce(waits, 9), None, "it waited, and the other one is live");
    let waits = table.wait_for(two, "a", SECOND * 2).unwrap();
    table.release(holder, 9);
    let lost = table.renounce(waits, 10).unwrap();
    assert_eq!((lost.username.as_str(), lost.was_live()), ("a", false));
    assert_eq!(table.presence("a"), Presence::Ended { at: 10 });
    assert_eq!(table.renounce(waits, 11), None);
}

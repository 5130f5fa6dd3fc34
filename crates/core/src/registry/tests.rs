use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod handover;
mod listing;

/// A table with memory of its own, opened anew for each step as a worker does under the lock.
struct Memory {
    header: Header,
    owners: Vec<Owner>,
    buckets: Vec<u32>,
    entries: Vec<Entry>,
    marks: Vec<NameMark>,
}

impl Memory {
    fn new(entries: usize) -> Memory {
        let mut memory = Memory {
            header: Header::default(),
            owners: vec![Owner::default(); 4],
            buckets: vec![0; entries.div_ceil(2)],
            entries: (0..entries).map(|_| Entry::default()).collect(),
            marks: (0..entries).map(|_| NameMark::default()).collect(),
        };
        Table::create(
            &mut memory.header,
            &mut memory.owners,
            &mut memory.buckets,
            &mut memory.entries,
            &memory.marks,
        );
        memory
    }

    fn open(&mut self) -> Table<'_> {
        let Memory { header, owners, buckets, entries, marks } = self;
        Table::open(header, owners, buckets, entries, marks)
    }

    fn names(&mut self) -> BTreeSet<String> {
        let table = self.open();
        let names: BTreeSet<String> =
            table.entries.iter().filter(|e| e.is_live()).map(|e| e.username().to_owned()).collect();
        assert!(names.iter().all(|name| is_live(&self.marks, name)));
        assert_eq!(self.marks.iter().filter(|mark| mark.is_set()).count(), names.len());
        names
    }
}

fn stream(username: &str) -> Stream<'_> {
    Stream { username, streamer_id: 7, app: "live", client_addr: "192.0.2.1", started_at: 1 }
}

const SECOND: u64 = 1_000_000;
const ONE: Owner = Owner { pid: 100, start_time: 5 };
const TWO: Owner = Owner { pid: 200, start_time: 6 };

#[test]
fn a_name_is_claimed_once_and_free_after_its_release() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let claim = table.claim(slot, &stream("benw")).unwrap();
    assert_eq!(table.claim(slot, &stream("benw")), Err(ClaimError::Held(ONE)));
    assert_eq!(table.find("benw").map(Entry::client_addr), Some("192.0.2.1"));
    assert!(table.release(claim, 9));
    assert!(table.find("benw").is_none());
    assert!(table.claim(slot, &stream("benw")).is_ok());
}

#[test]
fn a_second_release_of_a_claim_does_not_end_the_next_one() {
    let mut memory = Memory::new(1);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let first = table.claim(slot, &stream("benw")).unwrap();
    assert!(table.release(first, 9));
    table.claim(slot, &stream("benw")).unwrap();
    assert!(!table.release(first, 9));
    assert_eq!(table.live(), 1);
}

#[test]
fn a_full_table_refuses_and_goes_on_after_a_release() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let a = table.claim(slot, &stream("a")).unwrap();
    table.claim(slot, &stream("b")).unwrap();
    assert_eq!(table.claim(slot, &stream("c")), Err(ClaimError::Full(2)));
    assert!(table.release(a, 9));
    assert!(table.claim(slot, &stream("c")).is_ok());
}

#[test]
fn a_name_that_does_not_fit_is_refused_rather_than_cut() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let long = "x".repeat(Text::CAPACITY + 1);
    assert_eq!(table.claim(slot, &stream(&long)), Err(ClaimError::Name));
    assert_eq!(table.claim(slot, &stream("")), Err(ClaimError::Name));
}

#[test]
fn striking_a_process_frees_its_streams_and_no_others() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let one = table.enter(ONE).unwrap();
    let two = table.enter(TWO).unwrap();
    table.claim(one, &stream("a")).unwrap();
    table.claim(two, &stream("b")).unwrap();
    table.claim(one, &stream("c")).unwrap();
    let lost: BTreeSet<_> =
        table.strike(ONE, TWO, 9).into_iter().map(|lost| lost.username).collect();
    assert_eq!(lost, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    assert_eq!(table.owners().collect::<Vec<_>>(), [TWO]);
    assert!(table.find("b").is_some());
    assert!(table.strike(ONE, TWO, 9).is_empty());
}

#[test]
fn a_pid_that_was_reused_is_another_process() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let old = table.enter(ONE).unwrap();
    table.claim(old, &stream("a")).unwrap();
    let reused = Owner { start_time: 99, ..ONE };
    assert_ne!(table.enter(reused), Some(old));
    assert!(table.strike(reused, TWO, 9).is_empty());
    assert_eq!(table.strike(ONE, TWO, 9).len(), 1);
}

#[test]
fn a_process_reads_as_it_was_written() {
    assert_eq!(Owner::parse(&ONE.to_string()), Some(ONE));
    for text in ["", "1", "1-", "-5", "1-2-3", "x-1", "1 -2"] {
        assert_eq!(Owner::parse(text), None, "{text:?}");
    }
}

#[test]
fn entering_twice_takes_one_slot_and_a_full_list_takes_nobody() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    assert_eq!(table.enter(ONE), table.enter(ONE));
    for pid in 1..4 {
        assert!(table.enter(Owner { pid, start_time: 0 }).is_some());
    }
    assert_eq!(table.enter(Owner { pid: 50, start_time: 0 }), None);
}

#[test]
fn only_the_first_worker_of_a_server_hears_of_its_start() {
    let mut memory = Memory::new(1);
    let [one, other] = [1, 2].map(|pid| Owner { pid, start_time: 7 });
    assert_eq!(memory.open().booter(), None);
    assert!(memory.open().take_boot(one));
    assert!(!memory.open().take_boot(other));
    assert_eq!(memory.open().booter(), Some(one));
    memory.open().end_boot();
    assert!(!memory.open().take_boot(other));
    assert_eq!(memory.open().booter(), None);
}

#[test]
fn the_start_of_a_server_is_left_to_one_worker_when_the_first_dies() {
    let mut memory = Memory::new(1);
    let [dead, one, other] = [1, 2, 3].map(|pid| Owner { pid, start_time: 7 });
    assert!(!memory.open().inherit_boot(dead, one));
    assert!(memory.open().take_boot(dead));
    assert!(memory.open().inherit_boot(dead, one));
    assert!(!memory.open().inherit_boot(dead, other));
    assert_eq!(memory.open().booter(), Some(one));
    memory.open().end_boot();
    assert!(!memory.open().inherit_boot(one, other));
}

#[test]
fn a_shape_fits_its_memory_and_a_megabyte_holds_thousands_of_streams() {
    for bytes in [0, 100, 1 << 12, 32 << 10, 1 << 20, 16 << 20] {
        let Some(shape) = Shape::within(bytes) else {
            assert!(bytes < 1 << 12);
            continue;
        };
        let used = size_of::<Header>()
            + shape.owners * size_of::<Owner>()
            + shape.buckets * size_of::<u32>()
            + shape.entries * (size_of::<Entry>() + size_of::<NameMark>());
        assert!(used <= bytes, "{shape:?} takes {used} of {bytes}");
    }
    assert!(Shape::within(1 << 20).unwrap().entries >= (1 << 20) / 512);
}

#[test]
fn text_is_cut_at_a_character() {
    let text = "é".repeat(40);
    assert_eq!(Text::cut(&text).as_str(), "é".repeat(32));
    let text = format!("a{text}");
    assert_eq!(Text::cut(&text).as_str().len(), 63);
}

#[test]
fn a_stream_that_has_ended_is_known_until_its_name_is_claimed_again() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    assert_eq!(table.presence("benw"), Presence::Unknown);
    let claim = table.claim(slot, &stream("benw")).unwrap();
    assert_eq!(table.presence("benw"), Presence::Live);
    assert!(table.release(claim, 77));
    assert_eq!(table.presence("benw"), Presence::Ended { at: 77 });
    assert_eq!(table.live(), 0);
    table.claim(slot, &stream("benw")).unwrap();
    assert_eq!(table.presence("benw"), Presence::Live);
    assert!(table.claim(slot, &stream("other")).is_ok(), "the ended entry was taken over");
}

#[test]
fn the_stream_that_ended_first_makes_place_and_a_live_one_never_does() {
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let claims = ["a", "b", "c"].map(|name| table.claim(slot, &stream(name)).unwrap());
    assert!(table.release(claims[1], 5));
    assert!(table.release(claims[0], 6));
    table.claim(slot, &stream("d")).unwrap();
    assert_eq!(table.presence("b"), Presence::Unknown);
    assert_eq!(table.presence("a"), Presence::Ended { at: 6 });
    table.claim(slot, &stream("e")).unwrap();
    assert_eq!(table.presence("a"), Presence::Unknown);
    assert_eq!(table.claim(slot, &stream("f")), Err(ClaimError::Full(3)));
    assert_eq!(table.presence("c"), Presence::Live);
}

#[test]
fn the_streams_of_a_dead_process_have_ended_too() {
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    table.claim(slot, &stream("benw")).unwrap();
    table.strike(ONE, TWO, 8);
    assert_eq!(table.presence("benw"), Presence::Ended { at: 8 });
}

#[test]
fn an_end_that_is_not_told_is_for_whoever_finds_the_process_dead() {
    let ends = |lost: Vec<LostStream>| {
        lost.into_iter().map(|it| (it.username.clone(), !it.was_live())).collect::<Vec<_>>()
    };
    let end = |name: &str| (name.to_owned(), true);
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let [told, untold] = ["zoe", "benw"].map(|name| table.claim(slot, &stream(name)).unwrap());
    table.release(told, 8);
    table.release(untold, 8);
    end_is_told(table.marks, told);
    assert_eq!(ends(table.strike(ONE, TWO, 9)), [end("benw")]);
    assert_eq!(table.presence("benw"), Presence::Ended { at: 8 });
    // Who was to tell it dies as well, and another process gets the first one's place.
    table.enter(ONE).unwrap();
    assert_eq!(ends(table.strike(TWO, ONE, 9)), [end("benw")]);
    end_is_told(table.marks, untold);
    assert_eq!(ends(table.strike(ONE, TWO, 9)), []);
}

#[test]
fn who_has_ends_to_tell_does_not_leave_unseen() {
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let claim = table.claim(slot, &stream("benw")).unwrap();
    table.release(claim, 8);
    table.leave(ONE, 9);
    assert_eq!(table.owners().collect::<Vec<_>>(), [ONE]);
    end_is_told(table.marks, claim);
    table.leave(ONE, 9);
    assert_eq!(table.owners().collect::<Vec<_>>(), []);
}

#[test]
fn who_still_holds_a_name_does_not_leave_unseen() {
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let claim = table.claim(one, &stream("benw")).unwrap();
    table.wait_for(two, "benw", SECOND * 2).unwrap();
    table.release(claim, 8);
    table.leave(TWO, 9);
    assert_eq!(table.owners().collect::<Vec<_>>(), [ONE, TWO]);
    let lost = table.strike(TWO, ONE, 9);
    assert_eq!((lost.len(), !lost[0].was_live(), lost[0].former), (1, true, claim));
}

#[test]
fn a_table_full_of_processes_has_room_for_who_strikes_one() {
    let mut memory = Memory::new(3);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let claim = table.claim(slot, &stream("benw")).unwrap();
    for pid in 10..13 {
        table.enter(Owner { pid, start_time: 7 }).unwrap();
    }
    assert_eq!(table.enter(TWO), None);
    assert_eq!(table.strike(ONE, TWO, 9).len(), 1);
    assert!(table.owners().any(|owner| owner == TWO));
    let lost = table.strike(TWO, ONE, 10);
    assert_eq!((lost.len(), lost[0].claim, lost[0].ended_at), (1, claim, Some(9)));
}

#[test]
fn what_is_told_of_a_stream_is_not_told_of_the_next_one() {
    let mut memory = Memory::new(1);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let first = table.claim(slot, &stream("benw")).unwrap();
    table.release(first, 8);
    let second = table.claim(slot, &stream("zoe")).unwrap();
    end_is_told(table.marks, first);
    table.release(second, 9);
    assert_eq!(table.strike(ONE, TWO, 9).len(), 1);
}

#[test]
fn who_looks_without_the_lock_sees_what_is_live() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let marks = table.marks;
    let slot = table.enter(ONE).unwrap();
    assert!(!is_live(marks, "benw"));
    let claim = table.claim(slot, &stream("benw")).unwrap();
    table.claim(slot, &stream("zoe")).unwrap();
    assert!(is_live(marks, "benw"));
    table.release(claim, 9);
    assert!(!is_live(marks, "benw"));
    assert!(is_live(marks, "zoe"));
}

#[test]
fn a_death_in_front_of_a_name_s_mark_is_made_up_for() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    table.claim(slot, &stream("benw")).unwrap();
    memory.marks[0] = NameMark::default();
    memory.header.changing.store(1, Ordering::Release);
    memory.open();
    assert!(is_live(&memory.marks, "benw"));
}

#[test]
fn a_death_while_an_entry_is_reused_forgets_at_most_that_entry() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    for name in ["a", "b"] {
        let claim = table.claim(slot, &stream(name)).unwrap();
        table.release(claim, 3);
    }
    memory.entries[0].state.store(State::FREE, Ordering::Release);
    memory.header.changing.store(1, Ordering::Release);
    let mut table = memory.open();
    assert_eq!(table.presence("a"), Presence::Unknown);
    assert_eq!(table.presence("b"), Presence::Ended { at: 3 });
    let slot = table.enter(ONE).unwrap();
    table.claim(slot, &stream("c")).unwrap();
    assert_eq!(table.presence("b"), Presence::Ended { at: 3 });
}

#[derive(Clone, Debug)]
enum Step {
    Claim(u8, bool),
    WaitFor(u8, bool),
    TakeUp(u8),
    Release(u8),
    GiveUp(u8),
    Strike(bool),
    /// The database knows of an end.
    Tell(u8),
    /// The holder of the lock dies: everything but the states may be half written.
    Die(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u8, any::<bool>()).prop_map(|(name, one)| Step::Claim(name, one)),
        4 => (0..12u8, any::<bool>()).prop_map(|(name, one)| Step::WaitFor(name, one)),
        4 => (0..12u8).prop_map(Step::Release),
        1 => (0..12u8).prop_map(Step::GiveUp),
        2 => (0..12u8).prop_map(Step::TakeUp),
        1 => any::<bool>().prop_map(Step::Strike),
        2 => (0..12u8).prop_map(Step::Tell),
        1 => prop::collection::vec(any::<u32>(), 12).prop_map(Step::Die),
    ]
}

/// A name that is held, as the table should see it.
struct Held {
    name: String,
    one: bool,
    claim: Claim,
    heir: Option<(bool, Claim)>,
    is_taken_up: bool,
}

impl Held {
    /// The holder is gone; what is left is the heir's.
    fn vacated(self) -> Option<Held> {
        let (one, claim) = self.heir?;
        Some(Held { one, claim, heir: None, is_taken_up: false, ..self })
    }

    fn is_as_in(&self, table: &Table<'_>) -> bool {
        let owner = if self.one { ONE } else { TWO };
        table.find(&self.name).is_some()
            && table.standing(self.claim) == Standing::Holds
            && table.heir(self.claim) == self.heir.map(|(one, _)| if one { ONE } else { TWO })
            && self.heir.is_none_or(|(_, it)| table.standing(it) == Standing::Waits(owner))
    }
}

proptest! {
    /// Whatever happens, the table holds what plain lists would hold: of live names with their holders and
    /// heirs, of ended ones in the order of their ends, and of those of whose end the database may not know.
    #[test]
    fn the_table_behaves_as_a_list_of_names(steps in prop::collection::vec(step(), 0..200)) {
        const PLACES: usize = 8;
        let mut memory = Memory::new(PLACES);
        let mut live: Vec<Held> = Vec::new();
        let mut ended: Vec<(String, u64)> = Vec::new();
        let mut untold: BTreeMap<String, (bool, Claim)> = BTreeMap::new();
        let mut released: Vec<Claim> = Vec::new();
        let mut now = 0;
        for step in steps {
            now += SECOND;
            let at = |live: &[Held], name: &str| live.iter().position(|it| it.name == name);
            match step {
                Step::Claim(name, one) => {
                    let name = format!("n{name}");
                    let mut table = memory.open();
                    let slot = table.enter(if one { ONE } else { TWO }).unwrap();
                    let result = table.claim(slot, &Stream { started_at: now, ..stream(&name) });
                    if at(&live, &name).is_some() {
                        prop_assert!(matches!(result, Err(ClaimError::Held(_))));
                    } else if live.len() == PLACES {
                        prop_assert_eq!(result, Err(ClaimError::Full(PLACES)));
                    } else {
                        match ended.iter().position(|(known, _)| *known == name) {
                            Some(at) => drop(ended.remove(at)),
                            None if live.len() + ended.len() == PLACES => {
                                untold.remove(&ended.remove(0).0);
                            }
                            None => {}
                        }
                        untold.remove(&name);
                        let claim = result.unwrap();
                        live.push(Held { name, one, claim, heir: None, is_taken_up: true });
                    }
                }
                Step::WaitFor(name, one) => {
                    let name = format!("n{name}");
                    let mut table = memory.open();
                    let slot = table.enter(if one { ONE } else { TWO }).unwrap();
                    let result = table.wait_for(slot, &name, now);
                    match at(&live, &name) {
                        None => prop_assert_eq!(result, Err(WaitError::Free)),
                        Some(at) if live[at].heir.is_some() => {
                            prop_assert_eq!(result, Err(WaitError::Awaited));
                        }
                        Some(at) => live[at].heir = Some((one, result.unwrap())),
                    }
                }
                Step::TakeUp(name) => {
                    let name = format!("n{name}");
                    if let Some(at) = at(&live, &name) {
                        live[at].is_taken_up = true;
                        let stream = Stream { started_at: now, ..stream(&name) };
                        memory.open().describe(live[at].claim, &stream);
                    }
                }
                Step::Release(name) => {
                    let name = format!("n{name}");
                    if let Some(at) = at(&live, &name) {
                        let held = live.remove(at);
                        prop_assert!(memory.open().release(held.claim, now));
                        released.push(held.claim);
                        let answers = (held.one, held.claim);
                        match held.vacated() {
                            Some(heir) => live.push(heir),
                            None => {
                                untold.insert(name.clone(), answers);
                                ended.push((name, now));
                            }
                        }
                    }
                }
                Step::Tell(name) => {
                    if let Some((_, claim)) = untold.remove(&format!("n{name}")) {
                        end_is_told(&memory.marks, claim);
                    }
                }
                Step::GiveUp(name) => {
                    if let Some(at) = at(&live, &format!("n{name}"))
                        && let Some((_, claim)) = live[at].heir.take()
                    {
                        prop_assert!(memory.open().release(claim, now));
                        released.push(claim);
                    }
                }
                Step::Strike(one) => {
                    let (who, by) = if one { (ONE, TWO) } else { (TWO, ONE) };
                    let (told, lost): (Vec<_>, Vec<_>) =
                        memory.open().strike(who, by, now).into_iter().partition(|it| !it.was_live());
                    let told: BTreeSet<_> = told.into_iter().map(|it| it.username).collect();
                    let mut expected: BTreeSet<_> =
                        untold.iter().filter(|(_, it)| it.0 == one).map(|(name, _)| name.clone()).collect();
                    untold.values_mut().for_each(|answers| answers.0 = !one);
                    for held in &mut live {
                        released.extend(held.heir.take_if(|heir| heir.0 == one).map(|heir| heir.1));
                    }
                    let (struck, left): (Vec<_>, Vec<_>) =
                        live.into_iter().partition(|held| held.one == one);
                    live = left;
                    prop_assert_eq!(lost.len(), struck.iter().filter(|it| it.is_taken_up).count());
                    for held in struck {
                        let name = held.name.clone();
                        released.push(held.claim);
                        let answers = (!one, held.claim);
                        if !held.is_taken_up {
                            expected.insert(name.clone());
                        }
                        prop_assert!(!held.is_taken_up || lost.iter().any(|it| it.username == name));
                        match held.vacated() {
                            Some(heir) => live.push(heir),
                            None => {
                                untold.insert(name.clone(), answers);
                                ended.push((name, now));
                            }
                        }
                    }
                    prop_assert_eq!(told, expected);
                    // Streams that end at once have no order; the table's is as good as any.
                    let order = ended_order(&mut memory);
                    ended.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
                }
                Step::Die(noise) => {
                    memory.header.changing.store(1, Ordering::Release);
                    memory.header.free = noise[0];
                    memory.header.live = noise[1];
                    memory.header.oldest_ended = noise[2];
                    memory.header.newest_ended = noise[3];
                    for (entry, value) in memory.entries.iter_mut().zip(&noise) {
                        (entry.next, entry.older, entry.newer) = (*value, *value / 2, *value / 3);
                        entry.seats.damage(u64::from(*value));
                    }
                    for (bucket, value) in memory.buckets.iter_mut().zip(noise) {
                        *bucket = value;
                    }
                    memory.open();
                    let order = ended_order(&mut memory);
                    prop_assert!(order.len() == ended.len());
                    ended.sort_by_key(|(name, at)| (*at, order.iter().position(|known| known == name)));
                }
            }
            let expected: BTreeSet<_> = live.iter().map(|held| held.name.clone()).collect();
            prop_assert_eq!(memory.names(), expected);
            let mut table = memory.open();
            prop_assert_eq!(table.live(), live.len());
            prop_assert!(live.iter().all(|held| held.is_as_in(&table)));
            for claim in &released {
                prop_assert!(!table.release(*claim, now));
            }
            for (name, at) in &ended {
                prop_assert_eq!(memory.open().presence(name), Presence::Ended { at: *at });
                prop_assert!(memory.open().find(name).is_none());
            }
            let order = ended_order(&mut memory);
            prop_assert_eq!(order, ended.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        }
    }
}

/// The names of the ended streams as the table lists them, in both directions.
fn ended_order(memory: &mut Memory) -> Vec<String> {
    let table = memory.open();
    let walk = |mut index: u32, step: fn(&Entry) -> u32| {
        let mut names = Vec::new();
        while let Some(entry) = table.entries.get(index as usize) {
            names.push(entry.username().to_owned());
            index = step(entry);
            assert!(names.len() <= table.entries.len());
        }
        names
    };
    let forward = walk(table.header.oldest_ended, |entry| entry.newer);
    let mut backward = walk(table.header.newest_ended, |entry| entry.older);
    backward.reverse();
    assert_eq!(forward, backward);
    forward
}

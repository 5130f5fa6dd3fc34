use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A table with memory of its own, opened anew for each step as a worker does under the lock.
struct Memory {
    header: Header,
    owners: Vec<Owner>,
    buckets: Vec<u32>,
    entries: Vec<Entry>,
}

impl Memory {
    fn new(entries: usize) -> Memory {
        let mut memory = Memory {
            header: Header::default(),
            owners: vec![Owner::default(); 4],
            buckets: vec![0; entries.div_ceil(2)],
            entries: (0..entries).map(|_| Entry::default()).collect(),
        };
        Table::create(
            &mut memory.header,
            &mut memory.owners,
            &mut memory.buckets,
            &mut memory.entries,
        );
        memory
    }

    fn open(&mut self) -> Table<'_> {
        Table::open(&mut self.header, &mut self.owners, &mut self.buckets, &mut self.entries)
    }

    fn names(&mut self) -> BTreeSet<String> {
        let table = self.open();
        table.entries.iter().filter(|e| e.is_live()).map(|e| e.username().to_owned()).collect()
    }
}

fn stream(username: &str) -> Stream<'_> {
    Stream { username, streamer_id: 7, app: "live", client_addr: "192.0.2.1", started_at: 1 }
}

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
    assert!(table.release(claim));
    assert!(table.find("benw").is_none());
    assert!(table.claim(slot, &stream("benw")).is_ok());
}

#[test]
fn a_second_release_of_a_claim_does_not_end_the_next_one() {
    let mut memory = Memory::new(1);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let first = table.claim(slot, &stream("benw")).unwrap();
    assert!(table.release(first));
    table.claim(slot, &stream("benw")).unwrap();
    assert!(!table.release(first));
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
    assert!(table.release(a));
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
    let lost: BTreeSet<_> = table.strike(ONE).into_iter().map(|lost| lost.username).collect();
    assert_eq!(lost, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    assert_eq!(table.owners().collect::<Vec<_>>(), [TWO]);
    assert!(table.find("b").is_some());
    assert!(table.strike(ONE).is_empty());
}

#[test]
fn a_pid_that_was_reused_is_another_process() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let old = table.enter(ONE).unwrap();
    table.claim(old, &stream("a")).unwrap();
    let reused = Owner { start_time: 99, ..ONE };
    assert_ne!(table.enter(reused), Some(old));
    assert!(table.strike(reused).is_empty());
    assert_eq!(table.strike(ONE).len(), 1);
}

const SECOND: u64 = 1_000_000;

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
    assert!(table.release(old));
    assert_eq!((table.standing(old), table.standing(new)), (Standing::Ended, Standing::Holds));
    assert_eq!(table.claim(one, &stream("benw")), Err(ClaimError::Held(TWO)));
    assert_eq!(table.find("benw").map(Entry::started_at), Some(5 * SECOND));
    table.describe(new, &Stream { client_addr: "192.0.2.9", ..stream("benw") });
    assert_eq!(table.find("benw").map(Entry::client_addr), Some("192.0.2.9"));
    assert!(!table.release(old));
    assert!(table.release(new));
    assert_eq!(table.live(), 0);
}

#[test]
fn whoever_waits_can_give_up_and_then_the_holder_is_left_alone() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let one = table.enter(ONE).unwrap();
    let old = table.claim(one, &stream("benw")).unwrap();
    let new = table.wait_for(one, "benw", 5 * SECOND).unwrap();
    assert!(table.release(new));
    assert_eq!(table.heir(old), None);
    assert!(!table.release(new));
    assert!(table.release(old));
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
    table.release(old);
    // Also before the new holder has described itself.
    assert_eq!(table.wait_for(one, "benw", since + SECOND + 1), Err(WaitError::TooSoon));
    // The clock was set back.
    assert!(table.wait_for(one, "benw", 0).is_ok());
    table.release(new);
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
    assert_eq!(table.strike(ONE).len(), 2);
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
    let lost: Vec<_> = table.strike(TWO).into_iter().map(|lost| lost.username).collect();
    assert_eq!(lost, ["b"], "whoever was handed a name and never went live has lost no stream");
    assert_eq!(table.live(), 0);
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
    assert!(memory.open().take_boot());
    assert!(!memory.open().take_boot());
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
            + shape.entries * size_of::<Entry>();
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

#[derive(Clone, Debug)]
enum Step {
    Claim(u8, bool),
    WaitFor(u8, bool),
    TakeUp(u8),
    Release(u8),
    GiveUp(u8),
    Strike(bool),
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
        1 => prop::collection::vec(any::<u32>(), 8).prop_map(Step::Die),
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
    /// Whatever happens, the table holds what a plain list of names, their holders and their heirs
    /// would hold.
    #[test]
    fn the_table_behaves_as_a_list_of_names(steps in prop::collection::vec(step(), 0..200)) {
        let mut memory = Memory::new(8);
        let mut model: Vec<Held> = Vec::new();
        let mut ended: Vec<Claim> = Vec::new();
        let mut now = 0;
        for step in steps {
            now += SECOND;
            let at = |model: &[Held], name: &str| model.iter().position(|it| it.name == name);
            match step {
                Step::Claim(name, one) => {
                    let name = format!("n{name}");
                    let mut table = memory.open();
                    let slot = table.enter(if one { ONE } else { TWO }).unwrap();
                    let result = table.claim(slot, &Stream { started_at: now, ..stream(&name) });
                    if at(&model, &name).is_some() {
                        prop_assert!(matches!(result, Err(ClaimError::Held(_))));
                    } else if model.len() == 8 {
                        prop_assert_eq!(result, Err(ClaimError::Full(8)));
                    } else {
                        let claim = result.unwrap();
                        model.push(Held { name, one, claim, heir: None, is_taken_up: true });
                    }
                }
                Step::WaitFor(name, one) => {
                    let name = format!("n{name}");
                    let mut table = memory.open();
                    let slot = table.enter(if one { ONE } else { TWO }).unwrap();
                    let result = table.wait_for(slot, &name, now);
                    match at(&model, &name) {
                        None => prop_assert_eq!(result, Err(WaitError::Free)),
                        Some(at) if model[at].heir.is_some() => {
                            prop_assert_eq!(result, Err(WaitError::Awaited));
                        }
                        Some(at) => model[at].heir = Some((one, result.unwrap())),
                    }
                }
                Step::Release(name) => {
                    if let Some(at) = at(&model, &format!("n{name}")) {
                        let held = model.remove(at);
                        prop_assert!(memory.open().release(held.claim));
                        ended.push(held.claim);
                        model.extend(held.vacated());
                    }
                }
                Step::TakeUp(name) => {
                    let name = format!("n{name}");
                    if let Some(at) = at(&model, &name) {
                        model[at].is_taken_up = true;
                        let stream = Stream { started_at: now, ..stream(&name) };
                        memory.open().describe(model[at].claim, &stream);
                    }
                }
                Step::GiveUp(name) => {
                    if let Some(at) = at(&model, &format!("n{name}"))
                        && let Some((_, claim)) = model[at].heir.take()
                    {
                        prop_assert!(memory.open().release(claim));
                        ended.push(claim);
                    }
                }
                Step::Strike(one) => {
                    let lost = memory.open().strike(if one { ONE } else { TWO }).len();
                    for held in &mut model {
                        ended.extend(held.heir.take_if(|heir| heir.0 == one).map(|heir| heir.1));
                    }
                    let (struck, left): (Vec<_>, Vec<_>) =
                        model.into_iter().partition(|held| held.one == one);
                    let live = struck.iter().filter(|held| held.is_taken_up).count();
                    prop_assert_eq!(lost, live);
                    ended.extend(struck.iter().map(|held| held.claim));
                    model = left;
                    model.extend(struck.into_iter().filter_map(Held::vacated));
                }
                Step::Die(noise) => {
                    memory.header.changing.store(1, Ordering::Release);
                    memory.header.free = noise[0];
                    memory.header.live = noise[1];
                    for entry in &mut memory.entries {
                        entry.seats.damage(u64::from(noise[2]));
                    }
                    for (bucket, value) in memory.buckets.iter_mut().zip(noise) {
                        *bucket = value;
                    }
                }
            }
            let expected: BTreeSet<_> = model.iter().map(|held| held.name.clone()).collect();
            prop_assert_eq!(memory.names(), expected);
            let mut table = memory.open();
            prop_assert_eq!(table.live(), model.len());
            prop_assert!(model.iter().all(|held| held.is_as_in(&table)));
            for claim in &ended {
                prop_assert!(!table.release(*claim));
            }
        }
    }
}

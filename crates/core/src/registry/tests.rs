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
    Release(u8),
    Strike(bool),
    /// The holder of the lock dies: everything but the states may be half written.
    Die(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u8, any::<bool>()).prop_map(|(name, one)| Step::Claim(name, one)),
        4 => (0..12u8).prop_map(Step::Release),
        1 => any::<bool>().prop_map(Step::Strike),
        1 => prop::collection::vec(any::<u32>(), 8).prop_map(Step::Die),
    ]
}

proptest! {
    /// Whatever happens, the table holds what a plain set of names would hold.
    #[test]
    fn the_table_behaves_as_a_set_of_names(steps in prop::collection::vec(step(), 0..200)) {
        let mut memory = Memory::new(8);
        let mut model: Vec<(String, bool, Claim)> = Vec::new();
        for step in steps {
            match step {
                Step::Claim(name, one) => {
                    let name = format!("n{name}");
                    let mut table = memory.open();
                    let slot = table.enter(if one { ONE } else { TWO }).unwrap();
                    let result = table.claim(slot, &stream(&name));
                    if model.iter().any(|(held, ..)| *held == name) {
                        prop_assert!(matches!(result, Err(ClaimError::Held(_))));
                    } else if model.len() == 8 {
                        prop_assert_eq!(result, Err(ClaimError::Full(8)));
                    } else {
                        model.push((name, one, result.unwrap()));
                    }
                }
                Step::Release(name) => {
                    let name = format!("n{name}");
                    if let Some(at) = model.iter().position(|(held, ..)| *held == name) {
                        let (_, _, claim) = model.remove(at);
                        prop_assert!(memory.open().release(claim));
                        prop_assert!(!memory.open().release(claim));
                    }
                }
                Step::Strike(one) => {
                    let lost = memory.open().strike(if one { ONE } else { TWO }).len();
                    let before = model.len();
                    model.retain(|(_, owner, _)| *owner != one);
                    prop_assert_eq!(lost, before - model.len());
                }
                Step::Die(noise) => {
                    memory.header.changing.store(1, Ordering::Release);
                    memory.header.free = noise[0];
                    memory.header.live = noise[1];
                    for (bucket, value) in memory.buckets.iter_mut().zip(noise) {
                        *bucket = value;
                    }
                }
            }
            let expected: BTreeSet<_> = model.iter().map(|(name, ..)| name.clone()).collect();
            prop_assert_eq!(memory.names(), expected);
            prop_assert_eq!(memory.open().live(), model.len());
            for (name, ..) in &model {
                prop_assert!(memory.open().find(name).is_some());
            }
        }
    }
}

//! The live streams as they are listed, and their figures.

use super::*;

fn listed(memory: &mut Memory) -> Vec<Listed> {
    let mut streams = Vec::new();
    let mut next = Some(0);
    while let Some(start) = next {
        next = memory.open().list(start, &mut streams);
    }
    streams
}

#[test]
fn a_live_stream_is_listed_with_its_worker_and_its_figures() {
    let mut memory = Memory::new(8);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let ended = table.claim(one, &stream("ended")).unwrap();
    let benw = table.claim(two, &stream("benw")).unwrap();
    table.release(ended, 3);
    let figures = Figures { bytes_in: 5, bitrate: 40, ..Figures::default() };
    table.note(&[(benw, figures), (ended, figures)]);
    let streams = listed(&mut memory);
    let [only] = streams.as_slice() else { panic!("{streams:?}") };
    assert_eq!((only.username.as_str(), only.app.as_str()), ("benw", "live"));
    assert_eq!((only.worker, only.started_at, only.figures), (TWO.pid, 1, figures));
}

#[test]
fn a_stream_begins_without_the_figures_of_the_one_before() {
    let mut memory = Memory::new(1);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    let before = table.claim(slot, &stream("benw")).unwrap();
    table.note(&[(before, Figures { bytes_in: 5, ..Figures::default() })]);
    table.release(before, 3);
    let now = table.claim(slot, &stream("benw")).unwrap();
    table.note(&[(before, Figures { bytes_in: 7, ..Figures::default() })]);
    assert_eq!(listed(&mut memory)[0].figures, Figures::default());
    memory.open().release(now, 4);
    assert_eq!(listed(&mut memory).len(), 0);
}

#[test]
fn a_stream_that_takes_over_is_listed_once_it_is_live_and_with_figures_of_its_own() {
    let mut memory = Memory::new(2);
    let mut table = memory.open();
    let (one, two) = (table.enter(ONE).unwrap(), table.enter(TWO).unwrap());
    let old = table.claim(one, &stream("benw")).unwrap();
    let new = table.wait_for(two, "benw", 5_000_000).unwrap();
    let figures = Figures { bytes_in: 5, ..Figures::default() };
    table.note(&[(old, figures), (new, Figures::default())]);
    assert_eq!(listed(&mut memory)[0].figures, figures);
    memory.open().release(old, 5_100_000);
    assert_eq!(listed(&mut memory).len(), 0);
    let described = Stream { app: "other", started_at: 5_200_000, ..stream("benw") };
    memory.open().describe(new, &described);
    let streams = listed(&mut memory);
    assert_eq!((streams[0].app.as_str(), streams[0].worker), ("other", TWO.pid));
    assert_eq!((streams[0].started_at, streams[0].figures), (5_200_000, Figures::default()));
}

#[test]
fn a_large_table_is_listed_in_parts() {
    let mut memory = Memory::new(3 * PART - 1);
    let mut table = memory.open();
    let slot = table.enter(ONE).unwrap();
    for name in 0..3 * PART - 1 {
        table.claim(slot, &stream(&format!("n{name}"))).unwrap();
    }
    let mut streams = Vec::new();
    assert_eq!(table.list(0, &mut streams), Some(PART));
    assert_eq!(streams.len(), PART);
    assert_eq!(table.list(2 * PART, &mut Vec::new()), None);
    assert_eq!(table.list(3 * PART, &mut Vec::new()), None);
    let names: BTreeSet<_> =
        listed(&mut memory).iter().map(|it| it.username.as_str().to_owned()).collect();
    assert_eq!(names, memory.names());
}

//! The store as the command `stagedoor` uses it: what it has reported done is there.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use stagedoor_core::key::StreamKey;
use stagedoor_core::store::Store;
use stagedoor_core::username::Username;

use crate::case::{Case, Outcome};
use crate::fixture::Scene;
use crate::plan::Plan;
use crate::store::check_integrity;

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds, changes and bans streamers, each as a command of its own, until the fault has come and
/// gone, and compares what was reported with what is there.
pub fn run(case: &Case, scene: Scene) -> Outcome {
    let plan = Plan::set(scene.directory.path(), case.call, case.code, case.lasting);
    let (mut outcome, mut reported) = (Outcome::default(), Vec::new());
    let until = Instant::now() + PATIENCE;
    let mut number = 0;
    while outcome.recovery.is_none() && Instant::now() < until {
        number += 1;
        let over = plan.over().filter(|over| *over <= Instant::now());
        let name = format!("streamer{number}");
        let done = commands(&scene, &name, &mut reported);
        if let (true, Some(over)) = (done, over) {
            outcome.recovery = Some(over.elapsed());
        }
    }
    drop(plan);
    let db = Connection::open(&scene.path).unwrap();
    for Reported { name, key, is_active } in reported {
        let there = db.query_row(
            "SELECT 1 FROM streamers WHERE username = ?1
             AND key_sha256 = coalesce(?2, key_sha256) AND is_active = coalesce(?3, is_active)",
            (&name, &key, is_active),
            |_| Ok(()),
        );
        outcome.expect(there.is_ok(), || format!("what was reported of {name} is not there"));
    }
    check_integrity(&db, &mut outcome);
    outcome
}

/// What the operator knows of a streamer that was added. What a command left that failed is not
/// known.
struct Reported {
    name: String,
    key: Option<Vec<u8>>,
    is_active: Option<bool>,
}

/// `stagedoor add`, `rotate` and `ban`; says whether all of them succeeded.
fn commands(scene: &Scene, name: &str, reported: &mut Vec<Reported>) -> bool {
    let username = Username::parse(name).unwrap();
    let open = || Store::open(&scene.path);
    let bytes = |key: &StreamKey| key.digest().as_bytes().to_vec();
    let Ok(key) = open().and_then(|mut store| store.add(&username)) else { return false };
    let mut known =
        Reported { name: name.to_owned(), key: Some(bytes(&key)), is_active: Some(true) };
    let rotated = open().and_then(|mut store| store.rotate(name));
    known.key = rotated.as_ref().ok().map(|rotated| bytes(&rotated.key));
    let banned = open().and_then(|mut store| store.set_active(name, false));
    known.is_active = banned.is_ok().then_some(false);
    reported.push(known);
    rotated.is_ok() && banned.is_ok()
}

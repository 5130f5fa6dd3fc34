//! What the module takes: shared memory a live stream, memory of a worker, and its file.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::bench::{Bench, Result};
use crate::crowd::{Crowd, Role};
use crate::outcome::{Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::process::memory;

const PEERS: [Arrangement; 3] = [Arrangement::Stock, Arrangement::Native, Arrangement::Foreign];
pub fn run(bench: &Bench) -> Result<Outcome> {
    let streams = bench.pick(200, 20);
    let mut outcome = Outcome::default();
    for _ in 0..bench.pick(3, 1) {
        for arrangement in PEERS {
            let setup = Setup { streamers: streams, ..Setup::default() };
            let peer = Peer::start(bench, arrangement, &setup)?;
            let _crowd = live(&peer, streams)?;
            let memory = memory(peer.worker()?)?;
            let row = worker(streams, arrangement);
            for (name, bytes) in [
                ("resident", memory.resident),
                ("shared out (PSS)", memory.proportional),
                ("of its own", memory.private),
            ] {
                outcome.note(&row, name, Unit::Bytes, bytes as f64);
            }
        }
    }
    outcome.note("shared memory a live stream", "size", Unit::Bytes, shared_memory(bench)?);
    let module = fs::metadata(bench.objs("ngx_stagedoor_module.so"))?.len() as f64;
    outcome.note("ngx_stagedoor_module.so", "size", Unit::Bytes, module);
    goals(&mut outcome, streams);
    Ok(outcome)
}

fn worker(streams: usize, arrangement: Arrangement) -> String {
    format!("worker with {streams} streams, {}", arrangement.name())
}

fn live(peer: &Peer, streams: usize) -> Result<Crowd> {
    let mut crowd = Crowd::new(peer.rtmp)?;
    for index in 0..streams {
        crowd.add(Role::Publish { key: peer.key(index), media: None })?;
    }
    match crowd.until(Duration::from_secs(30), |crowd| crowd.live() == streams)? {
        true => Ok(crowd),
        false => Err(format!("{} of {streams} live\n{}", crowd.live(), peer.log()).into()),
    }
}

/// By how much a zone must grow for one stream more, from the capacities of two.
fn shared_memory(bench: &Bench) -> Result<f64> {
    const SIZES: [(&str, f64); 2] = [("1m", 1048576.0), ("16m", 16777216.0)];
    let mut capacities = Vec::new();
    for (size, _) in SIZES {
        let setup = Setup {
            streamers: 1,
            main: format!("stagedoor_zone {size};"),
            locations: "location = /status { stagedoor_status json; }".to_owned(),
            ..Setup::default()
        };
        capacities.push(capacity(&Peer::start(bench, Arrangement::Native, &setup)?)?);
    }
    Ok((SIZES[1].1 - SIZES[0].1) / (capacities[1] - capacities[0]))
}

/// How many streams the status says that the zone has places for.
fn capacity(peer: &Peer) -> Result<f64> {
    let mut socket = TcpStream::connect(peer.http)?;
    socket.write_all(b"GET /status HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let found = said.split("\"capacity\":").nth(1).and_then(|rest| rest.split(',').next());
    Ok(found.ok_or_else(|| format!("no capacity in {said}"))?.parse()?)
}

fn goals(outcome: &mut Outcome, streams: usize) {
    let stream = outcome.median("shared memory a live stream", "size");
    outcome.goal(
        "512 bytes of shared memory a live stream",
        Unit::Bytes.show(stream, None),
        stream <= 512.0,
    );
    let resident = |arrangement: Arrangement| {
        outcome
            .median(&format!("worker with {streams} streams, {}", arrangement.name()), "resident")
    };
    let more = resident(Arrangement::Native) - resident(Arrangement::Stock);
    outcome.goal(
        "3 MB resident over a worker without the module",
        Unit::Bytes.show(more, None),
        more <= 3e6,
    );
    let module = outcome.median("ngx_stagedoor_module.so", "size");
    outcome.goal("3 MB of module", Unit::Bytes.show(module, None), module <= 3e6);
}

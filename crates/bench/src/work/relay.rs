//! Two hundred streams of 1 Mbit/s, fifty of them watched: what the module costs once a stream is
//! live.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Result};
use crate::crowd::{Crowd, Media, Role};
use crate::outcome::{Digits, Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::process::cpu_time;
use crate::statistics::spread;
use crate::work;

const PEERS: [Arrangement; 2] = [Arrangement::Stock, Arrangement::Native];
const CPU: &str = "CPU of the worker";

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (starts, seconds, streams, players) = bench.pick((16, 3, 200, 50), (1, 1, 20, 5));
    let setup = Setup { streamers: streams, ..Setup::default() };
    let mut outcome = Outcome::default();
    // Anew each time: where a process lies in memory is worth some percent of its CPU.
    for index in 0..starts {
        let peers = work::start(bench, &PEERS, &setup)?;
        let (first, second) = if index % 2 == 0 { (0, 1) } else { (1, 0) };
        for peer in [&peers[first], &peers[second]] {
            round(&mut outcome, peer, streams, players, Duration::from_secs(seconds))?;
        }
    }
    let [stock, native] = PEERS.map(Arrangement::name);
    for name in [CPU, "frame gap p99"] {
        let noise = spread(outcome.rounds(stock, name)) / outcome.median(stock, name);
        let ratio = outcome.ratio(native, stock, name);
        outcome.goal(
            format!("{name}: as without the module, within the spread of the rounds"),
            format!("{} ×, spread {} %", Digits(ratio), Digits(100.0 * noise)),
            ratio <= 1.0 + noise.max(0.01),
        );
    }
    Ok(outcome)
}

fn round(
    outcome: &mut Outcome,
    peer: &Peer,
    streams: usize,
    players: usize,
    length: Duration,
) -> Result<()> {
    let limit = Duration::from_secs(30);
    let mut crowd = Crowd::new(peer.rtmp)?;
    for index in 0..streams {
        crowd.add(Role::Publish { key: peer.key(index), media: Some(Media::ONE_MEGABIT) })?;
    }
    let all_live = crowd.until(limit, |crowd| crowd.live() == streams)?;
    for index in 0..players {
        crowd.add(Role::Play { name: peer.name(index) })?;
    }
    if !all_live || !crowd.until(limit, |crowd| crowd.live() == streams + players)? {
        return Err(
            format!("{}: {} live\n{}", peer.arrangement.name(), crowd.live(), peer.log()).into()
        );
    }
    crowd.until(Duration::from_secs(1), |_| false)?;
    crowd.forget_gaps();
    let worker = peer.worker()?;
    let (before, began) = (cpu_time(worker)?, Instant::now());
    crowd.until(length, |_| false)?;
    let (used, time) = (cpu_time(worker)? - before, began.elapsed());
    if crowd.live() != streams + players {
        return Err(format!("{}: streams ended\n{}", peer.arrangement.name(), peer.log()).into());
    }
    let row = peer.arrangement.name();
    outcome.note(row, CPU, Unit::Percent, 100.0 * used.as_secs_f64() / time.as_secs_f64());
    outcome.quantiles(row, &[("frame gap p50", 0.5), ("frame gap p99", 0.99)], &crowd.gaps());
    drop(crowd);
    // the names are free again once nginx has seen the ends
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

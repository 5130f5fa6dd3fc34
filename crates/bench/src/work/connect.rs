//! From the first packet to live, for a client that treats its connection as the kernel does and
//! sends each message in one write.

use std::time::Instant;

use crate::bench::{Bench, Result};
use crate::outcome::{Digits, Outcome};
use crate::peer::{Arrangement, Peer, Setup};
use crate::rtmp::client::Tcp;
use crate::work::{self, P50_P99};

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (rounds, connects) = bench.pick((10, 30), (1, 3));
    let setup = Setup { streamers: rounds * connects, ..Setup::default() };
    let peers = work::start(bench, &Arrangement::ALL, &setup)?;
    let mut outcome = Outcome::default();
    for round in 0..rounds {
        for peer in &peers {
            let indices = round * connects..(round + 1) * connects;
            let times = indices.map(|index| connect(peer, index)).collect::<Result<Vec<_>>>()?;
            outcome.quantiles(peer.arrangement.name(), P50_P99, &times);
        }
    }
    goals(&mut outcome);
    Ok(outcome)
}

fn connect(peer: &Peer, index: usize) -> Result<f64> {
    let begin = Instant::now();
    let _client = work::go_live(peer, Tcp::Ordinary, &peer.key(index))?;
    Ok(begin.elapsed().as_secs_f64())
}

fn goals(outcome: &mut Outcome) {
    for ours in [Arrangement::Native, Arrangement::Foreign].map(Arrangement::name) {
        let share = outcome.ratio(ours, Arrangement::Stock.name(), "p50");
        let reached = format!("{ours}: 1/{}", Digits(1.0 / share));
        outcome.goal("at most 1/50 of nginx-rtmp without authorization", reached, share <= 0.02);
    }
}

//! From the publish command to its answer. The client sets up promptly, so that nothing but the
//! answer is waited for; each publish is a connection of its own, with another key than the last.

use crate::bench::{Bench, Result};
use crate::outcome::{Digits, Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::rtmp::client::Tcp;
use crate::work::{self, P50_P99};

/// The callback to Django takes so long that it gets a tenth of the publishes.
const DJANGO: usize = 10;

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (rounds, publishes) = bench.pick((10, 1000), (2, 10));
    let setup = Setup { streamers: publishes, ..Setup::default() };
    let peers = work::start(bench, &Arrangement::ALL, &setup)?;
    let mut outcome = Outcome::default();
    let mut all = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for (peer, all) in peers.iter().zip(&mut all) {
            let publishes = match peer.arrangement {
                Arrangement::Django => publishes / DJANGO,
                _ => publishes,
            };
            let times =
                (0..publishes).map(|index| publish(peer, index)).collect::<Result<Vec<_>>>()?;
            outcome.quantiles(peer.arrangement.name(), P50_P99, &times);
            all.extend(times);
        }
    }
    for (peer, all) in peers.iter().zip(&all) {
        outcome.quantiles(peer.arrangement.name(), &[("p99.9 of all", 0.999)], all);
    }
    goals(&mut outcome);
    Ok(outcome)
}

fn publish(peer: &Peer, index: usize) -> Result<f64> {
    let (mut client, time) = work::go_live(peer, Tcp::Prompt, &peer.key(index))?;
    client.delete_stream()?;
    Ok(time.as_secs_f64())
}

fn goals(outcome: &mut Outcome) {
    let [stock, django, native, foreign] =
        [Arrangement::Stock, Arrangement::Django, Arrangement::Native, Arrangement::Foreign]
            .map(Arrangement::name);
    for ours in [native, foreign] {
        let more = outcome.median(ours, "p50") - outcome.median(stock, "p50");
        let reached = format!("{ours}: + {}", Unit::Seconds.show(more, None));
        outcome.goal("p50 at most 30 µs above no authorization", reached, more <= 30e-6);
        let times = 1.0 / outcome.ratio(ours, django, "p50");
        let reached = format!("{ours}: {} times", Digits(times));
        outcome.goal("at least 40 times as fast as the callback to Django", reached, times >= 40.0);
    }
}

//! What is measured, each by itself.

mod connect;
mod encoders;
mod hls;
mod keys;
mod memory;
mod publish;
mod relay;
mod stalls;
mod storm;

use std::time::Duration;

use crate::bench::{Bench, Result};
use crate::outcome::Outcome;
use crate::peer::{Arrangement, Peer, Setup};
use crate::rtmp::client::{Client, Tcp};

/// One work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// As the command line, the files and the places in the page have it.
    pub name: &'static str,
    pub run: fn(&Bench) -> Result<Outcome>,
    /// The figure that is drawn, and the chart's title.
    pub chart: Option<(&'static str, &'static str)>,
}

/// All of them, in the order of the page.
pub const ALL: &[Work] = &[
    Work {
        name: "publish",
        run: publish::run,
        chart: Some(("p50", "From the publish command to its answer, p50")),
    },
    Work {
        name: "connect",
        run: connect::run,
        chart: Some(("p50", "From the first packet to live, p50, ordinary TCP")),
    },
    Work {
        name: "encoders",
        run: encoders::run,
        chart: Some(("loopback", "From an encoder's first packet to live, loopback, p50 of 20")),
    },
    Work {
        name: "storm",
        run: storm::run,
        chart: Some(("the last one live", "After a restart: until the last encoder is live")),
    },
    Work {
        name: "keys",
        run: keys::run,
        chart: Some(("warm p50", "Publish command to answer by size of the database, warm, p50")),
    },
    Work { name: "hls", run: hls::run, chart: Some(("requests", "Requests a second")) },
    Work {
        name: "relay",
        run: relay::run,
        chart: Some(("CPU of the worker", "CPU for 200 live streams of 1 Mbit/s, 50 watched")),
    },
    Work { name: "memory", run: memory::run, chart: None },
    Work {
        name: "stalls",
        run: stalls::run,
        chart: Some(("longest wait", "The longest that a request to the same worker had to wait")),
    },
];

/// The quantiles that most works tell.
const P50_P99: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99)];

/// Starts a server of each arrangement.
fn start(bench: &Bench, arrangements: &[Arrangement], setup: &Setup) -> Result<Vec<Peer>> {
    arrangements.iter().map(|&arrangement| Peer::start(bench, arrangement, setup)).collect()
}

/// A connection of its own that goes live with that key, and how long the answer to `publish` took.
fn go_live(peer: &Peer, tcp: Tcp, key: &str) -> Result<(Client, Duration)> {
    let mut client = Client::open(peer.rtmp, tcp)?;
    client.set_up("live")?;
    let (status, time) = client.publish(key)?;
    match status.is_live() {
        true => Ok((client, time)),
        false => Err(format!("{}: {status:?}\n{}", peer.arrangement.name(), peer.log()).into()),
    }
}

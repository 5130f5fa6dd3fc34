//! Real encoders, from their first packet to the answer that says live, as captured on the wire:
//! over loopback, and from 50 ms away.

use std::fs;
use std::time::Duration;

use crate::bench::{Bench, Result};
use crate::distance::{self, Distance};
use crate::encoder::Encoder;
use crate::outcome::{Digits, Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::wire::Capture;

const PEERS: [Arrangement; 2] = [Arrangement::Stock, Arrangement::Native];
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// What each encoder may take on loopback, in seconds.
const GOALS: [(Encoder, f64); 3] =
    [(Encoder::Ffmpeg, 5e-3), (Encoder::Rtmp2sink, 6e-3), (Encoder::Rtmpsink, 3e-3)];

/// TCP's handshake, RTMP's, `connect`, `createStream`, `publish`: each waits for its answer.
const LEAST: f64 = 5.0;

const TRIPS: &str = "round trips";
/// Those that the encoder makes by itself: see [`crate::wire::Live`].
const OWN: &str = "of these its own Nagle's";

pub fn run(bench: &Bench) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (near, far) = bench.pick((20, 5), (1, 1));
    measure(bench, &mut outcome, None, near)?;
    let distance = Distance::new(ROUND_TRIP / 2)?;
    measure(bench, &mut outcome, Some(&distance), far)?;
    goals(&mut outcome);
    Ok(outcome)
}

fn measure(
    bench: &Bench,
    outcome: &mut Outcome,
    distance: Option<&Distance>,
    runs: usize,
) -> Result<()> {
    let streamers = runs * Encoder::ALL.len();
    let setup = Setup {
        streamers,
        address: distance.map(|_| distance::FAR),
        namespace: distance.map(|distance| distance.far.clone()),
        ..Setup::default()
    };
    let near = distance.map(|distance| distance.near.as_str());
    let interface = distance.map_or("lo", |_| distance::INTERFACE);
    let mut peers = Vec::new();
    for arrangement in PEERS {
        let peer = Peer::start(bench, arrangement, &setup)?;
        let capture = Capture::start(near, interface, peer.rtmp.port())?;
        peers.push((peer, capture));
    }
    for index in 0..streamers {
        let encoder = Encoder::ALL[index % Encoder::ALL.len()];
        for (peer, capture) in &peers {
            capture.forget();
            let url = format!("rtmp://{}/live/{}", peer.rtmp, peer.key(index));
            let log = peer.dir().join("encoder.log");
            let _encoder = encoder.start(&url, near, &log)?;
            let live = capture.live().map_err(|error| {
                let said = fs::read_to_string(&log).unwrap_or_default();
                format!("{} to {}: {error}: {said}", encoder.name(), peer.arrangement.name())
            })?;
            let row = row(encoder, peer.arrangement);
            match distance {
                None => outcome.note(&row, "loopback", Unit::Seconds, live.after),
                Some(_) => {
                    outcome.note(&row, "50 ms away", Unit::Seconds, live.after);
                    let trips = live.after / ROUND_TRIP.as_secs_f64();
                    outcome.note(&row, TRIPS, Unit::Count, trips);
                    outcome.note(&row, OWN, Unit::Count, f64::from(live.own_waits));
                }
            }
        }
    }
    Ok(())
}

fn row(encoder: Encoder, arrangement: Arrangement) -> String {
    format!("{}, {}", encoder.name(), arrangement.name())
}

fn goals(outcome: &mut Outcome) {
    for (encoder, most) in GOALS {
        let time = outcome.median(&row(encoder, Arrangement::Native), "loopback");
        let wanted =
            format!("{} on loopback: at most {}", encoder.name(), Unit::Seconds.show(most, None));
        outcome.goal(wanted, Unit::Seconds.show(time, None), time <= most);
    }
    for encoder in Encoder::ALL {
        let row = row(encoder, Arrangement::Native);
        let (trips, own) = (outcome.median(&row, TRIPS), outcome.median(&row, OWN));
        outcome.goal(
            format!("{} from 50 ms away: no more than the {LEAST} round trips of the protocol and its own", encoder.name()),
            format!("{} round trips, {own} of them its own", Digits(trips)),
            trips - own < LEAST + 0.5,
        );
    }
}

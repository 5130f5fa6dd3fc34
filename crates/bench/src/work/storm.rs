//! Everybody comes back at once, as after a restart: to a server that has just started, while the
//! first fifty are live and watched already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Result};
use crate::crowd::{Crowd, Media, Role};
use crate::outcome::{Digits, Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::statistics::{quantile, sorted};
use crate::sys;

const PEERS: [Arrangement; 3] = [Arrangement::Stock, Arrangement::Native, Arrangement::Foreign];

/// How many are live before the storm.
const EARLY: usize = 50;

/// Who is not live by then has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// How long the early ones are watched without a storm; in one at least.
const WATCHED: Duration = Duration::from_secs(2);
const WATCHED_QUICKLY: Duration = Duration::from_millis(300);

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (rounds, sizes) = bench.pick((5, [1000, 5000]), (1, [50, 100]));
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        for size in sizes {
            for arrangement in PEERS {
                storm(bench, &mut outcome, arrangement, size)?;
            }
        }
    }
    for size in sizes {
        goals(&mut outcome, size);
    }
    Ok(outcome)
}

fn row(size: usize, arrangement: Arrangement) -> String {
    format!("{size} encoders, {}", arrangement.name())
}

fn storm(
    bench: &Bench,
    outcome: &mut Outcome,
    arrangement: Arrangement,
    size: usize,
) -> Result<()> {
    let setup = Setup {
        streamers: EARLY + size,
        main: "stagedoor_zone 4m; stagedoor_timeout 60s;".to_owned(),
        ..Setup::default()
    };
    let peer = Peer::start(bench, arrangement, &setup)?;
    let mut early = early(&peer)?;
    let watched = bench.pick(WATCHED, WATCHED_QUICKLY);
    early.until(watched, |_| false)?;
    let calm = sorted(&early.gaps());
    early.forget_gaps();

    let is_over = AtomicBool::new(false);
    let (storm, gaps) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            sys::take_precedence()?;
            let seen = early.until(2 * LIMIT, |_| is_over.load(Ordering::Relaxed));
            seen.map(|_| (early.live(), sorted(&early.gaps())))
        });
        let began = Instant::now();
        let storm = come(&peer, size);
        sleep(watched.saturating_sub(began.elapsed()));
        is_over.store(true, Ordering::Relaxed);
        (storm, watcher.join())
    });
    let storm = storm?;
    let (live, gaps) = gaps.map_err(|_| "the watcher died")??;
    if live < 2 * EARLY {
        return Err(format!("{}: early streams ended\n{}", arrangement.name(), peer.log()).into());
    }
    let row = row(size, arrangement);
    let times: Vec<f64> = storm.members().iter().filter_map(|member| member.live_after()).collect();
    let times = sorted(&times);
    outcome.note(&row, "the last one live", Unit::Seconds, quantile(&times, 1.0));
    outcome.note(&row, "p50", Unit::Seconds, quantile(&times, 0.5));
    outcome.note(&row, "failures", Unit::Count, (size - times.len()) as f64);
    outcome.note(&row, "frame gap p99, before", Unit::Seconds, quantile(&calm, 0.99));
    outcome.note(&row, "frame gap p99, storm", Unit::Seconds, quantile(&gaps, 0.99));
    Ok(())
}

/// Those who are live before, each with somebody who watches.
fn early(peer: &Peer) -> Result<Crowd> {
    let mut early = Crowd::new(peer.rtmp)?;
    for index in 0..EARLY {
        early.add(Role::Publish { key: peer.key(index), media: Some(Media::ONE_MEGABIT) })?;
    }
    if !early.until(LIMIT, |crowd| crowd.live() == EARLY)? {
        return Err(format!(
            "{}: {} early streams\n{}",
            peer.arrangement.name(),
            early.live(),
            peer.log()
        )
        .into());
    }
    for index in 0..EARLY {
        early.add(Role::Play { name: peer.name(index) })?;
    }
    if !early.until(LIMIT, |crowd| crowd.live() == 2 * EARLY)? {
        return Err(
            format!("{}: not all players play\n{}", peer.arrangement.name(), peer.log()).into()
        );
    }
    Ok(early)
}

/// The storm, until everybody is live or has failed.
fn come(peer: &Peer, size: usize) -> Result<Crowd> {
    let mut crowd = Crowd::new(peer.rtmp)?;
    for index in EARLY..EARLY + size {
        crowd.add(Role::Publish { key: peer.key(index), media: None })?;
    }
    crowd.until(LIMIT, |crowd| {
        crowd.members().iter().all(|member| member.answer.is_some() || member.ended.is_some())
    })?;
    Ok(crowd)
}

fn goals(outcome: &mut Outcome, size: usize) {
    let stock = row(size, Arrangement::Stock);
    for arrangement in [Arrangement::Native, Arrangement::Foreign] {
        let ours = row(size, arrangement);
        let time = outcome.ratio(&ours, &stock, "the last one live");
        outcome.goal(
            format!("{ours}: the last one live after at most 1.25 × no authorization"),
            format!("{} ×", Digits(time)),
            time <= 1.25,
        );
        let failures: f64 = outcome.rounds(&ours, "failures").iter().sum();
        outcome.goal(format!("{ours}: no failures"), format!("{failures}"), failures == 0.0);
        let calm = outcome.median(&ours, "frame gap p99, before");
        let gap = outcome.median(&ours, "frame gap p99, storm");
        let [calm_text, gap_text] = [calm, gap].map(|gap| Unit::Seconds.show(gap, None));
        outcome.goal(
            format!("{ours}: frame gap p99 as without a storm, within a tenth"),
            format!("{gap_text} against {calm_text}"),
            gap <= calm * 1.1,
        );
    }
}

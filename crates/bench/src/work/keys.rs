//! How the number of streamers in the database counts: with the file in the page cache and after it
//! was dropped from there, while somebody else writes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use rusqlite::{Connection, params};
use rustix::fs::{Advice, fadvise};

use crate::bench::{Bench, Result};
use crate::outcome::{Digits, Outcome};
use crate::peer::database::{self, Schema};
use crate::peer::{Arrangement, Peer, Setup};
use crate::rtmp::client::Tcp;
use crate::work;

/// Between two writes of the other process.
const PAUSE: Duration = Duration::from_millis(20);

/// How many publishes share a page cache that was dropped.
const COLD: usize = 20;

pub fn run(bench: &Bench) -> Result<Outcome> {
    let sizes = bench.pick(&[1_000, 1_000_000, 10_000_000][..], &[1_000, 10_000]);
    let (rounds, publishes) = bench.pick((10, 200), (1, 10));
    let mut peers = Vec::new();
    for &streamers in sizes {
        let database = kept(bench, streamers)?;
        let setup = Setup { streamers, database: Some(database.clone()), ..Setup::default() };
        peers.push((streamers, Peer::start(bench, Arrangement::Native, &setup)?, database));
    }
    let mut outcome = Outcome::default();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let writers: Vec<_> =
            peers.iter().map(|(_, _, path)| scope.spawn(|| write(path, &is_over))).collect();
        let measured = measure(&mut outcome, &peers, rounds, publishes);
        is_over.store(true, Ordering::Relaxed);
        for writer in writers {
            let wrote = writer.join().map_err(|_| "a writer died")??;
            if wrote == 0 {
                return Err("a writer never wrote".into());
            }
        }
        measured
    })?;
    let [few, .., many] = sizes else { return Ok(outcome) };
    let ratio = outcome.ratio(&row(*many), &row(*few), "warm p50");
    outcome.goal(
        format!("{} at most 1.3 × {}, warm p50", row(*many), row(*few)),
        format!("{} ×", Digits(ratio)),
        ratio <= 1.3,
    );
    Ok(outcome)
}

fn row(streamers: usize) -> String {
    format!("{streamers} streamers")
}

/// A database that is made once, because ten million streamers take a while.
fn kept(bench: &Bench, streamers: usize) -> Result<PathBuf> {
    let dir = bench.objs("bench-databases");
    fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{streamers}.db"));
    if !path.exists() {
        let new = dir.join(format!("{streamers}.new"));
        let _ = fs::remove_file(&new); // what an earlier run did not finish
        database::create(bench, Schema::Native, &new, streamers)?;
        fs::rename(&new, &path)?;
    }
    Ok(path)
}

/// All that is warm first: what was dropped takes its time to come back.
fn measure(
    outcome: &mut Outcome,
    peers: &[(usize, Peer, PathBuf)],
    rounds: usize,
    publishes: usize,
) -> Result<()> {
    for (_, _, path) in peers {
        io::copy(&mut File::open(path)?, &mut io::sink())?;
    }
    for round in 0..rounds {
        for (streamers, peer, _) in peers {
            let indices = round * publishes..(round + 1) * publishes;
            let times = indices.map(|index| publish(peer, index)).collect::<Result<Vec<_>>>()?;
            outcome.quantiles(&row(*streamers), &[("warm p50", 0.5), ("warm p99", 0.99)], &times);
        }
    }
    for round in 0..rounds {
        for (streamers, peer, path) in peers {
            drop_cache(path)?;
            let indices = (0..COLD).map(|index| (rounds + round) * publishes + index);
            let times = indices.map(|index| publish(peer, index)).collect::<Result<Vec<_>>>()?;
            outcome.quantiles(&row(*streamers), &[("cold p50", 0.5), ("cold p99", 0.99)], &times);
        }
    }
    Ok(())
}

/// Goes through streamers without an order: prime to their numbers, which are powers of ten.
const STRIDE: usize = 2_654_435_761;

fn publish(peer: &Peer, index: usize) -> Result<f64> {
    let (_client, time) = work::go_live(peer, Tcp::Prompt, &peer.key(index * STRIDE))?;
    Ok(time.as_secs_f64())
}

/// The kernel forgets what it has of the file, as far as that is on the disk.
fn drop_cache(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    rustix::fs::fsync(&file)?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

/// Writes as an application beside does; returns how often.
fn write(path: &Path, is_over: &AtomicBool) -> Result<i64> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(10))?;
    let mut update = db.prepare("UPDATE streamers SET is_active = 1 WHERE id = ?")?;
    let mut writes = 0i64;
    while !is_over.load(Ordering::Relaxed) {
        update.execute(params![1 + writes % 1000])?;
        writes += 1;
        sleep(PAUSE);
    }
    Ok(writes)
}

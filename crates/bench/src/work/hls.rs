//! What a viewer's request costs: wrk on a playlist and on a segment, with the headers of nothing,
//! of nginx's `expires`, and of `stagedoor_hls` with all of its features.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, Result, output};
use crate::crowd::{Crowd, Role};
use crate::outcome::{Digits, Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::process::cpu_time;

/// What is compared, with its server and its location; KIND is the file's extension there, because
/// `expires` knows one lifetime a location.
const KINDS: [(&str, Arrangement, &str); 3] = [
    ("bare location", Arrangement::Stock, "/bare/"),
    ("expires", Arrangement::Stock, "/expires-KIND/"),
    ("stagedoor_hls", Arrangement::Native, "/stagedoor/"),
];

const FILES: [(&str, &str, usize); 2] =
    [("playlist, 2 kB", "index.m3u8", 2_000), ("segment, 1 MB", "1700000000000.ts", 1_000_000)];

const STOCK: &str = "
    location /bare/ { alias DIR/hls/; }
    location /expires-m3u8/ { alias DIR/hls/; expires -1d; }
    location /expires-ts/ { alias DIR/hls/; expires max; }";

const STAGEDOOR: &str = "
    location /stagedoor/ {
        alias DIR/hls/;
        stagedoor_hls on;
        stagedoor_hls_cors https://tv.example.com https://example.com;
        stagedoor_hls_require_live on;
        stagedoor_hls_linger 30s;
    }";

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (rounds, seconds) = bench.pick((16, 1), (1, 1));
    let [stock, native] = [(Arrangement::Stock, STOCK), (Arrangement::Native, STAGEDOOR)]
        .map(|(arrangement, locations)| start(bench, arrangement, locations));
    let peers = [stock?, native?];
    // somebody is live, or nothing would be served
    let mut crowd = Crowd::new(peers[1].rtmp)?;
    crowd.add(Role::Publish { key: peers[1].key(0), media: None })?;
    if !crowd.until(std::time::Duration::from_secs(10), |crowd| crowd.live() == 1)? {
        return Err(format!("nobody is live\n{}", peers[1].log()).into());
    }
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        for (what, file, _) in FILES {
            for (kind, arrangement, location) in KINDS {
                let Some(peer) = peers.iter().find(|peer| peer.arrangement == arrangement) else {
                    continue;
                };
                let location =
                    location.replace("KIND", file.rsplit('.').next().unwrap_or_default());
                let url = format!("http://{}{location}{}/{file}", peer.http, peers[1].name(0));
                let (requests, cpu) = load(peer, &url, seconds)?;
                let row = format!("{what}: {kind}");
                outcome.note(&row, "requests", Unit::PerSecond, requests);
                outcome.note(&row, "CPU a request", Unit::Seconds, cpu);
            }
        }
    }
    for (what, ..) in FILES {
        let [_, expires, ours] = KINDS.map(|(kind, ..)| format!("{what}: {kind}"));
        let share = outcome.ratio(&ours, &expires, "requests");
        outcome.goal(
            format!("{what}: at least 0.99 of expires"),
            format!("{} ×", Digits(share)),
            share >= 0.99,
        );
    }
    Ok(outcome)
}

fn start(bench: &Bench, arrangement: Arrangement, locations: &str) -> Result<Peer> {
    let setup = Setup { streamers: 1, locations: locations.to_owned(), ..Setup::default() };
    let peer = Peer::start(bench, arrangement, &setup)?;
    let dir = peer.dir().join("hls").join(crate::peer::database::username(0));
    fs::create_dir_all(&dir)?;
    for (_, file, size) in FILES {
        fs::write(dir.join(file), vec![b'#'; size])?;
    }
    Ok(peer)
}

/// Requests a second, and the worker's CPU for each.
fn load(peer: &Peer, url: &str, seconds: u64) -> Result<(f64, f64)> {
    let worker = peer.worker()?;
    let before = cpu_time(worker)?;
    let said = output(Command::new("wrk").args(["-t1", "-c16", &format!("-d{seconds}s"), url]))?;
    let used = (cpu_time(worker)? - before).as_secs_f64();
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{url}: {said}\n{}", peer.log()).into());
    }
    let field = |before: &str, after: &str| -> Result<f64> {
        let line = said.lines().find(|line| line.contains(before) && line.contains(after));
        let word =
            line.and_then(|line| line.trim().trim_start_matches(before).split_whitespace().next());
        Ok(word.ok_or_else(|| format!("wrk says {said}"))?.parse()?)
    };
    let requests = field("", "requests in")?;
    Ok((field("Requests/sec:", "")?, used / requests))
}

//! How long the event loop is held up: somebody asks the same worker for an empty answer by HTTP,
//! a thousand times a second, while the database is locked, its thread stands still, or thousands
//! are refused. The longest wait is the longest stall, and what the machine adds to it: so the same is
//! done to nginx without the module, and to one that nobody troubles.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Result};
use crate::crowd::{Crowd, Role};
use crate::outcome::{Outcome, Unit};
use crate::peer::{Arrangement, Peer, Setup};
use crate::process::threads;
use crate::sys::{self, Held};
use crate::work;

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    /// Publishers come and go, and are live.
    Publishes,
    /// The same, and another process holds the database's lock.
    Locked,
    /// The same, and the thread that reads the database stands still, as on a disk that does not
    /// answer.
    Held,
    /// Wrong keys.
    Refusals,
}

const ROWS: [(Arrangement, Trouble, &str); 7] = [
    (Arrangement::Stock, Trouble::None, "no authorization, idle"),
    (Arrangement::Stock, Trouble::Publishes, "no authorization, publishes"),
    (Arrangement::Native, Trouble::None, "Stagedoor, idle"),
    (Arrangement::Native, Trouble::Publishes, "Stagedoor, publishes"),
    (Arrangement::Native, Trouble::Locked, "Stagedoor, publishes, database locked"),
    (Arrangement::Native, Trouble::Held, "Stagedoor, publishes, disk stalled"),
    (Arrangement::Native, Trouble::Refusals, "Stagedoor, refusals"),
];

/// How often somebody comes, in a second.
const PUBLISHES: u32 = 200;
const REFUSALS: u32 = 5000;

/// Where all locks of a database with a write-ahead log are, in its index (SQLite, "WAL-mode File
/// Format", section 2.3).
const LOCKS: (i64, i64) = (120, 8);

const LONGEST: &str = "longest wait";

pub fn run(bench: &Bench) -> Result<Outcome> {
    let (rounds, millis) = bench.pick((5, 2000), (1, 300));
    let setup = Setup {
        streamers: 1000,
        main: "stagedoor_timeout 500ms;".to_owned(),
        application: "stagedoor_auth_delay 0; stagedoor_auth_limit off;".to_owned(),
        ..Setup::default()
    };
    let peers = work::start(bench, &[Arrangement::Stock, Arrangement::Native], &setup)?;
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        for (arrangement, trouble, row) in ROWS {
            let Some(peer) = peers.iter().find(|peer| peer.arrangement == arrangement) else {
                continue;
            };
            round(&mut outcome, peer, trouble, row, Duration::from_millis(millis))?;
        }
    }
    for (_, _, row) in ROWS.iter().filter(|(_, trouble, _)| *trouble > Trouble::Publishes) {
        let longest = outcome.rounds(row, LONGEST).iter().copied().fold(0.0, f64::max);
        outcome.goal(
            format!("{row}: below 5 ms"),
            Unit::Seconds.show(longest, None),
            longest < 5e-3,
        );
    }
    Ok(outcome)
}

fn round(
    outcome: &mut Outcome,
    peer: &Peer,
    trouble: Trouble,
    row: &str,
    length: Duration,
) -> Result<()> {
    let is_over = AtomicBool::new(false);
    let (waits, came) = thread::scope(|scope| {
        let visitors = scope.spawn(|| visit(peer, trouble, &is_over));
        let waits = with(peer, trouble, || scope.spawn(|| ask(peer.http, length)).join());
        is_over.store(true, Ordering::Relaxed);
        (waits, visitors.join())
    });
    let waits = waits?.map_err(|_| "the one who asks died")??;
    let came = came.map_err(|_| "the visitors died")??;
    outcome.quantiles(row, &[("p50", 0.5), ("p99.9", 0.999), (LONGEST, 1.0)], &waits);
    let rate = came as f64 / length.as_secs_f64();
    outcome.note(row, "answered", Unit::PerSecond, rate);
    Ok(())
}

/// Does something while the database is in trouble.
fn with<T>(peer: &Peer, trouble: Trouble, action: impl FnOnce() -> T) -> Result<T> {
    match trouble {
        Trouble::None | Trouble::Publishes | Trouble::Refusals => Ok(action()),
        Trouble::Locked => {
            let index = peer.database().with_extension("db-shm");
            let file = OpenOptions::new().read(true).write(true).open(&index)?;
            sys::lock(&file, LOCKS.0, LOCKS.1)?;
            Ok(action())
        }
        Trouble::Held => {
            // beside nginx's own there is one thread, the store's
            let threads = threads(peer.worker()?)?;
            let &[_, store] = threads.as_slice() else {
                return Err(format!("threads of the worker: {threads:?}").into());
            };
            let _held = Held::new(store)?;
            Ok(action())
        }
    }
}

/// Asks a thousand times a second; returns how long each answer took, in seconds.
fn ask(server: SocketAddr, length: Duration) -> Result<Vec<f64>> {
    sys::take_precedence()?;
    let mut socket = TcpStream::connect(server)?;
    socket.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut waits = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < length {
        let asked = Instant::now();
        socket.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        if socket.read(&mut buffer)? == 0 {
            return Err("nginx closed the connection".into());
        }
        waits.push(asked.elapsed().as_secs_f64());
        sleep(Duration::from_millis(1).saturating_sub(asked.elapsed()));
    }
    Ok(waits)
}

/// Comes again and again, so often a second, until it is over; returns how many were answered.
fn visit(peer: &Peer, trouble: Trouble, is_over: &AtomicBool) -> Result<usize> {
    let (rate, places) = match trouble {
        Trouble::None => return Ok(0),
        Trouble::Refusals => (REFUSALS, 500),
        _ => (PUBLISHES, 200),
    };
    let mut crowd = Crowd::new(peer.rtmp)?;
    let (begin, mut came, mut answered) = (Instant::now(), 0u32, 0);
    crowd.until(Duration::from_secs(600), |crowd| {
        let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u32;
        while came < due {
            let index = came as usize % places;
            came += 1;
            if index < crowd.members().len() {
                answered += usize::from(crowd.members()[index].answer.is_some());
                let _ = crowd.restart(index);
            } else {
                let key =
                    if trouble == Trouble::Refusals { "wrong".repeat(4) } else { peer.key(index) };
                let _ = crowd.add(Role::Publish { key, media: None });
            }
        }
        is_over.load(Ordering::Relaxed)
    })?;
    Ok(answered + crowd.members().iter().filter(|member| member.answer.is_some()).count())
}

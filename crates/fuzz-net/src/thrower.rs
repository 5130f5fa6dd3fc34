//! Sends sessions, many at a time, each until the server has closed it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::recording::Disguise;
use crate::session::{Ending, Session};

/// How many sessions there are at a time.
const AT_ONCE: usize = 24;

/// A server that has not closed a session by then hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer is waited for that there may not be.
const ANSWER: Duration = Duration::from_millis(40);

/// A name that is nobody's key, for sessions that are to be refused.
const WRONG: &str = "WRONGwrongWRONGwrongWRON";

/// What a server says when it lets a stream in.
const LET_IN: &[u8] = b"NetStream.Publish.Start";

/// Where sessions go.
#[derive(Debug)]
pub struct Target {
    pub server: SocketAddr,
    /// The application that wants keys.
    pub app: String,
}

/// What throws them.
#[derive(Debug)]
pub struct Thrower {
    pub target: Target,
    /// Each so many-th session is thrown.
    pub step: u64,
    /// Those of the sessions, taken in turn; with none, every third session goes to an application
    /// that wants no key.
    pub keys: Vec<String>,
}

/// The application that lets everybody in.
const OPEN_APP: &str = "open";

impl Thrower {
    /// Throws the sessions of these numbers.
    pub fn throw(
        &self,
        numbers: Range<u64>,
        session: impl Fn(u64, &Disguise) -> Session + Sync,
    ) -> Tally {
        let next = AtomicU64::new(numbers.start);
        let began = Instant::now();
        let lane = || {
            let mut tally = Tally::default();
            loop {
                let number = next.fetch_add(self.step, Ordering::Relaxed);
                if number >= numbers.end {
                    return tally;
                }
                let disguise = self.disguise(number);
                let session = session(number, &disguise);
                let fate = self.one(&session);
                tally.count(number, &disguise, &session, fate, self.keys.is_empty());
            }
        };
        let mut total = thread::scope(|scope| {
            let lanes: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(lane)).collect();
            let tallies = lanes.into_iter().filter_map(|lane| lane.join().ok());
            tallies.fold(Tally::default(), Tally::with)
        });
        total.took = began.elapsed();
        total
    }

    fn disguise(&self, number: u64) -> Disguise {
        let count = self.keys.len() as u64;
        let key =
            (number / self.step).checked_rem(count).and_then(|turn| self.keys.get(turn as usize));
        let app =
            if key.is_none() && number / self.step % 3 == 2 { OPEN_APP } else { &self.target.app };
        let name = key.map_or(WRONG, String::as_str);
        Disguise { app: app.to_owned(), name: name.to_owned() }
    }

    fn one(&self, session: &Session) -> Fate {
        let began = Instant::now();
        let mut answers = Vec::new();
        match self.exchange(session, &mut answers) {
            Err(Trouble::Refused(error)) => Fate::NotTaken(error.to_string()),
            Err(Trouble::Gone) => Fate::Ended(answers),
            Ok(()) if began.elapsed() >= PATIENCE => Fate::Hung,
            Ok(()) => Fate::Ended(answers),
        }
    }

    fn exchange(&self, session: &Session, answers: &mut Vec<u8>) -> Result<(), Trouble> {
        let mut socket = self.connect()?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(ANSWER))?;
        for (index, piece) in session.pieces().enumerate() {
            if index > 0 {
                read(&mut socket, answers, |read| !read.is_empty())?;
            }
            socket.write_all(piece)?;
        }
        match session.ending {
            Ending::Reset => return Ok(()),
            Ending::Close => {}
            Ending::Answer => {
                read(&mut socket, answers, |read| has(read, b"NetStream."))?;
            }
        }
        socket.shutdown(Shutdown::Write)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        read(&mut socket, answers, |_| false)
    }

    /// Connects; waits for a port where all are taken.
    fn connect(&self) -> Result<TcpStream, Trouble> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(self.target.server) {
                Err(error)
                    if error.kind() == ErrorKind::AddrNotAvailable
                        && began.elapsed() < PATIENCE =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                connected => return connected.map_err(Trouble::Refused),
            }
        }
    }
}

/// Reads until what has come since is enough, nothing more comes in time, or the server closes.
fn read(
    socket: &mut TcpStream,
    answers: &mut Vec<u8>,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<(), Trouble> {
    let start = answers.len();
    let mut buffer = [0; 16_384];
    while !enough(&answers[start..]) {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => answers.extend(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

enum Trouble {
    /// The server takes no connection.
    Refused(io::Error),
    /// The connection is closed: so it should be.
    Gone,
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Trouble {
        Trouble::Gone
    }
}

/// What became of a session.
enum Fate {
    /// What the server said before it closed.
    Ended(Vec<u8>),
    Hung,
    NotTaken(String),
}

/// What became of all of them.
#[derive(Debug, Default)]
pub struct Tally {
    sessions: u64,
    /// Those that had a good key in them, or may have had one.
    with_key: u64,
    /// Those that were told that they are live, where a key is wanted.
    let_in: u64,
    /// Those of them that had no key.
    let_in_without_key: u64,
    /// By what the server has said last, as far as it can be told.
    said: BTreeMap<&'static str, u64>,
    /// Bytes sent.
    bytes: u64,
    took: Duration,
    /// The first sessions that hung or were not taken, and all others.
    troubles: Vec<String>,
    troubled: u64,
}

/// What is told apart of a server's answers, the first that is found.
const ANSWERS: [(&str, &[u8]); 8] = [
    ("let_in", LET_IN),
    ("bad_name", b"NetStream.Publish.BadName"),
    ("denied", b"NetStream.Publish.Denied"),
    ("failed", b"NetStream.Failed"),
    ("played", b"NetStream.Play"),
    ("connected", b"NetConnection.Connect.Success"),
    ("handshaken", b"\x03"),
    ("silence", b""),
];

impl Tally {
    fn count(
        &mut self,
        number: u64,
        disguise: &Disguise,
        session: &Session,
        fate: Fate,
        is_wrong: bool,
    ) {
        self.sessions += 1;
        self.bytes += session.bytes.len() as u64;
        let has_key =
            !is_wrong && (session.rechunked || has(&session.bytes, disguise.name.as_bytes()));
        self.with_key += u64::from(has_key);
        let trouble = match fate {
            Fate::Ended(answers) => {
                let answer =
                    ANSWERS.iter().find(|(_, text)| text.is_empty() || has(&answers, text));
                let said = answer.map_or("silence", |(name, _)| name);
                *self.said.entry(said).or_default() += 1;
                if said == "let_in" && disguise.app != OPEN_APP {
                    self.let_in += 1;
                    self.let_in_without_key += u64::from(!has_key);
                }
                return;
            }
            Fate::Hung => "is not closed".to_owned(),
            Fate::NotTaken(error) => error,
        };
        self.troubled += 1;
        self.troubles.push(format!("session {number}: {trouble}"));
        self.troubles.truncate(10);
    }

    fn with(mut self, other: Tally) -> Tally {
        self.sessions += other.sessions;
        self.with_key += other.with_key;
        self.let_in += other.let_in;
        self.let_in_without_key += other.let_in_without_key;
        self.bytes += other.bytes;
        self.troubled += other.troubled;
        for (said, count) in other.said {
            *self.said.entry(said).or_default() += count;
        }
        self.troubles.extend(other.troubles);
        self.troubles.truncate(10);
        self
    }
}

/// As JSON.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> =
            self.said.iter().map(|(said, count)| format!("\"{said}\":{count}")).collect();
        write!(
            f,
            "{{\"sessions\":{},\"bytes\":{},\"seconds\":{:.1},\"with_key\":{},\"let_in\":{},\
             \"let_in_without_key\":{},\"troubled\":{},\"troubles\":{:?},\"said\":{{{}}}}}",
            self.sessions,
            self.bytes,
            self.took.as_secs_f64(),
            self.with_key,
            self.let_in,
            self.let_in_without_key,
            self.troubled,
            self.troubles,
            said.join(",")
        )
    }
}

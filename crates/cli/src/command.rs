//! What each command does.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use stagedoor_core::key::StreamKey;
use stagedoor_core::store::{Init, Session, Store, Streamer};
use stagedoor_core::username::Username;
use zeroize::Zeroizing;

use crate::args::{Args, Command};
use crate::output::Output;
use crate::refusal::Refusal;
use crate::screen::{Cell, Screen, Tone};
use crate::{completions, json, manual};

mod import;

pub(crate) use import::Count;

/// How many sessions `show` shows.
const LAST_SESSIONS: u32 = 10;

/// How long `kick` waits for the end of the stream, which a worker sees to within a second, and how
/// often it looks.
const KICK_TIMEOUT: Duration = Duration::from_secs(3);
const KICK_LOOK: Duration = Duration::from_millis(50);

/// What is printed with a key is shorter, so that the text is not moved while it grows.
const LARGEST_SECRET: usize = 1024;

/// Does nothing where there is no output to say on what is done.
pub(crate) fn run(args: &Args, screen: Screen) -> Result<(), Refusal> {
    let Args { db, json, command } = args;
    let output = Output::open().map_err(Refusal::Output)?;
    until_nobody_reads((Run { db, json: *json, screen, output }).run(command))
}

/// The help, or the version.
pub(crate) fn help(text: &clap::Error, screen: Screen) -> Result<(), Refusal> {
    let text = match screen.colours {
        true => text.render().ansi().to_string(),
        false => text.render().to_string(),
    };
    let output = Output::open().map_err(Refusal::Output)?;
    until_nobody_reads(output.print(text.as_bytes()).map_err(Refusal::Output))
}

/// Whoever reads and goes has seen enough. This is not so with a key.
fn until_nobody_reads(result: Result<(), Refusal>) -> Result<(), Refusal> {
    match result {
        Err(Refusal::Output(error) | Refusal::Unreported(error))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(())
        }
        result => result,
    }
}

struct Run<'a> {
    db: &'a Path,
    json: bool,
    screen: Screen,
    output: Output,
}

impl Run<'_> {
    fn run(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Init => self.init(),
            Command::Add { username } => self.add(username),
            Command::List => self.list(),
            Command::Show { username } => self.show(username),
            Command::Rotate { username } => self.rotate(username),
            Command::Ban { username } => self.set_active(username, false),
            Command::Unban { username } => self.set_active(username, true),
            Command::Kick { username } => self.kick(username),
            Command::Remove { username } => self.remove(username),
            Command::Sessions { username, limit } => self.sessions(username.as_deref(), *limit),
            Command::Import { query, dry_run, file } => self.import(query, file, *dry_run),
            Command::Completions { shell } => self.write(&completions::of(*shell)),
            Command::Man => self.write(&manual::page().map_err(Refusal::Output)?),
        }
    }

    fn init(&self) -> Result<(), Refusal> {
        let (_, init) = Store::create(self.db)?;
        let path = self.db.to_string_lossy();
        self.report(&json::Database::new(&path, init), || match init {
            Init::Created => format!("{path}: created\n"),
            Init::Updated { from, to } => format!("{path}: updated from version {from} to {to}\n"),
            Init::UpToDate => format!("{path}: is up to date\n"),
        })
    }

    fn add(&self, username: &str) -> Result<(), Refusal> {
        let username = Username::parse(username)?;
        let mut store = self.open()?;
        let key = store.add(&username)?;
        let printed = self.print_key(username.as_str(), &key, "is added");
        printed.map_err(|error| match store.take_back_added(&username, key) {
            Ok(()) => Refusal::NotAdded(error, username),
            Err(_) => Refusal::KeyLost(error, username.to_string()),
        })
    }

    fn rotate(&self, username: &str) -> Result<(), Refusal> {
        let mut store = self.open()?;
        let username = store.show(username)?.username;
        let rotated = store.rotate(&username)?;
        let done = "has a new key, the old one no longer works";
        let printed = self.print_key(&username, &rotated.key, done);
        printed.map_err(|error| match store.take_back_rotated(&username, rotated) {
            Ok(()) => Refusal::NotRotated(error, username),
            Err(_) => Refusal::KeyLost(error, username),
        })
    }

    /// The key is shown this once. Into a pipe it goes alone.
    fn print_key(&self, username: &str, key: &StreamKey, done: &str) -> io::Result<()> {
        let key = String::from_utf8_lossy(key.expose());
        self.output.print(&self.text(&json::Key { username, key: &key }, || {
            let mut text = String::with_capacity(LARGEST_SECRET);
            let _ = match self.screen.is_terminal {
                false => writeln!(text, "{key}"),
                true => writeln!(
                    text,
                    "{username} {done}. The stream key, which is shown this once:\n\n    {}\n\n\
                     In OBS, under Settings, Stream: Service \"Custom...\", Server \
                     rtmp://YOUR-SERVER/APPLICATION,\nand this as the Stream Key.",
                    *Zeroizing::new(self.screen.paint(&key, Tone::Strong))
                ),
            }; // a String takes everything
            text
        })?)
    }

    fn list(&self) -> Result<(), Refusal> {
        let streamers = self.open()?.list()?;
        let json: Vec<_> = streamers.iter().map(json::Streamer::new).collect();
        self.print(&json, || {
            if streamers.is_empty() && self.screen.is_terminal {
                return "No streamers yet. \"stagedoor add USERNAME\" adds one.\n".to_owned();
            }
            let rows: Vec<_> = streamers
                .iter()
                .map(|streamer| {
                    let last = self.time(streamer.last_started_at.as_deref());
                    [streamer.username.as_str().into(), active(streamer), live(streamer), last]
                })
                .collect();
            self.screen.table(["USERNAME", "ACTIVE", "LIVE", "LAST STREAM"], &rows)
        })
    }

    fn show(&self, username: &str) -> Result<(), Refusal> {
        let store = self.open()?;
        let streamer = store.show(username)?;
        let sessions = store.sessions(Some(username), LAST_SESSIONS)?;
        self.print(&json::Streamer::new(&streamer).with_sessions(&sessions), || {
            let rows = [
                ["username".into(), streamer.username.as_str().into()],
                ["active".into(), active(&streamer)],
                ["live".into(), live(&streamer)],
                ["added".into(), self.time(Some(&streamer.created_at))],
                ["key since".into(), self.time(Some(&streamer.key_changed_at))],
            ];
            let streamer = self.screen.table(["STREAMER", ""], &rows);
            match sessions.is_empty() {
                true => streamer,
                false => format!("{streamer}\n{}", self.session_table(&sessions)),
            }
        })
    }

    fn set_active(&self, username: &str, is_active: bool) -> Result<(), Refusal> {
        let mut store = self.open()?;
        store.set_active(username, is_active)?;
        let streamer = store.show(username)?;
        self.report(&json::Streamer::new(&streamer), || match is_active {
            true => format!("{} may stream\n", streamer.username),
            false => format!("{} is banned\n", streamer.username),
        })
    }

    fn kick(&self, username: &str) -> Result<(), Refusal> {
        let mut store = self.open()?;
        let username = store.show(username)?.username;
        let session = store.kick(&username)?;
        let by = Instant::now() + KICK_TIMEOUT;
        while !store.has_ended(session)? {
            if Instant::now() >= by {
                return Err(Refusal::StillLive(username));
            }
            thread::sleep(KICK_LOOK);
        }
        self.report(&json::Kicked { username: &username, kicked: true }, || {
            format!("{username} is off the air\n")
        })
    }

    fn remove(&self, username: &str) -> Result<(), Refusal> {
        let mut store = self.open()?;
        let username = store.show(username)?.username;
        store.remove(&username)?;
        self.report(&json::Removed { username: &username, removed: true }, || {
            format!("{username} is removed\n")
        })
    }

    fn sessions(&self, username: Option<&str>, limit: u32) -> Result<(), Refusal> {
        let sessions = self.open()?.sessions(username, limit)?;
        let json: Vec<_> = sessions.iter().map(json::Session::new).collect();
        self.print(&json, || self.session_table(&sessions))
    }

    fn session_table(&self, sessions: &[Session]) -> String {
        let row = |session: &Session| -> [Cell; 7] {
            let end = match session.end_reason.as_deref() {
                Some(reason) => reason.into(),
                None if session.stopped_at.is_none() => Cell::new("live", Tone::Good),
                None => "-".into(),
            };
            [
                session.username.as_str().into(),
                session.app.as_str().into(),
                session.client_addr.as_str().into(),
                self.time(Some(&session.started_at)),
                self.time(session.stopped_at.as_deref()),
                self.duration(session.duration),
                end,
            ]
        };
        let rows: Vec<_> = sessions.iter().map(row).collect();
        let header = ["USERNAME", "APP", "CLIENT", "START", "END", "DURATION", "WHY IT ENDED"];
        self.screen.table(header, &rows)
    }

    /// To the second on a terminal, as it stands in the database in a pipe.
    fn time(&self, at: Option<&str>) -> Cell {
        match at {
            Some(at) if self.screen.is_terminal => at.split('.').next().unwrap_or(at).into(),
            Some(at) => at.into(),
            None => Cell::new("-", Tone::Faint),
        }
    }

    /// Hours, minutes and seconds on a terminal, seconds in a pipe.
    fn duration(&self, seconds: i64) -> Cell {
        let text = match self.screen.is_terminal {
            true => {
                format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
            }
            false => seconds.to_string(),
        };
        text.as_str().into()
    }

    fn open(&self) -> Result<Store, Refusal> {
        Ok(Store::open(self.db)?)
    }

    /// Says what there is.
    fn print(&self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Refusal> {
        self.text(json, text).and_then(|text| self.output.print(&text)).map_err(Refusal::Output)
    }

    /// Says what was done.
    fn report(&self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Refusal> {
        self.text(json, text).and_then(|text| self.output.print(&text)).map_err(Refusal::Unreported)
    }

    fn write(&self, text: &str) -> Result<(), Refusal> {
        self.output.print(text.as_bytes()).map_err(Refusal::Output)
    }

    /// It may hold a key.
    fn text(
        &self,
        json: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        if !self.json {
            return Ok(Zeroizing::new(text().into_bytes()));
        }
        let mut out = Zeroizing::new(Vec::with_capacity(LARGEST_SECRET));
        serde_json::to_writer_pretty(&mut *out, json)?;
        out.push(b'\n');
        Ok(out)
    }
}

fn active(streamer: &Streamer) -> Cell {
    match streamer.is_active {
        true => Cell::new("active", Tone::Plain),
        false => Cell::new("banned", Tone::Bad),
    }
}

fn live(streamer: &Streamer) -> Cell {
    match streamer.is_live {
        true => Cell::new("live", Tone::Good),
        false => Cell::new("-", Tone::Faint),
    }
}

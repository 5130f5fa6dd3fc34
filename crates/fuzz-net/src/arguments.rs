//! The command line.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use crate::recording::{APP, NAME};
use crate::thrower::Target;

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Misuse {
    #[error(
        "usage: stagedoor-fuzz-net malformed|mutated|seeds=DIR sessions=DIR [port=N] [app=NAME] \
         [from=N] [count=N] [step=N] [seed=N] [keys=FILE]"
    )]
    Usage,
    #[error("\"{0}\": expected a number")]
    Number(String),
    #[error("\"{0}\": expected {expected} letters", expected = APP.len())]
    App(String),
    #[error("{path}: {reason}")]
    Keys { path: String, reason: String },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// The sessions of a list that is always the same.
    Malformed,
    /// Those that come of a seed.
    Mutated { seed: u64 },
    /// Writes the recordings' messages as corpora of the fuzz targets, below this directory.
    Seeds(PathBuf),
}

/// The command line, read.
#[derive(Debug)]
pub struct Arguments {
    pub command: Command,
    /// Where the recordings are.
    pub sessions: PathBuf,
    pub target: Target,
    /// The numbers of the sessions,
    pub range: Range<u64>,
    /// of which each so many-th.
    pub step: u64,
    /// The stream keys that sessions may have; with none, no session has one that is good.
    pub keys: Vec<String>,
}

impl Arguments {
    /// `arguments` begin with the program's name.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Arguments, Misuse> {
        let mut arguments = arguments.skip(1);
        let command = arguments.next().ok_or(Misuse::Usage)?;
        let (mut sessions, mut port, mut app) = (PathBuf::new(), 1935, APP.to_owned());
        let (mut from, mut count, mut step, mut seed) = (0, u64::MAX, 1, 0);
        let mut keys = Vec::new();
        for argument in arguments {
            let (name, value) = argument.split_once('=').ok_or(Misuse::Usage)?;
            let number = || value.parse::<u64>().map_err(|_| Misuse::Number(argument.clone()));
            match name {
                "sessions" => sessions = value.into(),
                "port" => {
                    let wrong = |_| Misuse::Number(argument.clone());
                    port = number().and_then(|port| u16::try_from(port).map_err(wrong))?;
                }
                "app" if value.len() == APP.len() => app = value.to_owned(),
                "app" => return Err(Misuse::App(argument)),
                "from" => from = number()?,
                "count" => count = number()?,
                "step" => step = number()?.max(1),
                "seed" => seed = number()?,
                "keys" => keys = read_keys(value)?,
                _ => return Err(Misuse::Usage),
            }
        }
        let command = match command.split_once('=') {
            None if command == "malformed" => Command::Malformed,
            None if command == "mutated" => Command::Mutated { seed },
            Some(("seeds", dir)) => Command::Seeds(dir.into()),
            _ => return Err(Misuse::Usage),
        };
        let target = Target { server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), app };
        let range = from..from.saturating_add(count);
        Ok(Arguments { command, sessions, target, range, step, keys })
    }
}

/// A key on each line, all of the length that the recordings have room for.
fn read_keys(path: &str) -> Result<Vec<String>, Misuse> {
    let wrong = |reason: String| Misuse::Keys { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let keys: Vec<String> = text.lines().map(str::to_owned).collect();
    match keys.iter().all(|key| key.len() == NAME.len()) {
        true => Ok(keys),
        false => Err(wrong(format!("expected keys of {} letters", NAME.len()))),
    }
}

//! Log lines that a client could have written as often as it can send: one of each kind a second.

use std::fmt::Arguments;
use std::time::Instant;

use stagedoor_core::throttle::Throttle;

use super::{Worker, with};
use crate::ffi::log::Log;

/// Why a publish is refused without looking at its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Its address has failed too often.
    TooManyAttempts,
    /// Its session is busy with an earlier publish, or plays.
    Busy,
    /// It came before `connect`.
    Unconnected,
    /// It came from a server that this one had connected to: to whom it pushes, say.
    Relayed,
}

const FLOODS: [Flood; 4] =
    [Flood::TooManyAttempts, Flood::Busy, Flood::Unconnected, Flood::Relayed];

impl Flood {
    fn text(self) -> &'static str {
        match self {
            Flood::TooManyAttempts => "too many attempts from one address",
            Flood::Busy => "their sessions were busy with another stream",
            Flood::Unconnected => "they came before connect",
            Flood::Relayed => "they came from servers of relays",
        }
    }
}

/// A worker's lines of each kind.
#[derive(Debug, Default)]
pub(super) struct Lines([Throttle; FLOODS.len()]);

/// Writes a warning about a publish, unless one of its kind was written within the last second.
pub fn warn(flood: Flood, log: Log, line: Arguments<'_>) {
    let now = Instant::now();
    if with(|worker| worker.lines.0[flood as usize].admits(now)).unwrap_or(true) {
        log.warn(line);
    }
}

impl Worker {
    /// Says how many lines were not written.
    pub(super) fn sum_up(&mut self) {
        let now = Instant::now();
        for flood in FLOODS {
            if let Some(held) = self.lines.0[flood as usize].release(now) {
                let why = flood.text();
                Log::cycle().warn(format_args!("stagedoor: {held} more publishes refused: {why}"));
            }
        }
    }
}

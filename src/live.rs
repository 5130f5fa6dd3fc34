//! The live registry: who is on, over all workers. The table itself is `stagedoor_core::registry`;
//! here it meets shared memory and the processes that use it. So do the addresses that have failed
//! to show a good key ([`attempts`]).

mod attempts;

pub use attempts::Attempt;

use std::time::{SystemTime, UNIX_EPOCH};

use stagedoor_core::counters::Counters;
use stagedoor_core::registry::{
    Claim, ClaimError, Figures, LostStream, Owner, OwnerSlot, PART, Presence, Standing, Stream,
    Table, WaitError, end_is_told, is_live, is_told,
};
use stagedoor_core::status::Status;
use stagedoor_core::store::thread::{Boot, Server};
use thiserror::Error;

use crate::core::CoreConf;
use crate::ffi::process;
use crate::ffi::zone::Zone;

/// One worker's hold on the registry.
#[derive(Clone, Copy, Debug)]
pub struct Registry {
    zone: Zone,
    me: Owner,
}

/// Why a stream cannot go live.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LiveError {
    /// It is live, in a process that runs.
    #[error("the stream is live already")]
    AlreadyLive,
    /// It is live, and cannot be taken over now.
    #[error(transparent)]
    Contested(#[from] WaitError),
    /// There is no place for it.
    #[error("all {0} places of the live registry are taken; make stagedoor_zone larger")]
    Full(usize),
    /// There is no place for this worker.
    #[error(
        "the live registry has no place for another worker; make stagedoor_zone larger, or end \
         old workers that are still shutting down"
    )]
    TooManyWorkers,
    /// The name does not fit.
    #[error("the username does not fit the live registry")]
    Name,
    /// nginx has not made the zone.
    #[error("the live registry has no memory")]
    NoZone,
}

impl Registry {
    /// The registry in `zone`, for this process.
    pub fn new(zone: Zone) -> Registry {
        Registry { zone, me: process::this_process() }
    }

    /// Makes a stream live. The claim of a process that is gone does not stand in the way; what
    /// that process lost is added to `lost`.
    ///
    /// # Errors
    ///
    /// [`LiveError`].
    pub fn claim(
        &self,
        stream: &Stream<'_>,
        lost: &mut Vec<LostStream>,
    ) -> Result<Claim, LiveError> {
        match self.try_claim(stream)? {
            Err(ClaimError::Held(owner)) if !process::is_alive(owner) => {
                lost.extend(self.strike(owner));
                self.try_claim(stream)?
            }
            result => result,
        }
        .map_err(|error| match error {
            ClaimError::Held(_) => LiveError::AlreadyLive,
            ClaimError::Full(entries) => LiveError::Full(entries),
            ClaimError::Name => LiveError::Name,
        })
    }

    /// Waits for a stream that is live to go; [`Registry::standing`] tells when it has.
    ///
    /// # Errors
    ///
    /// [`LiveError`].
    pub fn wait_for(&self, username: &str, now: u64) -> Result<Claim, LiveError> {
        self.zone
            .with_table(|table| {
                let slot: OwnerSlot = table.enter(self.me).ok_or(LiveError::TooManyWorkers)?;
                Ok(table.wait_for(slot, username, now)?)
            })
            .ok_or(LiveError::NoZone)?
    }

    /// How a claim stands. A process that is gone is not waited for; what it lost is added to
    /// `lost`.
    pub fn standing(&self, claim: Claim, lost: &mut Vec<LostStream>) -> Standing {
        let standing = || self.zone.with_table(|table| table.standing(claim));
        match standing() {
            Some(Standing::Waits(owner)) if !process::is_alive(owner) => {
                lost.extend(self.strike(owner));
                standing()
            }
            standing => standing,
        }
        .unwrap_or(Standing::Ended)
    }

    /// Says what a claim that was waiting is for, now that it holds.
    pub fn describe(&self, claim: Claim, stream: &Stream<'_>) {
        self.zone.with_table(|table| table.describe(claim, stream));
    }

    /// Which of these claims hold a name that somebody waits for, in a process that runs. `wishes`
    /// remembers what was seen: while nobody new waits, for whatever name, none is looked at.
    pub fn wanted<T>(
        &self,
        wishes: &mut u32,
        claims: impl Iterator<Item = (T, Claim)>,
        lost: &mut Vec<LostStream>,
    ) -> Vec<T> {
        let heirs: Vec<(T, Owner)> = self
            .zone
            .with_table(|table| match std::mem::replace(wishes, table.wishes()) {
                before if before == *wishes => Vec::new(),
                _ => claims.filter_map(|(name, it)| Some((name, table.heir(it)?))).collect(),
            })
            .unwrap_or_default();
        let (wanted, dead): (Vec<_>, Vec<_>) =
            heirs.into_iter().partition(|&(_, heir)| process::is_alive(heir));
        for (_, heir) in dead {
            lost.extend(self.strike(heir));
        }
        wanted.into_iter().map(|(name, _)| name).collect()
    }

    /// Ends a claim, and the stream with it; does nothing if it has ended. Says whether it did.
    pub fn release(&self, claim: Claim) -> bool {
        let now = microseconds_since_1970();
        self.zone.with_table(|table| table.release(claim, now)).unwrap_or(false)
    }

    /// Ends a claim that waits, or was handed its name and has not taken it up. Returns the stream that had the
    /// name before, if it is now for this worker to tell its end.
    pub fn renounce(&self, claim: Claim) -> Option<LostStream> {
        let now = microseconds_since_1970();
        self.zone.with_table(|table| table.renounce(claim, now)).flatten()
    }

    /// Notes how streams do, in parts.
    pub fn note(&self, figures: &[(Claim, Figures)]) {
        for part in figures.chunks(PART) {
            self.zone.with_table(|table| table.note(part));
        }
    }

    /// Frees the streams of processes that are gone; returns those processes and what they lost, with what they
    /// had yet to tell of.
    pub fn sweep(&self) -> Vec<(Owner, Vec<LostStream>)> {
        let owners: Vec<Owner> =
            self.zone.with_table(|table| table.owners().collect()).unwrap_or_default();
        owners
            .into_iter()
            .filter(|&owner| owner != self.me && !process::is_alive(owner))
            .map(|owner| (owner, self.strike(owner)))
            .collect()
    }

    /// Takes this process, which ends, out of the registry.
    pub fn leave(&self) {
        let now = microseconds_since_1970();
        self.zone.with_table(|table| table.leave(self.me, now));
    }

    /// Whether this is the first worker since the server started, and has yet to say so.
    pub fn take_boot(&self) -> bool {
        let take =
            |table: &mut Table<'_>| table.take_boot(self.me) || table.booter() == Some(self.me);
        self.zone.with_table(take).unwrap_or(false)
    }

    fn strike(&self, owner: Owner) -> Vec<LostStream> {
        let now = microseconds_since_1970();
        self.zone.with_table(|table| table.strike(owner, self.me, now)).unwrap_or_default()
    }

    fn try_claim(&self, stream: &Stream<'_>) -> Result<Result<Claim, ClaimError>, LiveError> {
        self.zone
            .with_table(|table| {
                let slot: OwnerSlot = table.enter(self.me).ok_or(LiveError::TooManyWorkers)?;
                Ok(table.claim(slot, stream))
            })
            .ok_or(LiveError::NoZone)?
    }
}

/// The registry as this worker's store thread knows it. Threads of one process exclude one another
/// by the zone's mutex as processes do: it is an atomic word, whoever takes it. A thread that is stopped with
/// it holds up all workers, so what the thread asks again and again is answered without.
impl Server for Registry {
    fn is_alive(&self, worker: Owner) -> bool {
        process::is_alive(worker)
    }

    fn is_live(&self, username: &str) -> bool {
        self.zone.marks().is_some_and(|marks| is_live(marks, username))
    }

    fn end_is_told(&self, claim: Claim) {
        if let Some(marks) = self.zone.marks() {
            end_is_told(marks, claim);
        }
    }

    fn is_told(&self, claim: Claim) -> bool {
        self.zone.marks().is_some_and(|marks| is_told(marks, claim))
    }

    fn boot(&self) -> Boot {
        match self.zone.with_table(|table| table.booter()).flatten() {
            None => Boot::Free,
            Some(worker) if worker == self.me => Boot::Free,
            Some(worker) if process::is_alive(worker) => Boot::Elsewhere,
            Some(worker) => {
                let inherit = |table: &mut Table<'_>| table.inherit_boot(worker, self.me);
                match self.zone.with_table(inherit) {
                    Some(true) => Boot::Inherited,
                    _ => Boot::Elsewhere,
                }
            }
        }
    }

    fn booted(&self) {
        self.zone.with_table(|table| table.end_boot());
    }
}

/// Whether a stream of this name is live, or was: one look at the registry, for a viewer's request.
pub fn presence(zone: Zone, username: &str) -> Presence {
    zone.with_table(|table| table.presence(username)).unwrap_or(Presence::Unknown)
}

/// What the server is doing now; `None` if there is no memory to say. The registry is read in parts, so that
/// nobody waits long for it.
pub fn status(zone: Zone) -> Option<Status> {
    let now = microseconds_since_1970();
    let capacity = zone.with_table(|table| table.capacity()).unwrap_or(0);
    let mut streams = Vec::new();
    let mut next = Some(0);
    while let Some(start) = next {
        streams.try_reserve(PART).ok()?;
        next = zone.with_table(|table| table.list(start, &mut streams)).flatten();
    }
    // One that ended and began again meanwhile may be there twice.
    streams.sort_unstable_by(|a, b| {
        let name = a.username.as_str().cmp(b.username.as_str());
        name.then(b.started_at.cmp(&a.started_at))
    });
    streams.dedup_by(|a, b| a.username.as_str() == b.username.as_str());
    let totals = zone.counters().map(Counters::totals).unwrap_or_default();
    Some(Status { now, capacity, streams, totals })
}

/// Counts something, where there is a zone to count in.
pub fn count(action: impl FnOnce(&Counters)) {
    let counters = CoreConf::current().and_then(CoreConf::zone).and_then(Zone::counters);
    if let Some(counters) = counters {
        action(counters);
    }
}

/// The time as the registry keeps it.
pub fn microseconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

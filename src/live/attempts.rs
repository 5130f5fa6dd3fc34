//! How often an address may still fail, over all workers. The rules are `stagedoor_core::limit`.

use stagedoor_core::limit::{Charge, Denial, Limit, Source};

use crate::core::CoreConf;
use crate::ffi::clock;
use crate::ffi::zone::Zone;

/// An attempt that an address has made. Dropped, it counts as one that failed. The default is none
/// that counts.
#[derive(Debug, Default)]
#[must_use]
pub struct Attempt(Option<(Zone, Charge)>);

impl Attempt {
    /// Takes an attempt of an address, as text. One that is no IP address has no limit: the clients
    /// of a Unix socket cannot be told apart, and one would lock out all.
    ///
    /// # Errors
    ///
    /// [`Denial`] when it has none left.
    pub fn of(address: &str, limit: Option<Limit>) -> Result<Attempt, Denial> {
        let zone = CoreConf::current().and_then(CoreConf::zone);
        let (Some(limit), Some(source), Some(zone)) = (limit, Source::of(address), zone) else {
            return Ok(Attempt::default());
        };
        let now = clock::monotonic();
        match zone.with_attempts(|attempts| attempts.take(source, limit, now)) {
            Some(charge) => Ok(Attempt(Some((zone, charge?)))),
            None => Ok(Attempt::default()),
        }
    }

    /// It was no failure.
    pub fn give_back(mut self) {
        if let Some((zone, charge)) = self.0.take() {
            let now = clock::monotonic();
            zone.with_attempts(|attempts| attempts.give_back(charge, now));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((zone, charge)) = self.0.take() {
            let now = clock::monotonic();
            zone.with_attempts(|attempts| attempts.fail(charge, now));
        }
    }
}

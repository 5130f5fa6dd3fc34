//! How the streams of this worker do: read once a second while there are any, and noted in the live
//! registry for whoever asks for the status.

use std::time::{Duration, Instant};

use stagedoor_core::registry::{Claim, Figures};

use super::{Worker, with};
use crate::ffi::guard::guard;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(1);

impl Worker {
    /// Begins to measure, unless it does already.
    pub(super) fn start_measuring(&self) {
        if !self.streams.measuring.is_set() {
            self.streams.measuring.set(EVERY);
        }
    }

    fn measure(&mut self) {
        let now = Instant::now();
        let figures: Vec<(Claim, Figures)> = self
            .streams
            .carrying
            .values_mut()
            .filter_map(|carried| {
                let carrier = carried.carrier.upgrade()?;
                carried.meter.read(carrier.bytes_in(), now);
                let (bytes_in, bitrate) = (carried.meter.bytes(), carried.meter.bitrate());
                Some((carried.claim, Figures { bytes_in, bitrate, media: carrier.media() }))
            })
            .collect();
        self.registry.note(&figures);
        if self.streams.carrying.is_empty() {
            self.streams.measuring.stop();
        }
    }
}

/// The timer's action.
pub(super) fn measure() {
    guard("a reading of the meters", None, || with(Worker::measure));
}

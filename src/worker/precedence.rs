//! Streams that are live go first. When thousands of encoders come back at once, a turn of the event
//! loop has 512 connections to set up (ngx_epoll_module.c, epoll_events), as many packets to send behind
//! them and hundreds of answers of the store, and several such turns stand in front of the next picture
//! of somebody who has been live all the time. So, in between, what has come of those streams is read.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use super::{Carrier, Worker, with};
use crate::ffi::clock;
use crate::ffi::guard::guard;

/// How long a turn may take until they are looked at, and again, in milliseconds: a picture is due
/// each 16 to 40. A storm of 5,000 has pictures of fifty others 47 ms apart with 5, 43 with 3 and with 2 (p99).
const PATIENCE: u64 = 2;

/// To look at so many takes about 50 µs. Where there are more, it is done less often.
const STREAMS_A_MILLISECOND: u64 = 256;

thread_local! {
    /// When they are looked at next, in milliseconds of nginx's clock.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Called between two things that belong to streams which are not live yet.
pub fn live_streams_first() {
    if clock::milliseconds() < (clock::turn_began() + PATIENCE).max(NEXT.get()) {
        return;
    }
    NEXT.set(u64::MAX); // what they do may lead here
    let count = guard("a live stream's turn", 0, || {
        let carriers = with(|worker| worker.in_motion()).unwrap_or_default();
        carriers.iter().for_each(|carrier| carrier.receive());
        carriers.len() as u64
    });
    NEXT.set(clock::milliseconds() + PATIENCE + count / STREAMS_A_MILLISECOND);
}

impl Worker {
    /// The streams that something has come of.
    fn in_motion(&self) -> Vec<Rc<dyn Carrier>> {
        let carried = self.streams.carrying.values();
        let in_motion = carried.filter(|carried| carried.meter.bytes() > 0);
        in_motion.map(|carried| &carried.carrier).filter_map(Weak::upgrade).collect()
    }
}

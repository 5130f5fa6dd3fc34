//! The streams that this worker carries, and the publishes that wait to take over a stream.
//!
//! A takeover goes through the live registry, whichever worker has the old stream: the new publish
//! waits there for the name, the old stream's worker sees that within [`LOOK_AT_WISHES`] and ends
//! the stream, and its claim passes to the new one, which sees that within [`LOOK_AT_CLAIM`].

use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant, SystemTime};

use stagedoor_core::counters::Counters;
use stagedoor_core::media::Media;
use stagedoor_core::meter::Meter;
use stagedoor_core::policy::Stop;
use stagedoor_core::registry::{Claim, LostStream, Standing, Stream, WaitError};
use stagedoor_core::store::Admission;
use stagedoor_core::store::thread::{EndReason, SessionEvent, SessionTag};
use stagedoor_core::timestamp;

use super::{Worker, meters, with};
use crate::ffi::event::Timer;
use crate::ffi::guard::guard;
use crate::ffi::log::Log;
use crate::live::{self, LiveError};

/// How often a worker that carries streams looks whether somebody wants a name of theirs: one lock
/// and one comparison.
const LOOK_AT_WISHES: Duration = Duration::from_millis(100);

/// How often a publish that waits looks whether the name is its own.
const LOOK_AT_CLAIM: Duration = Duration::from_millis(20);

/// Whose stream it is.
pub trait Carrier {
    /// The stream has to end at once.
    fn stop(&self, why: Stop);

    /// The name that was waited for is free for this stream: [`take_up`] makes it live.
    fn inherited(&self);

    /// What has come of it is read now.
    fn receive(&self);

    /// nginx-rtmp's counter of what the session has received, in bytes.
    fn bytes_in(&self) -> u32;

    /// What the stream consists of.
    fn media(&self) -> Media;
}

/// What becomes of a publish whose name is live already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicate {
    /// It is refused.
    #[default]
    Reject,
    /// It takes the place of the one that is live.
    Takeover,
}

/// A stream that this worker carries, or a publish that waits to become one.
#[derive(Debug, PartialEq, Eq)]
pub struct LiveStream {
    claim: Claim,
    tag: SessionTag,
}

/// Where a publish stands.
#[derive(Debug)]
pub enum Place {
    /// It is live.
    Live(LiveStream),
    /// It waits for another one to end.
    Waiting(LiveStream),
}

/// A stream that is live.
pub(super) struct Carried {
    pub(super) claim: Claim,
    pub(super) carrier: Weak<dyn Carrier>,
    pub(super) meter: Meter,
}

/// A publish that waits.
struct Waiting {
    claim: Claim,
    carrier: Weak<dyn Carrier>,
}

/// One worker's streams.
pub(super) struct Streams {
    pub(super) carrying: HashMap<SessionTag, Carried>,
    waiting: HashMap<SessionTag, Waiting>,
    /// What the registry's count of wishes was at the last look.
    wishes: u32,
    timer: Timer,
    /// Set while any stream is measured.
    pub(super) measuring: Timer,
}

impl Streams {
    pub(super) fn new(log: Log) -> Streams {
        Streams {
            carrying: HashMap::new(),
            waiting: HashMap::new(),
            wishes: 0,
            timer: Timer::new(log, || guard("a look for takeovers", (), look))
                .cancelable()
                .recurring(LOOK_AT_WISHES),
            measuring: Timer::new(log, meters::measure).cancelable().recurring(meters::EVERY),
        }
    }

    fn schedule(&self) {
        if !self.waiting.is_empty() {
            self.timer.set(LOOK_AT_CLAIM);
        } else if !self.carrying.is_empty() {
            self.timer.set(LOOK_AT_WISHES);
        } else {
            self.timer.stop();
        }
    }
}

/// Makes a stream live on this worker, or has it wait for the one of its name to end.
///
/// # Errors
///
/// [`LiveError`].
pub fn go_live(
    stream: &Stream<'_>,
    admission: &Admission,
    duplicate: Duplicate,
    carrier: Weak<dyn Carrier>,
) -> Result<Place, LiveError> {
    with(|worker| {
        let mut lost = Vec::new();
        let claim = match worker.registry.claim(stream, &mut lost) {
            Err(LiveError::AlreadyLive) if duplicate == Duplicate::Takeover => {
                match worker.registry.wait_for(stream.username, stream.started_at) {
                    // It ended a moment ago.
                    Err(LiveError::Contested(WaitError::Free)) => {
                        worker.registry.claim(stream, &mut lost)
                    }
                    claim => {
                        if !lost.is_empty() {
                            worker.mourn(lost);
                        }
                        let (claim, tag) = (claim?, worker.number());
                        worker.streams.waiting.insert(tag, Waiting { claim, carrier });
                        worker.streams.schedule();
                        return Ok(Place::Waiting(LiveStream { claim, tag }));
                    }
                }
            }
            claim => claim,
        };
        if !lost.is_empty() {
            worker.mourn(lost);
        }
        let live = LiveStream { claim: claim?, tag: worker.number() };
        worker.carry(&live, stream, admission, carrier);
        Ok(Place::Live(live))
    })
    .unwrap_or(Err(LiveError::NoZone))
}

/// Makes a stream live that has waited for its name.
pub fn take_up(live: &LiveStream, stream: &Stream<'_>, admission: &Admission) {
    with(|worker| {
        if let Some(waiting) = worker.streams.waiting.remove(&live.tag) {
            worker.registry.describe(live.claim, stream);
            worker.carry(live, stream, admission, waiting.carrier);
        }
    });
}

/// Ends a stream that this worker carries, or takes back a publish that waits.
pub fn end(live: &LiveStream, reason: EndReason) {
    with(|worker| {
        if worker.streams.waiting.remove(&live.tag).is_some() {
            worker.renounce(live.claim);
        } else if worker.streams.carrying.remove(&live.tag).is_some() {
            worker.end(live.tag, live.claim, reason);
        }
    });
}

/// Has a stream end, unless it has ended.
pub(super) fn stop(tag: SessionTag, why: Stop) {
    let carrier = with(|worker| worker.streams.carrying.get(&tag)?.carrier.upgrade()).flatten();
    if let Some(carrier) = carrier {
        carrier.stop(why);
    }
}

impl Worker {
    fn carry(
        &mut self,
        live: &LiveStream,
        stream: &Stream<'_>,
        admission: &Admission,
        carrier: Weak<dyn Carrier>,
    ) {
        let &LiveStream { claim, tag } = live;
        let bytes_in = carrier.upgrade().map_or(0, |carrier| carrier.bytes_in());
        let meter = Meter::new(bytes_in, Instant::now());
        self.streams.carrying.insert(tag, Carried { claim, carrier, meter });
        live::count(Counters::accepted);
        self.streams.schedule();
        self.start_measuring();
        let _ = self.store.record(SessionEvent::Started {
            tag,
            admission: admission.clone(),
            // As the registry has it: by that the row of a stream that is lost is found.
            at: timestamp::from_microseconds(stream.started_at),
        });
        let _ = self.store.watch(tag, admission.clone());
        self.told();
    }

    fn end(&mut self, tag: SessionTag, claim: Claim, reason: EndReason) {
        if self.registry.release(claim) {
            live::count(|counters| counters.ended(reason, 1));
        }
        let _ = self.store.unwatch(tag);
        let _ =
            self.store.record(SessionEvent::Stopped { tag, claim, at: SystemTime::now(), reason });
        self.told();
    }

    /// Takes back a publish that waits. If the name was its own by then, who had it before has ended while it was
    /// live: what was not told of that end is told now.
    fn renounce(&mut self, claim: Claim) {
        if let Some(stream) = self.registry.renounce(claim) {
            self.mourn(vec![stream]);
        }
    }

    /// The worker ends, and its streams with it.
    pub(super) fn end_all(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.streams.waiting) {
            self.renounce(waiting.claim);
        }
        for (tag, carried) in std::mem::take(&mut self.streams.carrying) {
            self.end(tag, carried.claim, EndReason::Shutdown);
        }
    }

    /// Ends streams and waits whose session is gone although nobody said so: a bug stopped it.
    pub(super) fn end_forsaken(&mut self) {
        let is_forsaken = |carrier: &Weak<dyn Carrier>| carrier.strong_count() == 0;
        let waits = self.streams.waiting.extract_if(|_, it| is_forsaken(&it.carrier));
        for (_, waiting) in waits.collect::<Vec<_>>() {
            self.renounce(waiting.claim);
        }
        let streams = self.streams.carrying.extract_if(|_, it| is_forsaken(&it.carrier));
        for (tag, carried) in streams.collect::<Vec<_>>() {
            self.end(tag, carried.claim, EndReason::Lost);
        }
    }

    /// The streams that somebody wants to take over.
    fn wanted(&mut self, lost: &mut Vec<LostStream>) -> Vec<Rc<dyn Carrier>> {
        let Streams { carrying, wishes, .. } = &mut self.streams;
        let claims = carrying.values().map(|carried| (&carried.carrier, carried.claim));
        let wanted = self.registry.wanted(wishes, claims, lost);
        wanted.into_iter().filter_map(Weak::upgrade).collect()
    }

    /// The publishes whose wait is over.
    fn inherited(&mut self, lost: &mut Vec<LostStream>) -> Vec<Rc<dyn Carrier>> {
        let waiting = self.streams.waiting.values();
        let over = waiting.filter(|it| self.registry.standing(it.claim, lost) == Standing::Holds);
        over.filter_map(|it| it.carrier.upgrade()).collect()
    }
}

fn look() {
    let mut lost = Vec::new();
    // First what is ours by now: a wish for that is among those that are looked at then.
    for carrier in with(|worker| worker.inherited(&mut lost)).unwrap_or_default() {
        carrier.inherited();
    }
    for carrier in with(|worker| worker.wanted(&mut lost)).unwrap_or_default() {
        carrier.stop(Stop::TakenOver);
    }
    with(|worker| {
        if !lost.is_empty() {
            worker.mourn(lost);
        }
        worker.streams.schedule();
    });
}

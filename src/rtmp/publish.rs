//! A publish, from the command to the last frame.
//!
//! ```text
//!                 ┌──────────── closeStream, second thoughts ────────────┐
//!                 ▼                                                      │
//!   ──command──▶ Idle ──key──▶ Asking ──allowed, claimed───────▶ Live ───┤
//!                 │             │ │ └───live already───▶ Waiting ┘ │     │
//!                 │             │ │        └──timeout──┐   └───────│─────┘
//!                 │             │ └──timeout, no, taken┤           │ banned, kicked, taken over …
//!                 └─bad command─┴───────▶ Refusing ────┴─▶ Refused ◀┘ ──▶ connection closed
//! ```
//!
//! A session has one publish at a time; a second one is told so and the first goes on. Whatever
//! ends the session ends the publish, by way of [`Publisher::end`] or [`Attachment::detached`]; how
//! it ends is [`ending`].

mod asking;
mod ending;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nginx_sys::ngx_chain_t;
use stagedoor_core::counters::Counters;
use stagedoor_core::key::KeyTag;
use stagedoor_core::media::Media;
use stagedoor_core::policy::{Refusal, Stop};
use stagedoor_core::publish::{Flaw, Publish};
use stagedoor_core::registry::Stream;
use stagedoor_core::store::thread::EndReason;
use stagedoor_core::store::{Admission, Visitor};
use stagedoor_core::username::Username;

use super::files::Files;
use super::latency::Latency;
use super::{AppConf, ngx_stagedoor_rtmp_module};
use crate::core::CoreConf;
use crate::ffi::event::{Posted, Timer};
use crate::ffi::guard::guard;
use crate::ffi::session::{Attachment, Session, chunks};
use crate::live::{self, LiveError, microseconds_since_1970};
use crate::worker::{self, Carrier, LiveStream, Place, Ticket};

/// What a session holds for this module.
#[derive(Debug)]
pub(super) struct Publisher {
    session: Session,
    me: Weak<Publisher>,
    state: RefCell<State>,
    timer: Timer,
    /// Those that nginx-rtmp writes of its stream.
    pub(super) files: Files,
    /// Its set-up phase.
    pub(super) latency: Latency,
    /// Clears the session's buffers, once nginx-rtmp does not look at them.
    pub(super) wiping: Posted,
    /// nginx-rtmp joins a session to one stream, as its player or its publisher
    /// (ngx_rtmp_live_module.c, ngx_rtmp_live_join): a player's publish would go nowhere.
    is_playing: Cell<bool>,
    /// nginx-rtmp has been told of a stream of it, and not of the stream's end.
    has_stream: Cell<bool>,
    /// A stream of it has ended, and no other has begun.
    has_ended: Cell<bool>,
    is_detached: Cell<bool>,
    /// Why the server ends the stream, while it does.
    stopping: Cell<Option<Stop>>,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing is being published.
    #[default]
    Idle,
    /// Too many publishes of its address are being asked about.
    Queuing { since: Instant, question: Question },
    /// The store was asked.
    Asking { ticket: Ticket, question: Question },
    /// The publish was taken back before its answer came. The session is answered once more: a
    /// wrong key is held back all the same, and one session cannot ask faster than the store
    /// answers. What it wants to publish by then is asked after that.
    Withdrawn { ticket: Ticket, question: Question, next: Option<Question> },
    /// The streamer's other stream was asked to end.
    Waiting { stream: LiveStream, publish: Allowed },
    /// The answer is no, and held back.
    Refusing(Refusal),
    /// The answer is out; the connection ends.
    Refused,
    /// The stream is live.
    Live { stream: LiveStream, username: Username },
}

/// Whether somebody may publish.
#[derive(Debug)]
struct Question {
    visitor: Arc<Visitor>,
    kind: &'static str,
    /// It may not, whatever the store says. The store is asked all the same: to whoever tries keys
    /// out, one is like another.
    flaw: Option<Flaw>,
}

/// A publish that the store allows.
#[derive(Debug)]
struct Allowed {
    admission: Admission,
    kind: &'static str,
}

impl Allowed {
    fn username(&self) -> &Username {
        &self.admission.username
    }

    /// What may stand for the key in a log.
    fn tag(&self) -> KeyTag {
        self.admission.visitor.tag()
    }
}

/// Takes a `publish` command to an application that needs a key.
pub(super) fn received(session: Session, conf: &AppConf, message: *mut ngx_chain_t) {
    let Some(publisher) = Publisher::of(session) else {
        session.log().error(format_args!("stagedoor: publish refused: no memory for it"));
        live::count(|counters| counters.refused(Refusal::Unavailable));
        session.send_error(Refusal::Unavailable.code(), Refusal::Unavailable.description());
        session.finalize();
        return;
    };
    // SAFETY: nginx-rtmp leaves the message alone while it is handled.
    let command = Publish::read(unsafe { chunks(message) });
    publisher.received(conf, command);
}

/// A `publish` goes on to nginx-rtmp, whose modules forget what they have open of the one before
/// (ngx_rtmp_hls_module.c, ngx_rtmp_hls_publish): that one ends first.
pub(super) fn passed_on(session: Session) {
    let Some(publisher) = Publisher::of(session) else { return };
    if publisher.has_stream() {
        session.close_stream(); // and with it `end`
    }
    session.stop_auto_pushing();
}

impl Publisher {
    /// The session's publisher; it gets one if it has none.
    pub(super) fn of(session: Session) -> Option<Rc<Publisher>> {
        if let Some(publisher) = Publisher::find(session) {
            return Some(publisher);
        }
        let publisher = Rc::new_cyclic(|me: &Weak<Publisher>| {
            let expires = me.clone();
            Publisher {
                session,
                me: me.clone(),
                state: RefCell::default(),
                timer: Timer::new(session.log(), move || {
                    if let Some(publisher) = expires.upgrade() {
                        publisher.or_closed("a publish's timer", || publisher.expired());
                    }
                }),
                files: Files::default(),
                latency: Latency::new(session, me.clone()),
                wiping: Posted::new(session.log(), move || {
                    // SAFETY: nothing is being read while posted events run, and the event goes
                    // with the session's connection.
                    unsafe { session.wipe_handled_input() };
                }),
                is_playing: Cell::new(false),
                has_stream: Cell::new(false),
                has_ended: Cell::new(false),
                is_detached: Cell::new(false),
                stopping: Cell::new(None),
            }
        });
        // SAFETY: this module attaches nothing else, and `find` found nothing.
        unsafe { session.attach(&raw const ngx_stagedoor_rtmp_module, &publisher) }
            .then_some(publisher)
    }

    /// The session's publisher, if it has one.
    pub(super) fn find(session: Session) -> Option<Rc<Publisher>> {
        // SAFETY: this module attaches nothing else.
        unsafe { session.attached(&raw const ngx_stagedoor_rtmp_module) }
    }

    /// Whether the session's media goes on to nginx-rtmp's modules without [`Publisher::before_media`],
    /// and what they write needs no look behind them.
    pub(super) fn is_settled(session: Session) -> bool {
        // SAFETY: the mark of what this module attaches.
        unsafe { session.is_marked(&raw const ngx_stagedoor_rtmp_module) }
    }

    /// It is, until its stream ends or begins anew; or its media is to be looked at.
    pub(super) fn settle(&self, is_settled: bool) {
        if !self.is_detached.get() {
            // SAFETY: as above; it is attached itself.
            unsafe { self.session.mark(&raw const ngx_stagedoor_rtmp_module, is_settled) };
        }
    }

    /// The session begins to play a stream.
    pub(super) fn plays(&self) {
        self.is_playing.set(true);
        self.latency.is_over();
    }

    /// Whether it has asked for nothing that has yet to be answered, and publishes nothing.
    pub(super) fn is_idle(&self) -> bool {
        matches!(*self.state.borrow(), State::Idle)
    }

    /// A stream begins, whoever wants it to: nginx-rtmp's control module has a session publish another
    /// name, too.
    pub(super) fn begins(&self) {
        self.has_stream.set(true);
        self.has_ended.set(false);
        self.settle(false);
    }

    /// Whether the streamer's name is this session's.
    pub(super) fn is_live(&self) -> bool {
        matches!(*self.state.borrow(), State::Live { .. })
    }

    /// Whether one has begun, and not ended.
    pub(super) fn has_stream(&self) -> bool {
        self.has_stream.get()
    }

    /// Media has come, which nginx-rtmp's modules have not seen yet. Says whether it belongs to a stream.
    #[cold]
    #[inline(never)]
    pub(super) fn before_media(&self) -> bool {
        if self.has_ended.get() {
            return false;
        }
        self.settle(self.files.before_media(self.session));
        true
    }

    fn go_live(&self, conf: &AppConf, publish: Allowed) {
        let stream = self.stream(&publish);
        match worker::go_live(&stream, &publish.admission, conf.duplicate(), self.me.clone()) {
            Ok(Place::Live(stream)) => self.begin(stream, publish),
            Ok(Place::Waiting(stream)) => {
                self.state.replace(State::Waiting { stream, publish });
                self.timer.set(timeout());
            }
            Err(error) => {
                let refusal = match error {
                    LiveError::AlreadyLive | LiveError::Contested(_) => Refusal::AlreadyStreaming,
                    _ => Refusal::Unavailable,
                };
                let why = format_args!("{error}, username: \"{}\"", publish.username()).to_string();
                self.refuse(refusal, conf, Some(publish.tag()), why);
            }
        }
    }

    /// What the live registry is to know of a publish.
    fn stream<'a>(&self, publish: &'a Allowed) -> Stream<'a> {
        Stream {
            username: publish.username().as_str(),
            streamer_id: publish.admission.streamer_id,
            app: self.session.app(),
            client_addr: self.session.client_addr(),
            started_at: microseconds_since_1970(),
        }
    }

    /// The name is this stream's.
    fn begin(&self, stream: LiveStream, publish: Allowed) {
        let username = publish.username().clone();
        let app = self.session.app();
        self.session.log().notice(format_args!(
            "stagedoor: publish accepted, username: \"{username}\", app: \"{app}\", key: {}",
            publish.tag()
        ));
        self.state.replace(State::Live { stream, username: username.clone() });
        self.session.stop_auto_pushing(); // which stands in front of our hook in the chain
        let agreed = self.session.publish(username.as_str(), publish.kind);
        if !agreed {
            self.session.log().warn(format_args!(
                "stagedoor: publish stopped by another module of nginx-rtmp, username: \
                 \"{username}\", app: \"{app}\""
            ));
            self.session.finalize();
        }
        self.latency.is_over();
    }

    /// Closes the session if a bug stops what it is due.
    fn or_closed(&self, what: &str, action: impl FnOnce()) {
        let done = guard(what, false, || {
            action();
            true
        });
        if !done && !self.is_detached.get() {
            self.session.finalize();
        }
    }

    fn expired(&self) {
        let state = self.state.take();
        match (state, AppConf::of(self.session)) {
            (State::Queuing { since, question }, Some(conf)) => {
                self.ask_since(since, conf, question);
            }
            (State::Asking { ticket, question }, Some(conf)) => {
                worker::give_up(&ticket);
                self.refuse_late(conf, &question);
            }
            (State::Withdrawn { ticket, next, .. }, conf) => {
                worker::give_up(&ticket);
                live::count(Counters::withdrawn);
                if let (Some(next), Some(conf)) = (next, conf) {
                    self.refuse_late(conf, &next);
                }
            }
            (State::Waiting { stream, publish }, Some(conf)) => {
                worker::end(&stream, EndReason::Lost);
                let why = format_args!(
                    "the stream that is live did not end within {} ms, username: \"{}\"",
                    timeout().as_millis(),
                    publish.username()
                )
                .to_string();
                self.refuse(Refusal::AlreadyStreaming, conf, Some(publish.tag()), why);
            }
            (State::Refusing(refusal), _) => self.turn_away(refusal),
            (State::Refused, _) => {
                self.state.replace(State::Refused);
                self.session.finalize();
            }
            (state, _) => {
                self.state.replace(state);
            }
        }
    }
}

impl Carrier for Publisher {
    fn bytes_in(&self) -> u32 {
        self.session.bytes_in()
    }

    fn media(&self) -> Media {
        self.session.media()
    }

    fn receive(&self) {
        if !self.is_detached.get() && !self.session.is_closing() {
            self.session.receive_now();
        }
    }

    fn stop(&self, why: Stop) {
        let is_live = matches!(*self.state.borrow(), State::Live { .. });
        if is_live && !self.session.is_closing() {
            self.or_closed("a stop", || self.stop_live(why));
        }
    }

    fn inherited(&self) {
        if self.session.is_closing() {
            return; // its end gives the name back
        }
        self.or_closed("a takeover", || match self.state.take() {
            State::Waiting { stream, publish } => {
                self.timer.stop();
                worker::take_up(&stream, &self.stream(&publish), &publish.admission);
                self.begin(stream, publish);
            }
            state => {
                self.state.replace(state);
            }
        });
    }
}

impl Attachment for Publisher {
    fn detached(&self) {
        self.is_detached.set(true);
        self.files.release();
        self.timer.stop();
        self.latency.is_over();
        self.end(EndReason::Lost);
        self.state.replace(State::Refused);
    }
}

fn timeout() -> Duration {
    CoreConf::current().map_or(Duration::ZERO, CoreConf::timeout)
}

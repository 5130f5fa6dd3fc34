//! A publish, from the command to the last frame.
//!
//! ```text
//!                 ┌────────── closeStream, second thoughts ──────────┐
//!                 ▼                                                  │
//!   ──command──▶ Idle ──key──▶ Asking ──allowed, claimed──▶ Live ────┘
//!                 │             │  └─timeout, no, taken──┐
//!                 └─bad command─┴───────▶ Refusing ──────┴─▶ Refused ──▶ connection closed
//! ```
//!
//! A session has one publish at a time; a second one is told so and the first goes on. Whatever
//! ends the session ends the publish, by way of [`Publisher::end`] or [`Attachment::detached`].

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use nginx_sys::ngx_chain_t;
use stagedoor_core::counters::Counters;
use stagedoor_core::key::{KeyDigest, KeyTag, StreamKey};
use stagedoor_core::media::Media;
use stagedoor_core::policy::Refusal;
use stagedoor_core::publish::Publish;
use stagedoor_core::registry::Stream;
use stagedoor_core::store::thread::EndReason;
use stagedoor_core::store::{StoreError, Verdict};
use stagedoor_core::username::Username;

use super::latency::Latency;
use super::{AppConf, ngx_stagedoor_rtmp_module};
use crate::core::CoreConf;
use crate::ffi::event::Timer;
use crate::ffi::session::{Attachment, Session, chunks};
use crate::live::{self, LiveError, microseconds_since_1970};
use crate::worker::{self, Asker, Carrier, LiveStream, Ticket};

/// How long a refused client may take to read the refusal and go, before it is cut off. A close at
/// once would make the kernel throw the refusal away if the client has sent anything since
/// (RFC 1122, section 4.2.2.13).
const FAREWELL: Duration = Duration::from_secs(1);

/// What a session holds for this module.
#[derive(Debug)]
pub(super) struct Publisher {
    session: Session,
    me: Weak<Publisher>,
    state: RefCell<State>,
    timer: Timer,
    /// Its set-up phase.
    pub(super) latency: Latency,
    /// nginx-rtmp joins a session to one stream, as its player or its publisher
    /// (ngx_rtmp_live_module.c, ngx_rtmp_live_join): a player's publish would go nowhere.
    is_playing: Cell<bool>,
    is_detached: Cell<bool>,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing is being published.
    #[default]
    Idle,
    /// The store was asked.
    Asking { ticket: Ticket, key: KeyTag, kind: &'static str },
    /// The answer is no, and held back.
    Refusing(Refusal),
    /// The answer is out; the connection ends.
    Refused,
    /// The stream is live.
    Live { stream: LiveStream, username: Username },
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
                        publisher.expired();
                    }
                }),
                latency: Latency::new(session, me.clone()),
                is_playing: Cell::new(false),
                is_detached: Cell::new(false),
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

    /// The session begins to play a stream.
    pub(super) fn plays(&self) {
        self.is_playing.set(true);
        self.latency.is_over();
    }

    fn received(&self, conf: &AppConf, command: Result<Publish, impl std::fmt::Display>) {
        if let Some(why) = self.occupation() {
            self.note_refusal(Refusal::AlreadyStreaming, None, why);
            return self.tell(Refusal::AlreadyStreaming);
        }
        if self.is_refused() {
            return;
        }
        let command = match command {
            Ok(command) => command,
            Err(error) => return self.refuse(Refusal::InvalidKey, conf, None, error),
        };
        match StreamKey::parse(command.key()) {
            Ok(key) => self.ask(conf, key.digest(), command.kind()),
            Err(error) => {
                let tag = KeyDigest::of(command.key()).tag();
                self.refuse(Refusal::InvalidKey, conf, Some(tag), error);
            }
        }
    }

    /// What keeps the session from another publish.
    fn occupation(&self) -> Option<String> {
        if self.is_playing.get() {
            return Some("this session is playing".to_owned());
        }
        match &*self.state.borrow() {
            State::Asking { key, .. } => Some(format!("this session waits with key: {key}")),
            State::Live { username, .. } => {
                Some(format!("this session is publishing, username: \"{username}\""))
            }
            State::Idle | State::Refusing(_) | State::Refused => None,
        }
    }

    /// Whether the answer to an earlier publish is on its way, or out.
    fn is_refused(&self) -> bool {
        matches!(*self.state.borrow(), State::Refusing(_) | State::Refused)
    }

    fn ask(&self, conf: &AppConf, key: KeyDigest, kind: &'static str) {
        let asker: Weak<dyn Asker> = self.me.clone();
        match worker::ask(key, asker) {
            Ok(ticket) => {
                self.state.replace(State::Asking { ticket, key: key.tag(), kind });
                self.timer.set(timeout());
            }
            Err(error) => self.refuse(Refusal::Unavailable, conf, Some(key.tag()), error),
        }
    }

    /// The store has answered.
    fn decide(&self, conf: &AppConf, key: KeyTag, kind: &str, answer: Result<Verdict, StoreError>) {
        let username = match answer {
            Ok(Verdict::Allowed { streamer_id, username }) => {
                return self.go_live(conf, key, kind, streamer_id, username);
            }
            Ok(Verdict::Inactive { username }) => username,
            Ok(Verdict::Unknown) => {
                return self.refuse(Refusal::InvalidKey, conf, Some(key), "nobody has this key");
            }
            Err(error) => return self.refuse(Refusal::Unavailable, conf, Some(key), error),
        };
        self.refuse(Refusal::Inactive, conf, Some(key), format_args!("username: \"{username}\""));
    }

    fn go_live(
        &self,
        conf: &AppConf,
        key: KeyTag,
        kind: &str,
        streamer_id: i64,
        username: Username,
    ) {
        let app = self.session.app();
        let stream = Stream {
            username: username.as_str(),
            streamer_id,
            app,
            client_addr: self.session.client_addr(),
            started_at: microseconds_since_1970(),
        };
        let carrier: Weak<dyn Carrier> = self.me.clone();
        let stream = match worker::go_live(&stream, carrier, self.session.bytes_in()) {
            Ok(stream) => stream,
            Err(error) => {
                let refusal = match error {
                    LiveError::AlreadyLive => Refusal::AlreadyStreaming,
                    _ => Refusal::Unavailable,
                };
                let why = format_args!("{error}, username: \"{username}\"").to_string();
                return self.refuse(refusal, conf, Some(key), why);
            }
        };
        self.session.log().notice(format_args!(
            "stagedoor: publish accepted, username: \"{username}\", app: \"{app}\", key: {key}"
        ));
        self.state.replace(State::Live { stream, username: username.clone() });
        let agreed = self.session.publish(username.as_str(), kind);
        if !agreed {
            self.session.log().warn(format_args!(
                "stagedoor: publish stopped by another module of nginx-rtmp, username: \
                 \"{username}\", app: \"{app}\""
            ));
            self.session.finalize();
        }
        self.latency.is_over();
    }

    fn refuse(
        &self,
        refusal: Refusal,
        conf: &AppConf,
        key: Option<KeyTag>,
        why: impl std::fmt::Display,
    ) {
        self.note_refusal(refusal, key, why);
        if refusal.is_held_back() && !conf.auth_delay().is_zero() {
            self.state.replace(State::Refusing(refusal));
            self.timer.set(conf.auth_delay());
        } else {
            self.turn_away(refusal);
        }
    }

    fn turn_away(&self, refusal: Refusal) {
        self.state.replace(State::Refused);
        self.tell(refusal);
        self.session.end_output();
        self.timer.set(FAREWELL);
    }

    fn tell(&self, refusal: Refusal) {
        self.session.send_error(refusal.code(), refusal.description());
    }

    /// Every publish that is refused passes here once.
    fn note_refusal(&self, refusal: Refusal, key: Option<KeyTag>, why: impl std::fmt::Display) {
        live::count(|counters| counters.refused(refusal));
        let what = refusal.description().to_string_lossy();
        let app = self.session.app();
        let log = self.session.log();
        match key {
            Some(key) => log.warn(format_args!(
                "stagedoor: publish refused: {what} ({why}), app: \"{app}\", key: {key}"
            )),
            None => {
                log.warn(format_args!("stagedoor: publish refused: {what} ({why}), app: \"{app}\""))
            }
        }
    }

    fn expired(&self) {
        let state = self.state.take();
        match (state, AppConf::of(self.session)) {
            (State::Asking { ticket, key, .. }, Some(conf)) => {
                worker::give_up(&ticket);
                let why = format_args!("no answer within {} ms", timeout().as_millis()).to_string();
                self.refuse(Refusal::Unavailable, conf, Some(key), why);
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

    /// The stream was closed, by its publisher or with its session. Called for every close, also
    /// when nothing is live.
    pub(super) fn end(&self, reason: EndReason) {
        self.is_playing.set(false);
        let state = self.state.take();
        match state {
            State::Idle => {}
            State::Asking { ticket, key, .. } => {
                self.timer.stop();
                worker::forget(&ticket);
                live::count(Counters::withdrawn);
                self.log_end(format_args!("stagedoor: publish withdrawn, key: {key}"));
            }
            State::Live { stream, username } => {
                worker::end(&stream, reason);
                self.log_end(format_args!(
                    "stagedoor: publish ended: {}, username: \"{username}\"",
                    reason.as_str()
                ));
            }
            // A close does not cut short how long a refusal is held back.
            State::Refusing(_) | State::Refused => {
                self.state.replace(state);
            }
        }
    }

    fn log_end(&self, line: std::fmt::Arguments<'_>) {
        if self.is_detached.get() {
            crate::ffi::log::Log::cycle().notice(line);
        } else {
            self.session.log().notice(format_args!("{line}, app: \"{}\"", self.session.app()));
        }
    }

    /// Why a stream ends that ends now: its session is being closed, or only the stream is, which
    /// nothing but the publisher's own command does.
    pub(super) fn end_reason(&self) -> EndReason {
        if self.session.is_closing() { EndReason::Lost } else { EndReason::Closed }
    }
}

impl Asker for Publisher {
    fn answered(&self, answer: Result<Verdict, StoreError>) {
        self.timer.stop();
        let state = self.state.take();
        match (state, AppConf::of(self.session)) {
            (State::Asking { key, kind, .. }, Some(conf)) if !self.session.is_closing() => {
                self.decide(conf, key, kind, answer);
            }
            (State::Asking { .. }, _) => live::count(Counters::withdrawn),
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
}

impl Attachment for Publisher {
    fn detached(&self) {
        self.is_detached.set(true);
        self.timer.stop();
        self.latency.is_over();
        self.end(EndReason::Lost);
        self.state.replace(State::Refused);
    }
}

fn timeout() -> Duration {
    CoreConf::current().map_or(Duration::ZERO, CoreConf::timeout)
}

//! How a publish ends: it is refused, the server stops it, or its publisher goes.

use std::time::Duration;

use stagedoor_core::counters::Counters;
use stagedoor_core::key::KeyTag;
use stagedoor_core::policy::{Refusal, Stop};
use stagedoor_core::store::thread::EndReason;

use super::super::AppConf;
use super::{Publisher, State};
use crate::ffi::log::Log;
use crate::live;
use crate::worker::{self, Flood};

/// How long a refused client may take to read the refusal and go, before it is cut off. A close at
/// once would make the kernel throw the refusal away if the client has sent anything since
/// (RFC 1122, section 4.2.2.13). librtmp stays until it is cut off, and a stream that is forbidden is
/// to be gone within a second of that.
const FAREWELL: Duration = Duration::from_millis(500);

impl Publisher {
    pub(super) fn refuse(
        &self,
        refusal: Refusal,
        conf: &AppConf,
        key: Option<KeyTag>,
        why: impl std::fmt::Display,
    ) {
        let flood = (refusal == Refusal::TooManyAttempts).then_some(Flood::TooManyAttempts);
        self.note_refusal(refusal, flood, key, why);
        if refusal.is_held_back() && !conf.auth_delay().is_zero() {
            self.state.replace(State::Refusing(refusal));
            self.timer.set(conf.auth_delay());
        } else {
            self.turn_away(refusal);
        }
    }

    pub(super) fn turn_away(&self, refusal: Refusal) {
        self.tell(refusal);
        self.say_farewell();
    }

    fn say_farewell(&self) {
        self.state.replace(State::Refused);
        self.session.discard_input();
        self.session.end_output();
        self.timer.set(FAREWELL);
    }

    pub(super) fn tell(&self, refusal: Refusal) {
        self.session.send_error(refusal.code(), refusal.description());
    }

    /// Every publish that is refused passes here once. The lines of a flood are not all written.
    pub(super) fn note_refusal(
        &self,
        refusal: Refusal,
        flood: Option<Flood>,
        key: Option<KeyTag>,
        why: impl std::fmt::Display,
    ) {
        live::count(|counters| counters.refused(refusal));
        let what = refusal.description().to_string_lossy();
        let app = self.session.app();
        let key = key.map(|key| format!(", key: {key}")).unwrap_or_default();
        let line = format_args!("stagedoor: publish refused: {what} ({why}), app: \"{app}\"{key}");
        match flood {
            Some(flood) => worker::warn(flood, self.session.log(), line),
            None => self.session.log().warn(line),
        }
    }

    /// Ends the live stream. Whoever has the name next finds its files closed.
    pub(super) fn stop_live(&self, why: Stop) {
        self.stopping.set(Some(why));
        self.tell(why.refusal());
        self.session.close_stream(); // and with it `end`
        self.end(why.reason());
        self.say_farewell();
    }

    /// The stream was closed, by its publisher or with its session. Called for every close, also
    /// when nothing is live.
    pub(in crate::rtmp) fn end(&self, reason: EndReason) {
        self.is_playing.set(false);
        self.settle(false);
        let state = self.state.take();
        if self.has_stream.take() {
            self.has_ended.set(true);
        }
        match state {
            State::Idle => {}
            State::Queuing { .. } => {
                self.timer.stop();
                live::count(Counters::withdrawn);
            }
            State::Asking { ticket, question } => {
                let tag = question.visitor.tag();
                self.withdraw(State::Withdrawn { ticket, question, next: None });
                self.log_end(format_args!("stagedoor: publish withdrawn, key: {tag}"));
            }
            State::Withdrawn { ticket, question, next } => {
                if next.is_some() {
                    live::count(Counters::withdrawn);
                }
                self.withdraw(State::Withdrawn { ticket, question, next: None });
            }
            State::Waiting { stream, publish } => {
                self.timer.stop();
                worker::end(&stream, reason);
                live::count(Counters::withdrawn);
                self.log_end(format_args!(
                    "stagedoor: publish withdrawn, username: \"{}\", key: {}",
                    publish.username(),
                    publish.tag()
                ));
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

    /// Goes on without a publish whose answer is still to come; a session that ends does not wait
    /// for it. The address does: its attempt is out until then.
    fn withdraw(&self, withdrawn: State) {
        if !self.is_detached.get() && !self.session.is_closing() {
            self.state.replace(withdrawn);
        } else {
            self.timer.stop();
            live::count(Counters::withdrawn);
        }
    }

    fn log_end(&self, line: std::fmt::Arguments<'_>) {
        if self.is_detached.get() {
            Log::cycle().notice(line);
        } else {
            self.session.log().notice(format_args!("{line}, app: \"{}\"", self.session.app()));
        }
    }

    /// Why a stream ends that ends now: the server stops it, its session is being closed, or only
    /// the stream is, which nothing but the publisher's own command does.
    pub(in crate::rtmp) fn end_reason(&self) -> EndReason {
        match self.stopping.get() {
            Some(why) => why.reason(),
            None if self.session.is_closing() => EndReason::Lost,
            None => EndReason::Closed,
        }
    }
}

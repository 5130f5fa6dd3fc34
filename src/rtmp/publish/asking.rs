//! From the command to the answer: whose key is it?

use std::rc::Weak;
use std::sync::Arc;

use stagedoor_core::counters::Counters;
use stagedoor_core::key::{KeyDigest, StreamKey};
use stagedoor_core::policy::Refusal;
use stagedoor_core::publish::Publish;
use stagedoor_core::store::{Admission, StoreError, Verdict, Visitor};

use super::super::AppConf;
use super::{Allowed, Publisher, Question, State, timeout};
use crate::core::CoreConf;
use crate::live;
use crate::worker::{self, Asker};

impl Publisher {
    pub(super) fn received(
        &self,
        conf: &AppConf,
        command: Result<Publish, impl std::fmt::Display>,
    ) {
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
            Ok(key) => {
                let visitor = Arc::new(self.visitor(key));
                self.ask_in_turn(conf, Question { visitor, kind: command.kind() });
            }
            Err(error) => {
                let tag = KeyDigest::of(command.key()).tag();
                self.refuse(Refusal::InvalidKey, conf, Some(tag), error);
            }
        }
    }

    /// Who asks. The key itself goes no further than its digest where nobody else asks for it.
    fn visitor(&self, key: StreamKey) -> Visitor {
        let (app, client_addr) = (self.session.app(), self.session.client_addr());
        match CoreConf::current().is_some_and(CoreConf::asks_for_keys) {
            true => Visitor::with_key(key, app, client_addr),
            false => Visitor::known_by(key.digest(), app, client_addr),
        }
    }

    /// What keeps the session from another publish.
    fn occupation(&self) -> Option<String> {
        if self.is_playing.get() {
            return Some("this session is playing".to_owned());
        }
        match &*self.state.borrow() {
            State::Asking { question, .. } | State::Withdrawn { next: Some(question), .. } => {
                Some(format!("this session waits with key: {}", question.visitor.tag()))
            }
            State::Waiting { publish, .. } => {
                Some(format!("this session waits, username: \"{}\"", publish.username()))
            }
            State::Live { username, .. } => {
                Some(format!("this session is publishing, username: \"{username}\""))
            }
            State::Idle
            | State::Withdrawn { next: None, .. }
            | State::Refusing(_)
            | State::Refused => None,
        }
    }

    /// Whether the answer to an earlier publish is on its way, or out.
    fn is_refused(&self) -> bool {
        matches!(*self.state.borrow(), State::Refusing(_) | State::Refused)
    }

    fn ask(&self, conf: &AppConf, question: Question) {
        let asker: Weak<dyn Asker> = self.me.clone();
        match worker::ask(Arc::clone(&question.visitor), asker) {
            Ok(ticket) => {
                self.state.replace(State::Asking { ticket, question });
                self.timer.set(timeout());
            }
            Err(error) => {
                self.refuse(Refusal::Unavailable, conf, Some(question.visitor.tag()), error);
            }
        }
    }

    /// Asks, or keeps the question until the one before, which was taken back, is answered.
    fn ask_in_turn(&self, conf: &AppConf, question: Question) {
        if let State::Withdrawn { next, .. } = &mut *self.state.borrow_mut() {
            *next = Some(question);
            return;
        }
        self.ask(conf, question);
    }

    /// The store has answered.
    fn decide(&self, conf: &AppConf, question: Question, answer: Result<Verdict, StoreError>) {
        let Question { visitor, kind } = question;
        let tag = Some(visitor.tag());
        let username = match answer {
            Ok(Verdict::Allowed { streamer_id, username }) => {
                let admission = Admission { streamer_id, username, visitor };
                return self.go_live(conf, Allowed { admission, kind });
            }
            Ok(Verdict::Inactive { username }) => username,
            Ok(Verdict::Unknown) => {
                return self.refuse(Refusal::InvalidKey, conf, tag, "nobody has this key");
            }
            Err(error) => return self.refuse(Refusal::Unavailable, conf, tag, error),
        };
        self.refuse(Refusal::Inactive, conf, tag, format_args!("username: \"{username}\""));
    }

    /// A publish that was taken back is answered. Its wrong key is held back all the same.
    fn answered_late(
        &self,
        conf: &AppConf,
        question: Question,
        next: Option<Question>,
        answer: Result<Verdict, StoreError>,
    ) {
        match (answer, next) {
            (Ok(Verdict::Unknown), next) => {
                if next.is_some() {
                    live::count(Counters::withdrawn);
                }
                self.decide(conf, question, Ok(Verdict::Unknown));
            }
            (_, Some(next)) => {
                live::count(Counters::withdrawn);
                self.ask(conf, next);
            }
            (_, None) => live::count(Counters::withdrawn),
        }
    }

    /// The store has not answered in time.
    pub(super) fn refuse_late(&self, conf: &AppConf, question: &Question) {
        let why = format_args!("no answer within {} ms", timeout().as_millis()).to_string();
        self.refuse(Refusal::Unavailable, conf, Some(question.visitor.tag()), why);
    }
}

impl Asker for Publisher {
    fn answered(&self, answer: Result<Verdict, StoreError>) {
        self.or_closed("an answer", || self.take_answer(answer));
    }
}

impl Publisher {
    fn take_answer(&self, answer: Result<Verdict, StoreError>) {
        self.timer.stop();
        let state = self.state.take();
        match (state, AppConf::of(self.session)) {
            (State::Asking { question, .. }, Some(conf)) if !self.session.is_closing() => {
                self.decide(conf, question, answer);
            }
            (State::Withdrawn { question, next, .. }, Some(conf)) if !self.session.is_closing() => {
                self.answered_late(conf, question, next, answer);
            }
            (State::Asking { .. }, _) => live::count(Counters::withdrawn),
            (State::Withdrawn { next, .. }, _) => withdraw_both(next),
            (state, _) => {
                self.state.replace(state);
            }
        }
    }
}

/// Counts a publish that was taken back, and the one behind it that was never asked about.
fn withdraw_both(next: Option<Question>) {
    live::count(Counters::withdrawn);
    if next.is_some() {
        live::count(Counters::withdrawn);
    }
}

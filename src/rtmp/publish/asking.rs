//! From the command to the answer: whose key is it?

use std::fmt::Display;
use std::rc::Weak;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagedoor_core::counters::Counters;
use stagedoor_core::key::{KeyDigest, KeyTag, StreamKey};
use stagedoor_core::limit::Denial;
use stagedoor_core::policy::Refusal;
use stagedoor_core::publish::{Flaw, Publish, PublishError};
use stagedoor_core::store::{Admission, StoreError, Verdict, Visitor};

use super::super::AppConf;
use super::{Allowed, Publisher, Question, State, timeout};
use crate::core::CoreConf;
use crate::live::{self, Attempt};
use crate::worker::{self, Asker, Flood};

/// How often a publish that waits looks whether an attempt of its address has come back.
const LOOK_AT_ATTEMPTS: Duration = Duration::from_millis(50);

impl Publisher {
    pub(super) fn received(&self, conf: &AppConf, command: Result<Publish, PublishError>) {
        if let Some(why) = self.occupation() {
            self.note_refusal(Refusal::AlreadyStreaming, Some(Flood::Busy), None, why);
            return self.tell(Refusal::AlreadyStreaming);
        }
        if self.is_refused() {
            return;
        }
        self.ask_in_turn(conf, self.question(command));
    }

    fn question(&self, command: Result<Publish, PublishError>) -> Question {
        let (app, client_addr) = (self.session.app(), self.session.client_addr());
        let flawed = |key: &[u8], kind, flaw| {
            let visitor = Visitor::known_by(KeyDigest::of(key), app, client_addr);
            Question { visitor: Arc::new(visitor), kind, flaw: Some(flaw) }
        };
        let command = match command {
            Ok(command) => command,
            Err(error) => return flawed(b"", "live", Flaw::Command(error)),
        };
        let key = match StreamKey::parse(command.key()) {
            Ok(key) => key,
            Err(error) => return flawed(command.key(), command.kind(), Flaw::Key(error)),
        };
        // The key goes no further than its digest where nobody asks for more.
        let visitor = match CoreConf::current().is_some_and(CoreConf::asks_for_keys) {
            true => Visitor::with_key(key, app, client_addr),
            false => Visitor::known_by(key.digest(), app, client_addr),
        };
        Question { visitor: Arc::new(visitor), kind: command.kind(), flaw: None }
    }

    /// What keeps the session from another publish.
    fn occupation(&self) -> Option<String> {
        if self.is_playing.get() {
            return Some("this session is playing".to_owned());
        }
        match &*self.state.borrow() {
            State::Queuing { question, .. }
            | State::Asking { question, .. }
            | State::Withdrawn { next: Some(question), .. } => {
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
        self.ask_since(Instant::now(), conf, question);
    }

    /// Asks, if the address has an attempt. While all of them are out, the publish waits.
    pub(super) fn ask_since(&self, since: Instant, conf: &AppConf, question: Question) {
        let attempt = match Attempt::of(self.session.client_addr(), conf.auth_limit()) {
            // It has failed already: there is nothing to give back.
            Ok(_) if question.flaw.is_some() => Attempt::default(),
            Ok(attempt) => attempt,
            Err(Denial::Out(_)) if since.elapsed() < timeout() => {
                self.state.replace(State::Queuing { since, question });
                return self.timer.set(LOOK_AT_ATTEMPTS);
            }
            Err(denial) => {
                return self.refuse(Refusal::TooManyAttempts, conf, question.tag(), denial);
            }
        };
        let asker: Weak<dyn Asker> = self.me.clone();
        match worker::ask(Arc::clone(&question.visitor), attempt, asker) {
            Ok(ticket) => {
                self.state.replace(State::Asking { ticket, question });
                self.timer.set(timeout());
            }
            Err(error) => self.refuse_unanswered(conf, &question, error),
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
        let tag = question.tag();
        let username = match (answer, question.flaw) {
            (_, Some(flaw)) => return self.refuse(Refusal::InvalidKey, conf, tag, flaw),
            (Ok(Verdict::Allowed { streamer_id, username }), None) => {
                let Question { visitor, kind, .. } = question;
                let admission = Admission { streamer_id, username, visitor };
                return self.go_live(conf, Allowed { admission, kind });
            }
            (Ok(Verdict::Inactive { username }), None) => username,
            (Ok(Verdict::Unknown), None) => {
                return self.refuse(Refusal::InvalidKey, conf, tag, "nobody has this key");
            }
            (Err(error), None) => return self.refuse_unanswered(conf, &question, error),
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
        let is_wrong = question.flaw.is_some() || answer == Ok(Verdict::Unknown);
        if !is_wrong || next.is_some() {
            live::count(Counters::withdrawn);
        }
        match next {
            _ if is_wrong => self.decide(conf, question, answer),
            Some(next) => self.ask(conf, next),
            None => {}
        }
    }

    /// The store has not answered in time.
    pub(super) fn refuse_late(&self, conf: &AppConf, question: &Question) {
        let why = format_args!("no answer within {} ms", timeout().as_millis()).to_string();
        self.refuse_unanswered(conf, question, why);
    }

    fn refuse_unanswered(&self, conf: &AppConf, question: &Question, why: impl Display) {
        match question.flaw {
            Some(flaw) => self.refuse(Refusal::InvalidKey, conf, question.tag(), flaw),
            None => self.refuse(Refusal::Unavailable, conf, question.tag(), why),
        }
    }
}

impl Question {
    /// What stands for the key in the log; a command without one has none.
    fn tag(&self) -> Option<KeyTag> {
        (!matches!(self.flaw, Some(Flaw::Command(_)))).then(|| self.visitor.tag())
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

//! Setting up without waiting for the network's good manners.
//!
//! Nagle's algorithm (RFC 896) holds nginx-rtmp's small answers until the client has acknowledged
//! the one before, and the client delays that acknowledgement (RFC 1122, section 4.2.3.2); the same
//! happens the other way round, because encoders write a chunk's header and its payload apart.
//! Together that costs every connect 40 to 175 ms on the way to the first frame.
//!
//! The server's part of the handshake is two messages, each longer than what fits in a packet on the way
//! to a distant encoder: the end of the second waits, again, for the ACK of the first, which is a round trip.
//!
//! nginx-rtmp answers in pieces: its handshake in two, a `connect` in four. Each is a packet without Nagle's
//! algorithm, and a packet costs both sides more than all that is in it. What belongs together goes out
//! together (TCP_CORK), when nginx has handled what it answers.
//!
//! Answers go out at once (TCP_NODELAY), and until the stream is live what arrives is acknowledged
//! at once (TCP_QUICKACK). The kernel drops the latter whenever an answer is sent, so it is armed
//! again behind each message, from a posted event; not behind the one that is to publish, whose
//! answer comes first.

use std::cell::Cell;
use std::rc::Weak;

use nginx_sys::ngx_int_t;

use super::publish::Publisher;
use crate::ffi::event::Posted;
use crate::ffi::guard::guard;
use crate::ffi::module::OK;
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{ngx_rtmp_play_pt, ngx_rtmp_play_t, ngx_rtmp_session_t};
use crate::ffi::session::Session;
use crate::worker;

/// A session's set-up phase.
#[derive(Debug)]
pub(super) struct Latency {
    rearm: Posted,
    is_setting_up: Cell<bool>,
    is_corked: Cell<bool>,
}

impl Latency {
    pub(super) fn new(session: Session, publisher: Weak<Publisher>) -> Latency {
        Latency {
            rearm: Posted::new(session.log(), move || {
                worker::live_streams_first();
                let Some(publisher) = publisher.upgrade() else { return };
                guard("an acknowledgement", (), || {
                    let Latency { is_setting_up, is_corked, .. } = &publisher.latency;
                    if is_corked.take() {
                        session.set_cork(false);
                    }
                    if is_setting_up.get() && publisher.is_idle() {
                        session.set_quickack();
                    }
                });
            }),
            is_setting_up: Cell::new(false),
            is_corked: Cell::new(false),
        }
    }

    /// What is sent while nginx handles what has come goes out together.
    fn cork(&self, session: Session) {
        if !self.is_corked.replace(true) {
            session.set_cork(true);
        }
        self.rearm.post();
    }

    /// The stream is live, or there will be none.
    pub(super) fn is_over(&self) {
        self.is_setting_up.set(false);
    }
}

/// A client has connected, and is about to shake hands.
pub(super) fn connected(session: Session) {
    if session.is_incoming() {
        session.set_nodelay(true);
    }
}

/// The handshake is done: the set-up phase begins.
pub(super) fn handshake_done(session: Session) {
    let Some(publisher) = Publisher::of(session) else { return };
    session.set_quickack();
    publisher.latency.is_setting_up.set(true);
}

/// The client has begun to shake hands, and is about to be answered.
pub(super) fn handshake_begins(session: Session) {
    if session.is_incoming()
        && !session.is_auto_pushed()
        && Publisher::find(session).is_none()
        && let Some(publisher) = Publisher::of(session)
    {
        publisher.latency.cork(session);
    }
}

/// A message of the set-up phase has come, and is about to be answered.
pub(super) fn message(session: Session) {
    let Some(publisher) = Publisher::find(session) else { return };
    let latency = &publisher.latency;
    match latency.is_setting_up.get() {
        true if !session.has_application() => latency.cork(session),
        true => latency.rearm.post(),
        false => {}
    }
}

/// The chain behind us.
static NEXT: Previous<ngx_rtmp_play_pt> = Previous::new();

/// Puts our hook in front of the play chain.
///
/// # Safety
///
/// `head` is nginx-rtmp's variable, and modules are being set up.
pub(super) unsafe fn install(head: *mut ngx_rtmp_play_pt) {
    // SAFETY: as promised by the caller.
    unsafe { NEXT.hook(head, Some(play)) };
}

/// A player's media goes out in many small writes that are better sent together: it gets the
/// connection that it would have had without us.
unsafe extern "C" fn play(
    session: *mut ngx_rtmp_session_t,
    command: *mut ngx_rtmp_play_t,
) -> ngx_int_t {
    guard("a play", (), || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        if let Some(publisher) = Publisher::find(session) {
            if publisher.latency.is_setting_up.get() {
                session.set_nodelay(false);
            }
            publisher.plays();
        }
    });
    // SAFETY: the very call that nginx-rtmp would have made.
    NEXT.get().map_or(OK, |next| unsafe { next(session, command) })
}

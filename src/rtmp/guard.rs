//! The message guard: everything that nginx-rtmp reads beyond plain media is looked at first, on
//! every session of every application, its own connections to other servers included.
//!
//! The handlers stand in front of all others for their message, and nginx-rtmp stops at the first
//! that says no: it closes the session. A message that is still coming has no handler; for those
//! there is a look at the session now and then while it receives.

use std::cell::RefCell;
use std::fmt::Arguments;
use std::thread::LocalKey;
use std::time::Instant;

use nginx_sys::{ngx_chain_t, ngx_int_t};
use stagedoor_core::guard::{self, Danger, Standing};
use stagedoor_core::throttle::Telling;

use super::latency;
use crate::ffi::events::{Events, Handler, NoMemory};
use crate::ffi::guard::guard;
use crate::ffi::module::{DONE, ERROR, OK};
use crate::ffi::rtmp::{
    NGX_RTMP_MSG_AGGREGATE, NGX_RTMP_MSG_AMF_CMD, NGX_RTMP_MSG_AMF_META, NGX_RTMP_MSG_AMF_SHARED,
    NGX_RTMP_MSG_AMF3_CMD, NGX_RTMP_MSG_AMF3_META, NGX_RTMP_MSG_AMF3_SHARED,
    NGX_RTMP_MSG_CHUNK_SIZE, NGX_RTMP_MSG_VIDEO, ngx_rtmp_header_t, ngx_rtmp_session_t,
};
use crate::ffi::session::{self, Session, Watch};
use crate::{live, worker};

const GUARDED: [(u32, Handler); 9] = [
    (NGX_RTMP_MSG_CHUNK_SIZE, chunk_size),
    (NGX_RTMP_MSG_VIDEO, video),
    (NGX_RTMP_MSG_AMF3_META, amf),
    (NGX_RTMP_MSG_AMF3_SHARED, amf),
    (NGX_RTMP_MSG_AMF3_CMD, amf),
    (NGX_RTMP_MSG_AMF_META, amf),
    (NGX_RTMP_MSG_AMF_SHARED, amf),
    (NGX_RTMP_MSG_AMF_CMD, amf),
    (NGX_RTMP_MSG_AGGREGATE, aggregate),
];

/// Puts the guard in front of every handler that other modules have.
pub(super) fn install(events: &Events) -> Result<(), NoMemory> {
    GUARDED.into_iter().try_for_each(|(message, handler)| events.add_first(message, handler))
}

/// A connection has become a session.
pub(super) fn connected(session: Session) {
    session.watch::<Unfinished>();
    session.gather_output();
}

struct Unfinished;

impl Watch for Unfinished {
    /// As much as a message may outgrow its length by before it is noticed.
    const INTERVAL: u32 = 1 << 16;

    fn begins(session: Session) {
        if super::is_needed() {
            latency::handshake_begins(session);
        }
    }

    fn can_wait(session: Session) {
        if session.is_incoming() {
            worker::live_streams_first();
        }
    }

    fn look(session: Session) -> bool {
        let check = session
            .unfinished()
            .try_for_each(|(received, length)| guard::unfinished(received, length));
        answer(session, check) == OK
    }
}

unsafe extern "C" fn amf(
    session: *mut ngx_rtmp_session_t,
    header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a message's check", ERROR, || {
        // SAFETY: nginx-rtmp's own, valid for the call.
        let (session, kind, chunks) =
            unsafe { (Session::from_raw(session), (*header).type_, session::chunks(message)) };
        let standing = Standing {
            has_application: session.has_application(),
            publishes_by_nginx: super::publishes_by_nginx(session),
        };
        match guard::amf(kind, standing, chunks) {
            Err(danger @ Danger::UnreadableMetadata) => ignored(session, danger),
            check => answer(session, check),
        }
    })
}

unsafe extern "C" fn aggregate(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("an aggregate's check", ERROR, || {
        // SAFETY: nginx-rtmp's own, valid for the call.
        let (session, chunks) = unsafe { (Session::from_raw(session), session::chunks(message)) };
        answer(session, guard::aggregate(chunks))
    })
}

unsafe extern "C" fn chunk_size(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: as nginx-rtmp called this.
    unsafe { first_buffer(session, message, guard::chunk_size) }
}

unsafe extern "C" fn video(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    // SAFETY: as nginx-rtmp called this.
    unsafe { first_buffer(session, message, guard::video) }
}

/// Checks a message of which nginx-rtmp reads the first buffer only.
///
/// # Safety
///
/// The arguments are those of a handler that nginx-rtmp has called.
#[inline]
unsafe fn first_buffer(
    session: *mut ngx_rtmp_session_t,
    message: *mut ngx_chain_t,
    check: fn(&[u8]) -> Result<(), Danger>,
) -> ngx_int_t {
    guard("a message's check", ERROR, || {
        // SAFETY: as promised by the caller.
        let (session, mut chunks) =
            unsafe { (Session::from_raw(session), session::chunks(message)) };
        answer(session, check(chunks.next().unwrap_or_default()))
    })
}

thread_local! {
    static REFUSED: RefCell<Telling> = const { RefCell::new(Telling::new()) };
    static IGNORED: RefCell<Telling> = const { RefCell::new(Telling::new()) };
}

/// Keeps metadata from nginx-rtmp, which would log an error for each and do nothing else.
#[cold]
fn ignored(session: Session, danger: Danger) -> ngx_int_t {
    warn(&IGNORED, session, format_args!("stagedoor: metadata ignored: {danger}"));
    DONE
}

/// What a handler says to nginx-rtmp. A refusal is counted, and told once a second.
#[inline]
fn answer(session: Session, check: Result<(), Danger>) -> ngx_int_t {
    match check {
        Ok(()) => OK,
        Err(danger) => {
            refused(session, danger);
            ERROR
        }
    }
}

#[cold]
fn refused(session: Session, danger: Danger) {
    live::count(|counters| counters.message_refused());
    warn(&REFUSED, session, format_args!("stagedoor: message refused: {danger}"));
}

fn warn(lines: &'static LocalKey<RefCell<Telling>>, session: Session, line: Arguments<'_>) {
    lines.with_borrow_mut(|lines| {
        lines.tell(Instant::now(), line, |line| session.log().warn(line));
    });
}

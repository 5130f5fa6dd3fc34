//! The end of a stream, as nginx-rtmp's close chain tells it. The chain can run several times a
//! session, and for sessions that never published; the end of the session's connection, which
//! always comes, is [`Publisher`]'s own.
//!
//! What a client sends behind the end of its stream is dropped. nginx-rtmp's modules keep the name,
//! and would write it into new segments (ngx_rtmp_hls_module.c, ngx_rtmp_hls_video), of a stream that
//! is not live and that nobody could stop.

use nginx_sys::{ngx_chain_t, ngx_int_t};

use super::publish::Publisher;
use crate::ffi::events::{Events, NoMemory};
use crate::ffi::guard::guard;
use crate::ffi::module::{DONE, OK};
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{
    NGX_RTMP_MSG_AUDIO, NGX_RTMP_MSG_VIDEO, ngx_rtmp_close_stream_pt, ngx_rtmp_close_stream_t,
    ngx_rtmp_delete_stream_pt, ngx_rtmp_delete_stream_t, ngx_rtmp_header_t, ngx_rtmp_session_t,
};
use crate::ffi::session::Session;

/// The chains behind us.
static NEXT: Previous<ngx_rtmp_close_stream_pt> = Previous::new();
static NEXT_DELETE: Previous<ngx_rtmp_delete_stream_pt> = Previous::new();

/// Puts our hooks in front of the close chain and of the one that is run before it.
///
/// # Safety
///
/// Both heads are nginx-rtmp's variables, and modules are being set up.
pub(super) unsafe fn install(
    close: *mut ngx_rtmp_close_stream_pt,
    delete: *mut ngx_rtmp_delete_stream_pt,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        NEXT.hook(close, Some(closed));
        NEXT_DELETE.hook(delete, Some(deleted));
    }
}

/// Puts a handler in front of those for media.
pub(super) fn install_for_media(events: &Events) -> Result<(), NoMemory> {
    events.add_first(NGX_RTMP_MSG_AUDIO, media)?;
    events.add_first(NGX_RTMP_MSG_VIDEO, media)
}

unsafe extern "C" fn media(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    _message: *mut ngx_chain_t,
) -> ngx_int_t {
    Session::has_sent_media();
    guard("media", OK, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        if Publisher::is_settled(session) {
            return OK;
        }
        // A session without a publisher has never published (chain.rs).
        let goes_on = Publisher::find(session).is_none_or(|publisher| publisher.before_media());
        if goes_on { OK } else { DONE }
    })
}

unsafe extern "C" fn deleted(
    session: *mut ngx_rtmp_session_t,
    command: *mut ngx_rtmp_delete_stream_t,
) -> ngx_int_t {
    // SAFETY: nginx-rtmp's own, valid while the session is.
    guard("a stream's deletion", (), || unsafe {
        Session::from_raw(session).prepare_end_of_push();
    });
    // SAFETY: the very call that nginx-rtmp would have made.
    NEXT_DELETE.get().map_or(OK, |next| unsafe { next(session, command) })
}

unsafe extern "C" fn closed(
    session: *mut ngx_rtmp_session_t,
    command: *mut ngx_rtmp_close_stream_t,
) -> ngx_int_t {
    // SAFETY: nginx-rtmp's own, valid while the session is.
    let view = unsafe { Session::from_raw(session) };
    let is_half_begun = guard("a stream's last moment", false, || {
        view.prepare_end_of_push();
        let Some(publisher) = Publisher::find(view) else { return false };
        publisher.files.before_close(view);
        publisher.has_stream() && view.live_name().is_none() && view.awaits_callback()
    });
    // The rest of the chain goes first: whoever gets the name next must find its files closed.
    // SAFETY: the very call that nginx-rtmp would have made.
    let result = NEXT.get().map_or(OK, |next| unsafe { next(session, command) });
    let has_ended = guard("a stream's end", false, || {
        view.stop_pushing();
        if let Some(publisher) = Publisher::find(view) {
            publisher.files.release();
            publisher.end(publisher.end_reason());
        }
        true
    });
    // What is still to be answered would begin the stream, behind its end.
    if is_half_begun || !has_ended {
        view.finalize();
    }
    result
}

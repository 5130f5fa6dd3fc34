//! The end of a stream, as nginx-rtmp's close chain tells it. The chain can run several times a
//! session, and for sessions that never published; the end of the session's connection, which
//! always comes, is [`Publisher`]'s own.

use nginx_sys::ngx_int_t;

use super::publish::Publisher;
use crate::ffi::guard::guard;
use crate::ffi::module::OK;
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{ngx_rtmp_close_stream_pt, ngx_rtmp_close_stream_t, ngx_rtmp_session_t};
use crate::ffi::session::Session;

/// The chain behind us.
static NEXT: Previous<ngx_rtmp_close_stream_pt> = Previous::new();

/// Puts our hook in front of the close chain.
///
/// # Safety
///
/// `head` is nginx-rtmp's variable, and modules are being set up.
pub(super) unsafe fn install(head: *mut ngx_rtmp_close_stream_pt) {
    // SAFETY: as promised by the caller.
    unsafe { NEXT.hook(head, Some(closed)) };
}

unsafe extern "C" fn closed(
    session: *mut ngx_rtmp_session_t,
    command: *mut ngx_rtmp_close_stream_t,
) -> ngx_int_t {
    // The rest of the chain goes first: whoever gets the name next must find its files closed.
    // SAFETY: the very call that nginx-rtmp would have made.
    let result = NEXT.get().map_or(OK, |next| unsafe { next(session, command) });
    // SAFETY: nginx-rtmp's own, valid while the session is.
    let session = unsafe { Session::from_raw(session) };
    let has_ended = guard("a stream's end", false, || {
        if let Some(publisher) = Publisher::find(session) {
            publisher.end(publisher.end_reason());
        }
        true
    });
    if !has_ended {
        session.finalize();
    }
    result
}

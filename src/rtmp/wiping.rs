//! Keys do not stay in nginx-rtmp's memory.
//!
//! An encoder sends its key up to five times: in `publish`, and before and after in commands that have
//! no use for it. The session's buffers keep all of it until they are used again.
//! So each such message is overwritten when it has been handled, and what the reading of messages
//! left elsewhere in the buffers as soon as nginx-rtmp has done with what it has read.

use nginx_sys::{ngx_chain_t, ngx_int_t, ngx_str_t};

use super::is_needed;
use super::publish::Publisher;
use crate::ffi::events::{Events, NoMemory};
use crate::ffi::guard::guard;
use crate::ffi::module::{OK, text};
use crate::ffi::rtmp::{ngx_rtmp_header_t, ngx_rtmp_session_t};
use crate::ffi::session::{Session, input};

/// Commands of Flash Media Live Encoder, which other encoders send as well, with the stream's name;
/// and one of RTMP's own, in which GStreamer's rtmp2sink puts the name in the place of a number.
const COMMANDS: [ngx_str_t; 4] =
    [text(c"releaseStream"), text(c"FCPublish"), text(c"FCUnpublish"), text(c"deleteStream")];

/// Puts our handler behind all others of these commands.
pub(super) fn install(events: &Events) -> Result<(), NoMemory> {
    COMMANDS.into_iter().try_for_each(|name| events.add_command(name, handled))
}

unsafe extern "C" fn handled(
    session: *mut ngx_rtmp_session_t,
    _header: *mut ngx_rtmp_header_t,
    message: *mut ngx_chain_t,
) -> ngx_int_t {
    guard("a command with a stream's name", OK, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let session = unsafe { Session::from_raw(session) };
        if is_needed() && !session.is_auto_pushed() && !session.is_relay() {
            // SAFETY: nginx-rtmp's handlers have run, and no other module is to read the key.
            unsafe { wipe(session, message) };
        }
        OK
    })
}

/// Overwrites a message, and what is like it in the session's buffers.
///
/// # Safety
///
/// As [`input::wipe`].
pub(super) unsafe fn wipe(session: Session, message: *mut ngx_chain_t) {
    // SAFETY: as promised by the caller.
    unsafe { input::wipe(message) };
    if let Some(publisher) = Publisher::find(session) {
        publisher.wiping.post();
    }
}

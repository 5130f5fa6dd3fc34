//! The publish chain: what nginx-rtmp's modules are spared before they hear of a stream, whoever
//! publishes it and whether it needs a key or not.

use nginx_sys::ngx_int_t;

use super::publish::Publisher;
use crate::ffi::guard::guard;
use crate::ffi::module::{ERROR, OK};
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::{ngx_rtmp_publish_pt, ngx_rtmp_publish_t, ngx_rtmp_session_t};
use crate::ffi::session::Session;

/// The chain behind us.
static NEXT: Previous<ngx_rtmp_publish_pt> = Previous::new();

/// Puts our hook in front of the publish chain.
///
/// # Safety
///
/// `head` is nginx-rtmp's variable, and modules are being set up.
pub(super) unsafe fn install(head: *mut ngx_rtmp_publish_pt) {
    // SAFETY: as promised by the caller.
    unsafe { NEXT.hook(head, Some(publish)) };
}

unsafe extern "C" fn publish(
    session: *mut ngx_rtmp_session_t,
    command: *mut ngx_rtmp_publish_t,
) -> ngx_int_t {
    let may_go_on = guard("a publish's preparation", false, || {
        // SAFETY: nginx-rtmp's own, valid while the session is.
        let (session, name) = unsafe { (Session::from_raw(session), &(*command).name) };
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if session.is_taken(name) {
            session.log().warn(format_args!(
                "stagedoor: publish refused: this worker has a stream of that name, app: \"{}\"",
                session.app()
            ));
            session.send_error(c"NetStream.Publish.BadName", c"Already publishing");
            return false;
        }
        let is_live = Publisher::find(session).is_some_and(|publisher| publisher.is_live());
        if session.is_incoming() && !super::publishes_by_nginx(session) && !is_live {
            session.log().warn(format_args!(
                "stagedoor: publish refused: a name comes from a key, not from the control module, \
                 app: \"{}\"",
                session.app()
            ));
            return false;
        }
        let Some(publisher) = Publisher::of(session) else { return false };
        publisher.begins();
        session.prepare_pushing(name)
    });
    if !may_go_on {
        return ERROR;
    }
    // SAFETY: the very call that nginx-rtmp would have made.
    NEXT.get().map_or(OK, |next| unsafe { next(session, command) })
}

//! Pushing a stream to other servers, as nginx-rtmp's relay module does it, and to other workers.
//!
//! The module keeps a context for a session that pushes, but makes it only once a push has begun. When the
//! first one of a stream cannot, because nothing listens there on this host, or there is no descriptor or
//! connection left, it sets the timer of a context that is not there (ngx_rtmp_relay_module.c,
//! ngx_rtmp_relay_publish), and the worker is gone. So the session has the context before that.
//!
//! At the end of a stream the module leaves in the context what is not there any more: the name, the pushes,
//! and what was behind it in the table of names (ngx_rtmp_relay_close). With the session's next stream it
//! walks freed memory, or a list without an end. So the context is as new then.

use std::ffi::c_void;
use std::ptr;

use nginx_sys::{
    ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_pcalloc, ngx_pnalloc, ngx_pool_cleanup_add,
    ngx_str_t,
};

use super::Session;
use crate::ffi::guard::guard;
use crate::ffi::module::OK;
use crate::ffi::rtmp::{
    ngx_rtmp_auto_push_ctx_s, ngx_rtmp_relay_app_conf_t, ngx_rtmp_relay_ctx_t,
    ngx_rtmp_relay_target_t, ngx_rtmp_session_t,
};
use crate::ffi::symbols::symbols;

impl Session {
    /// Has the session, which is about to publish a stream of this name, be one that can push it.
    /// Returns whether there was memory for that.
    pub fn prepare_pushing(self, name: &[u8]) -> bool {
        if self.is_relay() || self.raw().auto_pushed() != 0 || self.targets().is_empty() {
            return true;
        }
        let Some(place) = self.relay_place() else { return true };
        // SAFETY: the session's place for the relay module, which keeps a context there or nothing;
        // both live in the connection's pool, and so does what is made here.
        unsafe {
            if place.read().is_null() {
                let Some(context) = self.new_context() else { return false };
                place.write(context.cast::<c_void>());
            }
            let context = place.read().cast::<ngx_rtmp_relay_ctx_t>();
            if (*context).publish.is_null() {
                self.begin_context(context);
                let data = ngx_pnalloc(self.connection().pool, name.len().max(1)).cast::<u8>();
                if data.is_null() {
                    return false;
                }
                ptr::copy_nonoverlapping(name.as_ptr(), data, name.len());
                (*context).name = ngx_str_t { len: name.len(), data };
            }
        }
        true
    }

    /// A push of this session's, or a player of it, may end: then nginx-rtmp sets the timer of whatever
    /// it is attached to, and what is being pulled has no handler there (ngx_rtmp_relay_module.c,
    /// ngx_rtmp_relay_create_connection, ngx_rtmp_relay_close). That happens to a push whose name is pulled.
    pub fn prepare_end_of_push(self) {
        let Some(place) = self.relay_place() else { return };
        // SAFETY: what the module keeps of the session, or null, and what that is attached to, whose
        // session lives: it takes leave of all that are attached to it.
        unsafe {
            let Some(context) = place.read().cast::<ngx_rtmp_relay_ctx_t>().as_mut() else {
                return;
            };
            let Some(publish) = context.publish.as_mut() else { return };
            if publish.push_evt.handler.is_none() && !publish.session.is_null() {
                let session = Session::from_raw(publish.session);
                session.own_timer(&mut publish.push_evt, nothing);
            }
        }
    }

    /// The stream has ended: no push of it is tried again, and nothing is left of it.
    pub fn stop_pushing(self) {
        let Some(symbols) = symbols() else { return };
        // SAFETY: what the module keeps of the session, or null. The event is nginx-rtmp's own, or ours.
        unsafe {
            let relay = self.place(symbols.relay_module).read().cast::<ngx_rtmp_relay_ctx_t>();
            if let Some(context) = relay.as_mut()
                && context.publish.is_null()
                && !self.is_relay()
            {
                stop_timer(&raw mut context.push_evt);
                context.play = ptr::null_mut();
                context.next = ptr::null_mut();
                context.name = ngx_str_t::default();
            }
        }
        self.stop_auto_pushing();
    }

    /// No push to another worker is tried again. nginx-rtmp clears the timer with the next publish, set or
    /// not (ngx_rtmp_auto_push_module.c, ngx_rtmp_auto_push_publish); behind the end of a stream it is
    /// set by a push that ends later, as they do with `session_relay on`.
    pub fn stop_auto_pushing(self) {
        let Some(symbols) = symbols() else { return };
        // SAFETY: what the module keeps of the session, or null; the timer is the module's own.
        unsafe {
            let kept = self.place(symbols.auto_push_module).read();
            if let Some(context) = kept.cast::<ngx_rtmp_auto_push_ctx_s>().as_mut() {
                stop_timer(&raw mut context.push_evt);
            }
        }
    }

    /// A context as ngx_rtmp_relay_create_local_ctx makes it.
    unsafe fn new_context(self) -> Option<*mut ngx_rtmp_relay_ctx_t> {
        let pool = self.connection().pool;
        // SAFETY: the connection's own pool; all zeroes are such a context's beginning. The clean-up
        // runs before the memory is given back.
        unsafe {
            let cleanup = ngx_pool_cleanup_add(pool, 0).as_mut()?;
            let context = ngx_pcalloc(pool, size_of::<ngx_rtmp_relay_ctx_t>());
            let context = context.cast::<ngx_rtmp_relay_ctx_t>().as_mut()?;
            cleanup.data = ptr::from_mut(context).cast::<c_void>();
            cleanup.handler = Some(forget);
            Some(context)
        }
    }

    /// What is the same for each stream of the session.
    unsafe fn begin_context(self, context: *mut ngx_rtmp_relay_ctx_t) {
        // SAFETY: the session's context, of which the relay module has no push.
        unsafe {
            (*context).session = self.as_ptr();
            self.own_timer(&mut (*context).push_evt, retry);
        }
    }

    /// Has a timer of the session's do this.
    fn own_timer(self, event: &mut ngx_event_t, handler: unsafe extern "C" fn(*mut ngx_event_t)) {
        event.data = self.as_ptr().cast::<c_void>();
        event.log = self.connection().log;
        event.handler = Some(handler);
    }

    fn relay_place(self) -> Option<*mut *mut c_void> {
        Some(self.place(symbols()?.relay_module))
    }

    fn relay_conf<'a>(self) -> Option<&'a ngx_rtmp_relay_app_conf_t> {
        // SAFETY: the relay module's own configuration, whose type is that of the source that this
        // module was built for.
        let conf: &ngx_rtmp_relay_app_conf_t = unsafe { self.app_conf(symbols()?.relay_module)? };
        (conf.pushes.size == size_of::<*mut ngx_rtmp_relay_target_t>()).then_some(conf)
    }

    /// Where the application pushes to.
    fn targets<'a>(self) -> &'a [*mut ngx_rtmp_relay_target_t] {
        // SAFETY: an array of such pointers, which stands while the worker runs.
        self.relay_conf().map_or(&[], |conf| unsafe { conf.pushes.as_slice() })
    }
}

/// Tries the pushes again that have not begun, as ngx_rtmp_relay_push_reconnect does. Once one has
/// begun, nginx-rtmp puts that in the place of this.
unsafe extern "C" fn retry(event: *mut ngx_event_t) {
    guard("a push", (), || {
        // SAFETY: the event of a session's context, see `new_context`; neither is there any more when
        // the session is gone.
        unsafe {
            let session = Session::from_raw((*event).data.cast::<ngx_rtmp_session_t>());
            let (Some(symbols), Some(conf), Some(place)) =
                (symbols(), session.relay_conf(), session.relay_place())
            else {
                return;
            };
            let context = place.read().cast::<ngx_rtmp_relay_ctx_t>();
            let mut have_begun = true;
            for &target in session.targets() {
                let wanted = (*target).name.as_bytes();
                // Not the context's own name: nginx-rtmp writes that anew from what it is given.
                let name = session.live_name().unwrap_or((*context).name.as_bytes());
                let is_for_it = wanted.is_empty() || wanted == name;
                if !is_for_it || is_pushed(context, target) {
                    continue;
                }
                let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
                let rc = (symbols.relay_push)(session.as_ptr(), &raw mut name, target);
                have_begun &= rc == OK;
            }
            if !have_begun && (*event).timer_set() == 0 {
                ngx_add_timer(event, conf.push_reconnect);
            }
        }
    });
}

/// # Safety
///
/// Both are nginx-rtmp's own.
unsafe fn is_pushed(
    context: *mut ngx_rtmp_relay_ctx_t,
    target: *mut ngx_rtmp_relay_target_t,
) -> bool {
    // SAFETY: a list of contexts that live.
    unsafe {
        let mut push = (*context).play;
        while let Some(known) = push.as_ref() {
            if known.data == target.cast::<c_void>() {
                return true;
            }
            push = known.next;
        }
    }
    false
}

/// A pull's timer: it is pulled again when somebody wants to play it.
unsafe extern "C" fn nothing(_event: *mut ngx_event_t) {}

unsafe extern "C" fn forget(context: *mut c_void) {
    // SAFETY: a context of `new_context`, in a pool that is being destroyed.
    unsafe { stop_timer(&raw mut (*context.cast::<ngx_rtmp_relay_ctx_t>()).push_evt) };
}

/// # Safety
///
/// The event is there, and no timer of its is set that nginx does not know of.
unsafe fn stop_timer(event: *mut ngx_event_t) {
    // SAFETY: as promised by the caller.
    unsafe {
        if (*event).timer_set() != 0 {
            ngx_del_timer(event);
        }
    }
}

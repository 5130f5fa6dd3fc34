//! Timers and posted events, as closures that own their event.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::fmt;
use std::mem::zeroed;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use nginx_sys::{
    ngx_add_timer, ngx_connection_t, ngx_del_timer, ngx_delete_posted_event, ngx_event_t,
    ngx_msec_t, ngx_post_event, ngx_posted_events, ngx_posted_next_events,
};

use super::guard::contain;
use super::log::Log;

/// An event of ours. nginx knows it by the address of its first field, so it stays in its box.
#[repr(C)]
struct Inner {
    event: UnsafeCell<ngx_event_t>,
    /// nginx logs the descriptor of the connection that `event.data` points to.
    connection: UnsafeCell<ngx_connection_t>,
    /// After how many milliseconds it comes again.
    again: Cell<Option<ngx_msec_t>>,
    action: Rc<dyn Fn()>,
}

impl Inner {
    fn new(log: Log, action: impl Fn() + 'static) -> Box<Inner> {
        // SAFETY: both are plain C structures for which all zeroes is how nginx starts them.
        let (event, connection) = unsafe { (zeroed(), zeroed()) };
        let inner = Box::new(Inner {
            event: UnsafeCell::new(event),
            connection: UnsafeCell::new(connection),
            again: Cell::new(None),
            action: Rc::new(action),
        });
        // SAFETY: nothing else knows the two yet.
        unsafe {
            (*inner.connection.get()).fd = -1;
            let event = &mut *inner.event.get();
            event.data = inner.connection.get().cast::<c_void>();
            event.handler = Some(fire);
            event.log = log.as_ptr();
        }
        inner
    }
}

unsafe extern "C" fn fire(event: *mut ngx_event_t) {
    // SAFETY: only `Inner`'s event has this handler, and it is the first field.
    let action = unsafe {
        let inner = &*event.cast::<Inner>();
        // First of all: what goes wrong in the action does not end the series.
        if let Some(ms) = inner.again.get() {
            ngx_add_timer(inner.event.get(), ms);
        }
        inner.action.clone()
    };
    // The action may drop the event; its own copy keeps it alive while it runs.
    contain("an event", (), || action());
}

/// A timer on nginx's event loop. Dropping it stops it.
pub struct Timer(Box<Inner>);

impl Timer {
    /// A timer that will call `action` when it is set and expires.
    pub fn new(log: Log, action: impl Fn() + 'static) -> Timer {
        Timer(Inner::new(log, action))
    }

    /// Lets a worker that is shutting down exit although the timer is set.
    pub fn cancelable(self) -> Timer {
        // SAFETY: the event is ours, and nginx is not looking at it: one thread runs both.
        unsafe { (*self.0.event.get()).set_cancelable(1) };
        self
    }

    /// Lets it expire again and again, until it is stopped, once it is set.
    pub fn recurring(self, every: Duration) -> Timer {
        self.0.again.set(Some(milliseconds(every)));
        self
    }

    /// Sets it, or sets it anew.
    pub fn set(&self, after: Duration) {
        let ms = milliseconds(after);
        // nginx leaves one that is set as it is, when the difference is small (ngx_event_timer.h).
        self.stop();
        // SAFETY: the event lives as long as the timer, and is taken out when that is dropped.
        unsafe { ngx_add_timer(self.0.event.get(), ms) };
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        // SAFETY: the event is ours, and nginx is not looking at it: one thread runs both.
        unsafe { (*self.0.event.get()).timer_set() != 0 }
    }

    /// Stops it.
    pub fn stop(&self) {
        if self.is_set() {
            // SAFETY: the event is valid, and in the timer tree.
            unsafe { ngx_del_timer(self.0.event.get()) };
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

fn milliseconds(time: Duration) -> ngx_msec_t {
    ngx_msec_t::try_from(time.as_millis()).unwrap_or(ngx_msec_t::MAX >> 1)
}

/// An action for right after what nginx is doing now. Dropping it takes it back.
pub struct Posted(Box<Inner>);

impl Posted {
    /// An event that will call `action` each time it was posted.
    pub fn new(log: Log, action: impl Fn() + 'static) -> Posted {
        Posted(Inner::new(log, action))
    }

    /// Posts it, unless it is posted already.
    pub fn post(&self) {
        // SAFETY: the event lives as long as this value, and is taken out when that is dropped.
        unsafe { ngx_post_event(self.0.event.get(), ptr::addr_of_mut!(ngx_posted_events)) };
    }
}

/// Has nginx handle one of its own events in the next turn of the event loop, as if it were new then.
///
/// # Safety
///
/// The event is a valid one, of a connection.
pub(super) unsafe fn post_next(event: *mut ngx_event_t) {
    // SAFETY: as promised by the caller.
    unsafe { ngx_post_event(event, ptr::addr_of_mut!(ngx_posted_next_events)) };
}

impl Drop for Posted {
    fn drop(&mut self) {
        let event = self.0.event.get();
        // SAFETY: the event is valid; it is in the queue only while `posted`.
        unsafe {
            if (*event).posted() != 0 {
                ngx_delete_posted_event(event);
            }
        }
    }
}

impl fmt::Debug for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posted").finish_non_exhaustive()
    }
}

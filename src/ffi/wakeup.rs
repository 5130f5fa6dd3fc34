//! How another thread wakes the event loop: an eventfd that nginx watches.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use nginx_sys::{ngx_connection_t, ngx_cycle, ngx_event_t};

use super::guard::guard;
use super::module::OK;
use super::rtmp::{STAGEDOOR_READ_EVENT, ngx_add_channel_event};

/// The waking side, for any thread. The eventfd stays open for the rest of the process: closed, its
/// number could become another one's while nginx still watches it.
#[derive(Clone, Copy, Debug)]
pub struct Waker(BorrowedFd<'static>);

impl Waker {
    /// Makes the eventfd and has nginx call `H::woken` for each burst of wake-ups.
    ///
    /// # Errors
    ///
    /// When the kernel has no descriptor, or nginx no connection, left.
    pub fn new<H: OnWakeup>() -> io::Result<Waker> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: called in a worker, whose cycle stays; the descriptor does, too.
        let rc = unsafe {
            ngx_add_channel_event(
                ngx_cycle,
                fd.as_raw_fd(),
                STAGEDOOR_READ_EVENT,
                Some(readable::<H>),
            )
        };
        if rc != OK {
            return Err(io::Error::other("nginx has no connection left, see worker_connections"));
        }
        // SAFETY: given up, the descriptor is never closed.
        Ok(Waker(unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }))
    }

    /// Wakes the event loop; wake-ups that it has not noticed yet become one.
    pub fn wake(self) {
        let one = 1u64.to_ne_bytes();
        // A full counter means that the loop will wake anyhow.
        // SAFETY: the bytes are there for the call.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

/// What is called on the event loop.
pub trait OnWakeup: 'static {
    /// Somebody has called [`Waker::wake`] since the last time.
    fn woken();
}

unsafe extern "C" fn readable<H: OnWakeup>(event: *mut ngx_event_t) {
    guard("a wake-up", (), || {
        // SAFETY: nginx calls this with the read event of the connection that it made for the
        // eventfd, whose descriptor is never closed.
        let file = unsafe {
            let connection = (*event).data.cast::<ngx_connection_t>();
            std::mem::ManuallyDrop::new(File::from_raw_fd((*connection).fd))
        };
        let mut count = [0; 8];
        let _ = (&*file).read(&mut count);
        H::woken();
    });
}

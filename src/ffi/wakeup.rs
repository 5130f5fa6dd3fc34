//! How another thread wakes the event loop: an eventfd that nginx watches.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nginx_sys::{
    NGX_USE_CLEAR_EVENT, ngx_connection_t, ngx_cycle, ngx_event_actions, ngx_event_flags,
    ngx_event_t, ngx_free_connection, ngx_get_connection, ngx_uint_t,
};

use super::guard::guard;
use super::module::OK;
use super::rtmp::{STAGEDOOR_CLEAR_EVENT, STAGEDOOR_READ_EVENT};

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
        unsafe { watch::<H>(fd.as_raw_fd()) }?;
        // SAFETY: given up, the descriptor is never closed.
        Ok(Waker(unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }))
    }

    /// What is written to.
    pub fn descriptor(self) -> BorrowedFd<'static> {
        self.0
    }

    /// Wakes the event loop; wake-ups that it has not noticed yet become one.
    pub fn wake(self) {
        let one = 1u64.to_ne_bytes();
        // A full counter means that the loop will wake anyhow.
        // SAFETY: the bytes are there for the call.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

/// Whether nginx is told of each write, and not of what has yet to be read (epoll(7), edge-triggered):
/// then nothing has to be.
fn is_edge_triggered() -> bool {
    // SAFETY: a plain integer that nginx sets before modules start in a worker.
    unsafe { ngx_event_flags & NGX_USE_CLEAR_EVENT as ngx_uint_t != 0 }
}

/// As ngx_add_channel_event does it (ngx_channel.c), but for that.
///
/// # Safety
///
/// Called in a worker, with a descriptor that stays open.
unsafe fn watch<H: OnWakeup>(fd: RawFd) -> io::Result<()> {
    // SAFETY: as promised by the caller; nginx's own connection, and its own way to watch it.
    unsafe {
        let log = (*ngx_cycle).log;
        let connection = ngx_get_connection(fd, log);
        if connection.is_null() {
            return Err(io::Error::other("nginx has no connection left, see worker_connections"));
        }
        (*connection).pool = (*ngx_cycle).pool;
        let (read, write) = ((*connection).read, (*connection).write);
        (*read).log = log;
        (*write).log = log;
        (*read).set_channel(1);
        (*write).set_channel(1);
        (*read).handler = Some(readable::<H>);
        let how = if is_edge_triggered() { STAGEDOOR_CLEAR_EVENT } else { 0 };
        let add = ngx_event_actions.add;
        if add.is_none_or(|add| add(read, STAGEDOOR_READ_EVENT, how) != OK) {
            ngx_free_connection(connection);
            return Err(io::Error::other("nginx cannot watch an eventfd"));
        }
    }
    Ok(())
}

/// What is called on the event loop.
pub trait OnWakeup: 'static {
    /// Somebody has called [`Waker::wake`] since the last time.
    fn woken();
}

unsafe extern "C" fn readable<H: OnWakeup>(event: *mut ngx_event_t) {
    guard("a wake-up", (), || {
        if !is_edge_triggered() {
            // SAFETY: nginx calls this with the event of the connection in `watch`.
            unsafe { empty(event) };
        }
        H::woken();
    });
}

unsafe fn empty(event: *mut ngx_event_t) {
    // SAFETY: nginx calls this with the read event of the connection that it made for the
    // eventfd, whose descriptor is never closed.
    let file = unsafe {
        let connection = (*event).data.cast::<ngx_connection_t>();
        std::mem::ManuallyDrop::new(File::from_raw_fd((*connection).fd))
    };
    let mut count = [0; 8];
    let _ = (&*file).read(&mut count);
}

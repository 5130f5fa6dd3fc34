//! Reading ahead of nginx-rtmp, which reads into buffers of one chunk each: a picture of ten chunks
//! is ten system calls, and as many that ask what is left (ngx_recv.c, FIONREAD).
//!
//! What one call brings beyond the buffer that nginx-rtmp has at hand waits here. It reads on until
//! there is nothing more, or ends the session (ngx_rtmp_handler.c, ngx_rtmp_recv), so one place
//! is enough for all sessions of a worker, and what is left there behind an event is of a session
//! that has ended. Nothing stays: there may be a stream key in it.

use std::cell::RefCell;
use std::io;
use std::ptr;

use nginx_sys::{
    NGX_AGAIN, NGX_USE_EPOLL_EVENT, ngx_connection_t, ngx_event_flags, ngx_uint_t,
    ngx_use_epoll_rdhup,
};

use crate::ffi::event::Posted;
use crate::ffi::log::Log;

/// How much is read ahead at most, in bytes: four chunks of the size that encoders use most.
const ROOM: usize = 16 << 10;

thread_local! {
    static AHEAD: RefCell<Ahead> = const { RefCell::new(Ahead::new()) };
}

/// What was read and not asked for yet.
#[derive(Debug)]
struct Ahead {
    /// Whose it is.
    of: *const ngx_connection_t,
    room: Vec<u8>,
    /// Where in the room it lies.
    start: usize,
    end: usize,
    /// Clears it, behind the events of this turn.
    clearing: Option<Posted>,
}

/// What was read ahead of a connection, into nginx-rtmp's buffer; `None` if there is nothing.
///
/// # Safety
///
/// The arguments are those of a connection's `recv` that nginx-rtmp has called.
pub(super) unsafe fn take(
    connection: *const ngx_connection_t,
    buffer: *mut u8,
    size: usize,
) -> Option<isize> {
    // SAFETY: as promised by the caller.
    with(|ahead| unsafe { ahead.take(connection, buffer, size) })
}

/// Receives into nginx-rtmp's buffer, and reads ahead. Returns what `recv` returns; `None` leaves it to
/// nginx's own function: at the end of what has come, for errors, and where nginx does not know how much
/// there is.
///
/// # Safety
///
/// As [`take`].
pub(super) unsafe fn read(
    connection: *mut ngx_connection_t,
    buffer: *mut u8,
    size: usize,
) -> Option<isize> {
    // SAFETY: as promised by the caller.
    with(|ahead| unsafe { ahead.read(connection, buffer, size) })
}

fn with(read: impl FnOnce(&mut Ahead) -> Option<isize>) -> Option<isize> {
    AHEAD
        .try_with(|ahead| ahead.try_borrow_mut().ok().and_then(|mut ahead| read(&mut ahead)))
        .ok()?
}

impl Ahead {
    const fn new() -> Ahead {
        Ahead { of: ptr::null(), room: Vec::new(), start: 0, end: 0, clearing: None }
    }

    /// # Safety
    ///
    /// As [`take`].
    unsafe fn take(
        &mut self,
        connection: *const ngx_connection_t,
        buffer: *mut u8,
        size: usize,
    ) -> Option<isize> {
        if self.start == self.end || self.of != connection {
            return None;
        }
        let len = size.min(self.end - self.start);
        let bytes = &mut self.room[self.start..self.start + len];
        // SAFETY: as promised by the caller; the room is memory of our own.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, len) };
        bytes.fill(0);
        self.start += len;
        Some(len as isize)
    }

    /// # Safety
    ///
    /// As [`read`].
    unsafe fn read(
        &mut self,
        connection: *mut ngx_connection_t,
        buffer: *mut u8,
        size: usize,
    ) -> Option<isize> {
        // SAFETY: as promised by the caller; nginx's variables are set before workers run.
        let (fd, event, has_rdhup) = unsafe {
            let flags = ngx_event_flags & NGX_USE_EPOLL_EVENT as ngx_uint_t;
            ((*connection).fd, &mut *(*connection).read, flags != 0 && ngx_use_epoll_rdhup != 0)
        };
        let is_free = self.start == self.end;
        if !is_free || !has_rdhup || event.pending_eof() != 0 || event.available == 0 {
            return None;
        }
        let room = self.room()?;
        let asked = size + room.len();
        let parts = [
            libc::iovec { iov_base: buffer.cast(), iov_len: size },
            libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
        ];
        // Not libc's readv(), which may be cancelled: with a second thread that is prepared for, and taken
        // back, with an atomic operation each (pthreads(7), "Cancellation points").
        // SAFETY: the connection's descriptor, and memory that may be written.
        let received = unsafe { libc::syscall(libc::SYS_readv, fd, parts.as_ptr(), parts.len()) };
        let Some(received) = usize::try_from(received).ok().filter(|&received| received > 0) else {
            let is_all =
                received < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
            return is_all.then(|| {
                event.set_ready(0);
                NGX_AGAIN as isize
            });
        };
        // As ngx_recv.c counts what is left: less than was asked for is all there was. What comes later is for
        // the next turn of the event loop, or whoever sends faster than it is read would have all turns.
        if received < asked {
            event.set_ready(0);
            event.available = 0;
        } else if event.available > 0 {
            let left = i64::from(event.available) - received as i64;
            event.available = left.max(0) as i32;
        } else {
            // SAFETY: the connection's descriptor, and an integer for the kernel to write.
            unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut event.available) };
        }
        let here = received.min(size);
        if received > here {
            (self.of, self.start, self.end) = (connection, 0, received - here);
            self.clearing.get_or_insert_with(|| Posted::new(Log::cycle(), clear)).post();
        }
        Some(here as isize)
    }

    /// The room; `None` if there is no memory.
    fn room(&mut self) -> Option<&mut [u8]> {
        if self.room.is_empty() {
            self.room.try_reserve_exact(ROOM).ok()?;
            self.room.resize(ROOM, 0);
        }
        Some(&mut self.room)
    }
}

fn clear() {
    AHEAD.with_borrow_mut(|ahead| {
        let (start, end) = (ahead.start, ahead.end);
        ahead.room[start..end].fill(0);
        (ahead.of, ahead.start, ahead.end) = (ptr::null(), 0, 0);
    });
}

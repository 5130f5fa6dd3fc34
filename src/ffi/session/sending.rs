//! Sending what nginx-rtmp has for a client at once. It sends the buffers of a message one by one,
//! and each is one chunk: a picture of ten chunks is ten system calls for each of its viewers, and
//! as many packets more than needed.

use std::cell::Cell;
use std::io;
use std::ptr;

use nginx_sys::{NGX_AGAIN, ngx_chain_t, ngx_connection_t, ngx_send_pt, u_char};

use super::Session;
use crate::ffi::guard::guard;
use crate::ffi::module::ERROR;
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::ngx_rtmp_session_t;

/// How many buffers go out with one system call: 64 kB in chunks of the usual 4,096 bytes.
const PARTS: usize = 16;

/// nginx's own way to send.
static SEND: Previous<ngx_send_pt> = Previous::new();

thread_local! {
    /// How much of what nginx-rtmp is going to send has gone out, and to whom. It asks until all of that
    /// is sent (ngx_rtmp_handler.c, ngx_rtmp_send).
    static SENT: Cell<(*const ngx_connection_t, usize)> = const { Cell::new((ptr::null(), 0)) };
}

impl Session {
    /// Has what is queued for the client go out with as few system calls as possible. Meant for a session
    /// that nginx-rtmp has just made. One that sends in another way than the first did is left alone.
    pub fn gather_output(self) {
        // SAFETY: the session's own connection, and a field of it; nothing is being sent.
        unsafe { SEND.hook_usual(&raw mut (*self.raw().connection).send, Some(send)) };
    }
}

unsafe extern "C" fn send(
    connection: *mut ngx_connection_t,
    buffer: *mut u_char,
    size: usize,
) -> isize {
    // SAFETY: the very call that nginx-rtmp has made.
    let sent = guard("a write", Some(ERROR), || unsafe { send_queue(connection, buffer, size) });
    // SAFETY: the very call that nginx-rtmp would have made.
    let nginx = || SEND.get().map_or(ERROR, |send| unsafe { send(connection, buffer, size) });
    sent.unwrap_or_else(nginx)
}

/// Sends as much of the queue as it can; `None` leaves the buffer to nginx's own function: if it is
/// the only one, and for errors. Returns what `send` returns.
///
/// # Safety
///
/// The arguments are those of a connection's `send` that nginx-rtmp has called.
unsafe fn send_queue(
    connection: *mut ngx_connection_t,
    buffer: *mut u_char,
    size: usize,
) -> Option<isize> {
    let (to, sent) = SENT.replace((ptr::null(), 0));
    if to == connection.cast_const() && sent > 0 {
        let here = sent.min(size);
        SENT.set((to, sent - here));
        return Some(here as isize);
    }
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PARTS];
    // SAFETY: the data of such a connection is its session, whose queue nobody changes meanwhile.
    let parts = unsafe {
        let session = &*(*connection).data.cast::<ngx_rtmp_session_t>();
        let count = gather(session, buffer, size, &mut parts);
        parts.get(..count).filter(|parts| parts.len() > 1)?
    };
    let queued: usize = parts.iter().map(|part| part.iov_len).sum();
    // SAFETY: the connection's descriptor, and bytes of the queue. Not libc's writev(), see `ahead`.
    let sent =
        unsafe { libc::syscall(libc::SYS_writev, (*connection).fd, parts.as_ptr(), parts.len()) };
    // SAFETY: as nginx counts and notes it (ngx_send.c).
    let (count, write) = unsafe { (&mut (*connection).sent, &mut *(*connection).write) };
    let Some(sent) = usize::try_from(sent).ok().filter(|&sent| sent > 0) else {
        return (io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock).then(|| {
            write.set_ready(0);
            NGX_AGAIN as isize
        });
    };
    *count += sent as nginx_sys::off_t;
    if sent < queued {
        write.set_ready(0);
    }
    let here = sent.min(size);
    SENT.set((connection, sent - here));
    Some(here as isize)
}

/// Lists what nginx-rtmp is going to send, if that is its queue and begins with this buffer; how
/// many buffers these are.
///
/// # Safety
///
/// The session's queue is whole: chains of buffers from `out_chain`, and from each place between
/// `out_pos` and `out_last`.
unsafe fn gather(
    session: &ngx_rtmp_session_t,
    buffer: *mut u_char,
    size: usize,
    parts: &mut [libc::iovec; PARTS],
) -> usize {
    if session.out_chain.is_null() || session.out_bpos != buffer {
        return 0; // the handshake has a buffer of its own
    }
    parts[0] = libc::iovec { iov_base: buffer.cast(), iov_len: size };
    let mut count = 1;
    // SAFETY: as promised by the caller; an empty place or buffer ends it, as nginx-rtmp has none. Links and
    // buffers lie behind a count of four bytes (ngx_rtmp_shared.c, ngx_rtmp_alloc_shared_buf): not aligned.
    unsafe {
        let mut link = (&raw const (*session.out_chain).next).read_unaligned();
        let mut place = session.out_pos;
        while count < PARTS {
            if link.is_null() {
                place = (place + 1) % session.out_queue;
                if place == session.out_last {
                    break;
                }
                link = session.out.as_ptr().add(place).read();
                if link.is_null() {
                    break;
                }
                continue;
            }
            let ngx_chain_t { buf, next } = link.read_unaligned();
            let start = (&raw const (*buf).pos).read_unaligned();
            let end = (&raw const (*buf).last).read_unaligned();
            let len = end.offset_from_unsigned(start);
            if len == 0 {
                break;
            }
            parts[count] = libc::iovec { iov_base: start.cast(), iov_len: len };
            count += 1;
            link = next;
        }
    }
    count
}

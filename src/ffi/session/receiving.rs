//! What of a session's messages has come so far.

use std::cell::Cell;

use nginx_sys::{ngx_connection_t, ngx_recv_pt, u_char};

use super::{Session, ahead};
use crate::ffi::guard::guard;
use crate::ffi::module::ERROR;
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::ngx_rtmp_session_t;

/// A look at a session now and then, while it receives.
pub trait Watch {
    /// How many bytes come between two looks, at most about: a power of two.
    const INTERVAL: u32;
    /// Bytes of the handshake have come, which nginx-rtmp does not count, or the first ones behind it.
    fn begins(session: Session);
    /// Something is to be read of a session that has sent less than that so far. Sessions that somebody
    /// has opened to this server are read from their own event alone (ngx_rtmp_handler.c): nothing
    /// else is under way then.
    fn sets_up(session: Session);
    /// Says whether the session may go on.
    fn look(session: Session) -> bool;
}

thread_local! {
    /// Whose `sets_up` is running.
    static READING: Cell<Option<Session>> = const { Cell::new(None) };
}

/// nginx's own way to receive.
static RECV: Previous<ngx_recv_pt> = Previous::new();

impl Session {
    /// Has the session looked at while it receives. Meant for a session that nginx-rtmp has just
    /// made. One that receives in another way than the first did is left alone.
    pub fn watch<W: Watch>(self) {
        // SAFETY: the session's own connection, and a field of it; nothing is being received.
        unsafe {
            RECV.hook_usual(&raw mut (*self.raw().connection).recv, Some(receive::<W>));
        }
    }

    /// Has nginx-rtmp read what has come by now, as the event loop would (ngx_epoll_module.c). Does
    /// nothing for a session that is being read.
    pub fn receive_now(self) {
        // SAFETY: the connection's own read event; who handles it looks whether the session ends.
        unsafe {
            let read = self.connection().read;
            if READING.get() == Some(self) || (*read).active() == 0 {
                return;
            }
            (*read).set_ready(1);
            (*read).available = -1;
            if let Some(handler) = (*read).handler {
                handler(read);
            }
        }
    }

    /// For each chunk stream, how much of a message has come, and what its length is by its last
    /// header, both in bytes.
    pub fn unfinished<'a>(self) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.in_streams().iter().map(|stream| (stream.len, stream.hdr.mlen))
    }
}

unsafe extern "C" fn receive<W: Watch>(
    connection: *mut ngx_connection_t,
    buffer: *mut u_char,
    size: usize,
) -> isize {
    // SAFETY: the data of such a connection is its session.
    let session = unsafe { Session::from_raw((*connection).data.cast::<ngx_rtmp_session_t>()) };
    let before = session.bytes_in();
    if before < W::INTERVAL {
        let outer = READING.replace(Some(session));
        guard("a session's set-up", (), || W::sets_up(session));
        READING.set(outer);
    }
    // nginx-rtmp does not count the handshake, of which it reads no more than it needs next.
    // SAFETY: the very call that nginx-rtmp has made.
    let ahead = guard("a read", Some(ERROR), || unsafe {
        ahead::receive(connection, buffer, size, before > 0)
    });
    // SAFETY: the very call that nginx-rtmp would have made.
    let nginx = || RECV.get().map_or(ERROR, |recv| unsafe { recv(connection, buffer, size) });
    let received = ahead.unwrap_or_else(nginx);
    if received <= 0 {
        return received;
    }
    let after = before.wrapping_add(received as u32);
    if before == 0 {
        guard("the beginning of a session", (), || W::begins(session));
    }
    if before / W::INTERVAL == after / W::INTERVAL
        || guard("a look at what has come", false, || W::look(session))
    {
        return received;
    }
    ERROR
}

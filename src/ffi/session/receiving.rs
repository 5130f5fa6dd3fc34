//! What of a session's messages has come so far.

use std::cell::{Cell, RefCell};
use std::ptr;

use nginx_sys::{ngx_connection_t, ngx_recv_pt, u_char};
use stagedoor_core::pace::{HELPING, MANY, Moment, Pace, Share};

use super::{Session, ahead};
use crate::ffi::guard::guard;
use crate::ffi::module::{AGAIN, ERROR};
use crate::ffi::previous::Previous;
use crate::ffi::rtmp::ngx_rtmp_session_t;
use crate::ffi::{clock, event};

/// A look at a session now and then, while it receives.
pub trait Watch {
    /// How many bytes come between two looks, at most about: a power of two.
    const INTERVAL: u32;
    /// Bytes of the handshake have come, which nginx-rtmp does not count, or the first ones behind it.
    fn begins(session: Session);
    /// Something is to be read of a session that has sent less than that so far, or more is of one that
    /// sends faster than it is read: others may go first. Sessions that somebody has opened to this
    /// server are read from their own event alone (ngx_rtmp_handler.c): nothing else is under way then.
    fn can_wait(session: Session);
    /// Says whether the session may go on.
    fn look(session: Session) -> bool;
}

/// How long a turn of the event loop may take until who sends faster than it is read has to wait for the
/// next one, in milliseconds.
const PATIENCE: u64 = 3;

thread_local! {
    /// Who sends faster than it is read. nginx-rtmp moves what is behind a message to another buffer, message by
    /// message (ngx_rtmp_handler.c, ngx_rtmp_recv): alone, a megabyte of messages of one byte in chunks of two
    /// keeps it for 4.5 s from everybody else.
    static PACE: RefCell<Pace> = const { RefCell::new(Pace::new()) };
    /// How many messages of pictures and sound have come since something was read.
    static MESSAGES: Cell<u32> = const { Cell::new(0) };
    /// Whose `can_wait` is running.
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
    /// nothing for a session that is being read, or has been sent to the next turn.
    pub fn receive_now(self) {
        let id = ptr::from_ref(self.connection()).addr();
        if pace(|pace| pace.waits(id, clock::turn_began)).unwrap_or(false) {
            return;
        }
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

    /// A message of pictures or sound has come of the session that is being read.
    #[inline]
    pub fn has_sent_media() {
        MESSAGES.set(MESSAGES.get().wrapping_add(1));
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
    let messages = MESSAGES.replace(0);
    let is_flooding = pace(|pace| {
        if messages >= MANY {
            pace.had_many(connection.addr(), clock::monotonic);
        }
        pace.was_handled(connection.addr(), clock::monotonic)
    });
    if before < W::INTERVAL || is_flooding == Some(true) {
        let outer = READING.replace(Some(session));
        guard("a session that can wait", (), || W::can_wait(session));
        READING.set(outer);
        MESSAGES.set(0);
    }
    // SAFETY: the very call that nginx-rtmp has made.
    let received =
        guard("a read", ERROR, || unsafe { receive_some(connection, buffer, size, before > 0) });
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

/// # Safety
///
/// The first three are the arguments of a `recv` that nginx-rtmp has called.
unsafe fn receive_some(
    connection: *mut ngx_connection_t,
    buffer: *mut u_char,
    size: usize,
    is_counted: bool,
) -> isize {
    let (id, size) = (connection.addr(), size.min(HELPING));
    // SAFETY: as promised by the caller, all along.
    unsafe {
        // First of all: the counter may have been set back in the middle of it.
        if let Some(taken) = ahead::take(connection, buffer, size) {
            return taken;
        }
        // nginx-rtmp does not count the handshake, of which it reads no more than it needs next.
        if !is_counted {
            pace(|pace| pace.forget(id));
            return receive_as_nginx(connection, buffer, size);
        }
        let event = (*connection).read;
        let received = match pace(|pace| pace.share(id, moment)).unwrap_or(Share::Read(HELPING)) {
            Share::Wait => {
                event::post_next(event);
                return AGAIN;
            }
            Share::Read(HELPING) => ahead::read(connection, buffer, size)
                .unwrap_or_else(|| receive_as_nginx(connection, buffer, size)),
            Share::Read(share) => receive_as_nginx(connection, buffer, size.min(share)),
        };
        let has_more = received > 0 && (*event).ready() != 0 && (*event).available > 0;
        pace(|pace| pace.was_read(id, has_more, clock::monotonic));
        received
    }
}

/// `None` once the worker's thread is about to end.
fn pace<T>(look: impl FnOnce(&mut Pace) -> T) -> Option<T> {
    PACE.try_with(|pace| pace.try_borrow_mut().ok().map(|mut pace| look(&mut pace))).ok()?
}

fn moment() -> Moment {
    let turn = clock::turn_began();
    Moment { turn, is_late: clock::milliseconds() >= turn + PATIENCE }
}

/// # Safety
///
/// As [`receive_some`].
unsafe fn receive_as_nginx(
    connection: *mut ngx_connection_t,
    buffer: *mut u_char,
    size: usize,
) -> isize {
    // SAFETY: as promised by the caller.
    RECV.get().map_or(ERROR, |recv| unsafe { recv(connection, buffer, size) })
}

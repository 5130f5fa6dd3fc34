//! A session's connection as TCP has it.

use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;

use nginx_sys::{NGX_AGAIN, ngx_connection_t, ngx_event_t, ngx_handle_read_event};

use zeroize::Zeroizing;

use super::Session;
use crate::ffi::guard::guard;
use crate::ffi::module::OK;
use crate::ffi::rtmp::ngx_rtmp_session_t;

impl Session {
    /// Drops what the client still sends, unread by nginx-rtmp: hls, which knows no end of a stream,
    /// would write it to the files of whoever has the name next.
    pub fn discard_input(self) {
        // SAFETY: the connection's own read event; from now on it is ours.
        unsafe { (*self.connection().read).handler = Some(discard) };
    }

    /// Ends what is sent to the client: it sees the end of the stream behind the last answer,
    /// while what it still sends is taken and dropped.
    pub fn end_output(self) {
        self.with_socket(|socket| {
            let _ = socket.shutdown(Shutdown::Write);
        });
    }

    /// Sends small answers at once instead of waiting for the client's ACK (RFC 896).
    pub fn set_nodelay(self, on: bool) {
        self.set_tcp_option(libc::TCP_NODELAY, on);
    }

    /// Holds what is sent, or lets it go (tcp(7), TCP_CORK).
    pub fn set_cork(self, on: bool) {
        self.set_tcp_option(libc::TCP_CORK, on);
    }

    /// Acknowledges what the client sent at once. The kernel forgets it after the next answer
    /// (tcp(7), TCP_QUICKACK).
    pub fn set_quickack(self) {
        self.set_tcp_option(libc::TCP_QUICKACK, true);
    }

    fn set_tcp_option(self, option: i32, on: bool) {
        let value = i32::from(on);
        // SAFETY: the descriptor is the connection's; the kernel reads one int. A socket that is
        // not TCP says so, and nothing is lost.
        unsafe {
            libc::setsockopt(
                self.connection().fd,
                libc::IPPROTO_TCP,
                option,
                (&raw const value).cast(),
                size_of::<i32>() as libc::socklen_t,
            );
        }
    }

    fn with_socket(self, action: impl FnOnce(&TcpStream)) {
        // SAFETY: the descriptor is the connection's and stays open for the call; `ManuallyDrop`
        // leaves closing it to nginx.
        let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.connection().fd) });
        action(&socket);
    }
}

unsafe extern "C" fn discard(event: *mut ngx_event_t) {
    guard("a refused client's input", (), || {
        // It may hold a key again.
        let mut bytes = Zeroizing::new([0u8; 4096]);
        // SAFETY: nginx calls this with the read event of a connection whose data is a session;
        // both are there until the session's end, which is posted, has been handled.
        let (connection, session) = unsafe {
            let connection = (*event).data.cast::<ngx_connection_t>();
            (connection, Session::from_raw((*connection).data.cast::<ngx_rtmp_session_t>()))
        };
        while !session.is_closing() {
            // SAFETY: the connection is open; at most so many bytes are written to the buffer.
            let read = unsafe {
                match (*connection).recv {
                    Some(recv) => recv(connection, bytes.as_mut_ptr(), bytes.len()),
                    None => 0,
                }
            };
            // SAFETY: as above.
            if read == NGX_AGAIN as isize && unsafe { ngx_handle_read_event(event, 0) } == OK {
                return;
            }
            if read <= 0 {
                session.finalize();
            }
        }
    });
}

//! What a session has received and nginx-rtmp still keeps: its buffers are used again, never cleared.

use std::ptr;
use std::slice;

use nginx_sys::{ngx_buf_t, ngx_chain_t};

use super::Session;
use crate::ffi::rtmp::{ngx_rtmp_core_srv_conf_t, ngx_rtmp_stream_t};
use crate::ffi::symbols::symbols;

/// How much of one buffer, and of all of them, is overwritten at a time: a command must not cost more
/// than that, however large the client makes its chunks. The largest that encoders are
/// known to use have 64 kB (GStreamer's rtmp2sink).
const MOST_OF_ONE: usize = 128 * 1024;
const MOST_OF_ALL: usize = 1024 * 1024;

/// Overwrites the bytes of a message.
///
/// # Safety
///
/// `message` is null or the chain of a message that is being handled, and nobody reads it after this.
pub unsafe fn wipe(message: *mut ngx_chain_t) {
    // SAFETY: as promised by the caller; `pos..last` are the buffer's bytes.
    unsafe {
        let mut link = message;
        while let Some(here) = link.as_ref() {
            let buf = &*here.buf;
            ptr::write_bytes(buf.pos, 0, buf.last.offset_from_unsigned(buf.pos));
            link = here.next;
        }
    }
}

impl Session {
    /// Overwrites what messages that were handled have left in the session's buffers. nginx-rtmp
    /// moves what it has read beyond a message to the next buffer, and leaves a copy behind
    /// (ngx_rtmp_handler.c, ngx_rtmp_recv).
    ///
    /// # Safety
    ///
    /// No message of the session is being handled, and its buffers are there: they go with its
    /// connection.
    pub unsafe fn wipe_handled_input(self) {
        let mut most = MOST_OF_ALL;
        let mut wipe = |start: *mut u8, end: *mut u8| {
            // SAFETY: both are of one buffer, in this order.
            let len = unsafe { end.offset_from_unsigned(start) }.min(MOST_OF_ONE).min(most);
            most -= len;
            // SAFETY: the buffer's own memory, of which nothing is to be read any more.
            unsafe { ptr::write_bytes(start, 0, len) };
        };
        let is_between_messages = self.raw().in_csid == 0;
        for (id, stream) in self.in_streams().iter().enumerate() {
            for (place, buf) in buffers(stream.in_).enumerate() {
                // Chunk stream 0 stands for none: its first buffer is the one that is received to
                // between messages, all others are free.
                let is_used = id > 0 || (place == 0 && is_between_messages);
                wipe(if is_used { buf.last } else { buf.start }, buf.end);
            }
        }
    }

    /// Its chunk streams, as many as any session of its server has.
    pub(super) fn in_streams<'a>(self) -> &'a [ngx_rtmp_stream_t] {
        let (raw, Some(symbols)) = (self.raw(), symbols()) else { return &[] };
        if raw.in_streams.is_null() {
            return &[];
        }
        // SAFETY: nginx-rtmp keeps a configuration for each module's index, and in its core
        // module's stands how many chunk streams each session has (ngx_rtmp_init_session).
        unsafe {
            let conf = raw.srv_conf.add((*symbols.core_module).ctx_index).read();
            let count = (*conf.cast::<ngx_rtmp_core_srv_conf_t>()).max_streams;
            slice::from_raw_parts(raw.in_streams, usize::try_from(count).unwrap_or(0))
        }
    }
}

/// The buffers of a chunk stream. Those of a message that is being received are a ring, of which
/// `last` is the last; those that are free are a list.
fn buffers<'a>(last: *mut ngx_chain_t) -> impl Iterator<Item = &'a ngx_buf_t> {
    let mut link = last;
    std::iter::from_fn(move || {
        // SAFETY: the links and their buffers live in the session's pool.
        unsafe {
            let here = link.as_ref()?;
            link = if here.next == last { ptr::null_mut() } else { here.next };
            here.buf.as_ref()
        }
    })
}

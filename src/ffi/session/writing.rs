//! The files that nginx-rtmp's modules write for a session: HLS, DASH and recordings.

use std::ffi::c_void;
use std::fmt;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use nginx_sys::{ngx_module_t, ngx_str_t};

use super::Session;
use crate::ffi::rtmp::{
    ngx_rtmp_dash_ctx_t, ngx_rtmp_hls_ctx_t, ngx_rtmp_record_ctx_t, ngx_rtmp_record_rec_ctx_t,
};
use crate::ffi::symbols::{Symbols, symbols};

/// A module that writes a playlist and its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Hls,
    Dash,
}

impl Writer {
    /// All of them.
    pub const ALL: [Writer; 2] = [Writer::Hls, Writer::Dash];

    fn module(self, symbols: &Symbols) -> *mut ngx_module_t {
        match self {
            Writer::Hls => symbols.hls_module,
            Writer::Dash => symbols.dash_module,
        }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Writer::Hls => "HLS",
            Writer::Dash => "DASH",
        })
    }
}

/// What a module keeps of a session, while the module does not know of it.
#[derive(Debug)]
pub struct SetAside(NonNull<c_void>);

/// NGX_INVALID_FILE
const NO_FILE: RawFd = -1;

impl Session {
    /// The path of the playlist that a module writes for the session, if it writes one. It lies
    /// elsewhere in memory after each publish.
    pub fn playlist<'a>(self, writer: Writer) -> Option<&'a [u8]> {
        // SAFETY: what the module keeps of the session, whose type is that of the source that this
        // module was built for; it lives as long as the session's connection.
        let path: &ngx_str_t = unsafe {
            let kept = self.writing(writer)?;
            match writer {
                Writer::Hls => &kept.cast::<ngx_rtmp_hls_ctx_t>().as_ref().playlist,
                Writer::Dash => &kept.cast::<ngx_rtmp_dash_ctx_t>().as_ref().playlist,
            }
        };
        (!path.data.is_null() && path.len > 0).then(|| path.as_bytes())
    }

    /// Has a module not know of the session: it writes nothing then. `None` if it does not anyway.
    pub fn set_aside(self, writer: Writer) -> Option<SetAside> {
        let kept = self.writing(writer)?;
        // SAFETY: the session's place for the module, which looks there each time.
        unsafe { self.place(writer.module(symbols()?)).write(std::ptr::null_mut()) };
        Some(SetAside(kept))
    }

    /// Has it know of the session again.
    pub fn put_back(self, writer: Writer, kept: SetAside) {
        let Some(symbols) = symbols() else { return };
        let place = self.place(writer.module(symbols));
        // SAFETY: as above. If it has something else by now, another publish has begun.
        unsafe {
            if place.read().is_null() {
                place.write(kept.0.as_ptr());
            }
        }
    }

    /// Has the record module forget descriptors that it has closed. When it cannot write it closes its
    /// file, and keeps the number (ngx_rtmp_record_module.c, ngx_rtmp_record_write_frame): with
    /// the next message it writes into, and closes, whatever has that number by then. Returns
    /// whether there was one.
    pub fn forget_closed_recordings(self) -> bool {
        let Some(mut kept) = self.recordings() else { return false };
        // SAFETY: an array of that type, at which nothing else looks while a handler runs.
        let recordings = unsafe { kept.as_mut().rec.as_slice_mut::<ngx_rtmp_record_rec_ctx_t>() };
        let mut any = false;
        // Otherwise a failure leaves no descriptor behind.
        for recording in recordings.iter_mut().filter(|recording| recording.failed() != 0) {
            any |= std::mem::replace(&mut recording.file.fd, NO_FILE) != NO_FILE;
        }
        any
    }

    /// Whether its application has any.
    pub fn has_recordings(self) -> bool {
        self.recordings().is_some()
    }

    fn recordings(self) -> Option<NonNull<ngx_rtmp_record_ctx_t>> {
        // SAFETY: the session's place for the module, and what it keeps there, as its header
        // declares it.
        NonNull::new(unsafe { self.place(symbols()?.record_module).read() }.cast())
    }

    pub(super) fn writing(self, writer: Writer) -> Option<NonNull<c_void>> {
        // SAFETY: the session's place for the module.
        NonNull::new(unsafe { self.place(writer.module(symbols()?)).read() })
    }
}

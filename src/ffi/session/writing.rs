//! The files that nginx-rtmp's modules write for a session: HLS, DASH and recordings.

use std::ffi::{OsStr, c_void};
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::ptr::NonNull;

use nginx_sys::{ngx_module_t, ngx_str_t};

use super::Session;
use crate::ffi::rtmp::{
    NGX_RTMP_DASH_DIR_ACCESS, ngx_rtmp_dash_ctx_t, ngx_rtmp_dash_track_t, ngx_rtmp_hls_ctx_t,
    ngx_rtmp_record_ctx_t, ngx_rtmp_record_rec_ctx_t,
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

/// How long a track's file is at least, in bytes, while a fragment is being written into it: the
/// 10 MB at which nginx-rtmp closes it (ngx_rtmp_dash_module.c, NGX_RTMP_DASH_MAX_MDAT), its largest
/// message, and as many writes of its buffer of 1 MB that were cut short. What is behind the media
/// takes no space.
const TRACK: u64 = 64 << 20;

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

    /// Lengthens the files that the DASH module is going to read, if they are short. It reads as much
    /// as it meant to write, and at the end of a file for good (ngx_rtmp_dash_module.c,
    /// ngx_rtmp_dash_close_fragment): after a write that was cut short, because the disk is full. Of a
    /// file that cannot be lengthened the module is to read nothing.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn lengthen_tracks(self) -> io::Result<()> {
        let Some(mut kept) = self.writing(Writer::Dash).map(NonNull::cast) else { return Ok(()) };
        // SAFETY: as above; nothing else looks at it while a handler runs.
        let kept: &mut ngx_rtmp_dash_ctx_t = unsafe { kept.as_mut() };
        let [audio, video] = [&mut kept.audio, &mut kept.video].map(lengthen);
        audio.and(video)
    }

    /// Makes the session's own directory for DASH anew (`dash_nested`), if it is gone when the module
    /// is about to open files there, or has failed to. nginx-rtmp's cache manager removes directories
    /// that are empty, as one is between a publish and its first picture, or when all in it is too
    /// old (ngx_rtmp_dash_module.c, ngx_rtmp_dash_cleanup_dir); the module makes it at the publish
    /// only. The HLS module makes its own with each fragment.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn renew_dash_directory(self) -> io::Result<()> {
        let Some(mut kept) = self.writing(Writer::Dash).map(NonNull::cast) else { return Ok(()) };
        // SAFETY: as above.
        let kept: &mut ngx_rtmp_dash_ctx_t = unsafe { kept.as_mut() };
        let is_writing = kept.audio.opened == 1 || kept.video.opened == 1;
        // Without a configuration of a decoder the module opens nothing.
        if is_writing || !self.has_decoder_configuration() {
            return Ok(());
        }
        // What the files' names begin with ends with "-" where the stream has no directory of its own.
        let Some(directory) = kept.stream.as_bytes().strip_suffix(b"/") else { return Ok(()) };
        let directory = OsStr::from_bytes(directory);
        match DirBuilder::new().mode(NGX_RTMP_DASH_DIR_ACCESS).create(directory) {
            Ok(()) => {
                // As at the publish: with the first fragment comes what players begin with
                // (ngx_rtmp_dash_write_playlist).
                kept.id = 0;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Has the record module forget descriptors that it has closed. When it cannot write it closes its
    /// file, and keeps the number (ngx_rtmp_record_module.c, ngx_rtmp_record_write_frame): with
    /// the next message it writes into, and closes, whatever has that number by then. Returns
    /// whether there was one.
    pub fn forget_closed_recordings(self) -> bool {
        let Some(symbols) = symbols() else { return false };
        // SAFETY: what the module keeps of the session, as its header declares it; nothing else
        // looks at it while a handler runs.
        let kept = unsafe {
            self.place(symbols.record_module).read().cast::<ngx_rtmp_record_ctx_t>().as_mut()
        };
        let Some(kept) = kept else { return false };
        // SAFETY: an array of that type.
        let recordings = unsafe { kept.rec.as_slice_mut::<ngx_rtmp_record_rec_ctx_t>() };
        let mut any = false;
        // Otherwise a failure leaves no descriptor behind.
        for recording in recordings.iter_mut().filter(|recording| recording.failed() != 0) {
            any |= std::mem::replace(&mut recording.file.fd, NO_FILE) != NO_FILE;
        }
        any
    }

    fn writing(self, writer: Writer) -> Option<NonNull<c_void>> {
        // SAFETY: the session's place for the module.
        NonNull::new(unsafe { self.place(writer.module(symbols()?)).read() })
    }
}

fn lengthen(track: &mut ngx_rtmp_dash_track_t) -> io::Result<()> {
    if track.opened != 1 {
        return Ok(());
    }
    // SAFETY: the module's own, which it has opened and will close.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(track.fd) });
    let length = TRACK.min(longest_file());
    let result = file.metadata().and_then(|metadata| match metadata.len() < length {
        true => file.set_len(length),
        false => Ok(()),
    });
    if result.is_err() || track.mdat_size as u64 >= length {
        track.mdat_size = 0;
    }
    result
}

/// As long as this process may make a file, in bytes: it is killed where it makes a longer one
/// (getrlimit(2), RLIMIT_FSIZE).
fn longest_file() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: 0 };
    // SAFETY: the kernel writes one such structure.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur
}

//! The files that nginx-rtmp's DASH module has open for a session.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::ptr::NonNull;

use nginx_sys::ngx_uint_t;

use super::{Session, Writer};
use crate::ffi::rtmp::{NGX_RTMP_DASH_DIR_ACCESS, ngx_rtmp_dash_ctx_t, ngx_rtmp_dash_track_t};

/// How long a track's file is at least, in bytes, while a fragment is being written into it: the
/// 10 MB at which nginx-rtmp closes it (ngx_rtmp_dash_module.c, NGX_RTMP_DASH_MAX_MDAT), its largest
/// message, and as many writes of its buffer of 1 MB that were cut short. What is behind the media
/// takes no space. Nobody makes the file shorter while it is open.
const TRACK: u64 = 64 << 20;

/// What the module keeps of a session.
#[derive(Clone, Copy, Debug)]
pub struct Dash {
    session: Session,
    kept: NonNull<ngx_rtmp_dash_ctx_t>,
}

/// A fragment, among those of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment(ngx_uint_t);

impl Session {
    /// What the module keeps of the session, unless it does not know of it.
    pub fn dash(self) -> Option<Dash> {
        let kept = self.writing(Writer::Dash)?.cast();
        Some(Dash { session: self, kept })
    }
}

impl Dash {
    /// The fragment that is open. The module opens and closes both of its tracks together.
    pub fn fragment(self) -> Option<Fragment> {
        // SAFETY: of that type in the source that this module was built for; it lives as long as the
        // session's connection, and nothing else looks at it while a handler runs.
        let kept = unsafe { self.kept.as_ref() };
        (kept.audio.opened == 1 || kept.video.opened == 1).then_some(Fragment(kept.id))
    }

    /// Lengthens the files that the module is going to read, if they are short. It reads as much
    /// as it meant to write, and at the end of a file for good (ngx_rtmp_dash_module.c,
    /// ngx_rtmp_dash_close_fragment): after a write that was cut short, because the disk is full. Of a
    /// file that cannot be lengthened the module is to read nothing. Says whether they are as long as
    /// whatever it will read; if not, this is wanted again behind each message.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn lengthen_tracks(mut self) -> io::Result<bool> {
        // SAFETY: as above.
        let kept = unsafe { self.kept.as_mut() };
        let [audio, video] = [&mut kept.audio, &mut kept.video].map(lengthen);
        Ok(audio? & video?)
    }

    /// Makes the session's own directory for DASH anew (`dash_nested`), if it is gone when the module
    /// is about to open files there, or has failed to. Meant for when no fragment is open. nginx-rtmp's
    /// cache manager removes directories that are empty, as one is between a publish and its first
    /// picture, or when all in it is too old (ngx_rtmp_dash_module.c, ngx_rtmp_dash_cleanup_dir); the
    /// module makes it at the publish only. The HLS module makes its own with each fragment.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn renew_directory(mut self) -> io::Result<()> {
        // Without a configuration of a decoder the module opens nothing.
        if !self.session.has_decoder_configuration() {
            return Ok(());
        }
        // SAFETY: as above.
        let kept = unsafe { self.kept.as_mut() };
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
}

fn lengthen(track: &mut ngx_rtmp_dash_track_t) -> io::Result<bool> {
    if track.opened != 1 {
        return Ok(true);
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
    result.map(|()| length == TRACK)
}

/// As long as this process may make a file, in bytes: it is killed where it makes a longer one
/// (getrlimit(2), RLIMIT_FSIZE).
fn longest_file() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: 0 };
    // SAFETY: the kernel writes one such structure.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur
}

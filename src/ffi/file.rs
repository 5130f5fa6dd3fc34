//! The file that a request's path stands for.

use std::ffi::CStr;
use std::fs::File;
use std::mem::{ManuallyDrop, zeroed};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::ptr;

use nginx_sys::{
    NGX_OPEN_FILE_DIRECTIO_OFF, ngx_http_core_loc_conf_t, ngx_http_core_module,
    ngx_http_map_uri_to_path, ngx_http_set_disable_symlinks, ngx_open_cached_file,
    ngx_open_file_info_t, ngx_str_t,
};
use stagedoor_core::hls::cache::{Timestamp, Version};

use super::module::OK;
use super::request::{Request, bytes};

/// Where the file of a request lies, by `root` or `alias`.
#[derive(Clone, Copy, Debug)]
pub struct FilePath {
    request: Request,
    /// In the request's pool, with a zero behind it.
    path: ngx_str_t,
}

/// A file that was read as a whole.
#[derive(Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Which version they are of.
    pub version: Version,
    /// Whether any change since would make another version.
    pub is_settled: bool,
}

impl Request {
    /// Where its file is to be; `None` if there is no memory.
    pub fn file_path(self) -> Option<FilePath> {
        let mut path = ngx_str_t::default();
        let mut root = 0;
        // SAFETY: the request's own; nginx gives the end of the path, within that memory, or null.
        unsafe {
            let last = ngx_http_map_uri_to_path(self.as_ptr(), &raw mut path, &raw mut root, 0);
            if last.is_null() {
                return None;
            }
            path.len = last.offset_from_unsigned(path.data);
        }
        Some(FilePath { request: self, path })
    }
}

impl FilePath {
    /// The path.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: it stays in the request's pool.
        unsafe { bytes(self.path) }
    }

    /// What the file is at this moment. `None` if it is not a regular one, cannot be looked at, or
    /// nginx is told to look in another way: by `disable_symlinks` or `open_file_cache`.
    pub fn version(&self) -> Option<Version> {
        // SAFETY: the configuration outlives the request; the path has a zero behind it
        // (ngx_http_map_uri_to_path), and the kernel writes one such structure.
        unsafe {
            let conf = &*self.conf();
            if conf.disable_symlinks != 0 || !conf.open_file_cache.is_null() {
                return None;
            }
            let path = CStr::from_ptr(self.path.data.cast());
            let mut stat = zeroed();
            (libc::stat(path.as_ptr(), &raw mut stat) == 0).then(|| version(&stat))?
        }
    }

    /// Reads the file as nginx's static module finds it, `disable_symlinks` included. `None` if it is
    /// not a regular one, has more than `limit` bytes, or cannot be read: the static module says why. So
    /// too if there is no memory for it: nginx needs less.
    pub fn read(&self, limit: usize) -> Option<Content> {
        let now = tick();
        // SAFETY: nginx opens the file outside of `open_file_cache` (a null cache), so that the
        // descriptor is of this request alone, without O_DIRECT, and closed with its pool.
        let file = unsafe {
            let mut path = self.path;
            let mut info: ngx_open_file_info_t = zeroed();
            info.directio = NGX_OPEN_FILE_DIRECTIO_OFF as nginx_sys::off_t;
            let (request, pool) = (self.request.as_ptr(), self.request.raw().pool);
            let conf = self.conf();
            if ngx_http_set_disable_symlinks(request, conf, &raw mut path, &raw mut info) != OK
                || ngx_open_cached_file(ptr::null_mut(), &raw mut path, &raw mut info, pool) != OK
                || info.is_file() == 0
            {
                return None;
            }
            ManuallyDrop::new(File::from_raw_fd(info.fd))
        };
        // SAFETY: an open descriptor, and the kernel writes one such structure.
        let version = unsafe {
            let mut stat = zeroed();
            (libc::fstat(file.as_raw_fd(), &raw mut stat) == 0).then(|| version(&stat))??
        };
        let len = usize::try_from(version.len).ok().filter(|&len| len <= limit)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).ok()?;
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some(Content { bytes, version, is_settled: version.is_settled(now) })
    }

    fn conf(&self) -> *mut ngx_http_core_loc_conf_t {
        // SAFETY: every HTTP request has a configuration of the core module.
        unsafe { self.request.raw().loc_conf.add(ngx_http_core_module.ctx_index).read().cast() }
    }
}

fn version(stat: &libc::stat) -> Option<Version> {
    (stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(Version {
        device: stat.st_dev,
        inode: stat.st_ino,
        len: stat.st_size as u64,
        modified: (stat.st_mtime, stat.st_mtime_nsec),
        changed: (stat.st_ctime, stat.st_ctime_nsec),
    })
}

/// The clock by which the kernel dates changes of files: a tick is some milliseconds.
fn tick() -> Timestamp {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one such structure.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    (now.tv_sec, now.tv_nsec)
}

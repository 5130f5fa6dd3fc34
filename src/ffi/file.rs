//! The file that a request's path stands for.

use std::fs::File;
use std::mem::{ManuallyDrop, zeroed};
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;

use nginx_sys::{
    NGX_OPEN_FILE_DIRECTIO_OFF, ngx_http_core_loc_conf_t, ngx_http_core_module,
    ngx_http_map_uri_to_path, ngx_http_set_disable_symlinks, ngx_open_cached_file,
    ngx_open_file_info_t, ngx_str_t,
};

use super::module::OK;
use super::request::Request;

/// A file that was read as a whole.
#[derive(Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When it was modified, in seconds since 1970 (UTC).
    pub modified: i64,
}

impl Request {
    /// Reads the file that `root` or `alias` gives for the path, as nginx's static module finds it,
    /// `disable_symlinks` included. `None` if it is not a file, has more than `limit` bytes, or
    /// cannot be read: the static module says why.
    pub fn read_file(self, limit: usize) -> Option<Content> {
        // SAFETY: the request's own; every HTTP request has a configuration of the core module.
        // nginx opens the file outside of `open_file_cache` (a null cache), so that the descriptor
        // is of this request alone, without O_DIRECT, and closed with its pool.
        let (info, fd) = unsafe {
            let mut path = ngx_str_t::default();
            let mut root = 0;
            let last = ngx_http_map_uri_to_path(self.as_ptr(), &raw mut path, &raw mut root, 0);
            if last.is_null() {
                return None;
            }
            path.len = last.offset_from_unsigned(path.data);
            let core = self.raw().loc_conf.add(ngx_http_core_module.ctx_index).read();
            let core = core.cast::<ngx_http_core_loc_conf_t>();
            let mut info: ngx_open_file_info_t = zeroed();
            info.directio = NGX_OPEN_FILE_DIRECTIO_OFF as nginx_sys::off_t;
            let (request, pool) = (self.as_ptr(), self.raw().pool);
            if ngx_http_set_disable_symlinks(request, core, &raw mut path, &raw mut info) != OK
                || ngx_open_cached_file(ptr::null_mut(), &raw mut path, &raw mut info, pool) != OK
            {
                return None;
            }
            (info, info.fd)
        };
        let len = usize::try_from(info.size).ok().filter(|&len| len <= limit)?;
        if info.is_file() == 0 {
            return None;
        }
        // SAFETY: the descriptor is open until the request's end, where nginx closes it.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some(Content { bytes, modified: info.mtime })
    }
}

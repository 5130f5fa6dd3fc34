//! nginx-rtmp's main configuration: whether it is laid out as this module knows it, and that no
//! worker starts with one that is gone.

use nginx_sys::{ngx_array_t, ngx_cycle, ngx_cycle_t, ngx_pool_t};

use crate::ffi::conf::Conf;
use crate::ffi::rtmp::{
    ngx_rtmp_amf_handler_t, ngx_rtmp_conf_ctx_t, ngx_rtmp_core_main_conf_t,
    ngx_rtmp_core_srv_conf_t, ngx_rtmp_handler_pt, ngx_rtmp_listen_t,
};
use crate::ffi::symbols::{self, Symbols};

/// Which nginx-rtmp and nginx the module was built for, as a part of a sentence.
pub const BUILT_FOR: &str =
    concat!(env!("STAGEDOOR_NGINX_RTMP_VERSION"), " with ", env!("STAGEDOOR_NGINX_VERSION"));

/// Whether the arrays that this module was built to find are where it looks for them: each has the
/// size of its elements in it, and the pool it was made from. Meant for a postconfiguration, when
/// nginx-rtmp has set up all of them (ngx_rtmp.c).
///
/// # Safety
///
/// `conf` points at a main configuration of some nginx-rtmp.
pub unsafe fn has_known_layout(conf: *const ngx_rtmp_core_main_conf_t, cf: &Conf<'_>) -> bool {
    // SAFETY: as promised; one that is smaller than ours lies in a larger block of the pool, or
    // in front of its arrays, of which the first tells.
    let conf = unsafe { &*conf };
    // SAFETY: the configuration being read has a pool.
    let pool = unsafe { (*cf.as_ptr()).pool };
    is_array_of::<*mut ngx_rtmp_core_srv_conf_t>(&conf.servers, pool)
        && is_array_of::<ngx_rtmp_listen_t>(&conf.listen, pool)
        && conf.events.iter().all(|event| is_array_of::<ngx_rtmp_handler_pt>(event, pool))
        && is_array_of::<ngx_rtmp_amf_handler_t>(&conf.amf, pool)
}

fn is_array_of<T>(array: &ngx_array_t, pool: *mut ngx_pool_t) -> bool {
    array.size == size_of::<T>()
        && array.pool == pool
        && array.nelts <= array.nalloc
        && !array.elts.is_null()
}

/// Keeps nginx-rtmp from using the main configuration of a cycle that is gone.
///
/// nginx-rtmp has the one that was made last in a variable, and its relay reads it when a worker
/// starts. After a reload that nginx rejected, or one to a configuration without `rtmp {}`, that is
/// freed memory. This value goes with its cycle, and then puts right what the variable says.
#[derive(Debug)]
pub struct Guardian(*mut ngx_cycle_t);

impl Guardian {
    /// For the cycle that is being set up.
    pub fn new(cf: &Conf<'_>) -> Guardian {
        Guardian(cf.cycle())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let Ok(symbols) = symbols::resolve() else { return };
        // SAFETY: the cycle's pool is about to be freed, and its configurations are still there;
        // `ngx_cycle` is the one that goes on, or this one when a new one has replaced it.
        unsafe {
            if *symbols.main_conf == main_conf(self.0, symbols) {
                *symbols.main_conf = if std::ptr::eq(ngx_cycle, self.0) {
                    std::ptr::null_mut()
                } else {
                    main_conf(ngx_cycle, symbols)
                };
            }
        }
    }
}

/// nginx-rtmp's main configuration in a cycle; null where it has none.
///
/// # Safety
///
/// The cycle and its configurations are there.
unsafe fn main_conf(cycle: *mut ngx_cycle_t, symbols: &Symbols) -> *mut ngx_rtmp_core_main_conf_t {
    // SAFETY: a cycle has a place for each module's configuration; that of rtmp {} is its context.
    unsafe {
        let contexts = (*cycle).conf_ctx;
        if contexts.is_null() {
            return std::ptr::null_mut();
        }
        let context = contexts.add((*symbols.rtmp_module).index).read();
        match context.cast::<ngx_rtmp_conf_ctx_t>().as_ref() {
            Some(context) => context.main_conf.add((*symbols.core_module).ctx_index).read().cast(),
            None => std::ptr::null_mut(),
        }
    }
}

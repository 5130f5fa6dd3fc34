//! A location of `http {}` while its configuration is set up.

use nginx_sys::{ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t, ngx_http_core_module};

use super::conf::Conf;
use super::phases::{Handler, handler};
use super::request::bytes;

/// Has a handler answer every request to the location that is being read.
pub fn answer_with<H: Handler>(cf: &Conf<'_>) {
    // SAFETY: nobody else is looking at the configuration while it is read.
    unsafe { (*core_loc_conf(cf)).handler = Some(handler::<H>) };
}

/// What a location says about the paths that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is none, but `http {}` or a server.
    Outside,
    /// It serves what is below this prefix.
    Prefix(Vec<u8>),
    /// It is a regular expression, an exact path or a name, which say nothing of what is below.
    Other,
    /// It is a part of the one around it: `if` or `limit_except`.
    Inner,
}

impl Place {
    /// The place whose configuration is being merged.
    pub fn of(cf: &Conf<'_>) -> Place {
        // SAFETY: nobody changes the configuration while it is merged.
        let core = unsafe { &*core_loc_conf(cf) };
        // SAFETY: a location's name lives as long as the configuration.
        let name = unsafe { bytes(core.name) };
        if core.noname() != 0 {
            Place::Inner
        } else if name.is_empty() {
            Place::Outside
        } else if is_regex(core) || core.exact_match() != 0 || core.named() != 0 {
            Place::Other
        } else {
            Place::Prefix(name.to_vec())
        }
    }
}

/// The configuration of nginx's core module in the place that is read or merged.
fn core_loc_conf(cf: &Conf<'_>) -> *mut ngx_http_core_loc_conf_t {
    // SAFETY: nginx puts the place that is read, or the inner one of two that are merged, into
    // `cf.ctx`; the core module has a configuration in every place.
    unsafe {
        let ctx = (*cf.as_ptr()).ctx.cast::<ngx_http_conf_ctx_t>();
        (*ctx).loc_conf.add(ngx_http_core_module.ctx_index).read().cast()
    }
}

#[cfg(ngx_feature = "pcre")]
fn is_regex(core: &ngx_http_core_loc_conf_t) -> bool {
    !core.regex.is_null()
}

#[cfg(not(ngx_feature = "pcre"))]
fn is_regex(_core: &ngx_http_core_loc_conf_t) -> bool {
    false
}

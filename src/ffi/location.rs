//! A location of `http {}` while its configuration is set up.

use nginx_sys::{ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t, ngx_http_core_module};

use super::conf::Conf;
use super::request::bytes;

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
        // SAFETY: while configurations are merged, nginx puts the inner one into `cf.ctx`; the core
        // module has a configuration in every place.
        let core = unsafe {
            let ctx = (*cf.as_ptr()).ctx.cast::<ngx_http_conf_ctx_t>();
            &*(*ctx)
                .loc_conf
                .add(ngx_http_core_module.ctx_index)
                .read()
                .cast::<ngx_http_core_loc_conf_t>()
        };
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

#[cfg(ngx_feature = "pcre")]
fn is_regex(core: &ngx_http_core_loc_conf_t) -> bool {
    !core.regex.is_null()
}

#[cfg(not(ngx_feature = "pcre"))]
fn is_regex(_core: &ngx_http_core_loc_conf_t) -> bool {
    false
}

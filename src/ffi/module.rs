//! What a module object and a directive table are made of.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use nginx_sys::{
    NGX_RS_MODULE_SIGNATURE, nginx_version, ngx_command_t, ngx_int_t, ngx_module_t, ngx_str_t,
    ngx_uint_t,
};

/// A callback's answers, in nginx's own type.
pub const OK: ngx_int_t = nginx_sys::NGX_OK as ngx_int_t;
/// See [`OK`].
pub const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
/// See [`OK`].
pub const AGAIN: ngx_int_t = nginx_sys::NGX_AGAIN as ngx_int_t;
/// See [`OK`].
pub const DONE: ngx_int_t = nginx_sys::NGX_DONE as ngx_int_t;

/// What a configuration callback answers when it has logged an error itself: nginx's
/// NGX_CONF_ERROR.
pub const CONF_ERROR: *mut c_char = ptr::without_provenance_mut(usize::MAX);
/// What a configuration callback answers when all is well: nginx's NGX_CONF_OK.
pub const CONF_OK: *mut c_char = ptr::null_mut();

/// A module object that is to be filled in further; nginx sets its indexes when it loads it.
pub const fn module(kind: u32, context: *mut c_void, commands: *mut ngx_command_t) -> ngx_module_t {
    ngx_module_t {
        ctx_index: ngx_uint_t::MAX,
        index: ngx_uint_t::MAX,
        name: ptr::null_mut(),
        spare0: 0,
        spare1: 0,
        version: nginx_version as ngx_uint_t,
        signature: NGX_RS_MODULE_SIGNATURE.as_ptr(),
        ctx: context,
        commands,
        type_: kind as ngx_uint_t,
        init_master: None,
        init_module: None,
        init_process: None,
        init_thread: None,
        exit_thread: None,
        exit_process: None,
        exit_master: None,
        spare_hook0: 0,
        spare_hook1: 0,
        spare_hook2: 0,
        spare_hook3: 0,
        spare_hook4: 0,
        spare_hook5: 0,
        spare_hook6: 0,
        spare_hook7: 0,
    }
}

/// A text as nginx's tables want it, with a NUL behind it as nginx's own `ngx_string()` has.
pub const fn text(value: &'static CStr) -> ngx_str_t {
    ngx_str_t { len: value.count_bytes(), data: value.as_ptr().cast_mut().cast() }
}

/// The line that ends a directive table.
pub const NO_COMMAND: ngx_command_t = ngx_command_t {
    name: ngx_str_t { len: 0, data: ptr::null_mut() },
    type_: 0,
    set: None,
    conf: 0,
    offset: 0,
    post: ptr::null_mut(),
};

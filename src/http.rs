//! The HTTP side: `stagedoor_hls` and its like, `stagedoor_status`, and where the module stands in a
//! viewer's request.
//!
//! Where `stagedoor_hls` is off, every function on a request's way returns at its first line.

mod access;
mod conf;
mod headers;
mod playlist;
mod status;
mod stream;
mod variables;

use std::ffi::{c_char, c_void};
use std::ptr;

use nginx_sys::{
    NGX_HTTP_MODULE, ngx_command_t, ngx_conf_t, ngx_http_module_t, ngx_int_t, ngx_module_t,
};

use self::conf::HlsConf;
use self::status::StatusConf;
use crate::core::CoreConf;
use crate::ffi::conf::Conf;
use crate::ffi::guard::guard;
use crate::ffi::module::{CONF_ERROR, CONF_OK, ERROR, OK, module};
use crate::ffi::phases::{Phase, add_handler, install_header_filter};
use crate::ffi::request::{NoMemory, Request};
use crate::ffi::variables::{add_variable, is_used};

/// The HTTP module, known to nginx by this name.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_stagedoor_http_module: ngx_module_t =
    module(NGX_HTTP_MODULE, (&raw mut CONTEXT).cast(), (&raw mut COMMANDS).cast());

static mut CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(preconfiguration),
    postconfiguration: Some(postconfiguration),
    create_main_conf: None,
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(create_loc_conf),
    merge_loc_conf: Some(merge_loc_conf),
};

static mut COMMANDS: [ngx_command_t; conf::COMMANDS.len()] = conf::COMMANDS;

/// The configuration of a location.
#[derive(Debug, Default)]
struct LocationConf {
    hls: HlsConf,
    /// Not inherited: it is what answers in this location.
    status: Option<StatusConf>,
}

/// The configuration of a request's location.
fn location_conf<'a>(request: Request) -> Option<&'a LocationConf> {
    // SAFETY: `create_loc_conf` made it.
    unsafe { request.location_conf(&raw const ngx_stagedoor_http_module) }
}

/// The same, of HLS, if the location serves that.
fn hls_conf<'a>(request: Request) -> Option<&'a HlsConf> {
    location_conf(request).map(|conf| &conf.hls).filter(|conf| conf.is_enabled())
}

unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard("the HTTP module's variables", ERROR, || {
        // SAFETY: nginx's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        let added = add_variable::<variables::Stream>(&cf)
            .and_then(|()| add_variable::<variables::Live>(&cf));
        if added.is_ok() { OK } else { ERROR }
    })
}

unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard("the HTTP module's installation", ERROR, || {
        // SAFETY: nginx's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        if is_used::<variables::Live>(&cf) {
            CoreConf::need_registry(&cf, || "the variable \"$stagedoor_live\"".to_owned());
        }
        match install(&cf) {
            Ok(()) => OK,
            Err(error) => {
                cf.emerg(&format!("stagedoor: {error}"));
                ERROR
            }
        }
    })
}

fn install(cf: &Conf<'_>) -> Result<(), NoMemory> {
    add_handler::<access::Paths>(cf, Phase::Access)?;
    add_handler::<access::LiveOnly>(cf, Phase::Precontent)?;
    add_handler::<playlist::Playlists>(cf, Phase::Content)?;
    install_header_filter::<headers::HlsHeaders>();
    Ok(())
}

unsafe extern "C" fn create_loc_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guard("a location's configuration", ptr::null_mut(), || {
        // SAFETY: nginx's own, valid for the call.
        unsafe { Conf::from_raw(cf) }.allocate(LocationConf::default()).cast::<c_void>()
    })
}

unsafe extern "C" fn merge_loc_conf(
    cf: *mut ngx_conf_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_char {
    guard("a location's configuration", CONF_ERROR, || {
        // SAFETY: nginx's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        // SAFETY: both are of `create_loc_conf`, and two of them.
        let (outer, inner) =
            unsafe { (&*outer.cast::<LocationConf>(), &mut *inner.cast::<LocationConf>()) };
        match inner.hls.merge(&cf, &outer.hls) {
            Ok(()) => CONF_OK,
            Err(error) => cf.emerg(&error.to_string()),
        }
    })
}

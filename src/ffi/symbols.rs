//! nginx-rtmp's functions and variables, looked up by name when the configuration is read.
//!
//! `load_module` resolves every reference at once, so a direct one would make this module
//! unloadable before, or without, nginx-rtmp. Looked up late, a missing one is a sentence.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use nginx_sys::{ngx_int_t, ngx_module_t, ngx_str_t};
use thiserror::Error;

use super::rtmp::{
    ngx_rtmp_close_stream_pt, ngx_rtmp_core_main_conf_t, ngx_rtmp_delete_stream_pt,
    ngx_rtmp_play_pt, ngx_rtmp_publish_pt, ngx_rtmp_relay_target_t, ngx_rtmp_session_t,
};

/// What the module uses of nginx-rtmp.
#[derive(Debug)]
pub struct Symbols {
    /// The module of the `rtmp {}` block, for its place among a cycle's configurations.
    pub rtmp_module: *mut ngx_module_t,
    /// The core module, for its place among the configurations.
    pub core_module: *mut ngx_module_t,
    /// The codec module, for what it keeps of a session.
    pub codec_module: *mut ngx_module_t,
    /// The live module, for the streams that it knows.
    pub live_module: *mut ngx_module_t,
    /// The relay module, for its configuration and what it keeps of a session.
    pub relay_module: *mut ngx_module_t,
    /// The module that pushes streams to other workers, for what it keeps of a session.
    pub auto_push_module: *mut ngx_module_t,
    /// The netcall module, likewise.
    pub netcall_module: *mut ngx_module_t,
    /// The record module, for what it keeps of a session.
    pub record_module: *mut ngx_module_t,
    /// The HLS module, for what it keeps of a session.
    pub hls_module: *mut ngx_module_t,
    /// The DASH module, likewise.
    pub dash_module: *mut ngx_module_t,
    /// Begins to push a stream to another server (ngx_rtmp_relay_module.c).
    pub relay_push: unsafe extern "C" fn(
        *mut ngx_rtmp_session_t,
        *mut ngx_str_t,
        *mut ngx_rtmp_relay_target_t,
    ) -> ngx_int_t,
    /// The main configuration that was made last (ngx_rtmp_core_module.c).
    pub main_conf: *mut *mut ngx_rtmp_core_main_conf_t,
    /// Head of the publish chain (ngx_rtmp_cmd_module.h).
    pub publish: *mut ngx_rtmp_publish_pt,
    /// Head of the close chain.
    pub close_stream: *mut ngx_rtmp_close_stream_pt,
    /// Head of the chain of what ends with a client's stream id, or with its connection.
    pub delete_stream: *mut ngx_rtmp_delete_stream_pt,
    /// Head of the play chain.
    pub play: *mut ngx_rtmp_play_pt,
    /// Sends `onStatus` (ngx_rtmp_send.c).
    pub send_status: unsafe extern "C" fn(
        *mut ngx_rtmp_session_t,
        *const c_char,
        *const c_char,
        *const c_char,
    ) -> ngx_int_t,
    /// Where the function is that takes a connection which was accepted (ngx_rtmp_init.c).
    pub init_connection: usize,
    /// Closes a session from a posted event (ngx_rtmp_init.c).
    pub finalize_session: unsafe extern "C" fn(*mut ngx_rtmp_session_t),
}

// SAFETY: addresses of a loaded library; using them is what needs care, and one thread does.
unsafe impl Send for Symbols {}
// SAFETY: as above.
unsafe impl Sync for Symbols {}

impl Symbols {
    /// Whether nginx-rtmp's file has a function of this address, which need not have a name there.
    pub fn is_of_nginx_rtmp(&self, address: usize) -> bool {
        let own = loaded_at(self.rtmp_module.addr());
        own.is_some() && loaded_at(address) == own
    }
}

/// Where the file was loaded to that an address is in.
fn loaded_at(address: usize) -> Option<usize> {
    // SAFETY: the call looks in a table of its own, and writes one such structure.
    unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        let rc = libc::dladdr(ptr::without_provenance(address), &raw mut found);
        (rc != 0).then(|| found.dli_fbase.addr())
    }
}

/// nginx-rtmp is not there, or not the one that is known.
#[derive(Clone, Copy, Debug, Error)]
#[error("nginx-rtmp has no symbol \"{0}\"; expected nginx-rtmp 1.2")]
pub struct MissingSymbol(&'static str);

static SYMBOLS: OnceLock<Symbols> = OnceLock::new();

/// The symbols, once [`resolve`] has found them.
pub fn symbols() -> Option<&'static Symbols> {
    SYMBOLS.get()
}

/// Looks the symbols up.
///
/// # Errors
///
/// [`MissingSymbol`] names the first that is not there.
pub fn resolve() -> Result<&'static Symbols, MissingSymbol> {
    if let Some(symbols) = SYMBOLS.get() {
        return Ok(symbols);
    }
    // SAFETY: the functions have these signatures in nginx-rtmp's headers (ngx_rtmp.h).
    let found = unsafe {
        Symbols {
            rtmp_module: find(c"ngx_rtmp_module")?.cast(),
            core_module: find(c"ngx_rtmp_core_module")?.cast(),
            codec_module: find(c"ngx_rtmp_codec_module")?.cast(),
            live_module: find(c"ngx_rtmp_live_module")?.cast(),
            relay_module: find(c"ngx_rtmp_relay_module")?.cast(),
            auto_push_module: find(c"ngx_rtmp_auto_push_index_module")?.cast(),
            netcall_module: find(c"ngx_rtmp_netcall_module")?.cast(),
            record_module: find(c"ngx_rtmp_record_module")?.cast(),
            hls_module: find(c"ngx_rtmp_hls_module")?.cast(),
            dash_module: find(c"ngx_rtmp_dash_module")?.cast(),
            relay_push: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(
                    *mut ngx_rtmp_session_t,
                    *mut ngx_str_t,
                    *mut ngx_rtmp_relay_target_t,
                ) -> ngx_int_t,
            >(find(c"ngx_rtmp_relay_push")?),
            main_conf: find(c"ngx_rtmp_core_main_conf")?.cast(),
            publish: find(c"ngx_rtmp_publish")?.cast(),
            close_stream: find(c"ngx_rtmp_close_stream")?.cast(),
            delete_stream: find(c"ngx_rtmp_delete_stream")?.cast(),
            play: find(c"ngx_rtmp_play")?.cast(),
            send_status: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(
                    *mut ngx_rtmp_session_t,
                    *const c_char,
                    *const c_char,
                    *const c_char,
                ) -> ngx_int_t,
            >(find(c"ngx_rtmp_send_status")?),
            init_connection: find(c"ngx_rtmp_init_connection")?.addr(),
            finalize_session: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(*mut ngx_rtmp_session_t),
            >(find(c"ngx_rtmp_finalize_session")?),
        }
    };
    Ok(SYMBOLS.get_or_init(|| found))
}

fn find(name: &'static CStr) -> Result<*mut c_void, MissingSymbol> {
    // SAFETY: the name is NUL-terminated; nothing is called.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if address.is_null() {
        return Err(MissingSymbol(name.to_str().unwrap_or("?")));
    }
    Ok(address)
}

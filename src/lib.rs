//! Stagedoor: an nginx module that admits live streams by stream key.
//!
//! ```text
//!  encoder ──RTMP──▶ nginx-rtmp: handshake, connect, createStream
//!                       │            rtmp/latency.rs   answers and ACKs without delay
//!                       ▼
//!                    command "publish"                 rtmp.rs           takes the command over
//!                       │                              rtmp/publish.rs   one publish a session
//!                       ├─ key ─▶ store thread ─▶ SQLite
//!                       │         worker.rs            stagedoor_core::store
//!                       ◀─ username, or no ─┘
//!                       ├─ claim ─▶ live registry      live.rs, stagedoor_core::registry
//!                       ▼
//!                    nginx-rtmp's publish chain, name = username ─▶ live, hls, record, push …
//!                       │
//!                       ▼
//!                    close, disconnect, death          rtmp/close.rs, rtmp/publish.rs, worker.rs
//!                    ban, new key, kick, takeover      worker/streams.rs, rtmp/publish/ending.rs
//!                                                      claim released or handed over, history written
//! ```
//!
//! The configuration of the whole server, and each worker's start and end, are `core.rs`. What
//! touches nginx's memory is in `ffi/`; what can be decided without nginx is in `crates/core`.

mod core;
mod ffi;
mod live;
mod rtmp;
mod worker;

use std::ffi::c_char;
use std::ptr;

use nginx_sys::ngx_module_t;

// What `load_module` looks up: the modules, their names in the same order, and no wish for a
// place among nginx's own.

/// The modules.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_modules: [*mut ngx_module_t; 3] = [
    &raw mut core::ngx_stagedoor_module,
    &raw mut rtmp::ngx_stagedoor_rtmp_module,
    ptr::null_mut(),
];

/// Their names.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_module_names: [*const c_char; 3] =
    [c"ngx_stagedoor_module".as_ptr(), c"ngx_stagedoor_rtmp_module".as_ptr(), ptr::null()];

/// Their order.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_module_order: [*const c_char; 1] = [ptr::null()];

//! Stagedoor: an nginx module that admits live streams by stream key.
//!
//! ```text
//!  encoder ──RTMP──▶ nginx-rtmp: handshake, connect, createStream
//!                       │            rtmp/guard.rs     no message that would harm nginx-rtmp, ever;
//!                       │                              stagedoor_core::guard
//!                       │            rtmp/latency.rs   answers and ACKs without delay
//!                       │            ffi/session/{ahead, sending}.rs  many chunks, one system call
//!                       │            ffi/session/receiving.rs         nobody has the worker for himself;
//!                       │                                             stagedoor_core::pace
//!                       │            worker/precedence.rs             live streams before new ones
//!                       ▼
//!                    command "publish"                 rtmp.rs           takes the command over
//!                       │                              rtmp/publish.rs   one publish a session
//!                       │                              rtmp/wiping.rs    the key is overwritten there
//!                       ├─ attempts left? ◀─ zone      live/attempts.rs, stagedoor_core::limit
//!                       ├─ key ─▶ store thread ─▶ SQLite
//!                       │         worker.rs            stagedoor_core::store
//!                       ◀─ username, or no ─┘
//!                       ├─ claim ─▶ live registry      live.rs, stagedoor_core::registry
//!                       ▼
//!                    nginx-rtmp's publish chain, name = username ─▶ live, hls, record, push …
//!                       │            rtmp/chain.rs     no name twice, no push without a context
//!                       │            rtmp/files.rs     one writer of a name's files; what a full disk does
//!                       │
//!                       ▼
//!                    close, disconnect, death          rtmp/close.rs, rtmp/publish.rs, worker.rs
//!                    ban, new key, kick, takeover      worker/streams.rs, rtmp/publish/ending.rs
//!                                                      claim released or handed over, history written
//!                                                      media behind it dropped
//! ```
//!
//! ```text
//!  viewer ──HTTP──▶ access phase      http/access.rs    what the path is; only GET, HEAD, OPTIONS
//!                       │                               stagedoor_core::hls::path
//!                       ▼
//!                    nginx's access modules: auth_basic, auth_request, allow, deny …
//!                       │
//!                       ├─ is it live? ◀─ live registry http/access.rs, http/stream.rs, live.rs
//!                       ▼
//!                    the file, or     http/playlist.rs  the playlist from memory; of a stream that
//!                       │                               has ended, closed with #EXT-X-ENDLIST;
//!                       │                               stagedoor_core::hls::{cache, endlist}
//!                       ▼
//!                    header filter    http/headers.rs   Cache-Control, Expires, type, CORS
//! ```
//!
//! ```text
//!  operator ──HTTP──▶ stagedoor_status  http/status.rs    page, JSON, metrics: stagedoor_core::status
//!                       ▲
//!                       ├─ who is live ── live registry   live.rs ◀─ once a second ─ worker/meters.rs
//!                       └─ counters ───── shared zone     stagedoor_core::counters
//! ```
//!
//! What goes wrong stays where it is: a panic ends a session (`ffi/guard.rs`), memory that runs out
//! has a reserve (`ffi/memory.rs`), a store thread that ends has a successor
//! (`stagedoor_core::store::thread`).
//!
//! The configuration of the whole server, and each worker's start and end, are `core.rs`. What
//! touches nginx's memory is in `ffi/`; what can be decided without nginx is in `crates/core`.

mod core;
mod ffi;
mod http;
mod live;
mod rtmp;
mod worker;

use std::ffi::c_char;
use std::ptr;

use nginx_sys::ngx_module_t;

// What `load_module` looks up: the modules, their names in the same order, and their places among
// nginx's own.

/// The modules.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_modules: [*mut ngx_module_t; 4] = [
    &raw mut core::ngx_stagedoor_module,
    &raw mut rtmp::ngx_stagedoor_rtmp_module,
    &raw mut http::ngx_stagedoor_http_module,
    ptr::null_mut(),
];

/// Their names.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_module_names: [*const c_char; 4] = [
    c"ngx_stagedoor_module".as_ptr(),
    c"ngx_stagedoor_rtmp_module".as_ptr(),
    c"ngx_stagedoor_http_module".as_ptr(),
    ptr::null(),
];

/// Their order: the HTTP module stands in front of nginx's headers filter, so that its own filter
/// runs behind it (filters run from the last to the first). The others go to the end.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_module_order: [*const c_char; 3] = [
    c"ngx_stagedoor_http_module".as_ptr(),
    c"ngx_http_headers_filter_module".as_ptr(),
    ptr::null(),
];

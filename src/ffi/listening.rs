//! The sockets that nginx listens on.

use std::ptr;

use nginx_sys::{NGX_LISTEN_BACKLOG, ngx_cycle_t, ngx_listening_t};

use super::symbols::symbols;

/// Lets as many clients of nginx-rtmp wait to be accepted as the kernel does (listen(2); on Linux
/// net.core.somaxconn), where nginx-rtmp, which has no option for it, asks for 511.
///
/// # Safety
///
/// `cycle` is being set up: its configuration was read, and its sockets are not open yet.
pub unsafe fn widen_backlog(cycle: *mut ngx_cycle_t) {
    let Some(symbols) = symbols() else { return };
    // SAFETY: as promised by the caller; the array holds such structures.
    let sockets = unsafe { (*cycle).listening.as_slice_mut::<ngx_listening_t>() };
    for socket in sockets {
        let is_rtmp =
            socket.handler.is_some_and(|handler| handler as usize == symbols.init_connection);
        if is_rtmp && socket.backlog == NGX_LISTEN_BACKLOG as i32 {
            socket.backlog = -1; // as unsigned to the kernel: the largest
        }
    }
}

/// Has the sockets that nginx-rtmp makes for `rtmp_auto_push` not have the connections of those that they
/// are copies of (ngx_rtmp_auto_push_module.c, ngx_rtmp_auto_push_init_process): a worker that shuts down
/// would give each back twice, and from then on two connections be one. In a worker, before it
/// accepts.
///
/// # Safety
///
/// `cycle` is the worker's.
pub unsafe fn part_copies(cycle: *mut ngx_cycle_t) {
    // SAFETY: as promised by the caller; the array holds such structures.
    let sockets = unsafe { (*cycle).listening.as_slice_mut::<ngx_listening_t>() };
    for index in 1..sockets.len() {
        let (before, behind) = sockets.split_at_mut(index);
        let copy = &mut behind[0];
        if before.iter().any(|socket| ptr::eq(socket.connection, copy.connection)) {
            copy.connection = ptr::null_mut();
        }
    }
}

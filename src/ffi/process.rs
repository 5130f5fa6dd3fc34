//! This process, and whether another one still runs.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nginx_sys::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_exiting, ngx_pid, ngx_process, ngx_terminate,
    ngx_uint_t,
};
use stagedoor_core::registry::Owner;

/// Whether this process carries connections: not a master, cache manager or signaller.
pub fn is_worker() -> bool {
    // SAFETY: a plain integer that nginx sets before it starts modules in a process.
    let process = unsafe { ngx_process };
    process == NGX_PROCESS_WORKER as ngx_uint_t || process == NGX_PROCESS_SINGLE as ngx_uint_t
}

/// Whether this worker ends because it has nothing left to do, as after a reload, and was not told
/// to end at once.
pub fn is_quitting() -> bool {
    // SAFETY: plain integers that nginx sets in this thread or in its signal handler.
    let (exiting, terminate) = unsafe { (ngx_exiting, ngx_terminate) };
    exiting != 0 && terminate == 0
}

/// Gives the calling thread a table of descriptors of its own, with the standard ones and this one in it.
///
/// As long as two threads share one, the kernel counts each use of a descriptor (fdget in linux/file.h), which
/// costs all that nginx does a fiftieth; and what nginx-rtmp writes by mistake cannot reach the thread's
/// files. Nothing happens before Linux 5.9, nor where nginx is one process: there its one thread checks the
/// database at a reload, and SQLite takes all descriptors of a process for one table's.
pub fn part_descriptors(keep: BorrowedFd<'_>) {
    // SAFETY: a plain integer that nginx sets before it starts modules in a process.
    if unsafe { ngx_process } != NGX_PROCESS_WORKER as ngx_uint_t {
        return;
    }
    const FIRST: u32 = 3;
    let keep = u32::try_from(keep.as_raw_fd()).unwrap_or(FIRST);
    let close_range = |first: u32, last: u32, flags: u32| {
        // SAFETY: with the flag, a table that this thread has alone; it has opened nothing yet.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) == 0 }
    };
    if close_range(keep + 1, u32::MAX, libc::CLOSE_RANGE_UNSHARE) && keep > FIRST {
        close_range(FIRST, keep - 1, 0);
    }
}

/// This process, as others can recognise it.
pub fn this_process() -> Owner {
    // SAFETY: a plain integer that nginx sets when the process starts.
    let pid = unsafe { ngx_pid };
    Owner { pid, start_time: stat(pid).map_or(0, |stat| stat.start_time) }
}

/// Whether a process still runs; one that has the same pid but started at another time is not it.
pub fn is_alive(owner: Owner) -> bool {
    match stat(owner.pid) {
        Some(stat) => !stat.is_dead && stat.start_time == owner.start_time,
        // Without /proc only the pid is left to tell.
        None if owner.start_time == 0 => has_pid(owner.pid),
        None => false,
    }
}

struct Stat {
    is_dead: bool,
    start_time: u64,
}

/// Fields 3 and 22 of `/proc/PID/stat` (proc(5)). The command in field 2 may hold anything, so
/// they are counted from its last parenthesis.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_command = text.rsplit(|&byte| byte == b')').next()?;
    let mut fields = std::str::from_utf8(after_command).ok()?.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { is_dead, start_time })
}

fn has_pid(pid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    let rc = unsafe { libc::kill(pid, 0) };
    rc == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Runs `start`, which starts a thread, with every signal blocked: the thread inherits that, so
/// that nginx's signals always reach nginx's own thread, as in ngx_thread_pool.c.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are ours; sigfillset fills the one, pthread_sigmask the other.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = start();
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

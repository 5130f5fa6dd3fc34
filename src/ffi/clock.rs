//! The machine's clock that nobody sets.

use nginx_sys::ngx_current_msec;

/// Nanoseconds since some moment before the machine's start; every process of the machine reads the
/// same (clock_gettime(2), CLOCK_MONOTONIC).
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec; it knows this clock on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The same in milliseconds, as nginx counts them.
pub fn milliseconds() -> u64 {
    monotonic() / 1_000_000
}

/// When this turn of the event loop began, in milliseconds by the same clock (ngx_times.c,
/// ngx_monotonic_time), unless `timer_resolution` has nginx look at it less often.
pub fn turn_began() -> u64 {
    // SAFETY: an integer that the event loop, which calls this, sets itself.
    unsafe { (&raw const ngx_current_msec).read_volatile() as u64 }
}

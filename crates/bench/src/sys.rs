//! The system calls that no crate of ours wraps; all unsafe code of this crate.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Starts a process that is told to end when the thread that started it ends, however that does.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let die_with_us = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: between fork and exec only one system call is made (prctl(2)).
    unsafe { command.pre_exec(die_with_us) };
    command.spawn()
}

/// Has a command run on these processors.
pub fn run_on(command: &mut Command, processors: CpuSet) {
    let move_there = move || Ok(sched_setaffinity(None, &processors)?);
    // SAFETY: between fork and exec only one system call is made (sched_setaffinity(2)).
    unsafe { command.pre_exec(move_there) };
}

/// Has this thread run as soon as it can, whatever else the clients do: what it measures are the
/// server's delays (sched(7), SCHED_FIFO; needs root).
pub fn take_precedence() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads one struct sched_param.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens a TUN device of that name (at most 15 bytes) in the calling thread's network namespace,
/// and makes it if need be. Reads and writes are one IP packet each (linux/if_tun.h).
pub fn open_tun(name: &str) -> io::Result<File> {
    // struct ifreq: 16 bytes of name, then a union of 24 bytes whose first two are the flags
    let mut request = [0u8; 40];
    let name = &name.as_bytes()[..name.len().min(15)];
    request[..name.len()].copy_from_slice(name);
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: the descriptor is open, and the kernel reads and writes one struct ifreq, which is
    // as long as the array.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(device) }
}

/// Waits for a lock on some bytes of a file, against everybody else (fcntl(2), "Advisory record
/// locking"); it is held until the file is closed.
pub fn lock(file: &File, start: i64, length: i64) -> io::Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the kernel reads one struct flock.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One thread of another process that stands still until this is dropped, while the others run:
/// whatever it waits for takes as long. Must be dropped by the thread that made it (ptrace(2)).
#[derive(Debug)]
pub struct Held(libc::pid_t);

impl Held {
    pub fn new(thread: u32) -> io::Result<Self> {
        let thread = thread as libc::pid_t;
        ptrace(libc::PTRACE_SEIZE, thread)?;
        let held = Self(thread);
        ptrace(libc::PTRACE_INTERRUPT, thread)?;
        let mut status = 0;
        // SAFETY: the kernel writes one int; the thread is traced by this one.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        if waited == thread && libc::WIFSTOPPED(status) {
            Ok(held)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace(libc::PTRACE_DETACH, self.0);
    }
}

fn ptrace(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let nothing = ptr::null_mut::<c_void>();
    // SAFETY: these requests read and write no memory of ours.
    let done = unsafe { libc::ptrace(request, thread, nothing, nothing) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

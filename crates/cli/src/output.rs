//! Where the output goes, and whether it got there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The standard output.
///
/// Not `io::stdout`, which takes a descriptor that nobody can write to for one that nobody reads.
#[derive(Debug)]
pub(crate) struct Output(File);

impl Output {
    /// Fails where the command was started without a standard output.
    pub(crate) fn open() -> io::Result<Self> {
        if WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(io::Error::other("it is closed"));
        }
        Ok(Self(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    pub(crate) fn print(&self, text: &[u8]) -> io::Result<()> {
        (&self.0).write_all(text)
    }
}

/// Whether the standard output was closed when the process began. Rust puts `/dev/null` in its
/// place before `main`, so that no file becomes the standard output by chance.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds pointers to functions that the C library calls, once each and in one
// thread, before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: F_GETFD reads a flag of a descriptor, or fails where there is none.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

//! Locks that all workers of a server see, and that end with the process that holds them, however it
//! ends: on bytes of a file that has no name and no content. The kernel keeps what is locked, so there
//! is nothing to mend after a worker's death, and no room that could be used up.
//!
//! They are a process's own (fcntl(2), F_SETLK): a worker always gets what it has already.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use libc::{F_SETLK, F_UNLCK, F_WRLCK, MFD_CLOEXEC, SEEK_SET, c_int, flock, off_t};

/// Made in the master, and inherited by every worker that it starts: the file, and what keeps
/// clients from choosing names that share a byte.
static LOCKS: OnceLock<(OwnedFd, RandomState)> = OnceLock::new();

/// Which byte stands for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Byte(off_t);

impl Byte {
    /// The one that stands for a name of these parts; the same in all workers. `None` before
    /// [`create`].
    pub fn of(parts: impl Iterator<Item = impl AsRef<[u8]>>) -> Option<Byte> {
        let mut hasher = LOCKS.get()?.1.build_hasher();
        parts.for_each(|part| part.as_ref().hash(&mut hasher));
        // positive, and the byte behind it as well
        Some(Byte((hasher.finish() >> 2) as off_t))
    }

    /// Locks it. Says whether it is this worker's now; also where the kernel has no memory for
    /// locks, because then there is nothing to tell workers apart by.
    pub fn lock(self) -> bool {
        let refused = self.set(F_WRLCK);
        !matches!(refused, Some(libc::EACCES | libc::EAGAIN))
    }

    /// Gives it back.
    pub fn unlock(self) {
        self.set(F_UNLCK);
    }

    /// Returns the number of the error, if there was one.
    fn set(self, kind: c_int) -> Option<c_int> {
        let file = &LOCKS.get()?.0;
        // SAFETY: all zeroes are such a structure; the fields that matter follow.
        let mut lock: flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as _;
        lock.l_whence = SEEK_SET as _;
        lock.l_start = self.0;
        lock.l_len = 1;
        // SAFETY: the descriptor is open, and the call reads one such structure. It does not wait.
        let rc = unsafe { libc::fcntl(file.as_raw_fd(), F_SETLK, &raw const lock) };
        (rc == -1).then(|| io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

/// Makes the file, unless it is there. Meant for the master, before it has workers.
///
/// # Errors
///
/// The kernel's: there is no descriptor left, or no memory.
pub fn create() -> io::Result<()> {
    if LOCKS.get().is_some() {
        return Ok(());
    }
    // SAFETY: the name is NUL-terminated, and the descriptor that comes is nobody else's.
    let file = unsafe {
        match libc::memfd_create(c"stagedoor".as_ptr(), MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    LOCKS.get_or_init(|| (file, RandomState::new()));
    Ok(())
}

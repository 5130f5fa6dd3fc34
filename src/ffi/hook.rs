//! What a test may have a worker do at the places that `stagedoor_core::hook` names. Compiled only
//! with the feature `test-hooks`.
//!
//! The test writes what it wants into a file of eight 64-bit words, whose path is in the
//! environment when nginx starts; all processes of the server share its pages.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use stagedoor_core::hook;

/// Names the file.
const VARIABLE: &str = "STAGEDOOR_TEST_HOOKS";

/// The words of the file.
#[derive(Debug)]
#[repr(C)]
struct Control {
    /// FNV-1a of the place's name; 0 is none.
    place: AtomicU64,
    /// The place counts when it is passed for so many times, over all processes.
    countdown: AtomicU64,
    action: AtomicU64,
    /// How often something was done.
    fired: AtomicU64,
    /// Only this process, if it is not 0.
    pid: AtomicU64,
    /// The last one in which something was done.
    fired_in: AtomicU64,
    unused: [AtomicU64; 2],
}

const KILL: u64 = 1;
const PANIC: u64 = 2;
/// Lasts as long as the word says so.
const HANG: u64 = 3;

static CONTROL: OnceLock<Option<&Control>> = OnceLock::new();

/// Looks for the file. Called while the configuration is read: workers have no such environment.
pub fn install() {
    if CONTROL.get_or_init(open).is_some() {
        hook::install(passed);
    }
}

fn open() -> Option<&'static Control> {
    let path = std::env::var_os(VARIABLE)?;
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let (size, access) = (size_of::<Control>(), libc::PROT_READ | libc::PROT_WRITE);
    if file.metadata().ok()?.len() < size as u64 {
        return None;
    }
    // SAFETY: a new mapping, which is never taken back, of a file that is long enough.
    let memory =
        unsafe { libc::mmap(ptr::null_mut(), size, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    // SAFETY: the mapping is aligned to a page, and any bytes are atomic words.
    (memory != libc::MAP_FAILED).then(|| unsafe { &*memory.cast::<Control>() })
}

fn passed(name: &str) {
    let Some(Some(control)) = CONTROL.get() else { return };
    let pid = u64::from(std::process::id());
    if control.place.load(Ordering::Acquire) != fnv1a(name.as_bytes())
        || ![0, pid].contains(&control.pid.load(Ordering::Acquire))
        || control.countdown.fetch_sub(1, Ordering::AcqRel) != 1
    {
        return;
    }
    control.place.store(0, Ordering::Release);
    control.fired_in.store(pid, Ordering::Release);
    control.fired.fetch_add(1, Ordering::AcqRel);
    match control.action.load(Ordering::Acquire) {
        // SAFETY: no memory is involved.
        KILL => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        },
        PANIC => resume_unwind(Box::new("test-hooks")), // without a word on stderr
        HANG => {
            while control.action.load(Ordering::Acquire) == HANG {
                sleep(Duration::from_millis(5));
            }
        }
        _ => {}
    }
}

/// 64-bit FNV-1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

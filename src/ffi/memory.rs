//! The module's memory: the system's, and a reserve for the moment when that has none left.
//!
//! Rust ends the process when an allocation fails, and with it every stream of the worker. nginx
//! itself gets along: whoever needs memory is refused. The small things that this module needs to
//! refuse, or to end a stream, come out of the reserve then.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A publish has some thirty small allocations at a time, the largest below this.
const PIECE: usize = 1024;
const PIECES: usize = u64::BITS as usize;

/// What glibc takes back without the lock of the thread that allocated it, on 64-bit systems (malloc.c, DEFAULT_MXFAST):
/// so the pieces that a thread finds to use again may be another's. To grow one in place takes that lock.
const LOCKLESS: usize = 120;

/// What Rust allocates with.
struct Memory {
    /// A bit for each piece that is in use.
    used: AtomicU64,
    pieces: UnsafeCell<Pieces>,
}

#[repr(C, align(16))]
struct Pieces([[u8; PIECE]; PIECES]);

// SAFETY: a piece belongs to whoever has set its bit.
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory =
    Memory { used: AtomicU64::new(0), pieces: UnsafeCell::new(Pieces([[0; PIECE]; PIECES])) };

impl Memory {
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > PIECE || layout.align() > align_of::<Pieces>() {
            return std::ptr::null_mut();
        }
        let take = |used: u64| (used != u64::MAX).then(|| used | (used + 1));
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            // SAFETY: the lowest bit that was clear is a piece's number.
            Ok(used) => unsafe {
                self.pieces.get().cast::<u8>().add(used.trailing_ones() as usize * PIECE)
            },
            Err(_) => std::ptr::null_mut(),
        }
    }

    /// The number of the piece at an address, if it is one.
    fn number(&self, address: *mut u8) -> Option<usize> {
        let offset = (address as usize).checked_sub(self.pieces.get() as usize)?;
        (offset < size_of::<Pieces>()).then_some(offset / PIECE)
    }
}

// SAFETY: what the system's allocator gives is passed on; a piece is aligned for what it is given
// for, large enough, and nobody else's until it is given back. Nothing here panics.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        let address = unsafe { System.alloc(layout) };
        if address.is_null() { self.take(layout) } else { address }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller; a piece is at least as large as the layout.
        unsafe {
            let address = System.alloc_zeroed(layout);
            if !address.is_null() {
                return address;
            }
            let piece = self.take(layout);
            if !piece.is_null() {
                piece.write_bytes(0, layout.size());
            }
            piece
        }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        match self.number(address) {
            Some(number) => {
                self.used.fetch_and(!(1 << number), Ordering::AcqRel);
            }
            // SAFETY: as promised by the caller, and the system has given it.
            None => unsafe { System.dealloc(address, layout) },
        }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.number(address).is_none() && layout.size() > LOCKLESS {
            // SAFETY: as promised by the caller, and the system has given it.
            let moved = unsafe { System.realloc(address, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that the size is valid for this alignment; both places hold
        // what is copied and are not the same.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(address, layout.size().min(size));
                self.dealloc(address, layout);
            }
            moved
        }
    }
}

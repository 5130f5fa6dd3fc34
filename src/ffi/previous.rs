//! What stood where a hook of ours stands now: the hook calls it in turn.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of C, or none: what nginx's `…_pt` types are.
///
/// # Safety
///
/// The type is an `Option` of an `extern "C"` function pointer, which is as large as a pointer, and
/// `None` is the null pointer.
pub unsafe trait Nullable: Copy {}

// SAFETY: such an `Option`.
unsafe impl<A, R> Nullable for Option<unsafe extern "C" fn(A) -> R> {}
// SAFETY: as above.
unsafe impl<A, B, R> Nullable for Option<unsafe extern "C" fn(A, B) -> R> {}
// SAFETY: as above.
unsafe impl<A, B, C, R> Nullable for Option<unsafe extern "C" fn(A, B, C) -> R> {}

/// A place for one such function. It is written while modules are set up, anew for each
/// configuration, and read whenever nginx calls the hook.
#[derive(Debug)]
pub struct Previous<F> {
    address: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F: Nullable> Previous<F> {
    /// A place that holds none.
    pub const fn new() -> Previous<F> {
        Previous { address: AtomicPtr::new(ptr::null_mut()), function: PhantomData }
    }

    /// Puts `hook` where a function stands, and keeps that one.
    ///
    /// # Safety
    ///
    /// `place` is nginx's variable, and nobody else uses it meanwhile.
    pub unsafe fn hook(&self, place: *mut F, hook: F) {
        // SAFETY: as promised by the caller; `F` is as large as a pointer, see `Nullable`.
        let address = unsafe { std::mem::transmute_copy::<F, *mut c_void>(&place.replace(hook)) };
        self.address.store(address, Ordering::Relaxed);
    }

    /// The same where the function that was kept first stands, or if none is kept yet; any other one
    /// stays.
    ///
    /// # Safety
    ///
    /// As [`Previous::hook`].
    pub unsafe fn hook_usual(&self, place: *mut F, hook: F) {
        let known = self.address.load(Ordering::Relaxed);
        // SAFETY: as promised by the caller; `F` is as large as a pointer, see `Nullable`.
        unsafe {
            let there = std::mem::transmute_copy::<F, *mut c_void>(&place.read());
            if known.is_null() || known == there {
                self.hook(place, hook);
            }
        }
    }

    /// What stood there.
    pub fn get(&self) -> F {
        let address = self.address.load(Ordering::Relaxed);
        // SAFETY: null, which is `None`, or what `hook` stored; see `Nullable`.
        unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) }
    }
}

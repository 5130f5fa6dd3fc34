//! Every function that nginx calls runs its body in here: a panic must not cross into C, where it
//! would abort the worker and with it every stream that the worker carries.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stagedoor_core::hook;

use super::log::Log;

/// Runs `body`; a panic in it is logged and becomes `fallback`. Where a decision was due, the
/// fallback is the one that lets nobody in.
pub fn guard<T>(callback: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    contain(callback, fallback, || {
        hook::point(callback);
        body()
    })
}

/// The same, of a function whose parts run in [`guard`] each.
pub fn contain<T>(callback: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        stopped(callback);
        fallback
    })
}

#[cold]
#[inline(never)] // a line takes 2 kB of the stack, which no callback is to have on its way
fn stopped(callback: &str) {
    Log::cycle().error(format_args!("stagedoor: a bug stopped {callback}; going on without it"));
}

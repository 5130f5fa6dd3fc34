//! Places at which a test has this process fail. Only a build with the feature `test-hooks` has any;
//! in what operators get, nothing of this is left.

/// Between two pieces of work of a store thread.
pub(crate) const STORE_THREAD: &str = "store-thread";

/// Inside of one.
pub(crate) const STORE_WORK: &str = "store-work";

/// Inside of changes of the live registry, between any two steps.
pub(crate) const REGISTRY: &str = "registry";

#[cfg(feature = "test-hooks")]
mod armed {
    use std::sync::OnceLock;

    static ACTION: OnceLock<fn(&str)> = OnceLock::new();

    /// Has `action` called with the name of each place that is passed.
    pub fn install(action: fn(&str)) {
        let _ = ACTION.set(action);
    }

    /// A place.
    pub fn point(name: &str) {
        if let Some(action) = ACTION.get() {
            action(name);
        }
    }
}

#[cfg(feature = "test-hooks")]
pub use armed::{install, point};

/// A place.
#[cfg(not(feature = "test-hooks"))]
#[inline(always)]
pub fn point(_name: &str) {}

//! Places at which a test has this process fail. Only this crate's own tests and a build with the feature
//! `test-hooks` have any; in what operators get, nothing of this is left.

/// Between two pieces of work of a store thread.
pub(crate) const STORE_THREAD: &str = "store-thread";

/// Inside of one.
pub(crate) const STORE_WORK: &str = "store-work";

/// While it takes what it was told, and while it leaves a report.
pub(crate) const STORE_TAKES: &str = "store-takes";
pub(crate) const STORE_REPORTS: &str = "store-reports";

/// Inside of changes of the live registry, between any two steps.
pub(crate) const REGISTRY: &str = "registry";

#[cfg(any(test, feature = "test-hooks"))]
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

#[cfg(any(test, feature = "test-hooks"))]
pub use armed::{install, point};

/// A place.
#[cfg(not(any(test, feature = "test-hooks")))]
#[inline(always)]
pub fn point(_name: &str) {}

//! One fault, and what came of it.

use std::ffi::c_int;
use std::time::Duration;

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The call of SQLite that fails, counted from 1.
    pub call: u32,
    pub code: c_int,
    /// How long calls fail; nothing is the one call.
    pub lasting: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the end of the fault to the first answer that is as it should be; `None` if the fault
    /// was never met.
    pub recovery: Option<Duration>,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Notes what must not be, unless it is not.
    pub fn expect(&mut self, is_right: bool, otherwise: impl FnOnce() -> String) {
        if !is_right {
            self.wrong.push(otherwise());
        }
    }
}

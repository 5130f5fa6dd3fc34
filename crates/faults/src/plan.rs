//! Which call of a database fails, and how.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::ffi;

/// Not an answer of SQLite: the call takes as long as the fault lasts.
pub const HANG: c_int = -1;

/// What SQLite asks the system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A lock. Only such a call may be answered with "busy": of any other one SQLite takes that for
    /// success in places, such as a checkpoint, and no system gives it. A plan that says "busy"
    /// waits for the next of these.
    Lock,
    Other,
}

/// What becomes of one database's calls.
#[derive(Debug)]
pub struct Plan {
    /// The first call that fails, counted from 1; see [`Call::Lock`].
    call: u32,
    code: c_int,
    /// Calls fail for so long, or only the one.
    lasting: Duration,
    made: AtomicU32,
    is_met: AtomicBool,
    hit: Mutex<Option<Instant>>,
}

static PLANS: Mutex<Option<HashMap<PathBuf, Arc<Plan>>>> = Mutex::new(None);

impl Plan {
    /// For all files of this directory, until the value that is returned is dropped.
    pub fn set(directory: &Path, call: u32, code: c_int, lasting: Duration) -> Set {
        let (made, is_met, hit) = Default::default();
        let plan = Arc::new(Plan { call, code, lasting, made, is_met, hit });
        let directory = directory.to_owned();
        with_plans(|plans| plans.insert(directory.clone(), Arc::clone(&plan)));
        Set { directory, plan }
    }

    /// That of the directory in which a file lies.
    pub fn of(file: &Path) -> Option<Arc<Plan>> {
        with_plans(|plans| plans.get(file.parent()?).cloned())
    }

    /// Counts a call, and says what it is to return in place of what it would.
    pub fn next(&self, call: Call) -> Option<c_int> {
        let number = self.made.fetch_add(1, Ordering::AcqRel) + 1;
        if number < self.call || self.code == ffi::SQLITE_BUSY && call == Call::Other {
            return None;
        }
        let since = {
            let mut hit = self.hit.lock().unwrap_or_else(PoisonError::into_inner);
            *hit.get_or_insert_with(Instant::now)
        };
        let is_first = !self.is_met.swap(true, Ordering::AcqRel);
        let fails = is_first || since.elapsed() < self.lasting;
        if fails && self.code == HANG {
            sleep(self.lasting.saturating_sub(since.elapsed()));
            return None;
        }
        fails.then_some(self.code)
    }

    /// When the fault was over, or will be; `None` before it has come.
    pub fn over(&self) -> Option<Instant> {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).map(|hit| hit + self.lasting)
    }
}

/// A plan as long as it is in force.
#[derive(Debug)]
pub struct Set {
    directory: PathBuf,
    plan: Arc<Plan>,
}

impl std::ops::Deref for Set {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        with_plans(|plans| plans.remove(&self.directory));
    }
}

fn with_plans<T>(action: impl FnOnce(&mut HashMap<PathBuf, Arc<Plan>>) -> T) -> T {
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    action(plans.get_or_insert_with(HashMap::new))
}

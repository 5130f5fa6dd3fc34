//! Who runs where.
//!
//! The kernel puts two threads that talk to each other now on one processor, now on two, and waking
//! an idle processor takes longer than all that is measured here: so the workers have one for
//! themselves, as `worker_cpu_affinity` has it, and clients have the others. That is the same for
//! everybody who is compared.

use std::io;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::sys;

/// The processors of this machine that may be used, divided.
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    all: CpuSet,
    /// Without a second one, everything is on the one there is.
    workers: Option<usize>,
}

impl Processors {
    /// Gives the first one to the workers. This thread, and what it starts from now on, has the
    /// others.
    pub fn divide() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let mut others = all;
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu));
        let workers = first.filter(|_| all.count() > 1);
        if let Some(cpu) = workers {
            others.unset(cpu);
            sched_setaffinity(None, &others)?;
        }
        Ok(Self { all, workers })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.all.count()
    }

    /// The line for the main context of nginx.conf: a mask whose last digit is the first processor.
    pub fn nginx_conf(&self) -> String {
        match self.workers {
            Some(cpu) => format!("worker_cpu_affinity 1{};", "0".repeat(cpu)),
            None => String::new(),
        }
    }

    /// Has a command run on all of them.
    pub fn give_all(&self, command: &mut Command) {
        sys::run_on(command, self.all);
    }
}

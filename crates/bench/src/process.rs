//! What the kernel counts of a process.

use std::fs;
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Result;
use crate::sys;

/// A process that ends with us.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self(sys::spawn(command).map_err(|error| format!("cannot run {name}: {error}"))?))
    }

    /// What it prints, and what it complains of, where those are pipes.
    pub fn pipes(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        Some((self.0.stdout.take()?, self.0.stderr.take()?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.ended().is_none() && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The children of a process, by id.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // proc(5): the name may hold anything; behind it the state, then the parent
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2));
        if parent_of == Some(&parent.to_string()) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// The threads of a process, by id; the first is the process itself.
pub fn threads(pid: u32) -> Result<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        threads.push(entry?.file_name().to_string_lossy().parse()?);
    }
    threads.sort_unstable_by_key(|&thread| (thread != pid, thread));
    Ok(threads)
}

/// How long all threads of a process have run, on any CPU, in the kernel or outside of it.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in threads(pid)? {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat"))?;
        let ran = stat.split(' ').next().unwrap_or_default().parse()?;
        sum += Duration::from_nanos(ran);
    }
    Ok(sum)
}

/// The memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All that is resident.
    pub resident: u64,
    /// The same, each page shared out among those who have it.
    pub proportional: u64,
    /// What nobody else has.
    pub private: u64,
}

pub fn memory(pid: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kilobytes.ok_or_else(|| format!("no {name} of process {pid}"))?.parse::<u64>()? * 1024)
    };
    Ok(Memory {
        resident: field("Rss")?,
        proportional: field("Pss")?,
        private: field("Private_Clean")? + field("Private_Dirty")?,
    })
}

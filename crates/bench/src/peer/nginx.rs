//! An nginx of ours.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{self, Result};
use crate::process::{self, Daemon};

/// How many ports were looked at.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// Ports that nobody listens on, below those that the kernel gives to outgoing connections; others
/// each time, because who has them may listen in another namespace.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 32_768 - FIRST;
    let mut ports = [0; N];
    for place in &mut ports {
        let start = std::process::id() as u16;
        let mut candidates = (0..COUNT).map(|_| {
            let tried = TRIED.fetch_add(1, Ordering::Relaxed);
            FIRST + start.wrapping_add(tried) % COUNT
        });
        *place = candidates
            .find(|&port| TcpListener::bind(("0.0.0.0", port)).is_ok())
            .ok_or("no free port")?;
    }
    Ok(ports)
}

/// Starts nginx in the foreground with the nginx.conf of that directory.
pub fn start(dir: &Path, namespace: Option<&str>) -> Result<Daemon> {
    let nginx = bench::nginx();
    let mut command = match namespace {
        None => Command::new(&nginx),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, &nginx]);
            command
        }
    };
    command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf"));
    command.arg("-e").arg(dir.join("error.log")).stdin(Stdio::null());
    command.stderr(File::create(dir.join("stderr"))?);
    Daemon::start(&mut command)
}

/// Waits until the worker is there: nginx listens before it makes one.
pub fn wait(nginx: &mut Daemon, dir: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while worker(nginx.id()).is_err() {
        if nginx.ended().is_some() || Instant::now() > deadline {
            let complaint = fs::read_to_string(dir.join("stderr"))?;
            return Err(format!("nginx does not start: {complaint}").into());
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The worker of a master. A child is one once it has its title.
pub fn worker(master: u32) -> Result<u32> {
    for child in process::children(master)? {
        let title = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        if title.starts_with(b"nginx: worker process") {
            return Ok(child);
        }
    }
    Err("nginx has no worker".into())
}

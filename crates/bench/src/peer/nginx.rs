//! An nginx of ours.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::{self, Result};
use crate::process::{self, Daemon};

/// Ports that nobody listens on, below those that the kernel gives to outgoing connections.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let mut listeners = Vec::new();
    for port in (first..32_768).chain(10_000..first) {
        if listeners.len() == N {
            break;
        }
        listeners.extend(TcpListener::bind(("0.0.0.0", port)));
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    if listeners.len() < N { Err("no free ports".into()) } else { Ok(ports) }
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
    let child = command.spawn().map_err(|error| format!("cannot run {nginx}: {error}"))?;
    Ok(Daemon::new(child))
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

//! Two network namespaces that are as far from each other as wanted.
//!
//! What `tc netem` does in the kernel, for kernels without it: each namespace has a TUN device, and
//! a packet that goes into the one comes out of the other so much later. TCP on both sides is the
//! kernel's own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bench::{Result, output};
use crate::sys;

/// The interface in each of the two.
pub const INTERFACE: &str = "far0";

/// Addresses for documentation (RFC 5737), each in a namespace of its own.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Both namespaces; they are gone when this is dropped.
#[derive(Debug)]
pub struct Distance {
    pub near: String,
    pub far: String,
}

impl Distance {
    /// `delay` is that of one way.
    pub fn new(delay: Duration) -> Result<Self> {
        let id = std::process::id();
        let distance = Self { near: format!("bench-near-{id}"), far: format!("bench-far-{id}") };
        let near = join(&distance.near, NEAR, FAR)?;
        let far = join(&distance.far, FAR, NEAR)?;
        carry(near.try_clone()?, far.try_clone()?, delay);
        carry(far, near, delay);
        Ok(distance)
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            let _ = output(Command::new("ip").args(["netns", "delete", namespace]));
        }
    }
}

/// Makes a namespace with a TUN device in it.
fn join(namespace: &str, own: Ipv4Addr, other: Ipv4Addr) -> Result<File> {
    let ip = |line: &str| output(Command::new("ip").args(line.split(' ')));
    ip(&format!("netns add {namespace}"))?;
    let inside = File::open(format!("/run/netns/{namespace}"))?;
    let opening = thread::spawn(move || -> io::Result<File> {
        // this thread alone, and it ends there
        move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
        sys::open_tun(INTERFACE)
    });
    let device = opening.join().map_err(|_| "no TUN device")??;
    ip(&format!("-n {namespace} address add {own} peer {other} dev {INTERFACE}"))?;
    ip(&format!("-n {namespace} link set {INTERFACE} up"))?;
    ip(&format!("-n {namespace} link set lo up"))?;
    Ok(device)
}

/// Carries packets one way until a device is gone.
fn carry(mut from: File, mut to: File, delay: Duration) {
    let (sender, packets) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(read) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, packet) in packets {
            sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&packet).is_err() {
                return;
            }
        }
    });
}

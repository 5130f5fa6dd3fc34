//! What goes over the wire, as tcpdump captures it, with the kernel's times.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::Result;
use crate::process::Daemon;

/// What is looked for: it stands in the first bytes of the server's answer.
const LIVE: &[u8] = b"NetStream.Publish.Start";

/// One TCP segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// In seconds.
    pub at: f64,
    pub from: u16,
    pub to: u16,
    pub is_syn: bool,
    pub payload: Vec<u8>,
}

/// A capture that runs until it is dropped.
#[derive(Debug)]
pub struct Capture {
    segments: Receiver<Segment>,
    server: u16,
    _tcpdump: Daemon,
}

impl Capture {
    /// Captures what goes to and from that port of an interface.
    pub fn start(namespace: Option<&str>, interface: &str, server: u16) -> Result<Self> {
        let mut command = match namespace {
            None => Command::new("tcpdump"),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "tcpdump"]);
                command
            }
        };
        command.args(["-n", "-i", interface, "-s", "400", "--immediate-mode", "-U", "-w", "-"]);
        command.args(["--time-stamp-precision=nano", "tcp", "port", &server.to_string()]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run tcpdump: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let tcpdump = Daemon::new(child);
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Err("no pipe".into()) };
        let mut said = String::new();
        let mut stderr = BufReader::new(stderr);
        while !said.contains("listening on") {
            if stderr.read_line(&mut said)? == 0 {
                return Err(format!("tcpdump: {said}").into());
            }
        }
        let (sender, segments) = mpsc::channel();
        thread::spawn(move || {
            // until tcpdump ends, or nobody wants more
            let _ = read_file(stdout, |segment| sender.send(segment).is_ok());
        });
        Ok(Self { segments, server, _tcpdump: tcpdump })
    }

    /// Waits until somebody is told to be live; returns the seconds since the first packet of that
    /// connection.
    pub fn time_to_live(&self) -> Result<f64> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut begun = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let segment = self.segments.recv_timeout(left).map_err(|_| "nobody went live")?;
            if segment.is_syn && segment.to == self.server {
                begun.push((segment.from, segment.at));
            }
            if segment.from == self.server && contains(&segment.payload, LIVE) {
                let first = begun.iter().find(|(port, _)| *port == segment.to);
                return Ok(segment.at - first.ok_or("no SYN was captured")?.1);
            }
        }
    }

    /// Forgets what was captured so far.
    pub fn forget(&self) {
        while self.segments.try_recv().is_ok() {}
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Reads a capture file (pcap-savefile(5), times in nanoseconds) until its end.
fn read_file(mut file: ChildStdout, mut take: impl FnMut(Segment) -> bool) -> Result<()> {
    let mut header = [0; 24];
    file.read_exact(&mut header)?;
    let word = |bytes: &[u8], at: usize| -> u32 {
        bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
    };
    // an Ethernet header stands in front of the packet, or nothing
    let skip = if word(&header, 20) == 1 { 14 } else { 0 };
    let mut record = [0; 16];
    loop {
        file.read_exact(&mut record)?;
        let mut packet = vec![0; word(&record, 8) as usize];
        file.read_exact(&mut packet)?;
        let at = f64::from(word(&record, 0)) + f64::from(word(&record, 4)) / 1e9;
        if let Some(segment) = packet.get(skip..).and_then(|packet| segment(at, packet))
            && !take(segment)
        {
            return Ok(());
        }
    }
}

/// Reads an IPv4 packet (RFC 791, section 3.1) with a TCP segment (RFC 9293, section 3.1).
fn segment(at: f64, packet: &[u8]) -> Option<Segment> {
    let tcp = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..).unwrap_or_default().to_vec();
    Some(Segment { at, from: port(0)?, to: port(2)?, is_syn: tcp.get(13)? & 0x02 != 0, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_found_behind_options() {
        let mut packet = vec![0x46; 24]; // six words
        packet.extend([0x07, 0x8f, 0xc0, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0x12]);
        packet.extend([0; 10]); // to the end of six words
        packet.extend(b"hello");
        let found = segment(1.5, &packet).unwrap();
        let expected =
            Segment { at: 1.5, from: 1935, to: 49153, is_syn: true, payload: b"hello".to_vec() };
        assert_eq!(found, expected);
        assert_eq!(segment(1.5, &packet[..30]), None);
    }
}

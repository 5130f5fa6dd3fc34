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
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tcpdump = Daemon::start(&mut command)?;
        let (stdout, stderr) = tcpdump.pipes().ok_or("no pipe")?;
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

    /// Waits until somebody is told to be live.
    pub fn live(&self) -> Result<Live> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut connections: Vec<Connection> = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let segment = self.segments.recv_timeout(left).map_err(|_| "nobody went live")?;
            if segment.is_syn && segment.to == self.server {
                connections.push(Connection::new(&segment));
            }
            let client = if segment.to == self.server { segment.from } else { segment.to };
            let found = connections.iter_mut().rfind(|connection| connection.client == client);
            if let Some(live) = found.and_then(|connection| connection.segment(&segment)) {
                return Ok(live);
            }
        }
    }

    /// Forgets what was captured so far.
    pub fn forget(&self) {
        while self.segments.try_recv().is_ok() {}
    }
}

/// A connection on its way to being live.
#[derive(Debug)]
struct Connection {
    client: u16,
    began: f64,
    /// The server has acknowledged what the client sent last, and said nothing.
    is_bare_ack: bool,
    own_waits: u32,
}

/// How a connection became live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Seconds since the first packet.
    pub after: f64,
    /// How often the client held something back until the server had acknowledged what it had sent
    /// before (Nagle's algorithm), though there was nothing to wait for.
    pub own_waits: u32,
}

impl Connection {
    fn new(syn: &Segment) -> Self {
        Self { client: syn.from, began: syn.at, is_bare_ack: false, own_waits: 0 }
    }

    /// Another segment of it; says when it is the one that makes it live.
    fn segment(&mut self, segment: &Segment) -> Option<Live> {
        if segment.from != self.client {
            self.is_bare_ack = segment.payload.is_empty() && !segment.is_syn;
        } else if !segment.payload.is_empty() && std::mem::take(&mut self.is_bare_ack) {
            self.own_waits += 1;
        }
        let is_live = segment.to == self.client && contains(&segment.payload, LIVE);
        is_live.then_some(Live { after: segment.at - self.began, own_waits: self.own_waits })
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
    fn what_waits_for_nothing_but_an_ack_is_the_clients_own_doing() {
        let segment = |at: f64, from: u16, payload: &[u8]| Segment {
            at,
            from,
            to: 1942 - from,
            is_syn: false,
            payload: payload.to_vec(),
        };
        let mut connection = Connection::new(&segment(1.0, 7, b""));
        for (at, from, payload) in [
            (1.1, 7, &b"hello"[..]),
            (1.2, 1935, b""),
            (1.2, 1935, b"answer"),
            (1.2, 7, b"header"), // waited for the answer
            (1.3, 1935, b""),
            (1.3, 7, b"payload"), // waited for an ACK
            (1.3, 7, b"more"),
        ] {
            assert_eq!(connection.segment(&segment(at, from, payload)), None);
        }
        let live =
            connection.segment(&segment(1.5, 1935, b"...NetStream.Publish.Start...")).unwrap();
        assert_eq!(live, Live { after: 0.5, own_waits: 1 });
    }

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

//! A client on a blocking socket, one at a time: for what is measured without a crowd.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::time::{Duration, Instant};

use super::command::Status;
use super::session::{Event, Session};

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// As the kernel has it: Nagle's algorithm and delayed ACKs.
    Ordinary,
    /// What it sends goes out at once, what it gets is acknowledged at once; so the server's
    /// answers wait for nothing, whatever the server does.
    Prompt,
}

/// How long any answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A connection and the session on it.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    tcp: Tcp,
    session: Session,
    buffer: Box<[u8; 65536]>,
}

impl Client {
    /// Connects by TCP, and sends nothing.
    pub fn open(server: SocketAddr, tcp: Tcp) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&server, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_nodelay(tcp == Tcp::Prompt)?;
        Ok(Self { socket, tcp, session: Session::new(), buffer: Box::new([0; 65536]) })
    }

    /// Shakes hands, and has the application and a stream.
    pub fn set_up(&mut self, app: &str) -> io::Result<()> {
        self.wait(|event| matches!(event, Event::Handshaken))?;
        self.session.connect(app, "localhost");
        self.wait(|event| matches!(event, Event::Connected))?;
        self.session.create_stream();
        self.wait(|event| matches!(event, Event::Created))?;
        Ok(())
    }

    /// What the server says to a `publish`, and how long that took.
    pub fn publish(&mut self, key: &str) -> io::Result<(Status, Duration)> {
        self.session.publish(key.as_bytes());
        let sent = Instant::now();
        let status = self.status()?;
        Ok((status, sent.elapsed()))
    }

    /// Ends the stream, in order; the connection stays.
    pub fn delete_stream(&mut self) -> io::Result<()> {
        self.session.delete_stream();
        self.flush()
    }

    fn status(&mut self) -> io::Result<Status> {
        match self.wait(|event| matches!(event, Event::Status(_)))? {
            Event::Status(status) => Ok(status),
            event => Err(io::Error::other(format!("not a status: {event:?}"))),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.session.out)?;
        self.session.out.clear();
        Ok(())
    }

    /// Sends what there is to send, and returns the first event that is wanted.
    fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> io::Result<Event> {
        loop {
            while let Some(event) = self.session.event().map_err(io::Error::other)? {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            self.flush()?;
            if self.tcp == Tcp::Prompt {
                self.socket.set_quickack(true)?;
            }
            match self.socket.read(&mut *self.buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.session.receive(&self.buffer[..read]),
            }
        }
    }
}

//! A client's session without its socket: bytes in, events and bytes out.

use super::chunk::{self, Header, Malformed, Message, kind};
use super::command::{self, Answer, Status};
use super::handshake;

/// The transactions of the commands that are answered by `_result`.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;

/// What a chunk of ours holds once the stream is live, as encoders choose it (OBS: 4096).
pub const CHUNK_SIZE: usize = 4096;

/// One session. What is to be sent stands in [`Session::out`]; whoever sends it takes it out there.
#[derive(Debug)]
pub struct Session {
    pub out: Vec<u8>,
    /// What came of the handshake, until it is done.
    handshake: Option<Vec<u8>>,
    reader: chunk::Reader,
    chunk_size: usize,
    stream: u32,
}

/// What the server did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Handshaken,
    Connected,
    /// There is a stream to publish or play on.
    Created,
    Status(Status),
    /// Audio, video or data.
    Media(Message),
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session that is about to say hello.
    pub fn new() -> Self {
        Self {
            out: handshake::hello(),
            handshake: Some(Vec::with_capacity(handshake::ANSWER_LEN)),
            reader: chunk::Reader::default(),
            chunk_size: chunk::DEFAULT_SIZE,
            stream: 0,
        }
    }

    /// Takes what came from the server; [`Session::event`] tells what it means.
    pub fn receive(&mut self, bytes: &[u8]) {
        match &mut self.handshake {
            Some(handshake) => handshake.extend(bytes),
            None => self.reader.append(bytes),
        }
    }

    /// The next event; none until more has come.
    pub fn event(&mut self) -> Result<Option<Event>, Malformed> {
        if let Some(answer) = &self.handshake {
            let Some(reply) = handshake::reply(answer) else { return Ok(None) };
            self.out.extend(reply);
            self.reader.append(&answer[handshake::ANSWER_LEN..]);
            self.handshake = None;
            return Ok(Some(Event::Handshaken));
        }
        while let Some(message) = self.reader.message()? {
            if let Some(event) = self.meaning(message) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn meaning(&mut self, message: Message) -> Option<Event> {
        match message.header.kind {
            kind::COMMAND => match command::answer(&message.payload)? {
                Answer::Result { transaction: CONNECT, .. } => Some(Event::Connected),
                Answer::Result { transaction: CREATE_STREAM, stream } => {
                    self.stream = stream.unwrap_or(1);
                    Some(Event::Created)
                }
                Answer::Status(status) => Some(Event::Status(status)),
                Answer::Result { .. } | Answer::Other(_) => None,
            },
            kind::AUDIO | kind::VIDEO | kind::DATA => Some(Event::Media(message)),
            kind::USER_CONTROL => {
                self.pong(&message.payload);
                None
            }
            _ => None,
        }
    }

    /// Answers a ping (section 7.1.7, events 6 and 7), without which nginx-rtmp hangs up.
    fn pong(&mut self, payload: &[u8]) {
        if let [0, 6, rest @ ..] = payload {
            let payload = [&[0, 7], rest].concat();
            self.send(2, kind::USER_CONTROL, 0, 0, &payload);
        }
    }

    /// Asks to `connect`: [`Event::Connected`] is the answer.
    pub fn connect(&mut self, app: &str, host: &str) {
        let payload = command::connect(app, &format!("rtmp://{host}/{app}"));
        self.command(0, &payload);
    }

    /// Asks for a stream: [`Event::Created`] is the answer.
    pub fn create_stream(&mut self) {
        self.command(0, &command::create_stream(CREATE_STREAM));
    }

    /// Publishes: [`Event::Status`] is the answer.
    pub fn publish(&mut self, key: &[u8]) {
        self.command(self.stream, &command::publish(3.0, key));
    }

    /// Plays: [`Event::Status`] is the answer.
    pub fn play(&mut self, name: &[u8]) {
        self.command(self.stream, &command::play(3.0, name));
    }

    /// Ends the stream, which nothing answers.
    pub fn delete_stream(&mut self) {
        self.command(0, &command::delete_stream(4.0, self.stream));
    }

    /// Says what our chunks hold from now on.
    pub fn set_chunk_size(&mut self, size: usize) {
        self.send(2, kind::SET_CHUNK_SIZE, 0, 0, &(size as u32).to_be_bytes());
        self.chunk_size = size;
    }

    /// Sends audio, video or data.
    pub fn media(&mut self, kind: u8, timestamp: u32, payload: &[u8]) {
        let chunk_stream = if kind == kind::VIDEO { 6 } else { 4 };
        self.send(chunk_stream, kind, timestamp, self.stream, payload);
    }

    fn command(&mut self, stream: u32, payload: &[u8]) {
        self.send(3, kind::COMMAND, 0, stream, payload);
    }

    fn send(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, stream: u32, payload: &[u8]) {
        let header = Header { chunk_stream, timestamp, kind, stream };
        chunk::write(&mut self.out, &header, payload, self.chunk_size);
    }
}

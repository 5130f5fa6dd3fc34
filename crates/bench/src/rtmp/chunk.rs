//! Messages in chunks (section 5.3).

use std::mem;

/// What a chunk holds until "Set Chunk Size" says otherwise.
pub const DEFAULT_SIZE: usize = 128;

/// Longer messages than this are no answer of a server's to us.
const LONGEST: usize = 16 << 20;

/// A message, without its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The chunk stream: 2 to 63 is what is written here.
    pub chunk_stream: u8,
    /// In milliseconds.
    pub timestamp: u32,
    pub kind: u8,
    pub stream: u32,
}

/// Kinds of messages (sections 5.4, 6.2 and 7.1).
pub mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const USER_CONTROL: u8 = 4;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
}

/// Appends a message in chunks that hold at most `size` bytes. The first has the full header
/// (type 0), those behind it none (type 3).
pub fn write(out: &mut Vec<u8>, header: &Header, payload: &[u8], size: usize) {
    const ESCAPE: u32 = 0xff_ffff;
    let basic = header.chunk_stream & 0x3f;
    let long_timestamp = (header.timestamp >= ESCAPE).then(|| header.timestamp.to_be_bytes());
    out.push(basic);
    out.extend(&header.timestamp.min(ESCAPE).to_be_bytes()[1..]);
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.push(header.kind);
    out.extend(header.stream.to_le_bytes());
    out.extend(long_timestamp.iter().flatten());
    for (index, part) in payload.chunks(size.max(1)).enumerate() {
        if index > 0 {
            out.push(0xc0 | basic);
            out.extend(long_timestamp.iter().flatten());
        }
        out.extend(part);
    }
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub header: Header,
    pub payload: Vec<u8>,
}

/// Puts messages together from what the other side sends, cut up in whatever way.
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    /// How much of `bytes` is read already.
    read: usize,
    size: usize,
    streams: Vec<Stream>,
}

/// One chunk stream.
#[derive(Clone, Debug, Default)]
struct Stream {
    header: Header,
    /// What the last header added to the timestamp: so much does one without a timestamp.
    delta: u32,
    is_long: bool,
    length: usize,
    payload: Vec<u8>,
}

/// The other side does not speak RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message longer than {LONGEST} bytes, or a chunk stream above 63")]
pub struct Malformed;

impl Default for Reader {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            read: 0,
            size: DEFAULT_SIZE,
            streams: vec![Stream::default(); 64],
        }
    }
}

impl Reader {
    /// Takes what came.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
        }
        self.bytes.extend(bytes);
    }

    /// The next whole message; none until more has come. "Set Chunk Size" is obeyed, and returned.
    pub fn message(&mut self) -> Result<Option<Message>, Malformed> {
        while let Some(used) = self.chunk()? {
            let basic = usize::from(self.bytes[self.read] & 0x3f);
            self.read += used;
            let stream = &mut self.streams[basic];
            if stream.payload.len() < stream.length {
                continue;
            }
            let message =
                Message { header: stream.header, payload: mem::take(&mut stream.payload) };
            if let (kind::SET_CHUNK_SIZE, Ok(size)) =
                (message.header.kind, <[u8; 4]>::try_from(&*message.payload))
            {
                self.size = (u32::from_be_bytes(size) as usize).max(1);
            }
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// Reads one chunk into its stream, if it is there as a whole; returns its length.
    fn chunk(&mut self) -> Result<Option<usize>, Malformed> {
        let bytes = &self.bytes[self.read..];
        let Some(&first) = bytes.first() else { return Ok(None) };
        let basic = first & 0x3f;
        if basic < 2 {
            return Err(Malformed);
        }
        let stream = &mut self.streams[usize::from(basic)];
        let (form, is_new) = (first >> 6, stream.payload.is_empty());
        let fields = [11, 7, 3, 0][usize::from(form)];
        let Some(fields) = bytes.get(1..1 + fields) else { return Ok(None) };

        let mut next = Stream { payload: Vec::new(), ..*stream };
        if let [a, b, c, ..] = *fields {
            next.delta = u32::from_be_bytes([0, a, b, c]);
            next.is_long = next.delta == 0xff_ffff;
        }
        if let [_, _, _, a, b, c, kind, ..] = *fields {
            next.length = u32::from_be_bytes([0, a, b, c]) as usize;
            next.header.kind = kind;
        }
        if let [.., a, b, c, d] = *fields
            && form == 0
        {
            next.header.stream = u32::from_le_bytes([a, b, c, d]);
        }
        let mut used = 1 + fields.len();
        if next.is_long {
            let Some(&[a, b, c, d]) = bytes.get(used..used + 4) else { return Ok(None) };
            next.delta = u32::from_be_bytes([a, b, c, d]);
            used += 4;
        }
        if next.length > LONGEST {
            return Err(Malformed);
        }
        let part = self.size.min(next.length.saturating_sub(stream.payload.len()));
        let Some(part) = bytes.get(used..used + part) else { return Ok(None) };
        if is_new {
            next.header.chunk_stream = basic;
            let before = if form == 0 { 0 } else { next.header.timestamp };
            next.header.timestamp = before.wrapping_add(next.delta);
            if form == 0 {
                next.delta = 0;
            }
        }
        next.payload = mem::take(&mut stream.payload);
        next.payload.extend(part);
        used += part.len();
        *stream = next;
        Ok(Some(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(chunk_stream: u8, timestamp: u32) -> Header {
        Header { chunk_stream, timestamp, kind: kind::VIDEO, stream: 1 }
    }

    fn read(bytes: &[u8], at_once: usize) -> Vec<Message> {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        for part in bytes.chunks(at_once) {
            reader.append(part);
            while let Some(message) = reader.message().unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let payload: Vec<u8> = (0..1000u32).map(|byte| byte as u8).collect();
        for timestamp in [0, 0xff_fffe, 0xff_ffff, u32::MAX] {
            let mut bytes = Vec::new();
            let size = Header { chunk_stream: 2, kind: kind::SET_CHUNK_SIZE, ..header(2, 0) };
            write(&mut bytes, &header(6, timestamp), &payload, DEFAULT_SIZE);
            write(&mut bytes, &size, &300u32.to_be_bytes(), DEFAULT_SIZE);
            write(&mut bytes, &header(4, 7), &payload, 300);
            for at_once in [1, 7, 128, bytes.len()] {
                let messages = read(&bytes, at_once);
                assert_eq!(messages.len(), 3);
                assert_eq!(messages[0].header, header(6, timestamp));
                assert_eq!(messages[2].header, header(4, 7));
                assert!(messages[0].payload == payload && messages[2].payload == payload);
            }
        }
    }

    #[test]
    fn headers_that_leave_fields_out_take_them_from_the_one_before() {
        let mut bytes = Vec::new();
        write(&mut bytes, &header(6, 1000), b"one", DEFAULT_SIZE);
        bytes.extend(b"\x46\x00\x00\x28\x00\x00\x02\x08hi"); // type 1: 40 ms on, audio of 2 bytes
        bytes.extend(b"\x86\x00\x00\x14ho"); // type 2: 20 ms on
        bytes.extend(b"\xc6ha"); // type 3: 20 ms on
        let got: Vec<_> = read(&bytes, bytes.len())
            .into_iter()
            .map(|message| (message.header.timestamp, message.header.kind, message.payload))
            .collect();
        let audio = kind::AUDIO;
        assert_eq!(
            got[1..],
            [
                (1040, audio, b"hi".to_vec()),
                (1060, audio, b"ho".to_vec()),
                (1080, audio, b"ha".to_vec())
            ]
        );
    }
}

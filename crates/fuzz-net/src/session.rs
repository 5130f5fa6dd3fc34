//! One session, as it will be sent.

/// The bytes of a session, and how they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub bytes: Vec<u8>,
    /// Where to stop and wait for an answer, in ascending order.
    pub pauses: Vec<usize>,
    pub ending: Ending,
    /// Its messages are in chunks of another size than the client's own: a name may be cut in two.
    pub rechunked: bool,
}

/// What the client does when everything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Sends no more, and reads until the server closes.
    Close,
    /// Waits for the answer to a publish first, or for any that there is.
    Answer,
    /// Closes with the server's answers unread, which resets the connection.
    Reset,
}

impl Session {
    /// All at once, then closed.
    pub fn of(bytes: Vec<u8>) -> Session {
        Session { bytes, pauses: Vec::new(), ending: Ending::Close, rechunked: false }
    }

    /// The pieces between the pauses.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.pauses.iter().copied().chain([self.bytes.len()]);
        ends.scan(0, |start, end| {
            let piece = self.bytes.get(*start..end).unwrap_or_default();
            *start = end;
            Some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_session() {
        let session = Session { pauses: vec![2, 2, 5], ..Session::of(b"abcdefg".to_vec()) };
        let pieces: Vec<&[u8]> = session.pieces().collect();
        assert_eq!(pieces, [&b"ab"[..], b"", b"cde", b"fg"]);
    }
}

//! The sessions that are always the same, by their numbers: every truncation of each recording, then
//! every order of commands, then headers that do not fit.

use crate::headers;
use crate::orders;
use crate::recording::{Disguise, Recording};
use crate::session::{Ending, Session};

/// The list.
#[derive(Debug)]
pub struct Malformed<'a> {
    recordings: &'a [Recording],
    headers: Vec<Vec<u8>>,
}

impl Malformed<'_> {
    pub fn new(recordings: &[Recording]) -> Malformed<'_> {
        Malformed { recordings, headers: headers::sessions(recordings) }
    }

    fn truncations(&self) -> u64 {
        self.recordings.iter().map(|recording| recording.bytes.len() as u64).sum()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.truncations() + 2 * orders::count() + self.headers.len() as u64
    }

    /// The session of a number below [`Malformed::len`].
    pub fn session(&self, number: u64, disguise: &Disguise) -> Session {
        let mut session = self.undisguised(number);
        disguise.put_on(&mut session.bytes);
        session
    }

    fn undisguised(&self, mut number: u64) -> Session {
        for recording in self.recordings {
            let length = recording.bytes.len() as u64;
            if number < length {
                return truncation(recording, number as usize);
            }
            number -= length;
        }
        if number < 2 * orders::count() {
            return orders::session(number / 2, number % 2 == 1);
        }
        let bytes = &self.headers[(number - 2 * orders::count()) as usize];
        let ending = if number.is_multiple_of(2) { Ending::Close } else { Ending::Answer };
        Session { ending, rechunked: true, ..Session::of(bytes.clone()) }
    }
}

/// The recording's first bytes; every fourth time the answers to them are waited for, every eighth
/// the connection is reset.
fn truncation(recording: &Recording, length: usize) -> Session {
    let ending = match length % 8 {
        0 | 4 => Ending::Answer,
        2 => Ending::Reset,
        _ => Ending::Close,
    };
    Session { ending, ..Session::of(recording.bytes[..length].to_vec()) }
}

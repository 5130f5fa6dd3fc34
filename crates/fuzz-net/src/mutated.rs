//! Sessions that come of a seed: a recording or an order of commands, changed message by message or
//! byte by byte.

mod amf;

use stagedoor_bench::rtmp::chunk::{self, DEFAULT_SIZE, Header, Message, kind};

use crate::orders;
use crate::random::Random;
use crate::recording::{Disguise, HANDSHAKE, Recording};
use crate::session::{Ending, Session};

/// The sessions of a seed.
#[derive(Debug)]
pub struct Mutated {
    recordings: Vec<Recording>,
    seed: u64,
}

/// The longest session that is made, in bytes.
const LONGEST: usize = 64 << 10;

impl Mutated {
    pub fn new(recordings: Vec<Recording>, seed: u64) -> Mutated {
        Mutated { recordings, seed }
    }

    /// The session of this number.
    pub fn session(&self, number: u64, disguise: &Disguise) -> Session {
        let mut random = Random::new(self.seed, number);
        let rechunked = random.one_in(2);
        let mut bytes = match rechunked {
            true => self.of_messages(&mut random, disguise),
            false => self.of_bytes(&mut random, disguise),
        };
        bytes.truncate(LONGEST);
        let ending = match random.below(16) {
            0 => Ending::Reset,
            1..=3 => Ending::Answer,
            _ => Ending::Close,
        };
        let pauses = match random.below(16) {
            0 => vec![HANDSHAKE.min(bytes.len())],
            1 => vec![random.below(bytes.len())],
            _ => Vec::new(),
        };
        Session { pauses, ending, rechunked, ..Session::of(bytes) }
    }

    fn of_bytes(&self, random: &mut Random, disguise: &Disguise) -> Vec<u8> {
        let mut bytes = match random.below(4) {
            0 => orders::session(random.next() % orders::count(), false).bytes,
            _ => random.of(&self.recordings).bytes.clone(),
        };
        disguise.put_on(&mut bytes);
        let start = if random.one_in(16) { 0 } else { HANDSHAKE };
        for _ in 0..1 + random.below(6) {
            change_bytes(random, &mut bytes, start);
        }
        bytes
    }

    fn of_messages(&self, random: &mut Random, disguise: &Disguise) -> Vec<u8> {
        let mut messages = random.of(&self.recordings).messages.clone();
        for _ in 0..random.below(5) {
            self.change_messages(random, &mut messages);
        }
        let key = disguise.name.as_bytes();
        for message in &mut messages {
            disguise.put_on(&mut message.payload);
        }
        for _ in 0..random.below(4) {
            let at = random.below(messages.len());
            if let Some(message) = messages.get_mut(at) {
                change_message(random, message, key);
            }
        }
        let mut bytes = orders::handshake();
        write(random, &mut bytes, &messages);
        if random.one_in(4) {
            change_bytes(random, &mut bytes, HANDSHAKE);
        }
        bytes
    }

    /// Leaves a message out, sends it again or elsewhere, or brings one of another session in.
    fn change_messages(&self, random: &mut Random, messages: &mut Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let (at, to) = (random.below(messages.len()), random.below(messages.len()));
        match random.below(6) {
            0 => drop(messages.remove(at)),
            1 => messages.swap(at, to),
            2 => messages.insert(to, messages[at].clone()),
            3 => messages.truncate(at + 1),
            4 => {
                let name = *random.of(&orders::COMMANDS);
                let payload = orders::payload(name, 1.0 + random.below(5) as f64);
                let header = Header { kind: kind::COMMAND, ..messages[at].header };
                messages.insert(to, Message { header, payload });
            }
            _ => {
                let other = random.of(&self.recordings);
                messages.insert(to, random.of(&other.messages).clone());
            }
        }
    }
}

/// Writes the messages in chunks of some size, which may change on the way.
fn write(random: &mut Random, bytes: &mut Vec<u8>, messages: &[Message]) {
    let mut size = DEFAULT_SIZE;
    for message in messages {
        if message.header.kind == kind::SET_CHUNK_SIZE || random.one_in(16) {
            let next = *random.of(&[1, 2, 7, 64, 128, 129, 1000, 4096, 65_536, 10_485_760]);
            let header =
                Header { chunk_stream: 2, timestamp: 0, kind: kind::SET_CHUNK_SIZE, stream: 0 };
            chunk::write(bytes, &header, &(next as u32).to_be_bytes(), size);
            size = next;
        }
        if message.header.kind != kind::SET_CHUNK_SIZE {
            chunk::write(bytes, &message.header, &message.payload, size);
        }
    }
}

fn change_message(random: &mut Random, message: &mut Message, key: &[u8]) {
    let header = &mut message.header;
    match random.below(8) {
        0 => header.kind = random.byte() % 32,
        1 => header.stream = [0, 1, 2, 3, 255, u32::MAX][random.below(6)],
        2 => header.chunk_stream = 2 + random.byte() % 62,
        3 => header.timestamp = interesting(random),
        4 => change_bytes(random, &mut message.payload, 0),
        _ => amf::change(random, &mut message.payload, key),
    }
}

fn interesting(random: &mut Random) -> u32 {
    let around = *random.of(&[0u32, 0x80, 0x100, 0x1000, 0xffff, 0x10_0000, 0xff_ffff, 1 << 31]);
    around.wrapping_add(random.below(5) as u32).wrapping_sub(2)
}

/// Changes some bytes behind `start`.
fn change_bytes(random: &mut Random, bytes: &mut Vec<u8>, start: usize) {
    if bytes.len() <= start {
        return;
    }
    let at = start + random.below(bytes.len() - start);
    let end = (at + 1 + random.below(16)).min(bytes.len());
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.byte(),
        2 => bytes[at] = *random.of(&[0, 1, 2, 3, 8, 9, 10, 0x7f, 0x80, 0xc3, 0xff]),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let run = bytes[at..end].to_vec();
            let to = start + random.below(bytes.len() - start);
            bytes.splice(
                to..to,
                run.iter().copied().cycle().take(run.len() * (1 + random.below(40))),
            );
        }
        5 => drop(bytes.splice(at..at, (0..1 + random.below(16)).map(|_| random.byte()))),
        6 => bytes.truncate(at),
        7 => {
            let number = interesting(random).to_be_bytes();
            let width = 2 + random.below(3);
            for (byte, new) in bytes[at..].iter_mut().zip(&number[4 - width..]) {
                *byte = *new;
            }
        }
        _ => {
            for byte in &mut bytes[at..end] {
                *byte = random.byte();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mutated(seed: u64) -> Mutated {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/sessions");
        Mutated::new(Recording::all(&dir).unwrap(), seed)
    }

    fn disguise() -> Disguise {
        Disguise { app: "door".to_owned(), name: "abcdefghijklmnopqrstuvwx".to_owned() }
    }

    #[test]
    fn a_session_of_a_seed_is_always_the_same() {
        let (one, same, other) = (mutated(1), mutated(1), mutated(2));
        for number in 0..50 {
            let session = one.session(number, &disguise());
            assert_eq!(session, same.session(number, &disguise()));
            assert_ne!(session, other.session(number, &disguise()));
        }
    }

    /// nginx-rtmp logs the names that are played, and those published where no key is wanted.
    #[test]
    fn a_key_is_published_where_keys_are_wanted_and_never_played() {
        let mutated = mutated(3);
        let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|at| at == part);
        let key = disguise().name;
        for number in 0..5_000 {
            let bytes = mutated.session(number, &disguise()).bytes;
            assert!(!has(&bytes, b"\0\x04open"), "{number}");
            for at in 0..bytes.len().saturating_sub(60) {
                if bytes[at..].starts_with(b"\x02\0\x04play") {
                    assert!(!has(&bytes[at..at + 60], key.as_bytes()), "{number}");
                }
            }
        }
    }
}

//! Commands in every order.

use stagedoor_bench::rtmp::chunk::{self, DEFAULT_SIZE, Header, kind};
use stagedoor_bench::rtmp::{amf, command, handshake};

use crate::recording::{APP, HANDSHAKE, NAME};
use crate::session::{Ending, Session};

/// What a session is made of.
pub const COMMANDS: [&str; 8] = [
    "connect",
    "createStream",
    "publish",
    "play",
    "deleteStream",
    "closeStream",
    "releaseStream",
    "FCPublish",
];

/// The most commands of a session.
const LONGEST: u32 = 5;

/// How many orders there are, of 1 to 5 commands, each as often as it comes.
pub fn count() -> u64 {
    (1..=LONGEST).map(|length| (COMMANDS.len() as u64).pow(length)).sum()
}

/// The commands of an order, by its number below [`count`]: the short ones come first.
fn order(mut number: u64) -> Vec<&'static str> {
    let base = COMMANDS.len() as u64;
    let mut length = 1;
    while length < LONGEST && number >= base.pow(length) {
        number -= base.pow(length);
        length += 1;
    }
    (0..length).map(|digit| COMMANDS[(number / base.pow(digit) % base) as usize]).collect()
}

/// A session of these commands. With `waits` each is sent when the one before has been answered;
/// otherwise all come at once.
pub fn session(number: u64, waits: bool) -> Session {
    let mut session = Session::of(handshake());
    for (transaction, name) in (1..).zip(order(number)) {
        if waits {
            session.pauses.push(session.bytes.len());
        }
        write(&mut session.bytes, name, transaction);
    }
    if waits {
        session.ending = Ending::Answer;
    }
    session
}

/// C0, C1 and C2, as one that asks for no digest has them; nginx-rtmp looks at C2's length alone.
pub fn handshake() -> Vec<u8> {
    let mut bytes = handshake::hello();
    bytes.resize(HANDSHAKE, 0);
    bytes
}

fn write(out: &mut Vec<u8>, name: &str, transaction: u32) {
    let on_stream = matches!(name, "publish" | "play" | "closeStream");
    let header =
        Header { chunk_stream: 3, timestamp: 0, kind: kind::COMMAND, stream: u32::from(on_stream) };
    chunk::write(out, &header, &payload(name, transaction.into()), DEFAULT_SIZE);
}

/// A command's message.
pub fn payload(name: &str, transaction: f64) -> Vec<u8> {
    match name {
        "connect" => command::connect(APP, &format!("rtmp://127.0.0.1/{APP}")),
        "createStream" => command::create_stream(transaction),
        "publish" => command::publish(transaction, NAME.as_bytes()),
        // A name that is played is logged, so it must be no key.
        "play" => command::play(transaction, b"benw"),
        "deleteStream" => command::delete_stream(transaction, 1),
        "closeStream" => plain(name, transaction),
        _ => {
            let mut payload = plain(name, transaction);
            amf::string(&mut payload, NAME.as_bytes());
            payload
        }
    }
}

fn plain(name: &str, transaction: f64) -> Vec<u8> {
    let mut payload = Vec::new();
    amf::string(&mut payload, name.as_bytes());
    amf::number(&mut payload, transaction);
    amf::null(&mut payload);
    payload
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_order_of_up_to_5_comes_once() {
        let all: HashSet<_> = (0..count()).map(order).collect();
        assert_eq!(all.len() as u64, count());
        assert_eq!(count(), 8 + 64 + 512 + 4096 + 32_768);
        assert!(all.iter().all(|order| (1..=5).contains(&order.len())));
    }

    #[test]
    fn one_that_waits_has_a_pause_in_front_of_each_command() {
        let session = session(count() - 1, true);
        assert_eq!(session.pauses.len(), 5);
        assert_eq!(session.pauses[0], HANDSHAKE);
    }
}

//! Messages whose headers do not fit: types, lengths, chunk sizes, chunk streams, timestamps, and
//! control messages of any size.

use stagedoor_bench::rtmp::chunk::{self, DEFAULT_SIZE, Header, Message, kind};

use crate::orders::{handshake, payload};
use crate::recording::Recording;

const LENGTHS: [u32; 18] = [
    0,
    1,
    2,
    3,
    4,
    11,
    12,
    127,
    128,
    129,
    255,
    256,
    4096,
    65_535,
    65_536,
    1 << 20,
    (1 << 20) + 1,
    (1 << 24) - 1,
];

/// Chunk sizes, windows and the like; the largest chunk is 10 MB to nginx-rtmp.
const SIZES: [u32; 18] = [
    0,
    1,
    2,
    127,
    128,
    129,
    4096,
    65_535,
    65_536,
    65_537,
    1 << 20,
    1 << 24,
    10_485_760,
    10_485_761,
    i32::MAX as u32,
    1 << 31,
    u32::MAX - 1,
    u32::MAX,
];

const TIMESTAMPS: [u32; 7] = [0, 1, 0xff_fffe, 0xff_ffff, 0x100_0000, i32::MAX as u32, u32::MAX];

const KINDS_KNOWN: std::ops::RangeInclusive<u8> = 1..=22;

/// How far a session is when the message comes: the commands ahead of it.
const STAGES: [&[&str]; 3] = [&[], &["connect"], &["connect", "createStream", "publish"]];

/// The sessions, but for the disguise.
pub fn sessions(recordings: &[Recording]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for stage in STAGES {
        let start = start(stage);
        let mut with = |rest: &[u8]| all.push([&start, rest].concat());
        kinds(&mut with);
        lengths(&mut with);
        chunk_streams(&mut with);
        control(&mut with);
    }
    for recording in recordings {
        for size in (1..=128).chain(SIZES) {
            all.push(in_chunks_of(recording, size));
        }
    }
    all
}

/// A handshake and these commands.
fn start(commands: &[&str]) -> Vec<u8> {
    let mut bytes = handshake();
    for (transaction, name) in (1..).zip(commands) {
        let stream = u32::from(*name == "publish");
        let header = Header { chunk_stream: 3, timestamp: 0, kind: kind::COMMAND, stream };
        chunk::write(&mut bytes, &header, &payload(name, f64::from(transaction)), DEFAULT_SIZE);
    }
    bytes
}

fn bodies() -> [Vec<u8>; 4] {
    let metadata = b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x05width\0\x40\x84\0\0\0\0\0\0\0\0\x09";
    let commands = ["connect", "publish"].map(|name| payload(name, 1.0));
    let [connect, publish] = commands;
    [connect, publish, metadata.to_vec(), vec![0x17, 0, 0, 0, 0, 1, 0x42, 0, 30, 0xff, 0xe1]]
}

/// Every type.
fn kinds(with: &mut impl FnMut(&[u8])) {
    for kind in 0..=u8::MAX {
        for body in bodies() {
            let mut bytes = Vec::new();
            let header = Header { chunk_stream: 4, timestamp: 0, kind, stream: 1 };
            chunk::write(&mut bytes, &header, &body, DEFAULT_SIZE);
            with(&bytes);
        }
    }
}

/// A length that is not the message's.
fn lengths(with: &mut impl FnMut(&[u8])) {
    for kind in KINDS_KNOWN {
        for length in LENGTHS {
            for body in bodies() {
                let mut bytes = vec![4, 0, 0, 0];
                bytes.extend(&length.to_be_bytes()[1..]);
                bytes.push(kind);
                bytes.extend(1u32.to_le_bytes());
                for (index, part) in body.chunks(DEFAULT_SIZE).enumerate() {
                    bytes.extend((index > 0).then_some(0xc4));
                    bytes.extend(part);
                }
                with(&bytes);
            }
        }
    }
}

/// Every form of a header as the first on its chunk stream, with every kind of number for that.
fn chunk_streams(with: &mut impl FnMut(&[u8])) {
    let mut basics: Vec<Vec<u8>> = (2..64).map(|number| vec![number]).collect();
    basics.extend((0..=u8::MAX).step_by(5).map(|low| vec![0, low]));
    basics.extend([[0, 0], [0, 1], [255, 0], [0, 255], [255, 255]].map(|[a, b]| vec![1, a, b]));
    for basic in basics {
        for form in 0..4u8 {
            for timestamp in TIMESTAMPS {
                with(&headed(&basic, form, timestamp));
            }
        }
    }
}

fn headed(basic: &[u8], form: u8, timestamp: u32) -> Vec<u8> {
    let mut bytes = basic.to_vec();
    bytes[0] |= form << 6;
    let body = payload("createStream", 2.0);
    let head = [
        &timestamp.min(0xff_ffff).to_be_bytes()[1..],
        &(body.len() as u32).to_be_bytes()[1..],
        &[kind::COMMAND],
        &0u32.to_le_bytes(),
    ]
    .concat();
    bytes.extend(&head[..[11, 7, 3, 0][usize::from(form)]]);
    if timestamp >= 0xff_ffff {
        bytes.extend(timestamp.to_be_bytes());
    }
    bytes.extend(body);
    bytes
}

/// Control messages (types 1 to 6) of every short length.
fn control(with: &mut impl FnMut(&[u8])) {
    for kind in 1..=6 {
        for size in SIZES {
            for length in 0..=8 {
                let body = [size.to_be_bytes(), size.to_be_bytes()].concat();
                let mut bytes = Vec::new();
                let header = Header { chunk_stream: 2, timestamp: 0, kind, stream: 0 };
                chunk::write(&mut bytes, &header, &body[..length], DEFAULT_SIZE);
                with(&bytes);
            }
        }
    }
    for event in 0..40u16 {
        for length in 0..=10 {
            let body = [&event.to_be_bytes()[..], &[0; 8]].concat();
            let mut bytes = Vec::new();
            let header = Header { chunk_stream: 2, timestamp: 0, kind: 4, stream: 0 };
            chunk::write(&mut bytes, &header, &body[..length], DEFAULT_SIZE);
            with(&bytes);
        }
    }
}

/// A session in chunks of this size, as far as that can be.
fn in_chunks_of(recording: &Recording, size: u32) -> Vec<u8> {
    let mut bytes = handshake();
    let announced = Header { chunk_stream: 2, timestamp: 0, kind: kind::SET_CHUNK_SIZE, stream: 0 };
    chunk::write(&mut bytes, &announced, &size.to_be_bytes(), DEFAULT_SIZE);
    let sets_size = |message: &&Message| message.header.kind == kind::SET_CHUNK_SIZE;
    for message in recording.messages.iter().filter(|message| !sets_size(message)) {
        chunk::write(&mut bytes, &message.header, &message.payload, size as usize);
    }
    bytes
}

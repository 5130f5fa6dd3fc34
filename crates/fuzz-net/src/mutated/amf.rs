//! Changes to AMF values.

use crate::random::Random;

const STRING: u8 = 2;
const MARKERS: [u8; 20] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 0x7f, 0xff];
const OPENINGS: [&[u8]; 3] = [b"\x03\0\x01a", b"\x08\0\0\0\x01\0\x01a", b"\x0a\0\0\0\x01"];

/// Names and texts; none of them an application or a command that would log what stands behind it.
const TEXTS: [&[u8]; 22] = [
    b"",
    b"a",
    b"benw",
    b"../benw",
    b"/",
    b"a\nb",
    b"a\0b",
    b"%n%s%x",
    b"\xff\xfe",
    b"benw?x=1",
    b"connect",
    b"createStream",
    b"closeStream",
    b"deleteStream",
    b"seek",
    b"pause",
    b"pauseraw",
    b"@setDataFrame",
    b"onMetaData",
    b"onStatus",
    b"_result",
    b"record",
];

/// Changes a text, a marker or the nesting. In a message with the key the command stays what it is.
pub fn change(random: &mut Random, payload: &mut Vec<u8>, key: &[u8]) {
    match random.below(5) {
        0 | 1 => change_text(random, payload, key),
        2 => {
            let at = random.below(payload.len());
            if let Some(byte) = payload.get_mut(at) {
                *byte = *random.of(&MARKERS);
            }
        }
        3 => {
            let levels = random.below(40);
            let opening = *random.of(&OPENINGS);
            let at = random.below(payload.len() + 1);
            payload.splice(at..at, opening.repeat(levels));
        }
        _ => {
            let longer = random.below(2000);
            payload.extend((0..longer).map(|_| random.byte()));
        }
    }
}

fn change_text(random: &mut Random, payload: &mut Vec<u8>, key: &[u8]) {
    let has_key = payload.windows(key.len()).any(|part| part == key);
    let texts = texts(payload);
    let texts = if has_key { texts.get(1..).unwrap_or_default() } else { &texts };
    if texts.is_empty() {
        return;
    }
    let (start, end) = *random.of(texts);
    let text = match random.below(8) {
        0 => vec![b'x'; *random.of(&[63, 64, 127, 128, 255, 256, 300, 4096])],
        _ => random.of(&TEXTS).to_vec(),
    };
    let length = match random.below(8) {
        0 => random.next() as u16,
        _ => text.len() as u16,
    };
    payload.splice(start..end, [&length.to_be_bytes()[..], &text].concat());
}

/// Where the lengths and the bytes of texts are, as far as they can be told.
fn texts(payload: &[u8]) -> Vec<(usize, usize)> {
    let mut texts = Vec::new();
    let mut at = 0;
    while let Some(&[marker, high, low]) = payload.get(at..at + 3) {
        let end = at + 3 + usize::from(u16::from_be_bytes([high, low]));
        if marker == STRING && end <= payload.len() {
            texts.push((at + 1, end));
            at = end;
        } else {
            at += 1;
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_behind_one_another() {
        assert_eq!(texts(b"\x02\0\x01a\0\0\0\0\0\0\0\0\0\x02\0\0\x02\0\x09a"), [(1, 4), (14, 16)]);
    }

    #[test]
    fn a_command_with_the_key_stays_that_command() {
        let command = b"\x02\0\x07publish\x02\0\x04keys\x02\0\x04live";
        for number in 0..1000 {
            let mut payload = command.to_vec();
            change_text(&mut Random::new(5, number), &mut payload, b"keys");
            assert!(payload.starts_with(b"\x02\0\x07publish"));
        }
    }
}

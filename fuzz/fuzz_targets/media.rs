//! The message guard's reading of aggregates and of video. Input: how it is cut into chunks, and the
//! message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagedoor_core::guard::{Danger, MAX_REFERENCE_FRAMES, aggregate, video};

fuzz_target!(|data: &[u8]| {
    let Some((cut, message)) = data.split_first() else { return };

    let whole = aggregate([message].into_iter());
    let chunks = message.chunks(1 + usize::from(*cut)).flat_map(|chunk| [chunk, &[]]);
    assert_eq!(aggregate(chunks), whole);
    assert_eq!(whole, first_refused(message).map_or(Ok(()), |kind| Err(Danger::Aggregated(kind))));

    if let Err(danger) = video(message) {
        assert!(matches!(danger, Danger::ReferenceFrames(count) if count > MAX_REFERENCE_FRAMES));
        assert_eq!(message[0] & 0x0f, 7, "H.264 alone has such headers");
    }
});

/// The first message in an aggregate that is none of audio, video, data or unknown.
fn first_refused(mut bytes: &[u8]) -> Option<u8> {
    loop {
        let [kind, a, b, c, ..] = *bytes else { return None };
        let behind = bytes.get(11..)?;
        if matches!(kind, 1..=7 | 16 | 17 | 19 | 20 | 22) {
            return Some(kind);
        }
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        bytes = behind.get(len + 4..)?;
    }
}

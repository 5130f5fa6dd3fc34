//! The message guard's reading of AMF. Input: the message's type, what the session is, how it is cut
//! into chunks, and the message.
//!
//! However a message is cut, the answer is the same; and it is what nginx-rtmp's own recursion comes
//! to, which the reference has word by word.
#![no_main]

#[path = "../../crates/core/src/guard/amf/tests/reference.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;
use stagedoor_core::guard::{Danger, MAX_DEPTH, Standing, amf};

/// The types with a byte in front that AMF0 does not have.
const PREFIXED: [u8; 3] = [15, 16, 17];
/// Those whose name has no marker, and whose contents need not be AMF.
const SHARED: [u8; 2] = [16, 19];

fuzz_target!(|data: &[u8]| {
    let [kind, standing, cut, message @ ..] = data else { return };
    let kind = 15 + kind % 6;
    let standing =
        Standing { has_application: standing & 1 == 0, publishes_by_nginx: standing & 2 == 0 };
    let whole = amf(kind, standing, [message].into_iter());

    let size = 1 + usize::from(*cut);
    let chunks = message.chunks(size).flat_map(|chunk| [chunk, &[]]);
    assert_eq!(amf(kind, standing, chunks), whole, "in chunks of {size}");

    let values =
        if PREFIXED.contains(&kind) { message.get(1..).unwrap_or_default() } else { message };
    let is_our_own = matches!(
        whole,
        Err(Danger::ControlCharacter(_)
            | Danger::EarlyMetadata
            | Danger::Reconnection
            | Danger::UnreadableMetadata)
    );
    if !SHARED.contains(&kind) && !is_our_own {
        assert_eq!(whole, reference::check(values), "type {kind}");
    }
});

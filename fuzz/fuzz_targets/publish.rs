//! The reader of the command `publish`. Input: how it is cut into chunks, and the command's
//! arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagedoor_core::key::StreamKey;
use stagedoor_core::publish::{MAX_NAME, Publish, PublishError};

fuzz_target!(|data: &[u8]| {
    let Some((cut, message)) = data.split_first() else { return };
    let read = Publish::read([message].into_iter());

    let chunks = message.chunks(1 + usize::from(*cut)).flat_map(|chunk| [chunk, &[]]);
    assert_eq!(said(&Publish::read(chunks)), said(&read));

    if let Ok(publish) = &read {
        let key = publish.key();
        // It stands where a name stands: behind a number, a null and a marker, with its length.
        assert_eq!(message[10], 2);
        let len = usize::from(u16::from_be_bytes([message[11], message[12]]));
        let name = &message[13..13 + len];
        assert!(len <= MAX_NAME);
        assert_eq!(Some(key), name.split(|&byte| byte == b'?').next());
        assert!(["live", "record", "append"].contains(&publish.kind()));
        let _ = StreamKey::parse(key);
    }
});

fn said(read: &Result<Publish, PublishError>) -> Result<(&[u8], &str), PublishError> {
    read.as_ref().map(|publish| (publish.key(), publish.kind())).map_err(|error| *error)
}

//! Aggregates: messages in a message (RTMP 1.0, section 7.1.6), as nginx-rtmp takes them apart
//! (ngx_rtmp_receive.c, ngx_rtmp_aggregate_message_handler).

use super::Danger;
use crate::input::{End, Input};

/// Checks a message of type 22: it may hold audio, video and data, and what nginx-rtmp ignores.
/// Those come by again, one by one, and are checked then.
///
/// # Errors
///
/// [`Danger::Aggregated`].
pub fn aggregate<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<(), Danger> {
    let mut input = Input::new(chunks);
    // One that ends early does so for nginx-rtmp, too.
    while let Ok((kind, len)) = header(&mut input) {
        match kind {
            1..=7 | 16 | 17 | 19 | 20 | 22 => return Err(Danger::Aggregated(kind)),
            _ if input.skip(len + SIZE_OF_PREVIOUS).is_err() => break,
            _ => {}
        }
    }
    Ok(())
}

const TIMESTAMP_AND_STREAM: usize = 7;
const SIZE_OF_PREVIOUS: usize = 4;

/// The type and the length of the next message.
fn header<'a>(input: &mut Input<'a, impl Iterator<Item = &'a [u8]>>) -> Result<(u8, usize), End> {
    let kind = input.byte()?;
    let len = input.number::<3>()?;
    input.skip(TIMESTAMP_AND_STREAM)?;
    Ok((kind, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        let size = (body.len() as u32 + 11).to_be_bytes();
        [&[kind], &len[1..], &[0; 7], body, &size].concat()
    }

    fn check(bytes: &[u8]) -> Result<(), Danger> {
        aggregate([bytes].into_iter())
    }

    #[test]
    fn media_and_data_pass() {
        let bytes = [message(8, b"\xaf\x01x"), message(9, b""), message(18, b"\x02\0\x01a")];
        assert_eq!(check(&bytes.concat()), Ok(()));
        assert_eq!(check(b""), Ok(()));
    }

    #[test]
    fn an_aggregate_in_an_aggregate_is_refused() {
        let bytes = message(22, &message(8, b""));
        assert_eq!(check(&bytes), Err(Danger::Aggregated(22)));
    }

    #[test]
    fn control_messages_and_commands_are_refused_wherever_they_stand() {
        for kind in [1, 2, 3, 4, 5, 6, 17, 20] {
            let bytes = [message(8, b"\x16"), message(kind, b"\0\0\0\x01")].concat();
            assert_eq!(check(&bytes), Err(Danger::Aggregated(kind)));
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            messages in prop::collection::vec((0u8..24, prop::collection::vec(0u8..24, 0..40)), 0..6),
            size in 1..30usize,
            keep in 0.0..1.0f64,
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
            let bytes = &bytes[..(bytes.len() as f64 * keep) as usize];
            let cut = aggregate(bytes.chunks(size).flat_map(|chunk| [chunk, &[]]));
            prop_assert_eq!(cut, check(bytes));
        }
    }
}

//! The RTMP command `publish`, as an encoder sends it (RTMP 1.0, section 7.2.2.6).
//!
//! nginx-rtmp's own reader (ngx_rtmp_cmd_module.c) ends a name at its first NUL and silently cuts
//! it to 255 bytes, so that `KEY\0…` and an over-long key would pass for the key. This reader keeps
//! what was sent, and says what is wrong with it.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::input::{End, Input};
use crate::key::KeyError;

/// Longest name that is kept: nginx-rtmp's NGX_RTMP_MAX_NAME, less the NUL at its end.
pub const MAX_NAME: usize = 255;

/// Longest type that is kept, as in nginx-rtmp's `ngx_rtmp_publish_t`.
const MAX_KIND: usize = 15;

const NUMBER: u8 = 0x00;
const STRING: u8 = 0x02;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;

/// What is wrong with a `publish` command; completes the sentence "publish refused: …".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PublishError {
    /// It ends inside a value.
    #[error("the command ends early")]
    Truncated,
    /// A value has another type than the command prescribes.
    #[error("the command's {what} has AMF type 0x{found:02x}")]
    Type {
        /// Which value.
        what: &'static str,
        /// The AMF0 marker that stands there.
        found: u8,
    },
    /// The name is longer than nginx-rtmp can carry.
    #[error("the stream name has {0} bytes, expected at most {MAX_NAME}")]
    TooLong(usize),
}

/// Why a publish has no key that could be anybody's; completes the sentence "publish refused: …".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// The command has none.
    #[error(transparent)]
    Command(#[from] PublishError),
    /// What it has is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<End> for PublishError {
    fn from(End: End) -> PublishError {
        PublishError::Truncated
    }
}

/// A `publish` command. The name is a secret: it is wiped when the command is dropped, and never
/// shown.
pub struct Publish {
    /// On the heap: an array would leave a copy wherever the command is moved from.
    name: Zeroizing<Vec<u8>>,
    kind: [u8; MAX_KIND],
    kind_len: usize,
}

impl Publish {
    /// Reads the command's arguments, which follow its name: transaction, null, stream name, type.
    ///
    /// `chunks` are the message's bytes, in order, however they are cut. What follows the type, and
    /// a type that is missing or no string, is ignored as nginx-rtmp does.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the arguments are not those of a `publish` command, or the name is too
    /// long to be one.
    pub fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<Publish, PublishError> {
        let mut input = Input::new(chunks);
        match input.byte()? {
            NUMBER => input.skip(8)?,
            found => return Err(PublishError::Type { what: "transaction", found }),
        }
        match input.byte()? {
            NULL | UNDEFINED => {}
            found => return Err(PublishError::Type { what: "command object", found }),
        }
        let name = Zeroizing::new(vec![0; MAX_NAME]);
        let mut publish = Publish { name, kind: [0; MAX_KIND], kind_len: 0 };
        let len = match input.byte()? {
            STRING => string(&mut input, &mut publish.name)?,
            found => return Err(PublishError::Type { what: "stream name", found }),
        };
        if len > MAX_NAME {
            return Err(PublishError::TooLong(len));
        }
        publish.name.truncate(len);
        if input.byte() == Ok(STRING) {
            let len = string(&mut input, &mut publish.kind).unwrap_or(0);
            publish.kind_len = if len > MAX_KIND { 0 } else { len };
        }
        Ok(publish)
    }

    /// The stream key: the name up to a `?`, after which encoders put arguments.
    pub fn key(&self) -> &[u8] {
        self.name.split(|&byte| byte == b'?').next().unwrap_or_default()
    }

    /// The publishing type: `live`, `record` or `append`; anything else counts as `live`.
    pub fn kind(&self) -> &'static str {
        match &self.kind[..self.kind_len] {
            b"record" => "record",
            b"append" => "append",
            _ => "live",
        }
    }
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publish").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Reads a string, and keeps what fits of it. Returns its length as sent.
fn string<'a>(
    input: &mut Input<'a, impl Iterator<Item = &'a [u8]>>,
    kept: &mut [u8],
) -> Result<usize, End> {
    let len = input.number::<2>()?;
    input.keep(len, kept)?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&[STRING], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn command(name: &[u8], kind: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = vec![NUMBER, 0, 0, 0, 0, 0, 0, 0, 0, NULL];
        bytes.extend(string(name));
        bytes.extend(kind.map(string).unwrap_or_default());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Publish, PublishError> {
        Publish::read([bytes].into_iter())
    }

    #[test]
    fn a_name_is_split_from_its_arguments() {
        let publish = read(&command(b"secret?token=1&x=?", Some(b"live"))).unwrap();
        assert_eq!(publish.key(), b"secret");
        assert_eq!(publish.kind(), "live");
    }

    #[test]
    fn a_nul_does_not_end_a_name() {
        assert_eq!(read(&command(b"secret\0tail", None)).unwrap().key(), b"secret\0tail");
    }

    #[test]
    fn a_name_of_255_bytes_is_read_and_a_longer_one_refused() {
        assert_eq!(read(&command(&[b'k'; 255], None)).unwrap().key(), [b'k'; 255]);
        for len in [256, 400, 65_535] {
            assert_eq!(
                read(&command(&vec![b'k'; len], None)).err(),
                Some(PublishError::TooLong(len))
            );
        }
    }

    #[test]
    fn known_types_are_passed_on_and_others_are_live() {
        for (sent, kind) in [
            (&b"record"[..], "record"),
            (b"append", "append"),
            (b"live", "live"),
            (b"x\n", "live"),
            (&[b'r'; 400], "live"),
        ] {
            assert_eq!(read(&command(b"k", Some(sent))).unwrap().kind(), kind);
        }
        assert_eq!(read(&command(b"k", None)).unwrap().kind(), "live");
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let mut bytes = command(b"k", None);
        bytes[10] = NUMBER;
        assert_eq!(
            read(&bytes).unwrap_err().to_string(),
            "the command's stream name has AMF type 0x00"
        );
        bytes[0] = STRING;
        assert!(matches!(read(&bytes), Err(PublishError::Type { what: "transaction", .. })));
    }

    #[test]
    fn a_command_is_never_shown_with_its_key() {
        assert!(!format!("{:?}", read(&command(b"secret", None)).unwrap()).contains("secret"));
    }

    proptest! {
        /// However a message is cut into chunks, it reads the same.
        #[test]
        fn cuts_do_not_matter(
            name in prop::collection::vec(any::<u8>(), 0..300),
            size in 1..40usize,
        ) {
            let bytes = command(&name, Some(b"record"));
            let whole = read(&bytes);
            let cut = Publish::read(bytes.chunks(size).flat_map(|chunk| [chunk, &[]]));
            prop_assert_eq!(
                whole.as_ref().map(|p| p.key().to_vec()).map_err(|e| *e),
                cut.as_ref().map(|p| p.key().to_vec()).map_err(|e| *e)
            );
        }

        /// No input makes it panic, and one that ends early is never taken for a command.
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_command_that_ends_early_is_refused(name in "[a-z]{1,200}", keep in 0.0..1.0f64) {
            let bytes = command(name.as_bytes(), None);
            let keep = (bytes.len() as f64 * keep) as usize;
            prop_assert_eq!(read(&bytes[..keep]).err(), Some(PublishError::Truncated));
        }
    }
}

//! Stream keys: the secret a streamer publishes with.
//!
//! A key is compared, looked up and named in logs only by its SHA-256. A generated key carries 142
//! bits of entropy, so its plain digest cannot be searched; a salt would only make the lookup by
//! index impossible.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// The longest key a publisher can send: nginx-rtmp's `NGX_RTMP_MAX_NAME` less its terminating NUL.
pub const MAX_LEN: usize = 255;

/// Letters and digits only: such a key survives shells, URLs and the input fields of encoders.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

const GENERATED_LEN: usize = 24;

/// How many bytes of a key in a row are too many for a text that others read.
const TELLING: usize = 4;

/// Why something is not, or did not become, a stream key. Never holds the key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("the stream key is empty")]
    Empty,
    #[error("the stream key is longer than {MAX_LEN} bytes")]
    TooLong,
    #[error("the stream key holds a control character")]
    ControlCharacter,
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(getrandom::Error),
}

/// A stream key. Its memory is zeroed on drop, and `Debug` shows its tag only.
#[derive(Clone)]
pub struct StreamKey(Zeroizing<Vec<u8>>);

impl StreamKey {
    /// A new key: 24 characters of `[A-Za-z0-9]`, each equally likely, from the system's CSPRNG.
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Zeroizing::new(Vec::with_capacity(GENERATED_LEN));
        let mut random = Zeroizing::new([0u8; 2 * GENERATED_LEN]);
        while key.len() < GENERATED_LEN {
            getrandom::fill(random.as_mut_slice()).map_err(KeyError::NoRandomness)?;
            let missing = GENERATED_LEN - key.len();
            key.extend(random.iter().filter_map(|&byte| letter(byte)).take(missing));
        }
        Ok(Self(key))
    }

    /// A key as a publisher sent it: 1 to 255 bytes without control characters.
    ///
    /// Bytes, not text: the keys of an existing database need not be UTF-8.
    pub fn parse(raw: &[u8]) -> Result<Self, KeyError> {
        match raw.len() {
            0 => return Err(KeyError::Empty),
            1..=MAX_LEN => (),
            _ => return Err(KeyError::TooLong),
        }
        if raw.iter().any(u8::is_ascii_control) {
            return Err(KeyError::ControlCharacter);
        }
        Ok(Self(Zeroizing::new(raw.to_vec())))
    }

    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }

    /// Whether a text tells a part of the key: four bytes in a row, or all of a shorter one.
    pub fn is_told_by(&self, text: &str) -> bool {
        let length = TELLING.min(self.0.len());
        let parts = || self.0.windows(length);
        text.as_bytes().windows(length).any(|it| parts().any(|part| part.eq_ignore_ascii_case(it)))
    }

    /// The key itself, to hand to the streamer once. Copies of it are the caller's to zero.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamKey({}…)", self.digest().tag())
    }
}

/// The letter that a random byte stands for. 248 is the largest multiple of 62 in a byte: the bytes
/// from there on would make the first letters likelier, so they stand for none.
fn letter(byte: u8) -> Option<u8> {
    (byte < 248).then(|| ALPHABET[usize::from(byte) % ALPHABET.len()])
}

/// The SHA-256 of a stream key: what the database holds and what lookups compare.
///
/// It identifies a key as well as the key does, so `Debug` shows no more than its [`KeyTag`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub fn of(raw: &[u8]) -> Self {
        let digest = sha256(raw);
        clear_stack();
        Self(digest)
    }

    /// A digest that somebody else has computed.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A digest as 64 hex digits, in either case.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            for &digit in pair {
                let digit = char::from(digit).to_digit(16)?;
                *byte = *byte << 4 | digit as u8;
            }
        }
        Some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What may stand for the key in a log.
    pub fn tag(&self) -> KeyTag {
        let [a, b, c, d, ..] = self.0;
        KeyTag([a, b, c, d])
    }

    /// All 64 digits, in lower case: `:key_sha256` of an operator's own statements.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[inline(never)]
fn sha256(raw: &[u8]) -> [u8; 32] {
    Sha256::digest(raw).into()
}

/// Overwrites the stack below the caller, where [`sha256`] has left copies of what it read: its own
/// clearing reaches none that was moved. What it uses, with all that it calls, is below 1 kB.
#[inline(never)]
fn clear_stack() {
    [0u64; 512].zeroize();
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({}…)", self.tag())
    }
}

/// The first 8 hex digits of a key's SHA-256: enough to tell keys apart in a log, useless to an
/// attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyTag([u8; 4]);

impl fmt::Display for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_key_is_24_letters_and_digits() {
        for _ in 0..200 {
            let key = StreamKey::generate().unwrap();
            assert_eq!(key.expose().len(), 24);
            assert!(key.expose().iter().all(u8::is_ascii_alphanumeric));
        }
    }

    #[test]
    fn generated_keys_differ() {
        let keys: HashSet<_> =
            (0..500).map(|_| StreamKey::generate().unwrap().expose().to_vec()).collect();
        assert_eq!(keys.len(), 500);
    }

    #[test]
    fn every_letter_stands_for_equally_many_random_bytes() {
        let letters: Vec<u8> = (0..=u8::MAX).filter_map(letter).collect();
        for wanted in ALPHABET {
            assert_eq!(letters.iter().filter(|&found| found == wanted).count(), 4);
        }
        assert_eq!(ALPHABET.iter().collect::<HashSet<_>>().len(), 62);
    }

    #[test]
    fn the_length_of_a_key_is_1_to_255_bytes() {
        assert_eq!(StreamKey::parse(b"").unwrap_err(), KeyError::Empty);
        assert!(StreamKey::parse(b"k").is_ok());
        assert!(StreamKey::parse(&[b'k'; 255]).is_ok());
        assert_eq!(StreamKey::parse(&[b'k'; 256]).unwrap_err(), KeyError::TooLong);
        assert_eq!(StreamKey::parse(&[b'k'; 65_535]).unwrap_err(), KeyError::TooLong);
    }

    #[test]
    fn a_key_without_utf8_is_a_key() {
        assert_eq!(StreamKey::parse(b"\xff\xfe\x80").unwrap().expose(), b"\xff\xfe\x80");
    }

    #[test]
    fn a_text_tells_of_a_key_by_four_bytes() {
        let key = StreamKey::parse(b"Secret-1").unwrap();
        for text in ["Secret-1", "near \"secr\"", "xet-1"] {
            assert!(key.is_told_by(text), "{text}");
        }
        for text in ["", "Sec", "Sec ret -1", "malformed JSON"] {
            assert!(!key.is_told_by(text), "{text}");
        }
        assert!(StreamKey::parse(b"ab").unwrap().is_told_by("no ab"));
        assert!(!StreamKey::parse(b"ab").unwrap().is_told_by("a b"));
    }

    #[test]
    fn a_digest_is_the_sha256_of_the_key() {
        // FIPS 180-2, appendix B.1.
        let digest = KeyDigest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(digest.tag().to_string(), "ba7816bf");
        assert_eq!(StreamKey::parse(b"abc").unwrap().digest(), digest);
    }

    #[test]
    fn hex_that_is_no_digest_is_none() {
        let hex = KeyDigest::of(b"abc").to_hex();
        for hex in [&hex[1..], &format!("{hex}0"), &hex.replace('b', "g"), &hex.replace('b', "+")] {
            assert_eq!(KeyDigest::from_hex(hex.as_bytes()), None, "{hex}");
        }
    }

    #[test]
    fn a_tag_keeps_its_leading_zeroes() {
        assert_eq!(KeyTag([0, 0, 1, 10]).to_string(), "0000010a");
    }

    proptest! {
        #[test]
        fn bytes_without_control_characters_are_a_key_and_stay_as_they_are(
            raw in proptest::collection::vec(prop_oneof![0x20..=0x7eu8, 0x80..=0xffu8], 1..=MAX_LEN)
        ) {
            let key = StreamKey::parse(&raw).unwrap();
            prop_assert_eq!(key.expose(), &raw[..]);
        }

        #[test]
        fn one_control_character_anywhere_spoils_a_key(
            mut raw in proptest::collection::vec(0x20..0x7fu8, 1..MAX_LEN),
            control in prop_oneof![0..0x20u8, Just(0x7f)],
            at in any::<prop::sample::Index>(),
        ) {
            raw.insert(at.index(raw.len() + 1), control);
            prop_assert_eq!(StreamKey::parse(&raw).unwrap_err(), KeyError::ControlCharacter);
        }

        #[test]
        fn a_digest_comes_back_from_its_hex(raw in any::<[u8; 32]>(), upper in any::<bool>()) {
            let digest = KeyDigest::from_bytes(raw);
            let hex = digest.to_hex();
            let hex = if upper { hex.to_uppercase() } else { hex };
            prop_assert_eq!(KeyDigest::from_hex(hex.as_bytes()), Some(digest));
        }

        #[test]
        fn debug_output_never_shows_a_key(raw in "[A-Za-z0-9]{9,255}") {
            let key = StreamKey::parse(raw.as_bytes()).unwrap();
            let shown = format!("{key:?} {:?} {:?}", key.digest(), key.digest().tag());
            prop_assert!(!shown.contains(&raw));
            prop_assert!(!shown.contains(&key.digest().to_hex()));
        }
    }
}

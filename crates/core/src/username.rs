//! Usernames: the public name of a streamer.
//!
//! A username becomes a directory name, a part of URLs and of log lines, so it holds nothing that
//! any of them could take for more than a name. It is checked when it is written and again when it
//! comes out of the database.

use std::fmt;

use thiserror::Error;

/// The longest username, in bytes.
pub const MAX_LEN: usize = 64;

/// Why something is not a username.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum UsernameError {
    #[error("a username cannot be empty")]
    Empty,
    #[error("a username has at most {MAX_LEN} characters")]
    TooLong,
    #[error("a username cannot start with \".\" or \"-\"")]
    BadStart,
    #[error("a username holds only letters, digits and \"_\", \".\", \"@\", \"+\", \"-\"")]
    BadCharacter,
}

/// 1 to 64 characters of `[A-Za-z0-9_.@+-]`, the first of them neither `.` nor `-`.
///
/// Two usernames that differ only in case are one streamer to the database, which compares without
/// case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        if text.is_empty() {
            return Err(UsernameError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(UsernameError::TooLong);
        }
        if text.starts_with(['.', '-']) {
            return Err(UsernameError::BadStart);
        }
        if !text.bytes().all(is_allowed) {
            return Err(UsernameError::BadCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.@+-".contains(&byte)
}

impl TryFrom<&str> for Username {
    type Error = UsernameError;

    fn try_from(text: &str) -> Result<Self, UsernameError> {
        Self::parse(text)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_length_of_a_username_is_1_to_64() {
        assert_eq!(Username::parse("").unwrap_err(), UsernameError::Empty);
        assert!(Username::parse("b").is_ok());
        assert!(Username::parse(&"b".repeat(64)).is_ok());
        assert_eq!(Username::parse(&"b".repeat(65)).unwrap_err(), UsernameError::TooLong);
    }

    #[test]
    fn a_username_starts_with_neither_dot_nor_dash() {
        for text in [".", "..", ".hidden", "-", "-rf"] {
            assert_eq!(Username::parse(text).unwrap_err(), UsernameError::BadStart, "{text}");
        }
        assert!(Username::parse("_b.e-n+w@example.org").is_ok());
    }

    #[test]
    fn what_would_leave_a_directory_name_is_no_username() {
        for text in ["a/b", "a\\b", "a\0", "a\n", "a b", "a%2f", "ä", "a?b", "a:b"] {
            assert_eq!(Username::parse(text).unwrap_err(), UsernameError::BadCharacter, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_follows_the_rule_is_a_username(text in "[A-Za-z0-9_@+][A-Za-z0-9_.@+-]{0,63}") {
            let name = Username::parse(&text).unwrap();
            prop_assert_eq!(name.as_str(), &text);
        }

        #[test]
        fn a_username_is_always_exactly_one_path_component(text in "[ -~]{1,4}|\\PC{0,70}") {
            if let Ok(name) = Username::parse(&text) {
                let parts: Vec<_> = Path::new(name.as_str()).components().collect();
                prop_assert_eq!(parts, vec![Component::Normal(text.as_ref())]);
            }
        }

        #[test]
        fn one_foreign_character_anywhere_spoils_a_username(
            before in "[a-z]{1,10}", foreign in "[^A-Za-z0-9_.@+-]", after in "[a-z]{0,10}"
        ) {
            let text = format!("{before}{foreign}{after}");
            prop_assert_eq!(Username::parse(&text).unwrap_err(), UsernameError::BadCharacter);
        }
    }
}

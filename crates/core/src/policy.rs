//! What a publisher is told when it is not let in.

use std::ffi::CStr;

/// Why a publish is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key is empty, malformed or unknown.
    InvalidKey,
    /// The streamer may not stream.
    Inactive,
    /// The streamer is live already, or this session is publishing already.
    AlreadyStreaming,
    /// Whether the key is good could not be found out.
    Unavailable,
}

impl Refusal {
    /// The `code` of the `onStatus` answer. Encoders know these (FLV and RTMP clients look for
    /// `NetStream.Publish.BadName` and `…Denied`); nothing else would stop their retries.
    pub fn code(self) -> &'static CStr {
        match self {
            Refusal::InvalidKey | Refusal::AlreadyStreaming => c"NetStream.Publish.BadName",
            Refusal::Inactive => c"NetStream.Publish.Denied",
            Refusal::Unavailable => c"NetStream.Failed",
        }
    }

    /// The `description` of the `onStatus` answer, which encoders show to the streamer.
    pub fn description(self) -> &'static CStr {
        match self {
            Refusal::InvalidKey => c"Invalid stream key",
            Refusal::Inactive => c"Streaming is not allowed for this account",
            Refusal::AlreadyStreaming => c"Already streaming",
            Refusal::Unavailable => c"Temporarily unavailable, try again",
        }
    }

    /// Whether the answer is held back for `stagedoor_auth_delay`, so that keys cannot be tried
    /// out quickly. Only a wrong key is: everybody else has proved who they are.
    pub fn is_held_back(self) -> bool {
        self == Refusal::InvalidKey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 4] =
        [Refusal::InvalidKey, Refusal::Inactive, Refusal::AlreadyStreaming, Refusal::Unavailable];

    #[test]
    fn only_a_wrong_key_is_answered_late() {
        assert_eq!(
            ALL.into_iter().filter(|refusal| refusal.is_held_back()).collect::<Vec<_>>(),
            [Refusal::InvalidKey]
        );
    }

    #[test]
    fn a_streamer_can_tell_the_refusals_apart() {
        let texts: std::collections::BTreeSet<_> = ALL.map(Refusal::description).into();
        assert_eq!(texts.len(), ALL.len());
    }
}

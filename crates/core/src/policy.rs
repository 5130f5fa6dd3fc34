//! What a publisher is told when it is not let in, or no longer.

use std::ffi::CStr;

use crate::store::thread::EndReason;

/// Why the server ends a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The streamer may not stream any more.
    Banned,
    /// There is no such streamer any more.
    Removed,
    /// The streamer has another key.
    KeyReplaced,
    /// The operator wants it.
    Kicked,
    /// The same streamer publishes anew.
    TakenOver,
}

impl Stop {
    /// What the publisher is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Stop::Banned | Stop::Removed => Refusal::Inactive,
            Stop::KeyReplaced => Refusal::KeyReplaced,
            Stop::Kicked => Refusal::Kicked,
            Stop::TakenOver => Refusal::TakenOver,
        }
    }

    /// What the history says.
    pub fn reason(self) -> EndReason {
        match self {
            Stop::Banned => EndReason::Banned,
            Stop::Removed => EndReason::Removed,
            Stop::KeyReplaced => EndReason::KeyReplaced,
            Stop::Kicked => EndReason::Kicked,
            Stop::TakenOver => EndReason::TakenOver,
        }
    }
}

/// Why a publish is refused, or a live one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key is empty, malformed or unknown.
    InvalidKey,
    /// The streamer may not stream.
    Inactive,
    /// The streamer is live already, or this session is publishing already.
    AlreadyStreaming,
    /// The key was good when the stream began.
    KeyReplaced,
    /// The operator has ended the stream.
    Kicked,
    /// The streamer has begun a new stream.
    TakenOver,
    /// Whether the key is good could not be found out.
    Unavailable,
    /// Too many publishes from this address have failed.
    TooManyAttempts,
}

impl Refusal {
    /// The `code` of the `onStatus` answer. Encoders know these (FLV and RTMP clients look for
    /// `NetStream.Publish.BadName` and `…Denied`); nothing else would stop their retries.
    pub fn code(self) -> &'static CStr {
        match self {
            Refusal::InvalidKey | Refusal::AlreadyStreaming => c"NetStream.Publish.BadName",
            Refusal::Inactive
            | Refusal::KeyReplaced
            | Refusal::Kicked
            | Refusal::TakenOver
            | Refusal::TooManyAttempts => c"NetStream.Publish.Denied",
            Refusal::Unavailable => c"NetStream.Failed",
        }
    }

    /// The `description` of the `onStatus` answer, which encoders show to the streamer.
    pub fn description(self) -> &'static CStr {
        match self {
            Refusal::InvalidKey => c"Invalid stream key",
            Refusal::Inactive => c"Streaming is not allowed for this account",
            Refusal::AlreadyStreaming => c"Already streaming",
            Refusal::KeyReplaced => c"Stream key was replaced",
            Refusal::Kicked => c"Stopped by the operator",
            Refusal::TakenOver => c"Replaced by a new session",
            Refusal::Unavailable => c"Temporarily unavailable, try again",
            Refusal::TooManyAttempts => c"Too many attempts, try again later",
        }
    }

    /// Whether the answer is held back for `stagedoor_auth_delay`, so that keys cannot be tried
    /// out quickly. Only a wrong key is: everybody else has proved who they are, or is told nothing
    /// about the key.
    pub fn is_held_back(self) -> bool {
        self == Refusal::InvalidKey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 8] = [
        Refusal::InvalidKey,
        Refusal::Inactive,
        Refusal::AlreadyStreaming,
        Refusal::KeyReplaced,
        Refusal::Kicked,
        Refusal::TakenOver,
        Refusal::Unavailable,
        Refusal::TooManyAttempts,
    ];

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

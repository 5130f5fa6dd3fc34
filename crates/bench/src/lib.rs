//! Stagedoor and what it is used instead of, measured side by side on the user's own machine.

pub mod rtmp;

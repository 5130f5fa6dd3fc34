//! Stagedoor.

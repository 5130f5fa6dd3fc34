//! The domain of Stagedoor, free of nginx: what is decided here is tested here.
#![forbid(unsafe_code)]

pub mod key;
pub mod username;

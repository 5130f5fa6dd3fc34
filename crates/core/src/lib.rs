//! The domain of Stagedoor, free of nginx: what is decided here is tested here.
#![forbid(unsafe_code)]

pub mod key;
pub mod store;
pub mod timestamp;
pub mod username;

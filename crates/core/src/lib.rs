//! The domain of Stagedoor, free of nginx: what a stream key and a username are, what the database
//! says of them, who is live, and what a `publish` command holds. All of it is safe code that is
//! tested without nginx.
#![forbid(unsafe_code)]

pub mod counters;
pub mod hls;
pub mod hook;
pub mod key;
pub mod media;
pub mod meter;
pub mod policy;
pub mod publish;
pub mod registry;
pub mod status;
pub mod store;
pub mod timestamp;
pub mod username;

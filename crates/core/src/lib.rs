//! The domain of Stagedoor, free of nginx: what a stream key and a username are, what the database
//! says of them, who is live, what a `publish` command holds, and which messages nginx-rtmp must not see. All of it is safe code that is
//! tested without nginx.
#![forbid(unsafe_code)]

pub mod counters;
pub mod guard;
pub mod hls;
pub mod hook;
mod input;
pub mod key;
pub mod limit;
pub mod media;
pub mod meter;
pub mod pace;
pub mod policy;
pub mod publish;
pub mod registry;
pub mod status;
pub mod store;
pub mod throttle;
pub mod timestamp;
pub mod username;

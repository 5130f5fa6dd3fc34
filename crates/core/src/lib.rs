//! The domain of Stagedoor, free of nginx: what a stream key and a username are, what the database
//! says of them, who is live, and what a `publish` command holds. All of it is safe code that is
//! tested without nginx.
#![forbid(unsafe_code)]

pub mod publish;
pub mod registry;

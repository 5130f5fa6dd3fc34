//! The domain of Stagedoor, free of nginx.
#![forbid(unsafe_code)]

//! The wall between nginx and the rest: bindings, and safe views of what they point to. What lies
//! outside of this folder decides; what lies inside only converts.

pub mod conf;
pub mod event;
pub mod guard;
pub mod log;
pub mod module;
pub mod process;
pub mod rtmp;
pub mod session;
pub mod symbols;
pub mod wakeup;
pub mod zone;

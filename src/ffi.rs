//! The wall between nginx and the rest: bindings, and safe views of what they point to. What lies
//! outside of this folder decides; what lies inside only converts.

pub mod answer;
pub mod clock;
pub mod conf;
pub mod event;
pub mod events;
pub mod file;
pub mod guard;
#[cfg(feature = "test-hooks")]
pub mod hook;
pub mod listening;
pub mod location;
pub mod locks;
pub mod log;
mod memory;
pub mod module;
pub mod phases;
pub mod previous;
pub mod process;
pub mod request;
pub mod rtmp;
pub mod session;
pub mod symbols;
pub mod variables;
pub mod wakeup;
pub mod zone;

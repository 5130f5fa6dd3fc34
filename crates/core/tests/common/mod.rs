//! What test programs share.

use stagedoor_core::registry::Owner;
use stagedoor_core::store::thread::{Boot, Server};

/// A server of one worker, of which nothing is live.
#[derive(Debug)]
pub struct Alone;

impl Server for Alone {
    fn is_alive(&self, _worker: Owner) -> bool {
        true
    }

    fn is_live(&self, _username: &str) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        Boot::Free
    }

    fn booted(&self) {}
}

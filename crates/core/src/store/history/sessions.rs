//! What is known of sessions that run, and what a transaction makes of it.

use std::collections::HashMap;

use super::SessionTag;

/// Sessions that run, each with what was written of it.
#[derive(Debug)]
pub(super) struct Sessions<T> {
    open: HashMap<SessionTag, T>,
    /// What a transaction does to `open`; it comes true with the commit.
    changed: HashMap<SessionTag, Option<T>>,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self { open: HashMap::new(), changed: HashMap::new() }
    }
}

impl<T: Clone> Sessions<T> {
    /// A session as it stands in the database.
    pub(super) fn written(&self, tag: SessionTag) -> Option<&T> {
        self.open.get(&tag)
    }

    /// It begins in this transaction.
    pub(super) fn begin(&mut self, tag: SessionTag, session: T) {
        self.changed.insert(tag, Some(session));
    }

    /// It ends in this transaction. Returns it, if its beginning is known.
    pub(super) fn end(&mut self, tag: SessionTag) -> Option<T> {
        match self.changed.insert(tag, None) {
            Some(session) => session,
            None => self.open.get(&tag).cloned(),
        }
    }

    /// The transaction came true.
    pub(super) fn committed(&mut self) {
        for (tag, session) in self.changed.drain() {
            match session {
                Some(session) => self.open.insert(tag, session),
                None => self.open.remove(&tag),
            };
        }
    }

    /// It did not.
    pub(super) fn undone(&mut self) {
        self.changed.clear();
    }
}

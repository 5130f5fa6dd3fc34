//! Who asks to publish.

use crate::key::{KeyDigest, KeyTag, StreamKey};

/// What is known of one who asks to publish. Shared by the question, the stream that comes of it
/// and its history; a key that it holds is zeroed with the last of them.
#[derive(Debug)]
pub struct Visitor {
    digest: KeyDigest,
    key: Option<StreamKey>,
    app: String,
    client_addr: String,
}

// With the two counts of its `Arc`: whichever thread is the last to have it, malloc takes it back without the
// lock of the one that made it, see docs/architecture.md.
const _: () = assert!(size_of::<Visitor>() + 2 * size_of::<usize>() <= 120);

impl Visitor {
    /// Known by the digest of the key alone, which is all that the native schema asks for.
    pub fn known_by(digest: KeyDigest, app: &str, client_addr: &str) -> Visitor {
        let (app, client_addr) = (app.to_owned(), client_addr.to_owned());
        Visitor { digest, key: None, app, client_addr }
    }

    /// With the key itself, which an operator's own statements may ask for.
    pub fn with_key(key: StreamKey, app: &str, client_addr: &str) -> Visitor {
        let digest = key.digest();
        Visitor { key: Some(key), ..Visitor::known_by(digest, app, client_addr) }
    }

    /// Nobody: asks whether a database answers.
    pub(super) fn nobody() -> Visitor {
        Visitor::known_by(KeyDigest::of(b""), "", "")
    }

    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// What may stand for the key in a log.
    pub fn tag(&self) -> KeyTag {
        self.digest.tag()
    }

    /// The key, where it was kept.
    pub(super) fn key(&self) -> Option<&StreamKey> {
        self.key.as_ref()
    }

    /// The RTMP application.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The publisher's address, as text.
    pub fn client_addr(&self) -> &str {
        &self.client_addr
    }
}

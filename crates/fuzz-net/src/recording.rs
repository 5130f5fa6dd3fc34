//! What encoders and a player have sent, up to some pictures.
//!
//! Recorded with an application and a name that stand for whatever a session is to have.

use std::io;
use std::path::{Path, PathBuf};

use stagedoor_bench::rtmp::chunk::{Message, Reader, kind};
use stagedoor_bench::rtmp::handshake;

/// The application that the recordings name.
pub const APP: &str = "door";

/// The stream name that they publish: as long as the keys that `stagedoor add` makes.
pub const NAME: &str = "THIS-IS-NOT-A-STREAM-KEY";

/// C0, C1 and C2.
pub const HANDSHAKE: usize = 1 + 2 * handshake::LEN;

/// Why the recordings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("no recording in {0}")]
    None(PathBuf),
    #[error("{0}: no session with a handshake and messages")]
    NoSession(PathBuf),
}

/// Whom a session says to be.
#[derive(Clone, Debug)]
pub struct Disguise {
    /// As long as [`APP`].
    pub app: String,
    /// As long as [`NAME`].
    pub name: String,
}

impl Disguise {
    /// Puts the application and the name where the recordings have theirs.
    pub fn put_on(&self, bytes: &mut [u8]) {
        for (stand_in, real) in [(APP, &self.app), (NAME, &self.name)] {
            let (stand_in, real) = (stand_in.as_bytes(), real.as_bytes());
            let mut at = 0;
            while let Some(place) = bytes[at..].iter().position(|&byte| byte == stand_in[0]) {
                at += place;
                if let Some(found) = bytes.get_mut(at..at + stand_in.len())
                    && found == stand_in
                {
                    found.copy_from_slice(real);
                }
                at += 1;
            }
        }
    }
}

/// One session as its client sent it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Who the client was.
    pub name: String,
    pub bytes: Vec<u8>,
    /// What is behind the handshake, put together.
    pub messages: Vec<Message>,
}

impl Recording {
    /// All recordings of a directory, by name.
    pub fn all(dir: &Path) -> Result<Vec<Recording>, Unusable> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            |source| Unusable::File { path, source }
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(fault(dir))? {
            let path = entry.map_err(fault(dir))?.path();
            if path.extension().is_some_and(|extension| extension == "bin") {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(Unusable::None(dir.to_owned()));
        }
        paths.sort();
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(fault(path))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Recording::of(name, bytes).ok_or_else(|| Unusable::NoSession(path.clone()))
        };
        paths.iter().map(read).collect()
    }

    fn of(name: String, bytes: Vec<u8>) -> Option<Recording> {
        let mut reader = Reader::default();
        reader.append(bytes.get(HANDSHAKE..)?);
        let mut messages = Vec::new();
        while let Ok(Some(message)) = reader.message() {
            messages.push(message);
        }
        (!messages.is_empty()).then_some(Recording { name, bytes, messages })
    }
}

/// The recording's messages as inputs of the fuzz targets: path below the corpora, and content.
pub fn seeds(recording: &Recording) -> Vec<(PathBuf, Vec<u8>)> {
    let file = |target: &str, number: usize, head: &[u8], body: &[u8]| {
        let path = Path::new(target).join(format!("{}-{number}", recording.name));
        (path, [head, body].concat())
    };
    let mut seeds = Vec::new();
    for (number, message) in recording.messages.iter().enumerate() {
        let payload = &message.payload;
        match message.header.kind {
            kind::COMMAND | kind::DATA => {
                let head = [message.header.kind - 15, 0, 127];
                seeds.push(file("amf", number, &head, payload));
            }
            // Pictures but for the headers are nothing to the guard.
            kind::VIDEO if payload.get(1) == Some(&0) => {
                seeds.push(file("media", number, &[127], payload));
            }
            _ => {}
        }
        if let Some(arguments) = payload.strip_prefix(b"\x02\0\x07publish") {
            seeds.push(file("publish", number, &[127], arguments));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disguise_takes_every_place() {
        let mut bytes = [b"d dodoor ", NAME.as_bytes(), b" THIS door"].concat();
        let name = "k".repeat(NAME.len());
        Disguise { app: "open".to_owned(), name: name.clone() }.put_on(&mut bytes);
        assert_eq!(bytes, [b"d doopen ", name.as_bytes(), b" THIS open"].concat());
    }

    #[test]
    fn all_recordings_are_sessions_that_say_who_they_are() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/sessions");
        let has = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let recordings = Recording::all(&dir).unwrap();
        let names: Vec<_> = recordings.iter().map(|recording| &*recording.name).collect();
        assert_eq!(names, ["ffmpeg", "player", "rtmp2sink", "rtmpsink"]);
        for recording in &recordings {
            assert!(has(&recording.bytes, APP), "{}", recording.name);
            let publishes = recording.name != "player";
            assert_eq!(has(&recording.bytes, NAME), publishes, "{}", recording.name);
            assert!(!seeds(recording).is_empty(), "{}", recording.name);
        }
    }
}

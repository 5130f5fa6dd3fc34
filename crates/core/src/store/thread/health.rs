//! Saying once what is wrong, and once when it is right again.

use std::path::Path;

use super::Level;
use crate::store::error::StoreError;
use crate::store::layout::Layout;

/// What was last said of something that can go wrong.
#[derive(Debug)]
pub(super) struct Health {
    fault: Option<StoreError>,
    level: Level,
    /// Goes before the fault.
    prefix: &'static str,
    recovered: String,
}

impl Health {
    /// Of the database as such: without it, nobody can start a stream.
    pub(super) fn of_database(path: &Path) -> Self {
        let recovered = format!("database \"{}\" is available again", path.display());
        Self { fault: None, level: Level::Error, prefix: "", recovered }
    }

    /// Of the history: streams do without it.
    pub(super) fn of_history(layout: &Layout) -> Self {
        let (prefix, recovered) = match layout {
            Layout::Native => {
                ("session history is not written: ", "session history is written again")
            }
            Layout::Foreign(_) => (
                "the application is not told who is live: ",
                "the application is told who is live again",
            ),
        };
        Self { fault: None, level: Level::Warn, prefix, recovered: recovered.to_owned() }
    }

    /// Of the streams that run: they go on without it.
    pub(super) fn of_watch() -> Self {
        let (prefix, recovered) =
            ("live streams are not checked: ", "live streams are checked again".to_owned());
        Self { fault: None, level: Level::Error, prefix, recovered }
    }

    pub(super) fn is_good(&self) -> bool {
        self.fault.is_none()
    }

    pub(super) fn fault(&self) -> Option<&StoreError> {
        self.fault.as_ref()
    }

    /// Notes how it stands now, and returns what is to be logged of it.
    #[must_use]
    pub(super) fn note(&mut self, now: Result<(), &StoreError>) -> Option<(Level, String)> {
        match now {
            Ok(()) => self.fault.take().map(|_| (Level::Notice, self.recovered.clone())),
            Err(fault) if self.fault.as_ref() == Some(fault) => None,
            Err(fault) => {
                self.fault = Some(fault.clone());
                Some((self.level, format!("{}{fault}", self.prefix)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_fault_is_said_once_and_its_end_once() {
        let missing = StoreError::Missing { path: PathBuf::from("a.db") };
        let locked = StoreError::Locked { path: PathBuf::from("a.db") };
        let mut health = Health::of_database(Path::new("a.db"));
        assert_eq!(health.note(Ok(())), None);
        assert_eq!(health.note(Err(&missing)), Some((Level::Error, missing.to_string())));
        assert_eq!(health.note(Err(&missing)), None);
        assert_eq!(health.note(Err(&locked)), Some((Level::Error, locked.to_string())));
        let (level, text) = health.note(Ok(())).unwrap();
        assert_eq!((level, text.as_str()), (Level::Notice, "database \"a.db\" is available again"));
        assert_eq!(health.note(Ok(())), None);
    }
}

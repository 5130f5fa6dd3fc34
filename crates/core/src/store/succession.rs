//! Whose side files stand beside a database: its own, or those of one that had its name before?

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::error::StoreError;
use super::stamp::{FileId, Stamp, side_file};

/// How long the processes that have a database open may take to leave it once another one stands
/// under its name: four times what a worker takes ([`super::thread`] looks every 250 ms).
const GRACE: Duration = Duration::from_secs(1);

/// How long side files in use with another database are waited for before that is a fault.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked again meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// How often the system's list of locks is read before it counts as saying nothing: it comes a page at
/// a time, and one that is given back between two pages moves the next one out of sight.
const LOOKS: usize = 4;

/// One who wants to open a database without having had it open before.
#[derive(Debug, Default)]
pub(super) struct Heir {
    /// Since when the side files of this file are in question.
    waiting: Option<(FileId, Instant)>,
}

/// What is known of the side files.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// There are none, or those who use them use this database too, or nobody is left to remove
    /// them.
    This,
    /// This process uses them, and not with this database.
    Another(u32),
    /// The file got its name a moment ago: somebody may be about to remove them.
    Unknown,
}

impl Heir {
    /// Waits so long at most until the side files are those of the database, and returns which file
    /// that is. The caller tries again after [`StoreError::Unsettled`].
    pub(super) fn settle(&mut self, path: &Path, wait: Duration) -> Result<FileId, StoreError> {
        let until = Instant::now() + wait;
        loop {
            let stamp = Stamp::of(path)?;
            let owner = owner(path, &stamp);
            if owner == Owner::This {
                self.waiting = None;
                return Ok(stamp.id);
            }
            let since = match self.waiting {
                Some((id, since)) if id == stamp.id => since,
                _ => self.waiting.insert((stamp.id, Instant::now())).1,
            };
            match owner {
                Owner::Another(pid) if since.elapsed() > PATIENCE => {
                    let (path, file) = (path.to_owned(), side_file(path, "-shm"));
                    let reason = format!("process {pid} has it open");
                    return Err(StoreError::StaleLog { path, file, reason });
                }
                Owner::Unknown if since.elapsed() > GRACE => return Ok(stamp.id), // the clock was set
                _ => (),
            }
            if Instant::now() + PAUSE > until {
                return Err(StoreError::Unsettled { path: path.to_owned() });
            }
            thread::sleep(PAUSE);
        }
    }

    /// As a command does it, which has nothing else to do.
    pub(super) fn settle_patiently(path: &Path) -> Result<FileId, StoreError> {
        Self::default().settle(path, PATIENCE + GRACE)
    }
}

fn owner(path: &Path, stamp: &Stamp) -> Owner {
    let side_file = |suffix| fs::metadata(side_file(path, suffix)).ok();
    let (log, index) = (side_file("-wal"), side_file("-shm"));
    if index.is_none() && log.is_none_or(|log| log.len() == 0) {
        return Owner::This; // what is empty is nobody's
    }
    let look = || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        user(&locks, stamp.id, index.as_ref().map(FileId::of))
    };
    match (0..LOOKS).find_map(|_| look()) {
        Some(owner) => owner,
        None if is_young(stamp.changed_at()) => Owner::Unknown,
        None => Owner::This,
    }
}

fn is_young(changed: SystemTime) -> bool {
    changed.elapsed().is_ok_and(|age| age < GRACE)
}

/// What the system's list of locks tells, where it tells anything: who has the index of a log open
/// has a lock on it, and one on the database whose log it is
/// (<https://www.sqlite.org/walformat.html>, section 2.3). On file systems that have another device
/// number there than in `stat` (btrfs), and of processes in another container, it tells nothing.
fn user(locks: &str, database: FileId, index: Option<FileId>) -> Option<Owner> {
    let of = |file: FileId| {
        let file = file.in_proc_locks();
        let fields = |line: &'_ str| -> Option<u32> {
            let mut fields = line.split_ascii_whitespace().skip(1);
            // A lock that is waited for has an arrow there.
            (fields.next()? == "POSIX").then_some(())?;
            let pid = fields.nth(2)?.parse().ok()?;
            (fields.next()? == file).then_some(pid)
        };
        locks.lines().filter_map(fields).collect::<Vec<u32>>()
    };
    let (index, database) = (of(index?), of(database));
    match index.iter().filter(|pid| !database.contains(pid)).min() {
        Some(&pid) => Some(Owner::Another(pid)),
        None => (!index.is_empty()).then_some(Owner::This),
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use rusqlite::Connection;

    use super::*;
    use crate::store::Store;
    use crate::store::fixture::Fixture;

    fn id(path: &Path) -> FileId {
        FileId::of(&fs::metadata(path).unwrap())
    }

    /// Another process that uses the database: its log is open from the first read on.
    fn user_of(fixture: &Fixture) -> Connection {
        let db = fixture.raw();
        db.query_row("SELECT count(*) FROM streamers", [], |_| Ok(())).unwrap();
        db
    }

    /// A database in use, with streamer `late` in its log only, and one without in its place.
    fn replaced() -> (Fixture, Connection) {
        let (fixture, other) = (Fixture::new(), Fixture::named("other.db"));
        let user = user_of(&fixture);
        fixture.add("late");
        fs::rename(other.path(), fixture.path()).unwrap();
        (fixture, user)
    }

    #[test]
    fn a_database_in_use_is_opened_at_once() {
        let fixture = Fixture::new();
        let _user = user_of(&fixture);
        fixture.add("benw");
        assert!(side_file(fixture.path(), "-shm").exists());
        Heir::default().settle(fixture.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_log_in_use_with_another_database_is_not_opened() {
        let (fixture, user) = replaced();
        let error = Heir::default().settle(fixture.path(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, StoreError::Unsettled { .. }), "{error}");
        let error = Store::open(fixture.path()).unwrap_err().to_string();
        let reason = format!("-shm\" of the former one is in the way: process {} ", process::id());
        assert!(error.contains(&reason), "{error}");
        drop(user);
    }

    #[test]
    fn a_command_waits_until_the_former_database_is_left() {
        let (fixture, user) = replaced();
        let path = fixture.path().to_owned();
        let worker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            for suffix in ["-wal", "-shm"] {
                fs::remove_file(side_file(&path, suffix)).unwrap();
            }
            drop(user);
        });
        assert_eq!(Store::open(fixture.path()).unwrap().list().unwrap(), []);
        worker.join().unwrap();
    }

    #[test]
    fn side_files_that_nobody_uses_are_those_of_a_crash_once_the_file_is_not_new() {
        let fixture = Fixture::new();
        let user = user_of(&fixture);
        fixture.add("benw");
        let copies = Fixture::empty();
        for suffix in ["", "-wal"] {
            fs::copy(side_file(fixture.path(), suffix), side_file(copies.path(), suffix)).unwrap();
        }
        drop(user);
        let begun = Instant::now();
        assert_eq!(Store::open(copies.path()).unwrap().list().unwrap().len(), 1);
        assert!(begun.elapsed() > GRACE / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn locks_tell_whose_log_it_is() {
        let fixture = Fixture::new();
        fs::write(fixture.beside("index"), "").unwrap();
        let (database, index) = (id(fixture.path()), id(&fixture.beside("index")));
        let line = |kind: &str, pid: u32, file: FileId| {
            format!("1: {kind} ADVISORY  READ {pid} {} 128 128\n", file.in_proc_locks())
        };
        let user = |locks: &str| user(locks, database, Some(index));
        let both = line("POSIX ", 7, index) + &line("POSIX ", 7, database);
        assert_eq!(user(""), None);
        assert_eq!(user(&line("POSIX ", 7, database)), None);
        assert_eq!(user(&both), Some(Owner::This));
        assert_eq!(user(&line("POSIX ", 7, index)), Some(Owner::Another(7)));
        assert_eq!(user(&(both.clone() + &line("POSIX ", 8, index))), Some(Owner::Another(8)));
        assert_eq!(user(&(both.clone() + &line("-> POSIX ", 8, index))), Some(Owner::This));
        assert_eq!(user(&(both + &line("FLOCK ", 8, index) + "garbage\n")), Some(Owner::This));
    }
}

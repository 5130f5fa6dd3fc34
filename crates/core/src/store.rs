//! The store: streamers and the history of their sessions, in one SQLite database, or the database
//! of another application that an operator's own statements know ([`foreign`]).
//!
//! Who opens it, and how:
//!
//! - The `stagedoor` command, through [`Store`]: creates and migrates, reads and writes, waits for
//!   locks.
//! - Each nginx worker, through its [`thread::StoreThread`]: answers keys and writes session rows.
//!   It never creates or migrates anything, and never waits for a lock to write.
//! - `nginx -t` and the master, through [`check`]: look only, and leave no file behind.
//! - `stagedoor import` reads that of another program through [`source`], and leaves no trace in it;
//!   the other commands tell by it that a database is not theirs.
//!
//! # Locking
//!
//! The native database is in WAL mode: a lookup reads while another process writes, so neither `stagedoor
//! add` nor another worker's session rows delay a publish. Writers exclude one another; workers
//! try, and try again a moment later. Only a process that takes the whole database
//! (`locking_mode=EXCLUSIVE`) can hold up lookups.
//!
//! # Durability
//!
//! What a command reports done is on disk (`synchronous=FULL`). A worker writes its session rows after
//! the fact, twenty times a second at most; in a native database it leaves it to the
//! kernel when they reach the disk (`synchronous=NORMAL`), because a key that is asked for meanwhile
//! would wait as long. So rows outlive the death of any process; when the machine goes down, those of
//! the last half minute at most may be missing, and the database is as it was before them. What a crash
//! leaves open is closed by [`SessionEvent::Lost`](thread::SessionEvent::Lost) or
//! [`SessionEvent::Boot`](thread::SessionEvent::Boot). In another application's database `FULL` stays.
//!
//! # A database replaced while nginx runs
//!
//! SQLite finds the `-wal` and `-shm` files by name, and nothing in them says whose they are: a
//! database moved over a running one would be read, and sooner or later written, together with the
//! log of its predecessor. Everybody who has the database open therefore leaves it when another
//! one has its name, and takes the side files along; everybody else waits for that.
//!
//! - A worker compares the file with the one it has open before each use, and every 250 ms without
//!   any. When it is another one, it writes what the log holds into the former file, wherever that
//!   is by now, and removes the side files that it had open. So does a worker that ends.
//! - A connection to a database with a fault answers nothing, but stays open until there is a
//!   better one: only who has the former database open can leave it.
//! - Who opens a file for the first time, such as the workers of a reload or a command, looks first
//!   whose the side files are ([`succession`]): in `/proc/locks` each process that has the index
//!   open has a lock on its database too. If that is another file, or if the file got its name
//!   less than a second ago and nothing is known, it waits. A worker refuses keys when this lasts.
//! - The file must be the same before and after it is opened. If not, the connection is closed
//!   without writing anything.
//! - A log to which nothing was added for a second is written into the database and emptied, so
//!   that there is little to mix up when nobody is left who could clear up.
//!
//! What remains: a log with something in it and no process that has it open, because all were
//! killed or the machine went down, enters whatever file has the name of its database when that is
//! opened next. It cannot be told from the log of a crash, which must be read. `docs/operations.md`
//! says how to replace a database of which that may be so.

mod admin;
mod check;
mod connection;
mod error;
pub mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod layout;
mod lookup;
mod patience;
mod recheck;
mod schema;
mod source;
mod stamp;
mod succession;
pub mod thread;
mod visitor;

pub use admin::{
    AdminError, BadRow, Change, ImportError, Imported, Init, QueryFault, Rotated, RowFault,
    Session, Store, Streamer,
};
pub use check::{CheckError, check};
pub use error::StoreError;
pub use layout::Layout;
pub use lookup::Verdict;
pub use recheck::Admission;
pub use visitor::Visitor;

#[cfg(test)]
mod fixture;

//! The store: streamers and the history of their sessions, in one SQLite database.
//!
//! Who opens it, and how:
//!
//! - The `stagedoor` command, through [`Store`]: creates and migrates, reads and writes, waits for
//!   locks.
//! - Each nginx worker, through its [`thread::StoreThread`]: answers keys and writes session rows.
//!   It never creates or migrates anything, and never waits for a lock to write.
//! - `nginx -t` and the master, through [`check`]: look only, and leave no file behind.
//!
//! # Locking
//!
//! The database is in WAL mode: a lookup reads while another process writes, so neither `stagedoor
//! add` nor another worker's session rows delay a publish. Writers exclude one another; workers
//! try, and try again a moment later. Only a process that takes the whole database
//! (`locking_mode=EXCLUSIVE`) can hold up lookups.
//!
//! # Durability
//!
//! `synchronous=FULL` on every connection that writes: a commit that was reported is on disk. A
//! worker writes its session rows after the fact, those that wait in one transaction; what a crash
//! leaves open is closed by [`SessionEvent::Lost`](thread::SessionEvent::Lost) or
//! [`SessionEvent::Boot`](thread::SessionEvent::Boot).
//!
//! # A database replaced while nginx runs
//!
//! SQLite finds the `-wal` and `-shm` files by name, so a database moved over a running one would
//! be read together with the log of its predecessor. Hence a worker compares the file with the one
//! it has open before each use, and, when another one has taken its place, writes what the log holds
//! into the former file and removes the log before it opens the new one.

mod admin;
mod check;
mod connection;
mod error;
mod history;
mod lookup;
mod recheck;
mod schema;
mod stamp;
pub mod thread;

pub use admin::{AdminError, Init, Session, Store, Streamer};
pub use check::check;
pub use error::StoreError;
pub use lookup::Verdict;
pub use recheck::Admission;

#[cfg(test)]
mod fixture;

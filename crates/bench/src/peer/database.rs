//! Databases with as many streamers as wanted.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::bench::{Bench, Result, output};

/// Whose tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    Native,
    Django,
}

const THEN: &str = "2024-01-01 00:00:00.000000";

/// The stream key of a streamer: 24 characters without an order, always the same.
pub fn key(index: usize) -> String {
    let digest = Sha256::digest(format!("streamer {index}"));
    digest.iter().take(12).fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}"); // a String takes everything
        key
    })
}

pub fn username(index: usize) -> String {
    format!("streamer{index:08}")
}

/// Makes a database as `stagedoor init` or the application's migrations make it, and fills it.
pub fn create(bench: &Bench, schema: Schema, path: &Path, streamers: usize) -> Result<()> {
    match schema {
        Schema::Native => {
            output(Command::new(bench.objs("stagedoor")).arg("--db").arg(path).arg("init"))?;
        }
        Schema::Django => {
            let empty = bench.objs("django.sqlite3");
            fs::copy(&empty, path).map_err(|error| {
                format!("no {} (tools/django.sh makes it): {error}", empty.display())
            })?;
        }
    }
    fill(&mut Connection::open(path)?, schema, streamers)
}

fn fill(db: &mut Connection, schema: Schema, streamers: usize) -> Result<()> {
    // The index of the digests is written all over: it has to fit in memory. Nobody else has the
    // database yet, and one that is not finished is thrown away: it needs no journal meanwhile.
    let journal: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    db.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000",
    )?;
    let transaction = db.transaction()?;
    match schema {
        Schema::Native => {
            let mut insert = transaction.prepare(
                "INSERT INTO streamers (username, key_sha256, created_at, key_changed_at)
                 VALUES (?, ?, ?, ?)",
            )?;
            for index in 0..streamers {
                let digest = Sha256::digest(key(index));
                insert.execute(params![username(index), digest.as_slice(), THEN, THEN])?;
            }
        }
        Schema::Django => {
            let mut user = transaction.prepare(
                "INSERT INTO auth_user (password, is_superuser, username, last_name, email, is_staff,
                 is_active, date_joined, first_name) VALUES ('!', 0, ?, '', '', 0, 1, ?, '')",
            )?;
            let mut stream = transaction.prepare(
                "INSERT INTO boltstream_stream (key, started_at, user_id) VALUES (?, NULL, ?)",
            )?;
            for index in 0..streamers {
                let id = user.insert(params![username(index), THEN])?;
                stream.execute(params![key(index), id])?;
            }
        }
    }
    transaction.commit()?;
    db.execute_batch("PRAGMA synchronous = FULL")?;
    db.execute_batch(&format!("PRAGMA journal_mode = {journal}"))?;
    Ok(())
}

/// The statements with which Stagedoor asks and tells the application's database: those of the
/// example for it.
pub fn statements(bench: &Bench) -> Result<String> {
    let example = bench.root.join("nginx-conf/django.conf");
    let text = fs::read_to_string(&example)
        .map_err(|error| format!("cannot read {}: {error}", example.display()))?;
    let mut statements = String::new();
    for directive in
        ["stagedoor_query", "stagedoor_on_start", "stagedoor_on_stop", "stagedoor_on_boot"]
    {
        let from =
            text.find(&format!("\n{directive}")).ok_or(format!("no {directive} in the example"))?;
        let to = text[from..].find(';').ok_or("no end of a directive in the example")?;
        statements.push_str(&text[from..=from + to]);
    }
    Ok(statements)
}

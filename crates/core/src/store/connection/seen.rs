//! Whether somebody else has changed the database under a connection: what was seen of it, and a look
//! at what is there now.
//!
//! With a log commits leave the file as it is, SQLite counts them, and a file that has changed is opened
//! anew. With a rollback journal each commit changes it, and so does a backup that is copied over it,
//! which SQLite may take for what it has read already.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::store::schema;
use crate::store::stamp::Stamp;

/// What was seen of a database when its connection last looked.
#[derive(Debug)]
pub(super) struct Seen {
    /// The file under its name.
    pub(super) stamp: Stamp,
    /// What [`outline`] says of the schema that SQLite knows.
    outline: u64,
    /// What `PRAGMA data_version` said when the file was last seen to change.
    data_version: i64,
}

/// What came of a look at a file that has changed under its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The connection is good, and SQLite counts the change.
    Counted,
    /// It is good, and SQLite does not know of a change.
    Uncounted,
    /// The file is to be opened anew.
    Useless,
}

impl Seen {
    /// What a connection sees that was just opened to this file.
    pub(super) fn of(db: &Connection, stamp: Stamp) -> rusqlite::Result<Self> {
        Ok(Self { stamp, outline: outline(db)?, data_version: data_version(db)? })
    }

    /// Whether the connection is good for what the file holds now, and if so, has it see that.
    ///
    /// With a rollback journal each commit changes the file, and with no log SQLite compares the
    /// file's counter of changes with its pages at each lock (sqlite.org/fileformat.html, section
    /// 1.3.7). Without the pages it does not even need to: a backup that was copied over the file
    /// may count the same, also the changes of its schema, and have the same tables on other pages.
    pub(super) fn looks_again(&mut self, db: &Connection, stamp: Stamp) -> rusqlite::Result<Look> {
        if !self.stamp.has_same_access(stamp) {
            return Ok(Look::Useless);
        }
        db.release_memory()?;
        schema::version(db)?; // a lock, and the file's first page
        let mode = db.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?;
        let now = Self::of(db, stamp)?;
        if mode == "wal" || now.outline != self.outline {
            return Ok(Look::Useless);
        }
        let former = std::mem::replace(self, now);
        Ok(match former.data_version == self.data_version {
            true => Look::Uncounted,
            false => Look::Counted,
        })
    }

    /// What has changed in the file is the connection's own doing.
    pub(super) fn has_written(&mut self, db: &Connection, stamp: Stamp) {
        if let Ok(version) = data_version(db)
            && self.stamp.has_same_access(stamp)
        {
            (self.stamp, self.data_version) = (stamp, version);
        }
    }
}

/// Tells one schema from another: what there is, and on which page of the file each table begins.
fn outline(db: &Connection) -> rusqlite::Result<u64> {
    let mut statement = db.prepare_cached("SELECT type, name, rootpage, sql FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    let mut hasher = DefaultHasher::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            match row.get_ref(column)? {
                ValueRef::Integer(page) => page.hash(&mut hasher),
                ValueRef::Text(text) => text.hash(&mut hasher),
                _ => 0u8.hash(&mut hasher),
            }
        }
    }
    Ok(hasher.finish())
}

/// Another one than before means that somebody else has written, as SQLite counts.
pub(super) fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::Database;
    use super::*;
    use crate::key::KeyDigest;
    use crate::store::fixture::Fixture;
    use crate::store::layout::Layout;

    const WAIT: Duration = Duration::from_millis(100);

    /// As web applications have it: a rollback journal, no log.
    fn without_log() -> (Fixture, Database) {
        let fixture = Fixture::new();
        fixture.raw().pragma_update(None, "journal_mode", "delete").unwrap();
        let database = Database::new(fixture.path().to_owned(), Layout::Native);
        (fixture, database)
    }

    fn streamers(database: &mut Database) -> i64 {
        let db = database.ready(WAIT).unwrap();
        db.query_row("SELECT count(*) FROM streamers", [], |row| row.get(0)).unwrap()
    }

    fn add(db: &Connection, name: &str) {
        let digest = KeyDigest::of(name.as_bytes());
        let add = "INSERT INTO streamers (username, key_sha256, created_at, key_changed_at)
                   VALUES (?1, ?2, '', '')";
        db.execute(add, (name, digest.as_bytes())).unwrap();
    }

    #[test]
    fn a_connection_without_a_log_goes_on_when_somebody_has_written() {
        let (fixture, mut database) = without_log();
        assert_eq!(streamers(&mut database), 0);
        let other = fixture.raw();
        for wanted in 1..=3 {
            add(&other, &format!("user{wanted}"));
            assert_eq!(streamers(&mut database), wanted);
        }
        assert_eq!(database.connection, 1);
    }

    #[test]
    fn a_backup_copied_over_the_file_is_seen_although_it_has_seen_as_many_changes() {
        let (fixture, mut database) = without_log();
        let backup = fixture.beside("backup.db");
        fs::copy(fixture.path(), &backup).unwrap();
        add(&fixture.raw(), "live");
        add(&Connection::open(&backup).unwrap(), "restored");
        let name = |database: &mut Database| -> String {
            let db = database.ready(WAIT).unwrap();
            db.query_row("SELECT username FROM streamers", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(name(&mut database), "live");
        fs::copy(&backup, fixture.path()).unwrap();
        assert_eq!(name(&mut database), "restored");
    }

    #[test]
    fn a_copy_that_counts_as_many_changes_is_another_version() {
        let (fixture, mut database) = without_log();
        let backup = fixture.beside("backup.db");
        fs::copy(fixture.path(), &backup).unwrap();
        add(&fixture.raw(), "live");
        add(&Connection::open(&backup).unwrap(), "restored");
        let before = database.version(WAIT).unwrap();
        assert_eq!(database.version(WAIT).unwrap(), before);
        fs::copy(&backup, fixture.path()).unwrap();
        assert_ne!(database.version(WAIT).unwrap(), before);
    }

    #[test]
    fn a_copy_whose_tables_begin_elsewhere_answers_from_there() {
        let (fixture, mut database) = without_log();
        let [first, second] = [["keys", "invites"], ["invites", "keys"]].map(|tables| {
            let path = fixture.beside(tables[0]);
            fs::copy(fixture.path(), &path).unwrap();
            let db = Connection::open(&path).unwrap();
            for table in tables {
                let make =
                    format!("CREATE TABLE {table} (it); INSERT INTO {table} VALUES ('{table}')");
                db.execute_batch(&make).unwrap();
            }
            path
        });
        let key = |database: &mut Database| -> String {
            let db = database.ready(WAIT).unwrap();
            let mut query = db.prepare_cached("SELECT it FROM keys").unwrap();
            query.query_row([], |row| row.get(0)).unwrap()
        };
        fs::copy(&first, fixture.path()).unwrap();
        assert_eq!(key(&mut database), "keys");
        fs::copy(&second, fixture.path()).unwrap();
        assert_eq!(key(&mut database), "keys");
    }

    #[test]
    fn what_the_connection_writes_itself_is_no_other_version() {
        let (_fixture, mut database) = without_log();
        let before = database.version(WAIT).unwrap();
        add(database.ready(WAIT).unwrap(), "benw");
        database.has_written();
        assert_eq!(database.version(WAIT).unwrap(), before);
    }

    #[test]
    fn a_database_that_gets_a_log_is_opened_anew() {
        let (fixture, mut database) = without_log();
        assert_eq!(streamers(&mut database), 0);
        let other = fixture.raw();
        other.pragma_update(None, "journal_mode", "wal").unwrap();
        add(&other, "benw");
        assert_eq!(streamers(&mut database), 1);
        assert_eq!(database.connection, 2);
    }
}

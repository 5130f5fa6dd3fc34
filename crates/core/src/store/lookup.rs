//! The question a publish asks: whose key is this, and may they stream?

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::error::StoreError;
use crate::key::KeyDigest;
use crate::username::Username;

/// What the database says of a stream key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `streamer_id` is the row of a native schema; 0 in another.
    Allowed {
        streamer_id: i64,
        username: Username,
    },
    Inactive {
        username: Username,
    },
    Unknown,
}

const FIND: &str = "SELECT id, username, is_active FROM streamers WHERE key_sha256 = ?1";

pub(super) const STATEMENTS: &[&str] = &[FIND];

/// The lookup in the native schema, about 5 µs.
pub(super) fn native(
    db: &Connection,
    path: &Path,
    digest: &KeyDigest,
) -> Result<Verdict, StoreError> {
    let found = find(db, digest).map_err(|error| StoreError::from_sqlite(path, &error))?;
    let Some((streamer_id, username, is_active)) = found else { return Ok(Verdict::Unknown) };
    let Ok(username) = Username::parse(&username) else {
        return Err(StoreError::BadUsername { path: path.to_owned(), streamer_id });
    };
    Ok(match is_active {
        true => Verdict::Allowed { streamer_id, username },
        false => Verdict::Inactive { username },
    })
}

fn find(db: &Connection, digest: &KeyDigest) -> rusqlite::Result<Option<(i64, String, bool)>> {
    db.prepare_cached(FIND)?
        .query_row([digest.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::Fixture;

    #[test]
    fn a_key_answers_with_its_streamer() {
        let fixture = Fixture::new();
        let (db, path) = (fixture.raw(), fixture.path());
        let digest = fixture.add("benw");
        assert_eq!(
            native(&db, path, &digest).unwrap(),
            Verdict::Allowed { streamer_id: 1, username: Username::parse("benw").unwrap() }
        );
        assert_eq!(native(&db, path, &KeyDigest::of(b"other")).unwrap(), Verdict::Unknown);
        fixture.store().set_active("benw", false).unwrap();
        assert_eq!(
            native(&db, path, &digest).unwrap(),
            Verdict::Inactive { username: Username::parse("benw").unwrap() }
        );
    }

    #[test]
    fn a_username_that_could_leave_its_directory_is_refused() {
        let fixture = Fixture::new();
        let digest = fixture.add("benw");
        let db = fixture.raw();
        for name in ["../etc", "", "a/b", "a\nb", ".x"] {
            db.execute("UPDATE streamers SET username = ?1", [name]).unwrap();
            let error = native(&db, fixture.path(), &digest).unwrap_err();
            assert!(matches!(error, StoreError::BadUsername { streamer_id: 1, .. }), "{error}");
            assert!(error.concerns_one_row());
            assert!(!error.to_string().contains("etc"));
        }
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        let fixture = Fixture::new();
        let digest = fixture.add("benw");
        let db = fixture.raw();
        db.pragma_update(None, "ignore_check_constraints", true).unwrap();
        for (is_active, username) in
            [("'yes'", "'benw'"), ("x'00'", "'benw'"), ("0.5", "'benw'"), ("1", "x'ff'")]
        {
            let sql =
                format!("UPDATE streamers SET is_active = {is_active}, username = {username}");
            db.execute(&sql, []).unwrap();
            let error = native(&db, fixture.path(), &digest).unwrap_err();
            assert!(matches!(error, StoreError::BadValue { .. }), "{sql}: {error}");
        }
    }

    #[test]
    fn a_lookup_searches_the_index() {
        let fixture = Fixture::new();
        let plan: String = fixture
            .raw()
            .query_row(&format!("EXPLAIN QUERY PLAN {FIND}"), [[0u8; 32]], |row| row.get(3))
            .unwrap();
        assert!(plan.starts_with("SEARCH streamers USING INDEX"), "{plan}");
    }
}

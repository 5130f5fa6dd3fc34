//! Looking at the database from outside: `nginx -t`, and the master at its start.

use std::path::Path;

use super::connection::open_immutable;
use super::error::StoreError;
use super::stamp::Stamp;

/// Whether a worker could answer keys from this database: it is there and has the schema and
/// version that this Stagedoor knows.
///
/// The caller is often root. SQLite opens the file as immutable, so no `-wal`, `-shm` or `-journal`
/// file of root's comes into being, and none that is there is read.
pub fn check(path: &Path) -> Result<(), StoreError> {
    Stamp::of(path)?;
    open_immutable(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::fixture::Fixture;
    use crate::store::schema;

    #[test]
    fn a_sound_database_passes_and_no_file_is_left_behind() {
        let fixture = Fixture::new();
        let before = fixture.files();
        assert_eq!(before, ["stagedoor.db"]);
        check(fixture.path()).unwrap();
        assert_eq!(fixture.files(), before);
    }

    #[test]
    fn each_fault_is_named_and_no_file_is_left_behind() {
        let fixture = Fixture::new();
        let path = fixture.path();
        let fault = |text: &str| {
            let before = fixture.files();
            let found = check(path).unwrap_err().to_string();
            assert!(found.contains(text), "{found:?} lacks {text:?}");
            assert!(found.contains("stagedoor.db"), "{found:?} lacks the path");
            assert_eq!(fixture.files(), before);
        };
        let sound = fs::read(path).unwrap();

        fs::remove_file(path).unwrap();
        fault("does not exist");
        fs::create_dir(path).unwrap();
        fault("not a regular file");
        fs::remove_dir(path).unwrap();
        fs::write(path, "").unwrap();
        fault("is empty");
        fs::write(path, "x".repeat(5000)).unwrap();
        fault("not an SQLite database");
        let mut corrupt = sound.clone();
        corrupt[100..4096].fill(0xee); // the root page of the schema
        fs::write(path, corrupt).unwrap();
        fault("corrupt");
        let mut newer = sound.clone();
        newer[60..64].copy_from_slice(&99u32.to_be_bytes()); // user_version in the file's header
        fs::write(path, newer).unwrap();
        fault("version 99");
        fs::write(path, sound).unwrap();
        check(path).unwrap();
    }

    #[test]
    fn the_database_of_another_program_is_not_ours() {
        for version in [0, schema::VERSION] {
            let fixture = Fixture::empty();
            let db = rusqlite::Connection::open(fixture.path()).unwrap();
            db.execute_batch("CREATE TABLE auth_user (id)").unwrap();
            db.pragma_update(None, "user_version", version).unwrap();
            drop(db);
            let error = check(fixture.path()).unwrap_err();
            assert!(matches!(error, StoreError::WrongSchema { .. }), "{error}");
        }
    }

    #[test]
    fn a_path_of_odd_characters_is_checked_like_any_other() {
        let fixture = Fixture::named("a b?c#d%20&ä.db");
        check(fixture.path()).unwrap();
    }
}

//! The database file itself, before SQLite sees it.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::AdminError;
use crate::store::error::StoreError;
use crate::store::stamp::side_file;

const ROOT: u32 = 0;
const GROUP_WRITE: u32 = 0o020;
const GROUP_READ_WRITE: u32 = 0o060;
const OWNER_READ_WRITE: u32 = 0o600;

/// Creates an empty file unless there is one, and says whether it did.
pub(super) fn create(path: &Path) -> Result<bool, AdminError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(AdminError::NoDirectory(directory.to_owned()));
    }
    // Never a file that was there, nor one that a symbolic link names.
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        file => file,
    };
    file.and_then(|file| hand_over(&file, directory)).and_then(|()| remove_logs(path)).map_err(
        |error| AdminError::NotCreated { path: path.to_owned(), reason: error.to_string() },
    )?;
    Ok(true)
}

/// Undoes [`create`] after a failure, as far as it can be undone.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Gives what root made to whom the directory belongs; a directory that its group may write makes a
/// database that the group may read and write, whatever the umask. SQLite gives the side files the
/// mode of the database, and, for root, its owner.
///
/// By descriptor, not by name: under the name the owner of the directory may have put something
/// else by now, such as a symbolic link to a file of root's.
fn hand_over(file: &File, directory: &Path) -> io::Result<()> {
    let (made, directory) = (file.metadata()?, fs::metadata(directory)?);
    if made.uid() == ROOT && (made.uid(), made.gid()) != (directory.uid(), directory.gid()) {
        fchown(file, Some(directory.uid()), Some(directory.gid()))?;
    }
    if directory.mode() & GROUP_WRITE != 0 {
        file.set_permissions(Permissions::from_mode(made.mode() & 0o777 | GROUP_READ_WRITE))?;
    }
    Ok(())
}

/// The path without symbolic links, so that SQLite need follow none (`SQLITE_OPEN_NOFOLLOW`; its
/// side files it opens with `O_NOFOLLOW`).
///
/// A link in the database's place is followed, but root follows only root's: anybody else could
/// have it point at a file of root's.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    resolve_as(user(), path)
}

fn resolve_as(user: Option<u32>, path: &Path) -> Result<PathBuf, StoreError> {
    let fault = |error| StoreError::from_io(path, &error);
    let file = fs::symlink_metadata(path).map_err(fault)?;
    match (path.parent(), path.file_name()) {
        _ if file.is_symlink() => {
            if user == Some(ROOT) && file.uid() != ROOT {
                let reason = "it is a symbolic link that is not root's".to_owned();
                return Err(StoreError::Unreadable { path: path.to_owned(), reason });
            }
            fs::canonicalize(path).map_err(fault)
        }
        (Some(directory), Some(name)) if !directory.as_os_str().is_empty() => {
            Ok(fs::canonicalize(directory).map_err(fault)?.join(name))
        }
        (_, Some(name)) => Ok(fs::canonicalize(".").map_err(fault)?.join(name)),
        _ => fs::canonicalize(path).map_err(fault), // a directory such as "..": refused later
    }
}

/// Who runs this process.
fn user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}

/// Says that permission is denied where it is, and who could open the database where somebody can.
pub(super) fn advise(path: &Path, error: StoreError) -> StoreError {
    let denied = |result: io::Result<File>| {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    match error {
        StoreError::Unreadable { path: at, .. } if denied(File::open(path)) => {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let owner = fs::metadata(path).ok().and_then(|file| owner(&file, &passwd));
            let reason = match owner {
                Some(owner) => format!("permission denied, try \"sudo -u {owner} stagedoor …\""),
                None => "permission denied".to_owned(),
            };
            StoreError::Unreadable { path: at, reason }
        }
        error => error,
    }
}

/// The name of the file's owner, if they may read and write it.
fn owner<'a>(file: &Metadata, passwd: &'a str) -> Option<&'a str> {
    (file.mode() & OWNER_READ_WRITE == OWNER_READ_WRITE).then_some(())?;
    let uid = file.uid().to_string();
    let names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    names.into_iter().next()
}

/// A log beside a database that has just come into being is that of a former one, and would be read
/// into it.
fn remove_logs(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(side_file(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;
    use crate::store::fixture::Fixture;

    #[test]
    fn what_is_handed_over_is_the_file_that_was_made() {
        let fixture = Fixture::empty();
        let directory = fixture.path().parent().unwrap();
        if user() != Some(ROOT) {
            return; // nobody else can give files away
        }
        chown(directory, Some(65_533), Some(65_534)).unwrap();
        let roots = fixture.beside("shadow");
        fs::write(&roots, "secret").unwrap();
        let made = File::create_new(fixture.path()).unwrap();
        fs::rename(fixture.path(), fixture.beside("away")).unwrap();
        symlink(&roots, fixture.path()).unwrap();
        hand_over(&made, directory).unwrap();
        assert_eq!(made.metadata().unwrap().uid(), 65_533);
        assert_eq!(fs::metadata(&roots).unwrap().uid(), ROOT);
    }

    #[test]
    fn a_symbolic_link_is_not_written_through_when_a_database_is_created() {
        let fixture = Fixture::empty();
        let target = fixture.beside("target");
        symlink(&target, fixture.path()).unwrap();
        assert!(!create(fixture.path()).unwrap());
        assert!(!target.exists());
    }

    #[test]
    fn the_group_of_its_directory_has_a_database_made_with_a_strict_umask() {
        let fixture = Fixture::new();
        let path = fixture.beside("new.db");
        let directory = path.parent().unwrap();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let made = |mode| {
            fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
            hand_over(&file, directory).unwrap();
            file.metadata().unwrap().mode() & 0o777
        };
        assert_eq!(made(0o750), 0o600);
        assert_eq!(made(0o770), 0o660);
    }

    #[test]
    fn root_follows_the_links_of_root_alone() {
        let fixture = Fixture::new();
        let link = fixture.beside("link.db");
        symlink(fixture.path(), &link).unwrap();
        if user() == Some(ROOT) {
            lchown(&link, Some(65_533), Some(65_534)).unwrap();
            let error = crate::store::Store::open(&link).unwrap_err().to_string();
            assert!(error.ends_with("it is a symbolic link that is not root's"), "{error}");
            assert_eq!(resolve_as(Some(65_533), &link).unwrap(), fixture.path());
            lchown(&link, Some(ROOT), Some(ROOT)).unwrap();
        }
        crate::store::Store::open(&link).unwrap();
    }

    #[test]
    fn advice_names_an_owner_who_may() {
        let fixture = Fixture::new();
        let file = || fs::metadata(fixture.path()).unwrap();
        let passwd = format!("other:x:70000:1::/:\nwww-data:x:{}:33::/:/bin/false\n", file().uid());
        assert_eq!(owner(&file(), &passwd), Some("www-data"));
        assert_eq!(owner(&file(), "other:x:70000:1::/:\n"), None);
        fs::set_permissions(fixture.path(), Permissions::from_mode(0o040)).unwrap();
        assert_eq!(owner(&file(), &passwd), None);
    }
}

//! Keeps, renames or deletes a complete file once all its events are delivered.
//!
//! The path may name another file by now, since a new file may be renamed onto it at any time. So the file is first
//! renamed to a hidden name that identifies the delivered file. The file under the hidden name is then checked: if it
//! is the delivered one, it is deleted or gets its final name; if not, it gets its old name back, unread. The next
//! start does the same with hidden files that a crash has left.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::After;
use super::file_system::FileSystem;
use super::identity::{Key, Stamp, State};

/// The suffix of hidden names.
const HIDDEN_SUFFIX: &str = ".weir-away";

impl After {
    /// Keeps, renames or deletes the file at the path, if its state is still `state`. It blocks.
    pub(super) fn apply(&self, file_system: &dyn FileSystem, path: &Path, state: State) -> io::Result<()> {
        if *self == After::Keep {
            return Ok(());
        }
        let hidden_path = hidden_path(path, state);
        match file_system.state(path) {
            Ok(found) if found == state => file_system.rename_no_replace(path, &hidden_path)?,
            // An earlier attempt may have renamed the file before it failed.
            found => match file_system.state(&hidden_path) {
                Ok(_) => {}
                // It is unknown whether the hidden file exists.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Err(_) => return found.and_then(|_| Err(has_changed())),
            },
        }
        self.finish_hidden(file_system, path, &hidden_path, state)
    }

    /// Deletes the hidden file or gives it its final name; restores its old name if it is another file.
    fn finish_hidden(
        &self,
        file_system: &dyn FileSystem,
        path: &Path,
        hidden_path: &Path,
        state: State,
    ) -> io::Result<()> {
        if file_system.state(hidden_path)? != state {
            restore_name(file_system, hidden_path, path)?;
            return Err(has_changed());
        }
        let ended = match self {
            After::Keep => restore_name(file_system, hidden_path, path),
            After::Rename { suffix } => {
                let mut name = path.to_path_buf().into_os_string();
                name.push(suffix);
                file_system.rename_no_replace(hidden_path, Path::new(&name))
            }
            After::Delete => file_system.remove(hidden_path),
        };
        ended.or_else(|error| {
            // The file must not stay under its hidden name.
            restore_name(file_system, hidden_path, path)?;
            Err(error)
        })
    }

    /// Finishes the hidden files that a crash has left in a directory. Returns each path that failed and its error. It
    /// blocks.
    pub(super) fn recover_leftovers(
        &self,
        file_system: &dyn FileSystem,
        directory: &Path,
    ) -> Vec<(PathBuf, io::Error)> {
        let mut failed = Vec::new();
        if *self == After::Keep {
            return failed;
        }
        let names = match file_system.names(directory) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => return failed,
            Err(error) => return vec![(directory.to_path_buf(), error)],
        };
        for name in names {
            let Some((path, state)) = parse_hidden(directory, &name) else { continue };
            let hidden_path = directory.join(&name);
            match self.finish_hidden(file_system, &path, &hidden_path, state) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => failed.push((path, error)),
            }
        }
        failed
    }
}

/// Returns the key in the hidden name of a delivered file; none if the path has no such name.
#[cfg(feature = "hdfs")]
pub(in crate::components) fn key_of_hidden(path: &Path) -> Option<Key> {
    let name = path.file_name()?.to_os_string();
    parse_hidden(path.parent()?, &name).map(|(_, state)| state.key)
}

fn has_changed() -> io::Error {
    io::Error::other("it has changed")
}

/// Renames a hidden file back; adds a number to the name if another file has taken it.
fn restore_name(file_system: &dyn FileSystem, hidden_path: &Path, path: &Path) -> io::Result<()> {
    match file_system.rename_no_replace(hidden_path, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        restore_name => return restore_name,
    }
    for number in 1..100 {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!("-{number}"));
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        match file_system.rename_no_replace(hidden_path, &path.with_file_name(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            restore_name => return restore_name,
        }
    }
    Err(io::Error::other(format!("a file that took its place lies under {}", hidden_path.display())))
}

/// Returns the hidden name for a delivered file. It contains the file's key and stamp.
fn hidden_path(path: &Path, State { key, stamp }: State) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{key}.{}.{}{HIDDEN_SUFFIX}", stamp.length, stamp.modified));
    path.with_file_name(name)
}

/// Parses a hidden name: returns the file's old path, and the state of the delivered file.
fn parse_hidden(directory: &Path, name: &OsString) -> Option<(PathBuf, State)> {
    let name = name.as_bytes().strip_prefix(b".")?.strip_suffix(HIDDEN_SUFFIX.as_bytes())?;
    let mut parts = name.rsplitn(4, |byte| *byte == b'.');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (modified, length, key) = (text()?.parse().ok()?, text()?.parse().ok()?, text()?);
    let mut numbers = key.split('-').map(|part| u64::from_str_radix(part, 16).ok());
    let (device, inode, birth) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let path = directory.join(OsString::from_vec(parts.next()?.to_vec()));
    let state = State { key: Key { device, inode, birth }, stamp: Stamp { length, modified } };
    numbers.next().is_none().then_some((path, state))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file_system::LocalFileSystem;
    use super::*;

    #[test]
    fn a_file_that_has_replaced_the_delivered_one_gets_its_name_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.log");
        for after in [After::Delete, After::Rename { suffix: ".done".into() }] {
            fs::write(&path, "old").unwrap();
            let old = LocalFileSystem.state(&path).unwrap();
            // As if the new file had been renamed onto the path just after the path was checked.
            fs::write(folder.path().join("new"), "new lines").unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
            let hidden_path = hidden_path(&path, old);
            LocalFileSystem.rename_no_replace(&path, &hidden_path).unwrap();
            assert!(after.finish_hidden(&LocalFileSystem, &path, &hidden_path, old).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), "new lines");
            // A third file has the old name when the second one is renamed back.
            LocalFileSystem.rename_no_replace(&path, &hidden_path).unwrap();
            fs::write(&path, "newest").unwrap();
            assert!(after.finish_hidden(&LocalFileSystem, &path, &hidden_path, old).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), "newest");
            let beside = folder.path().join("a.b-1.log");
            assert_eq!(fs::read_to_string(&beside).unwrap(), "new lines");
            fs::remove_file(beside).unwrap();
        }
    }

    #[test]
    fn a_hidden_file_of_a_crash_is_deleted_if_delivered_and_otherwise_gets_its_name_back() {
        let folder = tempfile::tempdir().unwrap();
        let (done, unread) = (folder.path().join("done.log"), folder.path().join("unread.log"));
        fs::write(&done, "delivered").unwrap();
        let state = LocalFileSystem.state(&done).unwrap();
        fs::rename(&done, hidden_path(&done, state)).unwrap();
        fs::write(&unread, "unread").unwrap();
        fs::rename(&unread, hidden_path(&unread, state)).unwrap();
        let failed = After::Delete.recover_leftovers(&LocalFileSystem, folder.path());
        assert_eq!(failed.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&unread]);
        assert_eq!(LocalFileSystem.names(folder.path()).unwrap(), ["unread.log"]);
    }

    #[test]
    fn a_hidden_name_identifies_the_delivered_file() {
        let key = Key { device: 0xfe01, inode: 7, birth: 9 };
        let state = State { key, stamp: Stamp { length: 12, modified: -3 } };
        let path = Path::new("/in/a.b.log");
        let name = hidden_path(path, state).file_name().unwrap().to_os_string();
        assert_eq!(parse_hidden(Path::new("/in"), &name), Some((path.to_path_buf(), state)));
        for other in [".a.log", "a.weir-away", ".weir-away", ".a.log.1-2.3.4.weir-away"] {
            assert_eq!(parse_hidden(Path::new("/in"), &other.into()), None, "{other}");
        }
    }
}

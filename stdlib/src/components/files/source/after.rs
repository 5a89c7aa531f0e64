//! What happens to a complete file once all its events are delivered.
//!
//! The path may name another file by now: whoever writes it may rename a new one onto it at any time. So the
//! file is renamed first, to a hidden name of its own that says which file was delivered. Only what then lies
//! under that name is looked at, and deleted or given its final name if it is that file; if not, it is put
//! back unread. What a crash leaves under such a name is treated likewise at the next start.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::After;
use super::file_system::FileSystem;
use super::identity::{Key, Stamp, State};

/// What the hidden names end with.
const HIDDEN_SUFFIX: &str = ".weir-away";

impl After {
    /// Keeps, renames or deletes the file, if it is still the one at the path. It blocks.
    pub(super) fn apply(&self, file_system: &dyn FileSystem, path: &Path, state: State) -> io::Result<()> {
        if *self == After::Keep {
            return Ok(());
        }
        let hidden_path = hidden_path(path, state);
        match file_system.state(path) {
            Ok(found) if found == state => file_system.rename_no_replace(path, &hidden_path)?,
            // An attempt that failed may have renamed it already.
            found => match file_system.state(&hidden_path) {
                Ok(_) => {}
                // What lies there is not known.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Err(_) => return found.and_then(|_| Err(has_changed())),
            },
        }
        self.finish_hidden(file_system, path, &hidden_path, state)
    }

    /// Deletes what was renamed away or gives it its final name, or puts it back.
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
            // The file is there, whatever it is called.
            restore_name(file_system, hidden_path, path)?;
            Err(error)
        })
    }

    /// Ends what a crash has left in a directory. Gives back each path with what could not be done. It blocks.
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

fn has_changed() -> io::Error {
    io::Error::other("it has changed")
}

/// Gives what was renamed away its name again; or a name beside it, if another file has that by now.
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

/// The name for a file while it is put away. It says which file was delivered.
fn hidden_path(path: &Path, State { key, stamp }: State) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{key}.{}.{}{HIDDEN_SUFFIX}", stamp.length, stamp.modified));
    path.with_file_name(name)
}

/// The path of the file that was put away under such a name, and which file was delivered.
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
    fn a_file_that_took_the_place_of_the_delivered_one_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.log");
        for after in [After::Delete, After::Rename { suffix: ".done".into() }] {
            fs::write(&path, "old").unwrap();
            let old = LocalFileSystem.state(&path).unwrap();
            // As if it had been renamed onto the path just after that was looked at.
            fs::write(folder.path().join("new"), "new lines").unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
            let hidden_path = hidden_path(&path, old);
            LocalFileSystem.rename_no_replace(&path, &hidden_path).unwrap();
            assert!(after.finish_hidden(&LocalFileSystem, &path, &hidden_path, old).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), "new lines");
            // And yet another one has the name by then.
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
    fn what_a_crash_leaves_is_deleted_or_put_back() {
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
    fn a_hidden_name_says_which_file_was_delivered() {
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

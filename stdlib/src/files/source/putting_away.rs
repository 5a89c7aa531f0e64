//! What happens to a complete file once all its events are delivered.

use std::io;
use std::path::Path;

use super::After;
use super::identity::{Key, Stamp};

impl After {
    /// Keeps, renames or deletes the file, if it is still the one at the path. It blocks.
    pub(super) fn put_away(&self, path: &Path, key: Key, stamp: Stamp) -> io::Result<()> {
        if *self == After::Keep {
            return Ok(());
        }
        let metadata = std::fs::metadata(path)?;
        if Key::of(&metadata) != key || Stamp::of(&metadata) != stamp {
            return Err(io::Error::other("it has changed"));
        }
        match self {
            After::Keep => Ok(()),
            After::Rename { suffix } => {
                let mut name = path.to_path_buf().into_os_string();
                name.push(suffix);
                rename_without_replacing(path, Path::new(&name))
            }
            After::Delete => std::fs::remove_file(path),
        }
    }
}

fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

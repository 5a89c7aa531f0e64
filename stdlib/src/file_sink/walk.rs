//! Walking through the directories that a sink's files may be in.

use super::error::{FileError, Operation};
use super::file_system::{Entry, FileSystem};
use super::ledger::FOLDER;
use super::names::join;

/// How deep below the first directory is looked, at least: as deep as the path goes, if that is deeper.
const DEPTH: usize = 16;

/// Directories that are still to be looked into, each with its depth; the last is next.
pub(super) struct Walk {
    directories: Vec<(String, usize)>,
    depth: usize,
}

impl Walk {
    /// All directories below the root, to this depth or deeper, but not those of ledgers.
    pub(super) fn below(root: &str, depth: usize) -> Walk {
        Walk { directories: vec![(root.to_string(), 0)], depth: depth.max(DEPTH) }
    }

    /// The next directory and the files in it. Those changed last come first.
    ///
    /// # Errors
    /// When it can't be listed.
    pub(super) async fn next<F: FileSystem>(
        &mut self,
        files: &F,
    ) -> Result<Option<(String, Vec<Entry>)>, FileError> {
        let Some((directory, depth)) = self.directories.pop() else { return Ok(None) };
        let list = files.list(&directory).await;
        let list = list.map_err(FileError::of(Operation::List, &directory))?;
        let (mut inner, found): (Vec<Entry>, Vec<Entry>) =
            list.into_iter().partition(|entry| entry.is_directory);
        inner.retain(|entry| depth < self.depth && entry.name != FOLDER);
        inner.sort_by(|a, b| (a.modified_ms, &a.name).cmp(&(b.modified_ms, &b.name)));
        self.directories.extend(inner.into_iter().map(|entry| (join(&directory, &entry.name), depth + 1)));
        Ok(Some((directory, found)))
    }
}

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
    /// How many of them are in the one that was looked into last.
    inner: usize,
}

/// What is in a directory.
pub(super) struct Found {
    /// Its path.
    pub(super) directory: String,
    pub(super) files: Vec<Entry>,
    /// Whether ledgers are kept in it.
    pub(super) has_ledgers: bool,
}

impl Walk {
    /// All directories below the root, to this depth or deeper, but not those of ledgers.
    pub(super) fn below(root: &str, depth: usize) -> Walk {
        Walk { directories: vec![(root.to_string(), 0)], depth: depth.max(DEPTH), inner: 0 }
    }

    /// The next directory and the files in it. Those changed last come first.
    ///
    /// # Errors
    /// When it can't be listed. The next call goes on behind it.
    pub(super) async fn next<F: FileSystem>(&mut self, files: &F) -> Result<Option<Found>, FileError> {
        let Some((directory, depth)) = self.directories.pop() else { return Ok(None) };
        self.inner = 0;
        let list = files.list(&directory).await;
        let list = list.map_err(FileError::of(Operation::List, &directory))?;
        let (mut inner, files): (Vec<Entry>, Vec<Entry>) =
            list.into_iter().partition(|entry| entry.is_directory);
        let has_ledgers = inner.iter().any(|entry| entry.name == FOLDER);
        inner.retain(|entry| depth < self.depth && entry.name != FOLDER);
        inner.sort_by(|a, b| (a.modified_ms, &a.name).cmp(&(b.modified_ms, &b.name)));
        self.inner = inner.len();
        self.directories.extend(inner.into_iter().map(|entry| (join(&directory, &entry.name), depth + 1)));
        Ok(Some(Found { directory, files, has_ledgers }))
    }

    /// Leaves out what is in the directory that was looked into last.
    pub(super) fn pass_over(&mut self) {
        self.directories.truncate(self.directories.len() - self.inner);
        self.inner = 0;
    }
}

//! Walks through the directories that a sink's files may be in.

use super::error::{FileError, Operation};
use super::file_system::{Entry, FileSystem};
use super::ledger::FOLDER;
use super::names::join;

/// The walk goes at least this deep below its root, and deeper if the sink's path does.
const DEPTH_MIN: usize = 16;

/// A walk through directories.
pub(super) struct Walk {
    /// The directories that are not listed yet, each with its depth. The last one is listed next.
    directories: Vec<(String, usize)>,
    depth_max: usize,
    /// How many of these directories are in the directory that was listed last.
    children: usize,
}

/// The content of a directory.
pub(super) struct Listing {
    /// The directory's path.
    pub(super) directory: String,
    pub(super) files: Vec<Entry>,
    /// Whether the directory has ledgers of sinks in it.
    pub(super) has_ledgers: bool,
}

impl Walk {
    /// Makes a walk through the root and the directories below it, without the directories of ledgers.
    pub(super) fn below(root: &str, depth: usize) -> Walk {
        Walk { directories: vec![(root.to_string(), 0)], depth_max: depth.max(DEPTH_MIN), children: 0 }
    }

    /// Lists the next directory; none at the end. Of the directories in one directory, those changed last are listed
    /// first.
    ///
    /// # Errors
    /// When the directory can't be listed. The next call lists the directory after it.
    pub(super) async fn next<F: FileSystem>(&mut self, files: &F) -> Result<Option<Listing>, FileError> {
        let Some((directory, depth)) = self.directories.pop() else { return Ok(None) };
        self.children = 0;
        let list = files.list(&directory).await;
        let list = list.map_err(FileError::of(Operation::List, &directory))?;
        let (mut children, files): (Vec<Entry>, Vec<Entry>) =
            list.into_iter().partition(|entry| entry.is_directory);
        let has_ledgers = children.iter().any(|entry| entry.name == FOLDER);
        children.retain(|entry| depth < self.depth_max && entry.name != FOLDER);
        children.sort_by(|a, b| (a.modified_ms, &a.name).cmp(&(b.modified_ms, &b.name)));
        self.children = children.len();
        self.directories.extend(children.into_iter().map(|entry| (join(&directory, &entry.name), depth + 1)));
        Ok(Some(Listing { directory, files, has_ledgers }))
    }

    /// Leaves out the directories in the directory that was listed last.
    pub(super) fn skip_children(&mut self) {
        self.directories.truncate(self.directories.len() - self.children);
        self.children = 0;
    }
}

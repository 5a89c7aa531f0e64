//! Searches for files that have gone while they were closed for lack of descriptors: each is searched by its key in its
//! directory, under any name, and read to the end.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::super::identity::Key;
use super::super::tracked::{FileId, Phase, Search, Tracked};
use super::super::{FileMode, FilesError};
use super::Run;

impl Run<'_> {
    /// Searches once for each of these files that is gone and closed. Queues and returns the files that are found. A
    /// file that is not found is counted and logged if a part of it was not read.
    pub(super) async fn search_gone_files(&mut self, files: &[FileId]) -> Result<Vec<FileId>, FilesError> {
        let mut wanted: HashMap<PathBuf, HashMap<Key, FileId>> = HashMap::new();
        if matches!(self.source.mode, FileMode::Follow { .. }) {
            for &id in files {
                let Some(file) = self.files.get(id).filter(|file| needs_search(file)) else { continue };
                let directory = file.path.parent().unwrap_or(Path::new("/")).to_path_buf();
                wanted.entry(directory).or_default().insert(file.key, id);
            }
        }
        let mut found = Vec::new();
        for (directory, files) in wanted {
            let (file_system, keys) = (self.file_system(), files.keys().copied().collect::<HashSet<Key>>());
            let patterns = self.source.discovery.patterns();
            let listed =
                self.file_system().executor().run(move || file_system.find(&directory, &keys)).await?;
            let is_listed = match &listed {
                Ok(_) => true,
                Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
            };
            let mut paths: HashMap<Key, PathBuf> = listed.unwrap_or_default().into_iter().collect();
            for (key, id) in files {
                match (paths.remove(&key), self.files.get(id)) {
                    // The next scan finds this path: it is the same file under another matching name, or another file
                    // with the same inode.
                    (Some(path), Some(_)) if patterns.match_path(&path).file => {}
                    (Some(path), Some(file)) => {
                        file.search = Search::Found(path);
                        self.enqueue(id);
                        found.push(id);
                    }
                    (None, Some(file)) if is_listed => {
                        file.search = Search::Over;
                        self.report_gone_unread(id);
                    }
                    (None, Some(file)) => file.search = Search::Failed,
                    (_, None) => {}
                }
            }
        }
        Ok(found)
    }

    /// Returns the files that are gone and whose path now belongs to a non-empty file: their writers have continued in
    /// that file.
    pub(super) fn replaced(&mut self, files: &[FileId]) -> HashSet<FileId> {
        let mut is_replaced = |id: FileId| {
            let path = self.files.get(id).filter(|file| file.gone_since.is_some())?.path.clone();
            let there = self.files.id_of_path(&path)?;
            Some(self.files.get(there)?.stamp.length > 0)
        };
        files.iter().copied().filter(|id| is_replaced(*id) == Some(true)).collect()
    }

    /// Handles a found file that holds another text: it is not the file that is gone, but has the same inode. Returns
    /// false if the file was not found by a search.
    pub(super) fn is_other_file(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get(id).filter(|file| matches!(file.search, Search::Found(_))) else {
            return false;
        };
        file.search = Search::Over;
        self.report_gone_unread(id);
        true
    }

    fn report_gone_unread(&mut self, id: FileId) {
        let Some(file) = self.files.get(id) else { return };
        let position = file.text.as_ref().map_or(0, |text| text.reader.position);
        if !file.is_unread && file.stamp.length <= position {
            return;
        }
        let path = file.path.clone();
        self.source.meter.count("files_gone_unread", 1);
        if let Some(more) = self.source.gone_unread.occurred() {
            warn!(
                component = %self.source.component,
                "{} has gone before it was read to its end, and is not in its directory under another name: it was closed \
                 for want of descriptors, what was written to it behind byte {position} is lost{more}",
                path.display()
            );
        }
    }
}

impl Tracked {
    /// Returns the path at which the file can be opened.
    pub(super) fn current_path(&self) -> &Path {
        if let Search::Found(path) = &self.search { path } else { &self.path }
    }

    /// Allows another search for a file that is no longer where it was found.
    pub(super) fn reset_search(&mut self) {
        if matches!(self.search, Search::Found(_)) {
            self.search = Search::Due;
        }
    }
}

/// Returns whether the file is closed although reading continues.
pub(super) fn is_closed(file: &Tracked) -> bool {
    file.phase == Phase::Reading && file.content.is_none() && !file.is_compressed()
}

/// Returns whether the file is closed and gone, and was not searched for since.
pub(super) fn needs_search(file: &Tracked) -> bool {
    file.gone_since.is_some() && matches!(file.search, Search::Due | Search::Failed) && is_closed(file)
}

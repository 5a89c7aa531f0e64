//! Reads HDFS with Hadoop's own client.

use std::path::{Path, PathBuf};

use crate::servers::{run, tool};
use crate::{Scene, lines_of, print_line, visible_files};

/// A client of the HDFS that a test uses: Hadoop's own.
#[derive(Debug, Clone)]
pub struct Hdfs {
    url: String,
    servers: PathBuf,
}

/// A file as the NameNode knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The file's path.
    pub path: String,
    /// The file's length in bytes; for an open file, the synced length.
    pub length: u64,
    /// Whether the writer has closed the file.
    pub closed: bool,
}

impl Hdfs {
    pub(crate) fn new(url: &str, servers: &Path) -> Hdfs {
        Hdfs { url: url.to_owned(), servers: servers.to_owned() }
    }

    /// Returns the URL of the NameNode, such as `hdfs://127.0.0.1:8020`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lists all files below a path; empty if the path does not exist.
    pub fn files(&self, path: &str) -> Vec<StoredFile> {
        listing(&self.client(&["list", path]))
    }

    /// Returns the decompressed lines of all finished files below a path, and the files that have names of unfinished files.
    ///
    /// # Panics
    ///
    /// When a file with a final name is open, empty or damaged.
    pub fn lines(&self, path: &str, scene: &Scene) -> (Vec<Vec<u8>>, Vec<StoredFile>) {
        let folder = scene.folder().join("from_hdfs");
        let listed = listing(&self.client(&["get", path, &folder.display().to_string()]));
        let (unfinished, finished): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(StoredFile::is_unfinished);
        for file in &finished {
            assert!(file.closed && file.length > 0, "{} left a file open or empty: {file:?}", scene.name());
        }
        let counts = format_args!("{} files under {path}, {} unfinished", finished.len(), unfinished.len());
        print_line(scene.name(), counts);
        (lines_of(&visible_files(&folder)), unfinished)
    }

    fn client(&self, words: &[&str]) -> String {
        run(tool(&self.servers).arg("dfs").args(words))
            .unwrap_or_else(|why| panic!("services dfs {}: {why}", words.join(" ")))
    }
}

impl StoredFile {
    /// Returns whether the name marks the file as still being written.
    pub fn is_unfinished(&self) -> bool {
        self.path.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
    }
}

fn listing(text: &str) -> Vec<StoredFile> {
    let parse = |line: &str| {
        let (rest, state) = line.rsplit_once(' ')?;
        let (path, length) = rest.rsplit_once(' ')?;
        Some(StoredFile { path: path.to_owned(), length: length.parse().ok()?, closed: state == "closed" })
    };
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("`services dfs` printed: {line}"))).collect()
}

//! Reads HDFS with Hadoop's own client.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::servers::{run, tool};
use crate::{Scene, lines_of, print_line, visible_files};

/// A client of the HDFS that a test uses: Hadoop's own.
#[derive(Debug, Clone)]
pub struct Hdfs {
    service: &'static str,
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
    pub(crate) fn new(service: &'static str, url: &str, servers: &Path) -> Hdfs {
        Hdfs { service, url: url.to_owned(), servers: servers.to_owned() }
    }

    /// Returns the URL of the NameNode, such as `hdfs://127.0.0.1:8020`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lists all files below a path; empty if the path does not exist.
    pub fn files(&self, path: &str) -> Vec<StoredFile> {
        listing(&self.client(&["list", path]))
    }

    /// Returns the number of complete files below a path, without those of ledgers.
    pub fn complete(&self, path: &str) -> usize {
        let files = self.files(path).into_iter();
        files.filter(|file| !file.is_unfinished() && !file.path.contains("/.weir/")).count()
    }

    /// Returns the decompressed lines of all finished files below a path, and the files that have names of unfinished files.
    ///
    /// # Panics
    ///
    /// When a file with a final name is open, empty or damaged.
    pub fn lines(&self, path: &str, scene: &Scene) -> (Vec<Vec<u8>>, Vec<StoredFile>) {
        let (folder, unfinished) = self.get(path, scene);
        (lines_of(&visible_files(&folder)), unfinished)
    }

    /// Copies all files below a path into a folder of the scene. Returns the folder, and the files that have names of unfinished
    /// files.
    ///
    /// # Panics
    ///
    /// When a file with a final name is open or empty.
    pub fn get(&self, path: &str, scene: &Scene) -> (PathBuf, Vec<StoredFile>) {
        let folder = scene.folder().join("from_hdfs").join(path.trim_matches('/'));
        let listed = listing(&self.client(&["get", path, &folder.display().to_string()]));
        let (unfinished, finished): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(StoredFile::is_unfinished);
        for file in &finished {
            assert!(file.closed && file.length > 0, "{} left a file open or empty: {file:?}", scene.name());
        }
        let counts = format_args!("{} files under {path}, {} unfinished", finished.len(), unfinished.len());
        print_line(scene.name(), counts);
        (folder, unfinished)
    }

    /// Writes these lines into a new file.
    pub fn put(&self, path: &str, lines: &[String], scene: &Scene) {
        self.client(&["put", path, &local_file(lines, scene)]);
    }

    /// Appends these lines to a closed file.
    pub fn append(&self, path: &str, lines: &[String], scene: &Scene) {
        self.client(&["append", path, &local_file(lines, scene)]);
    }

    /// Writes these lines into a new file, syncs it, and leaves it open.
    ///
    /// # Panics
    ///
    /// When the client does not start.
    pub fn hold(&self, path: &str, lines: &[String], scene: &Scene) -> OpenFile {
        let mut command = tool(&self.servers);
        command.args(["dfs", "--of", self.service, "hold", path, &local_file(lines, scene)]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.spawn().unwrap_or_else(|error| panic!("services dfs hold: {error}"));
        let mut answer = String::new();
        let output = client.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut answer).expect("the client answers");
        assert_eq!(answer, "synced\n", "services dfs hold {path}");
        OpenFile { client }
    }

    /// Creates a directory that belongs to this user, with octal permissions such as `755`.
    pub fn make_directory(&self, path: &str, owner: &str, permissions: &str) {
        self.client(&["mkdir", path, owner, permissions]);
    }

    /// Removes a directory with all that is in it.
    pub fn remove(&self, path: &str) {
        self.client(&["delete", path]);
    }

    /// Limits the number of names in a directory, its own included.
    pub fn limit_names(&self, path: &str, names: usize) {
        self.client(&["quota", path, &names.to_string()]);
    }

    fn client(&self, words: &[&str]) -> String {
        run(tool(&self.servers).args(["dfs", "--of", self.service]).args(words))
            .unwrap_or_else(|why| panic!("services dfs {}: {why}", words.join(" ")))
    }
}

/// A file on HDFS that a client holds open.
#[derive(Debug)]
pub struct OpenFile {
    client: Child,
}

impl OpenFile {
    /// Closes the file.
    ///
    /// # Panics
    ///
    /// When the client fails.
    pub fn close(mut self) {
        drop(self.client.stdin.take());
        let status = self.client.wait().expect("the client ends");
        assert!(status.success(), "services dfs hold: {status}");
    }
}

/// Writes lines into a file of the scene, and returns its path.
fn local_file(lines: &[String], scene: &Scene) -> String {
    let path = scene.path("to_hdfs");
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("can't write {path}: {error}"));
    path
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

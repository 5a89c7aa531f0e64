//! Finding files that match, each once.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tokio::task::spawn_blocking;
use tracing::{error, warn};
use walkdir::WalkDir;
use weir_runtime::batch::Partition;

use super::FilesError;

/// What begins the part of a path that is a pattern.
const PATTERN_CHARACTERS: [char; 4] = ['*', '?', '[', '{'];

/// Which file this is, and what state it is in. A file that is complete keeps all of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    /// Bytes.
    pub(super) length: u64,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    modified: i128,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }

    /// The partition that the file's lines are of.
    pub(super) fn partition(&self) -> Partition {
        let Stamp { device, inode, length, modified } = self;
        Partition::new(format!("file/{device}/{inode}/{length}/{modified}"))
    }
}

/// A file to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Looks for files, and knows which it has found before.
pub(super) struct Discovery {
    component: Arc<str>,
    roots: Vec<PathBuf>,
    globs: Arc<GlobSet>,
    /// The suffix of files that are done with.
    done_suffix: Option<String>,
    /// Found before, and as what.
    known: HashMap<PathBuf, Stamp>,
    /// Places that could not be looked into, so that each is reported once.
    unreadable: HashMap<PathBuf, String>,
}

/// What one look has seen.
struct Seen {
    files: Vec<Found>,
    unreadable: HashMap<PathBuf, String>,
}

impl Discovery {
    pub(super) fn new(
        patterns: Vec<String>,
        done_suffix: Option<String>,
        component: Arc<str>,
    ) -> Result<Discovery, FilesError> {
        let mut globs = GlobSetBuilder::new();
        let mut roots = Vec::new();
        for pattern in patterns {
            let absolute = std::path::absolute(&pattern).unwrap_or_else(|_| PathBuf::from(&pattern));
            let glob = GlobBuilder::new(&absolute.to_string_lossy()).literal_separator(true).build();
            globs.add(glob.map_err(|source| FilesError::Glob { glob: pattern, source })?);
            roots.push(constant_root(&absolute));
        }
        let all = "all of them".to_string();
        let globs = globs.build().map_err(|source| FilesError::Glob { glob: all, source })?;
        roots.sort();
        roots.dedup();
        Ok(Discovery {
            component,
            roots,
            globs: Arc::new(globs),
            done_suffix,
            known: HashMap::new(),
            unreadable: HashMap::new(),
        })
    }

    /// The files that are new since the last look, the oldest first.
    ///
    /// A file that was found before and has changed since is reported once, and left alone.
    pub(super) async fn look(&mut self) -> Result<Vec<Found>, FilesError> {
        let (roots, globs, done_suffix) = (self.roots.clone(), self.globs.clone(), self.done_suffix.clone());
        let Seen { files, unreadable } =
            spawn_blocking(move || walk(&roots, &globs, done_suffix.as_deref())).await?;
        for (path, reason) in &unreadable {
            if self.unreadable.get(path) != Some(reason) {
                warn!(component = %self.component, "can't look into {}: {reason}; it is tried again", path.display());
            }
        }
        self.unreadable = unreadable;
        let mut known = HashMap::with_capacity(files.len());
        let mut fresh = Vec::new();
        // By their stamps, since a file that was renamed is still the same.
        let stamps: HashSet<&Stamp> = self.known.values().collect();
        for found in files {
            match self.known.get(&found.path) {
                _ if stamps.contains(&found.stamp) => {}
                Some(stamp) if stamp.device == found.stamp.device && stamp.inode == found.stamp.inode => {
                    error!(
                        component = %self.component,
                        "{} has changed after it was read: it is set aside, what is new in it is not read",
                        found.path.display()
                    );
                }
                _ => fresh.push(Found { path: found.path.clone(), stamp: found.stamp.clone() }),
            }
            known.insert(found.path, found.stamp);
        }
        self.known = known;
        fresh.sort_by(|one, other| (one.stamp.modified, &one.path).cmp(&(other.stamp.modified, &other.path)));
        Ok(fresh)
    }

    /// Makes these files be found again.
    pub(super) fn forget(&mut self, paths: impl Iterator<Item = PathBuf>) {
        for path in paths {
            self.known.remove(&path);
        }
    }
}

/// The directory that everything a pattern matches is in; the file itself for a plain path.
fn constant_root(pattern: &Path) -> PathBuf {
    let is_plain = |component: &std::path::Component<'_>| {
        !component.as_os_str().to_string_lossy().contains(PATTERN_CHARACTERS)
    };
    pattern.components().take_while(is_plain).collect()
}

fn walk(roots: &[PathBuf], globs: &GlobSet, done_suffix: Option<&str>) -> Seen {
    let mut seen = Seen { files: Vec::new(), unreadable: HashMap::new() };
    for entry in roots.iter().flat_map(|root| WalkDir::new(root).follow_links(true)) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                seen.note(&error);
                continue;
            }
        };
        let path = entry.path();
        let is_done = done_suffix.is_some_and(|suffix| path.to_string_lossy().ends_with(suffix));
        if !entry.file_type().is_file() || is_done || !globs.is_match(path) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => {
                seen.files.push(Found { path: path.to_path_buf(), stamp: Stamp::of(&metadata) });
            }
            Err(error) => seen.note(&error),
        }
    }
    seen.files.sort_by(|one, other| one.path.cmp(&other.path));
    seen.files.dedup_by(|one, other| one.path == other.path);
    seen
}

impl Seen {
    /// A place that can't be looked into. What has gone between two looks is no trouble; what a
    /// pattern begins with should be there.
    fn note(&mut self, error: &walkdir::Error) {
        let missing = error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if let (Some(path), true) = (error.path(), !missing || error.depth() == 0) {
            self.unreadable.insert(path.to_path_buf(), error.to_string());
        }
    }
}

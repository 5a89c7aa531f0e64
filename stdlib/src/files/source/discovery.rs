//! Finding the files that match.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tracing::warn;

use super::FilesError;
use super::identity::{Key, Stamp};
use super::room::Room;

/// What begins the part of a path that is a pattern.
const PATTERN_CHARACTERS: [char; 4] = ['*', '?', '[', '{'];

/// A file that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) struct Sighting {
    pub(in crate::files) path: PathBuf,
    pub(in crate::files) key: Key,
    pub(in crate::files) stamp: Stamp,
}

/// What one look has seen.
#[derive(Debug, Default)]
pub(in crate::files) struct Seen {
    /// The oldest first; each once, whatever many names it has.
    pub(in crate::files) files: Vec<Sighting>,
    /// The directories in which files may appear.
    pub(in crate::files) directories: Vec<PathBuf>,
    unreadable: HashMap<PathBuf, String>,
}

/// Looks for files.
pub(super) struct Discovery {
    room: Arc<dyn Room>,
    component: Arc<str>,
    roots: Arc<[PathBuf]>,
    globs: Arc<GlobSet>,
    /// The suffix of files that are done with.
    done_suffix: Option<Arc<str>>,
    /// Places that could not be looked into, so that each is reported once.
    unreadable: HashMap<PathBuf, String>,
}

impl Discovery {
    pub(super) fn new(
        room: Arc<dyn Room>,
        patterns: Vec<String>,
        done_suffix: Option<&str>,
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
            room,
            component,
            roots: roots.into(),
            globs: Arc::new(globs),
            done_suffix: done_suffix.map(Arc::from),
            unreadable: HashMap::new(),
        })
    }

    /// The files that are there now.
    pub(super) async fn look(&mut self) -> Result<Seen, FilesError> {
        let (roots, globs, done_suffix) = (self.roots.clone(), self.globs.clone(), self.done_suffix.clone());
        let (drive, room) = (self.room.drive(), self.room.clone());
        let mut seen = drive.run(move || walk(&*room, &roots, &globs, done_suffix.as_deref())).await?;
        let unreadable = std::mem::take(&mut seen.unreadable);
        for (path, reason) in &unreadable {
            if self.unreadable.get(path) != Some(reason) {
                warn!(component = %self.component, "can't look into {}: {reason}; it is tried again", path.display());
            }
        }
        self.unreadable = unreadable;
        Ok(seen)
    }
}

/// The directory that everything a pattern matches is in; the file itself for a plain path.
fn constant_root(pattern: &Path) -> PathBuf {
    let is_plain = |component: &std::path::Component<'_>| {
        !component.as_os_str().to_string_lossy().contains(PATTERN_CHARACTERS)
    };
    pattern.components().take_while(is_plain).collect()
}

fn walk(room: &dyn Room, roots: &[PathBuf], globs: &GlobSet, done_suffix: Option<&str>) -> Seen {
    let mut seen = Seen::default();
    let is_done = |path: &Path| done_suffix.is_some_and(|suffix| path.to_string_lossy().ends_with(suffix));
    let wanted = |path: &Path| !is_done(path) && globs.is_match(path);
    for root in roots {
        // The root may be a file, which appears in the directory around it.
        seen.directories.extend(root.parent().map(Path::to_path_buf));
        room.walk(root, &wanted, &mut seen);
    }
    seen.files
        .sort_by(|one, other| (one.stamp.modified, &one.path).cmp(&(other.stamp.modified, &other.path)));
    let mut keys = HashSet::new();
    seen.files.retain(|file| keys.insert(file.key));
    seen
}

impl Seen {
    /// A place that can't be looked into. What has gone between two looks is no trouble; what a
    /// pattern begins with should be there.
    pub(super) fn note(&mut self, error: &walkdir::Error) {
        let missing = error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if let (Some(path), true) = (error.path(), !missing || error.depth() == 0) {
            self.unreadable.insert(path.to_path_buf(), error.to_string());
        }
    }
}

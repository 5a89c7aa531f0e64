//! Finding the files that match.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};
use weir_runtime::{Gauge, Meter};

use super::FilesError;
use super::file_system::FileSystem;
use super::identity::{Key, Stamp};
use super::patterns::Patterns;

/// So many places that can't be looked into are named in the log after one look; the others are counted.
const NAMED_MAX: usize = 10;

/// A file that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components::files) struct FoundFile {
    pub(in crate::components::files) path: PathBuf,
    pub(in crate::components::files) key: Key,
    pub(in crate::components::files) stamp: Stamp,
}

/// A directory in which something can match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components::files) struct Directory {
    pub(in crate::components::files) path: PathBuf,
    pub(in crate::components::files) device: u64,
    pub(in crate::components::files) inode: u64,
}

/// What one look has seen.
#[derive(Debug)]
pub(in crate::components::files) struct Scan {
    /// The oldest first; each once, whatever many names it has.
    pub(in crate::components::files) files: Vec<FoundFile>,
    /// The directories in which files, or directories with files, may appear.
    pub(in crate::components::files) directories: Vec<Directory>,
    /// Whether the system tells of all that is written to these files, if it watches the directories.
    pub(in crate::components::files) all_watchable: bool,
    /// Whatever could not be looked at; nothing is known of what is there or below.
    pub(in crate::components::files) unscanned: HashSet<PathBuf>,
    /// What there is to say about places.
    pub(in crate::components::files) problems: HashMap<PathBuf, String>,
    /// How many files are left alone since they are still being written, and one of them.
    pub(in crate::components::files) unfinished: (u64, Option<PathBuf>),
}

impl Default for Scan {
    fn default() -> Scan {
        Scan {
            files: Vec::new(),
            directories: Vec::new(),
            all_watchable: true,
            unscanned: HashSet::new(),
            problems: HashMap::new(),
            unfinished: (0, None),
        }
    }
}

impl Scan {
    /// Something about a place that has to be said. Unless it is certain that nothing is there, it is unlooked.
    pub(in crate::components::files) fn note(
        &mut self,
        path: &Path,
        reason: &dyn Display,
        is_unscanned: bool,
    ) {
        self.problems.insert(path.to_path_buf(), reason.to_string());
        if is_unscanned {
            self.unscanned.insert(path.to_path_buf());
        }
    }

    /// A file that is left alone since it is still being written, as its name says.
    pub(in crate::components::files) fn note_unfinished(&mut self, path: PathBuf) {
        let (count, example) = &mut self.unfinished;
        *count += 1;
        example.get_or_insert(path);
    }

    /// Whether it is unknown what lies at this path, since it, or a directory around it, could not be looked at.
    pub(in crate::components::files) fn is_unknown(&self, path: &Path) -> bool {
        !self.unscanned.is_empty() && path.ancestors().any(|around| self.unscanned.contains(around))
    }
}

/// Looks for files.
pub(super) struct Discovery {
    file_system: Arc<dyn FileSystem>,
    component: Arc<str>,
    patterns: Arc<Patterns>,
    /// Places that could not be looked into, so that each is reported once.
    problems: HashMap<PathBuf, String>,
    /// How many files are left alone since they are still being written.
    unfinished: Gauge,
    has_said_unfinished: bool,
}

impl Discovery {
    pub(super) fn new(
        file_system: Arc<dyn FileSystem>,
        patterns: Patterns,
        component: Arc<str>,
        meter: &Meter,
    ) -> Discovery {
        Discovery {
            file_system,
            component,
            patterns: Arc::new(patterns),
            problems: HashMap::new(),
            unfinished: meter.gauge("files_unfinished"),
            has_said_unfinished: false,
        }
    }

    /// What is looked for.
    pub(super) fn patterns(&self) -> Arc<Patterns> {
        self.patterns.clone()
    }

    /// The files that are there now.
    pub(super) async fn scan(&mut self) -> Result<Scan, FilesError> {
        let (executor, file_system, patterns) =
            (self.file_system.executor(), self.file_system.clone(), self.patterns.clone());
        let mut seen = executor.run(move || walk(&*file_system, &patterns)).await?;
        let (unfinished, example) = std::mem::take(&mut seen.unfinished);
        self.unfinished.set(unfinished);
        if let (Some(example), false) = (example, self.has_said_unfinished) {
            self.has_said_unfinished = true;
            info!(
                component = %self.component,
                "{} is left alone, since its name says that it is still being written; a path that ends in the same way reads it",
                example.display()
            );
        }
        self.report(std::mem::take(&mut seen.problems));
        Ok(seen)
    }

    /// Says what was not said of these places by the look before.
    fn report(&mut self, problems: HashMap<PathBuf, String>) {
        let is_new = |(path, reason): &(&PathBuf, &String)| self.problems.get(*path) != Some(*reason);
        let mut new: Vec<(&PathBuf, &String)> = problems.iter().filter(is_new).collect();
        new.sort();
        for (path, reason) in new.iter().take(NAMED_MAX) {
            warn!(component = %self.component, "can't look into {}: {reason}; it is tried again", path.display());
        }
        if new.len() > NAMED_MAX {
            let more = new.len() - NAMED_MAX;
            warn!(component = %self.component, "can't look into {more} other places either; they are tried again");
        }
        self.problems = problems;
    }
}

fn walk(file_system: &dyn FileSystem, patterns: &Patterns) -> Scan {
    let mut seen = Scan::default();
    file_system.walk(patterns, &mut seen);
    seen.files
        .sort_by(|one, other| (one.stamp.modified, &one.path).cmp(&(other.stamp.modified, &other.path)));
    let mut keys = HashSet::with_capacity(seen.files.len());
    seen.files.retain(|file| keys.insert(file.key));
    seen
}

//! Finding the files that match.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};
use weir_runtime::{Gauge, Meter};

use super::FilesError;
use super::identity::{Key, Stamp};
use super::patterns::Patterns;
use super::room::Room;

/// So many places that can't be looked into are named in the log after one look; the others are counted.
const NAMED_MAX: usize = 10;

/// A file that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components::files) struct Sighting {
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
pub(in crate::components::files) struct Seen {
    /// The oldest first; each once, whatever many names it has.
    pub(in crate::components::files) files: Vec<Sighting>,
    /// The directories in which files, or directories with files, may appear.
    pub(in crate::components::files) directories: Vec<Directory>,
    /// Whether the system tells of all that is written to these files, if it watches the directories.
    pub(in crate::components::files) all_told: bool,
    /// Whatever could not be looked at; nothing is known of what is there or below.
    pub(in crate::components::files) unlooked: HashSet<PathBuf>,
    /// What there is to say about places.
    pub(in crate::components::files) unreadable: HashMap<PathBuf, String>,
    /// How many files are left alone since they are still being written, and one of them.
    pub(in crate::components::files) unfinished: (u64, Option<PathBuf>),
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            files: Vec::new(),
            directories: Vec::new(),
            all_told: true,
            unlooked: HashSet::new(),
            unreadable: HashMap::new(),
            unfinished: (0, None),
        }
    }
}

impl Seen {
    /// Something about a place that has to be said. Unless it is certain that nothing is there, it is unlooked.
    pub(in crate::components::files) fn note(
        &mut self,
        path: &Path,
        reason: &dyn Display,
        is_unlooked: bool,
    ) {
        self.unreadable.insert(path.to_path_buf(), reason.to_string());
        if is_unlooked {
            self.unlooked.insert(path.to_path_buf());
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
        !self.unlooked.is_empty() && path.ancestors().any(|around| self.unlooked.contains(around))
    }
}

/// Looks for files.
pub(super) struct Discovery {
    room: Arc<dyn Room>,
    component: Arc<str>,
    patterns: Arc<Patterns>,
    /// Places that could not be looked into, so that each is reported once.
    unreadable: HashMap<PathBuf, String>,
    /// How many files are left alone since they are still being written.
    unfinished: Gauge,
    has_said_unfinished: bool,
}

impl Discovery {
    pub(super) fn new(
        room: Arc<dyn Room>,
        patterns: Patterns,
        component: Arc<str>,
        meter: &Meter,
    ) -> Discovery {
        Discovery {
            room,
            component,
            patterns: Arc::new(patterns),
            unreadable: HashMap::new(),
            unfinished: meter.gauge("files_unfinished"),
            has_said_unfinished: false,
        }
    }

    /// What is looked for.
    pub(super) fn patterns(&self) -> Arc<Patterns> {
        self.patterns.clone()
    }

    /// The files that are there now.
    pub(super) async fn look(&mut self) -> Result<Seen, FilesError> {
        let (executor, room, patterns) = (self.room.executor(), self.room.clone(), self.patterns.clone());
        let mut seen = executor.run(move || walk(&*room, &patterns)).await?;
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
        self.say(std::mem::take(&mut seen.unreadable));
        Ok(seen)
    }

    /// Says what was not said of these places by the look before.
    fn say(&mut self, unreadable: HashMap<PathBuf, String>) {
        let is_new = |(path, reason): &(&PathBuf, &String)| self.unreadable.get(*path) != Some(*reason);
        let mut new: Vec<(&PathBuf, &String)> = unreadable.iter().filter(is_new).collect();
        new.sort();
        for (path, reason) in new.iter().take(NAMED_MAX) {
            warn!(component = %self.component, "can't look into {}: {reason}; it is tried again", path.display());
        }
        if new.len() > NAMED_MAX {
            let more = new.len() - NAMED_MAX;
            warn!(component = %self.component, "can't look into {more} other places either; they are tried again");
        }
        self.unreadable = unreadable;
    }
}

fn walk(room: &dyn Room, patterns: &Patterns) -> Seen {
    let mut seen = Seen::default();
    room.walk(patterns, &mut seen);
    seen.files
        .sort_by(|one, other| (one.stamp.modified, &one.path).cmp(&(other.stamp.modified, &other.path)));
    let mut keys = HashSet::with_capacity(seen.files.len());
    seen.files.retain(|file| keys.insert(file.key));
    seen
}

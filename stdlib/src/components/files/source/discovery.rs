//! Scans the directories for matching files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};
use weir_runtime::{Gauge, Meter};

use super::FilesError;
use super::file_system::FileSystem;
use super::identity::{Key, Stamp};
use super::patterns::Patterns;

/// The most unreadable paths that are named in the log after one scan; the others are only counted.
const NAMED_MAX: usize = 10;

/// A matching file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components) struct FoundFile {
    pub(in crate::components) path: PathBuf,
    pub(in crate::components) key: Key,
    pub(in crate::components) stamp: Stamp,
}

/// A directory that can contain a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components) struct Directory {
    pub(in crate::components) path: PathBuf,
    pub(in crate::components) device: u64,
    pub(in crate::components) inode: u64,
}

/// The result of one scan.
#[derive(Debug)]
pub(in crate::components) struct Scan {
    /// The matching files, the oldest first. A file with several names is listed once.
    pub(in crate::components) files: Vec<FoundFile>,
    /// The directories in which matching files, or directories with such files, may appear.
    pub(in crate::components) directories: Vec<Directory>,
    /// Whether watching the directories reports every write to the files.
    pub(in crate::components) all_watchable: bool,
    /// The paths that could not be read. It is unknown which files exist there or below.
    pub(in crate::components) unscanned: HashSet<PathBuf>,
    /// Files at paths that were free for a while: they are other files than those that were read there. Only of file
    /// systems on which a file is its path.
    pub(in crate::components) returned: HashSet<Key>,
    /// The number of files that will be read when it is sure that they are complete.
    pub(in crate::components) unsettled: u64,
    /// The problems to report, by path.
    pub(in crate::components) problems: HashMap<PathBuf, String>,
    /// The number of files that are ignored since they are still being written, and one of them.
    pub(in crate::components) unfinished: (u64, Option<PathBuf>),
}

impl Default for Scan {
    fn default() -> Scan {
        Scan {
            files: Vec::new(),
            directories: Vec::new(),
            all_watchable: true,
            unscanned: HashSet::new(),
            returned: HashSet::new(),
            unsettled: 0,
            problems: HashMap::new(),
            unfinished: (0, None),
        }
    }
}

impl Scan {
    /// Records a problem with a path. `is_unscanned` says that files may exist there all the same.
    pub(in crate::components) fn note(&mut self, path: &Path, reason: &dyn Display, is_unscanned: bool) {
        self.problems.insert(path.to_path_buf(), reason.to_string());
        if is_unscanned {
            self.unscanned.insert(path.to_path_buf());
        }
    }

    /// Records a file that is ignored since its suffix says that it is still being written.
    pub(in crate::components) fn note_unfinished(&mut self, path: PathBuf) {
        let (count, example) = &mut self.unfinished;
        *count += 1;
        example.get_or_insert(path);
    }

    /// Returns whether this path, or a directory above it, could not be read: then the file may still exist.
    pub(in crate::components) fn is_unknown(&self, path: &Path) -> bool {
        !self.unscanned.is_empty() && path.ancestors().any(|around| self.unscanned.contains(around))
    }
}

/// Scans for matching files, and reports problems once.
pub(super) struct Discovery {
    file_system: Arc<dyn FileSystem>,
    component: Arc<str>,
    patterns: Arc<Patterns>,
    /// The problems of the last scan, so that each is reported once.
    problems: HashMap<PathBuf, String>,
    /// The number of files that are ignored since they are still being written.
    unfinished: Gauge,
    has_said_unfinished: bool,
    without_files: WithoutFiles,
}

/// The patterns that no file matches.
struct WithoutFiles {
    /// `None` before the first scan.
    patterns: Option<BTreeSet<String>>,
    count: Gauge,
    /// Whether it is also reported that no file matches any more.
    is_said_again: bool,
}

impl Discovery {
    pub(super) fn new(
        file_system: Arc<dyn FileSystem>,
        patterns: Patterns,
        component: Arc<str>,
        meter: &Meter,
    ) -> Discovery {
        let without_files = WithoutFiles {
            patterns: None,
            count: meter.gauge("patterns_without_files"),
            // Complete files come and go.
            is_said_again: !patterns.are_of_complete_files(),
        };
        Discovery {
            file_system,
            component,
            patterns: Arc::new(patterns),
            problems: HashMap::new(),
            unfinished: meter.gauge("files_unfinished"),
            has_said_unfinished: false,
            without_files,
        }
    }

    /// Returns the patterns.
    pub(super) fn patterns(&self) -> Arc<Patterns> {
        self.patterns.clone()
    }

    /// Scans the directories on the file system's executor.
    pub(super) async fn scan(&mut self) -> Result<Scan, FilesError> {
        let (executor, file_system, patterns) =
            (self.file_system.executor(), self.file_system.clone(), self.patterns.clone());
        let mut seen = executor.run(move || walk(&*file_system, &patterns)).await?;
        self.report(&mut seen);
        Ok(seen)
    }

    /// Begins a scan of the directories on the file system's executor. Returns its result and how long it has taken. Nothing is
    /// reported before [`Discovery::report`].
    pub(super) fn walk(&self) -> JoinHandle<(Scan, Duration)> {
        let (executor, file_system, patterns) =
            (self.file_system.executor(), self.file_system.clone(), self.patterns.clone());
        executor.spawn(move || {
            let begin = Instant::now();
            (walk(&*file_system, &patterns), begin.elapsed())
        })
    }

    /// Reports what is wrong or missing, each problem once.
    pub(super) fn report(&mut self, seen: &mut Scan) {
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
        self.report_problems(std::mem::take(&mut seen.problems));
        if seen.unscanned.is_empty() {
            self.report_patterns_without_files(&seen.files);
        }
    }

    /// Logs which patterns no file matches, and again when that changes.
    fn report_patterns_without_files(&mut self, files: &[FoundFile]) {
        let paths = files.iter().map(|file| file.path.as_path());
        let now: BTreeSet<String> =
            self.patterns.without_files(paths).into_iter().map(str::to_owned).collect();
        let WithoutFiles { patterns, count, is_said_again } = &mut self.without_files;
        count.set(now.len() as u64);
        let (component, place) = (&self.component, self.file_system.place());
        let is_first = patterns.is_none();
        let before = patterns.take().unwrap_or_default();
        let when = if is_first { "yet" } else { "any more" };
        let new = now.difference(&before).filter(|_| is_first || *is_said_again);
        for pattern in new.take(NAMED_MAX) {
            warn!(component = %component, "no file matches {place}{pattern} {when}; the source goes on looking for some");
        }
        for pattern in before.difference(&now).take(NAMED_MAX) {
            info!(component = %component, "files match {place}{pattern} now");
        }
        *patterns = Some(match is_first || *is_said_again {
            true => now,
            false => before.intersection(&now).cloned().collect(),
        });
    }

    /// Logs the problems that the previous scan did not have.
    fn report_problems(&mut self, problems: HashMap<PathBuf, String>) {
        let is_new = |(path, reason): &(&PathBuf, &String)| self.problems.get(*path) != Some(*reason);
        let mut new: Vec<(&PathBuf, &String)> = problems.iter().filter(is_new).collect();
        new.sort();
        for (path, reason) in new.iter().take(NAMED_MAX) {
            warn!(component = %self.component, "can't read {}: {reason}; it is tried again", path.display());
        }
        if new.len() > NAMED_MAX {
            let more = new.len() - NAMED_MAX;
            warn!(component = %self.component, "can't read {more} other paths either; they are tried again");
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

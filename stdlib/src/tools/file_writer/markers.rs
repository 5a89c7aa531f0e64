//! Markers of complete directories: empty files, `_SUCCESS` for example, that tell readers that nothing is added any more.
//!
//! A directory gets its marker when the time in its path is over, all events for it are in complete files, the channel is
//! empty, and no event for it has come for the time that the setting says. What lacks a marker is known from the directories
//! themselves: a search at the start finds those with complete files of the sink. So a crash at any time leaves nothing to
//! repair: a marker is there, or it is created later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use weir_runtime::Clock;

use super::error::{FileError, Operation};
use super::file_system::{Entry, FileSystem};
use super::names::{FileNames, Owner, below, directory_of, join};
use crate::tools::template::Renderer;

/// When creating a marker has failed, it is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A directory whose time ends later is looked at again after this time: the clock may be set meanwhile.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The longest name of a marker, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The setting `done`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    /// Directories get no markers.
    #[default]
    Never,
    /// Directories get markers of this name, this long after the last event.
    Marker {
        /// The name of the marker.
        name: String,
        /// How long no event must have come for the directory.
        after: Duration,
    },
}

/// A directory with complete files of an earlier run of the sink, and without a marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unmarked {
    directory: String,
    /// When the last of these files was begun, in microseconds.
    begun: i64,
}

/// Looks for directories without a marker in what a search of all directories lists.
pub(super) struct MarkerSearch {
    name: String,
    found: UnboundedSender<Unmarked>,
}

/// The directories of one sink that have no marker yet.
pub(super) struct Markers {
    name: String,
    after: Duration,
    clock: Arc<dyn Clock>,
    open: BTreeMap<Arc<str>, OpenDirectory>,
    /// No directory is due before this time.
    check_at: Option<Instant>,
    /// Directories that were due when they were looked at.
    due: VecDeque<Arc<str>>,
    /// Whether a marker is being created.
    is_creating: bool,
    search: UnboundedSender<Unmarked>,
    found: UnboundedReceiver<Unmarked>,
}

/// A directory that has no marker yet.
struct OpenDirectory {
    /// The end of the time that its path has, in microseconds; none if the path has no time.
    ends: Option<i64>,
    /// The number of events for it that are in no complete file.
    unfinished: u64,
    /// Whether events have come for it since the agent was started.
    has_events: bool,
    /// The earliest time of its marker, as far as events and failed attempts decide it.
    quiet_at: Instant,
}

/// What became of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    /// It was created.
    Created,
    /// The directory had one already.
    Before,
    /// Not yet: the directory has a file of another run that may be committed and has no final name.
    Waits,
}

impl MarkerSearch {
    /// Reports a directory that has complete files of the owner, and no marker.
    pub(super) fn look_at(&self, directory: &str, files: &[Entry], owner: &Owner) {
        if files.iter().any(|file| file.name == self.name) {
            return;
        }
        let begun = files.iter().filter_map(|file| owner.own(&file.name)).map(|named| named.begun).max();
        if let Some(begun) = begun {
            // The sink may have ended.
            let _ = self.found.send(Unmarked { directory: directory.to_string(), begun });
        }
    }
}

impl OpenDirectory {
    /// Returns when the directory is due, as far as it is known now; none while events for it are unfinished.
    fn due_at(&self, now: Instant, clock: &dyn Clock) -> Option<Instant> {
        let left = self.ends.map_or(0, |ends| ends.saturating_sub(clock.now()));
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0)).min(LOOK_AGAIN_AFTER);
        (self.unfinished == 0).then(|| self.quiet_at.max(now + left))
    }
}

impl Markers {
    /// Makes the markers that the setting asks for; none if it asks for none.
    pub(super) fn new(done: Done, clock: Arc<dyn Clock>) -> Option<Markers> {
        let Done::Marker { name, after } = done else { return None };
        let (search, found) = unbounded_channel();
        let (open, due) = (BTreeMap::new(), VecDeque::new());
        Some(Markers { name, after, clock, open, check_at: None, due, is_creating: false, search, found })
    }

    /// Returns what the search at the start reports directories to.
    pub(super) fn search(&self) -> MarkerSearch {
        MarkerSearch { name: self.name.clone(), found: self.search.clone() }
    }

    /// Begins a run. The events that the last one has not finished come again.
    pub(super) fn begin_run(&mut self) {
        let quiet_at = Instant::now() + self.after;
        for directory in self.open.values_mut() {
            directory.unfinished = 0;
            directory.quiet_at = quiet_at;
        }
        self.is_creating = false;
        self.due.clear();
        self.check_at = (!self.open.is_empty()).then_some(quiet_at);
    }

    /// Waits for a directory that the search finds.
    pub(super) async fn next_found(&mut self) -> Option<Unmarked> {
        self.found.recv().await
    }

    /// Notes a directory that the search has found. The times of its events are not known any more, but files are rarely
    /// begun before the time of their events.
    pub(super) fn add_found(&mut self, found: Unmarked, path: &Renderer) {
        let directory: Arc<str> = known_as(&found.directory).into();
        let (ends, quiet_at) = (path.end_of_time(found.begun), Instant::now() + self.after);
        let opened = OpenDirectory { ends, unfinished: 0, has_events: false, quiet_at };
        self.open.entry(directory.clone()).or_insert(opened);
        self.look_at_in_time(&directory);
    }

    /// Notes that events have come for a directory. `ends` returns the end of the time in its path, in microseconds.
    pub(super) fn add_events(&mut self, directory: &str, events: u64, ends: impl FnOnce() -> Option<i64>) {
        let (directory, quiet_at) = (known_as(directory), Instant::now() + self.after);
        if !self.open.contains_key(directory) {
            let opened = OpenDirectory { ends: ends(), unfinished: 0, has_events: true, quiet_at };
            self.open.insert(directory.into(), opened);
        }
        if let Some(open) = self.open.get_mut(directory) {
            open.unfinished += events;
            (open.has_events, open.quiet_at) = (true, quiet_at);
        }
    }

    /// Notes that a file of this directory is complete.
    pub(super) fn finish_events(&mut self, directory: &str, events: u64) {
        let directory = known_as(directory);
        if let Some(open) = self.open.get_mut(directory) {
            open.unfinished = open.unfinished.saturating_sub(events);
            self.look_at_in_time(directory);
        }
    }

    fn look_at_in_time(&mut self, directory: &str) {
        let due_at = self.open.get(directory).and_then(|open| open.due_at(Instant::now(), &*self.clock));
        self.check_at = [self.check_at, due_at].into_iter().flatten().min();
    }

    /// Returns when to call [`Markers::take_due`]; none while nothing can be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match (self.is_creating, self.due.is_empty()) {
            (true, _) => None,
            (false, true) => self.check_at,
            (false, false) => Some(Instant::now()),
        }
    }

    /// Returns the path of the next marker that is due, and its directory. The caller creates it and says what became of it
    /// ([`Markers::created`]). The channel must be empty at this moment: it could have events for the directory.
    pub(super) fn take_due(&mut self) -> Option<(Arc<str>, String)> {
        let now = Instant::now();
        if self.due.is_empty() {
            let times = self.open.iter().filter_map(|(directory, open)| {
                open.due_at(now, &*self.clock).map(|due_at| (directory, due_at))
            });
            let (due, later): (Vec<_>, Vec<_>) = times.partition(|(_, due_at)| *due_at <= now);
            self.due = due.into_iter().map(|(directory, _)| directory.clone()).collect();
            self.check_at = later.into_iter().map(|(_, due_at)| due_at).min();
        }
        while let Some(directory) = self.due.pop_front() {
            // Events may have come since the directory was looked at.
            let due_at = self.open.get(&directory).and_then(|open| open.due_at(now, &*self.clock));
            if due_at.is_some_and(|due_at| due_at <= now) {
                self.is_creating = true;
                let path = join(&directory, &self.name);
                return Some((directory, path));
            }
            self.look_at_in_time(&directory);
        }
        None
    }

    /// Notes what became of a marker. Returns whether events have come for a directory that had its marker before.
    pub(super) fn created(&mut self, directory: &str, marked: Option<Marked>) -> bool {
        self.is_creating = false;
        let Some(open) = self.open.get_mut(directory) else { return false };
        let Some(marked) = marked.filter(|marked| *marked != Marked::Waits) else {
            open.quiet_at = Instant::now() + RETRY_AFTER;
            self.look_at_in_time(directory);
            return false;
        };
        let is_late = marked == Marked::Before && open.has_events;
        // Events that came while the marker was created are late; the next attempt finds the marker and says so.
        if open.unfinished == 0 && open.quiet_at <= Instant::now() {
            self.open.remove(directory);
        } else {
            self.look_at_in_time(directory);
        }
        is_late
    }
}

/// Returns the name by which a directory is known: a path that begins with a hole has no `./`, and the search has one.
fn known_as(directory: &str) -> &str {
    below(".", directory).unwrap_or(directory)
}

/// Whether a marker can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_refused = |character: char| matches!(character, '/' | ':') || character.is_ascii_control();
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(is_refused)
}

/// Creates a marker, unless it exists. Where writers of files are not known, committed files of a run before may lack
/// their final names for some time, and the marker waits for them.
///
/// # Errors
/// When the file system fails.
pub(super) async fn create<F: FileSystem>(
    files: &F,
    names: &FileNames,
    path: &str,
) -> Result<Marked, FileError> {
    let length = files.length(path).await.map_err(FileError::of(Operation::Read, path))?;
    if length.is_some() {
        return Ok(Marked::Before);
    }
    if !files.knows_writers_of_closed_files() {
        let directory = directory_of(path);
        let found = files.list(directory).await.map_err(FileError::of(Operation::List, directory))?;
        if found.iter().any(|file| names.is_unfinished(&file.name)) {
            return Ok(Marked::Waits);
        }
    }
    let mut file = files.create_new(path).await.map_err(FileError::of(Operation::Create, path))?;
    files.close(&mut file).await.map_err(FileError::of(Operation::Close, path))?;
    files.sync_name(path).await.map_err(FileError::of(Operation::Create, path))?;
    Ok(Marked::Created)
}

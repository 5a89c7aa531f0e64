//! Watches directories with inotify, so that changes are noticed at once.
//!
//! This only makes the source faster: it scans the directories regularly in any case.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use super::discovery::Directory;
use super::patterns::Patterns;

/// The most directories that are watched; changes in others are found by scans.
const WATCHES_MAX: usize = 8_192;
/// The size of the buffer for inotify events.
const EVENT_BUFFER_BYTES: usize = 16 << 10;

/// Changes that the kernel has reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The paths of files that were written to.
    pub(super) written: HashSet<PathBuf>,
    /// Whether matching names were added or removed, or the kernel has lost events.
    pub(super) names: bool,
}

/// Watches directories for changes of matching files.
pub(in crate::components) struct Watcher {
    component: Arc<str>,
    /// Changes of names that match none of them are ignored.
    patterns: Arc<Patterns>,
    inotify: Option<AsyncFd<OwnedFd>>,
    watches_max: usize,
    paths: HashMap<i32, PathBuf>,
    known: HashMap<PathBuf, Watch>,
    has_warned: bool,
}

/// A directory that is watched.
#[derive(Debug, Clone, Copy)]
struct Watch {
    number: i32,
    /// The directory's identity, since another directory may get its name.
    device: u64,
    inode: u64,
}

impl Watcher {
    pub(super) fn new(component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(io::Error::from);
        // `AsyncFd::new` is unsound only for descriptors that are not owned.
        #[expect(deprecated, reason = "its replacement is unsafe, and an owned descriptor is sound")]
        let made = made.and_then(AsyncFd::new);
        let mut watcher = Watcher::disabled(component, patterns);
        match made {
            Ok(inotify) => watcher.inotify = Some(inotify),
            Err(error) => watcher.warn_once(&error.to_string()),
        }
        watcher
    }

    /// Creates a watcher that reports no changes.
    pub(in crate::components) fn disabled(component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        Watcher {
            component,
            patterns,
            inotify: None,
            watches_max: WATCHES_MAX,
            paths: HashMap::new(),
            known: HashMap::new(),
            has_warned: false,
        }
    }

    /// Logs, once, that changes are noticed only by scans.
    fn warn_once(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            warn!(
                component = %self.component,
                "the system does not report all changes: {reason}; the directories are scanned instead"
            );
        }
    }

    /// Watches exactly these directories. Returns whether all of them could be watched.
    pub(super) fn watch(&mut self, directories: Vec<Directory>) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let wanted: HashMap<PathBuf, (u64, u64)> = directories
            .into_iter()
            .map(|Directory { path, device, inode }| (path, (device, inode)))
            .collect();
        self.known.retain(|path, watch| {
            let keep = wanted.get(path) == Some(&(watch.device, watch.inode));
            if !keep && self.paths.get(&watch.number) == Some(path) {
                self.paths.remove(&watch.number);
                // An error means that the directory has gone, and its watch with it.
                let _: Result<(), Errno> = inotify::remove_watch(inotify.get_ref(), watch.number);
            }
            keep
        });
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let (mut all, mut refused) = (true, None);
        for (path, (device, inode)) in wanted {
            if self.known.contains_key(&path) {
                continue;
            }
            if self.paths.len() >= self.watches_max {
                refused = Some(format!("more than {} directories", self.watches_max));
                break;
            }
            match inotify::add_watch(inotify.get_ref(), &path, flags) {
                Ok(number) => {
                    // The same directory under another name has the same number.
                    if let Some(before) = self.paths.insert(number, path.clone()) {
                        self.known.remove(&before);
                        all = false;
                    }
                    self.known.insert(path, Watch { number, device, inode });
                }
                // It is gone or unreadable, which the scan has reported.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => all = false,
                Err(Errno::NOSPC) => {
                    refused =
                        Some("the watches of this user are used up (fs.inotify.max_user_watches)".to_owned());
                    break;
                }
                Err(error) => {
                    refused = Some(error.to_string());
                    break;
                }
            }
        }
        if let Some(reason) = &refused {
            self.warn_once(reason);
        }
        all && refused.is_none()
    }

    /// Waits for changes; for ever if nothing is watched.
    pub(super) async fn changes(&mut self) -> Changes {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            let mut changes = Changes::default();
            let mut buffer = [const { MaybeUninit::uninit() }; EVENT_BUFFER_BYTES];
            let mut reader = inotify::Reader::new(inotify.get_ref(), &mut buffer);
            // Reads one buffer of events, and then returns to the caller.
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    Err(_nothing_more) => {
                        ready.clear_ready();
                        break;
                    }
                };
                let (number, events) = (event.wd(), event.events());
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                match (self.paths.get(&number), name) {
                    (Some(directory), Some(name)) => {
                        let path = directory.join(name);
                        let matched = self.patterns.match_path(&path);
                        if events != ReadFlags::MODIFY {
                            // A name that is not a directory may be a link to one.
                            let is_directory = events.contains(ReadFlags::ISDIR);
                            changes.names |= !matched.below.is_empty() || (matched.file && !is_directory);
                        } else if matched.file {
                            changes.written.insert(path);
                        }
                    }
                    // The directory itself was removed or renamed, or the kernel has lost events.
                    (directory, None) => {
                        changes.names |= directory.is_some() || number < 0;
                        if let Some(directory) = self.paths.remove(&number) {
                            self.known.remove(&directory);
                            if events.contains(ReadFlags::MOVE_SELF) {
                                let _: Result<(), Errno> = inotify::remove_watch(inotify.get_ref(), number);
                            }
                        }
                    }
                    // The event was queued before the watch was removed.
                    (None, Some(_)) => {}
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
            if changes != Changes::default() {
                return changes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn watcher(folder: &Path, pattern: &str) -> Watcher {
        let pattern = folder.join(pattern).to_string_lossy().into_owned();
        Watcher::new("test".into(), Arc::new(Patterns::new(vec![pattern], true, None).unwrap()))
    }

    fn directory(path: &Path) -> Directory {
        let metadata = fs::metadata(path).unwrap();
        Directory { path: path.to_path_buf(), device: metadata.dev(), inode: metadata.ino() }
    }

    fn append(path: &Path) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"1\n").unwrap();
    }

    #[tokio::test]
    async fn changes_in_a_directory_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = watcher(folder.path(), "*.log");
        assert!(watcher.watch(vec![directory(folder.path())]));
        let path = folder.path().join("a.log");
        fs::write(&path, "").unwrap();
        assert!(watcher.changes().await.names);
        append(&path);
        let mut changes = Changes::default();
        while changes.written.is_empty() {
            changes = watcher.changes().await;
        }
        assert!(changes.written.contains(&path));
        fs::rename(&path, folder.path().join("b.log")).unwrap();
        while !changes.names {
            changes = watcher.changes().await;
        }
    }

    #[tokio::test]
    async fn changes_of_names_that_do_not_match_are_not_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), "").unwrap();
        let mut watcher = watcher(folder.path(), "*.log");
        assert!(watcher.watch(vec![directory(folder.path())]));
        fs::write(folder.path().join("other.txt"), "1").unwrap();
        fs::write(folder.path().join(".hidden.log"), "1").unwrap();
        fs::create_dir(folder.path().join("folder.log")).unwrap();
        append(&folder.path().join("a.log"));
        let changes = watcher.changes().await;
        assert_eq!((changes.written.len(), changes.names), (1, false));
    }

    #[tokio::test]
    async fn another_directory_under_the_same_name_is_watched_instead() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, moved) = (folder.path().join("in"), folder.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        let mut watcher = watcher(folder.path(), "in/*.log");
        assert!(watcher.watch(vec![directory(&inner)]));
        fs::rename(&inner, &moved).unwrap();
        assert!(watcher.changes().await.names);
        fs::create_dir(&inner).unwrap();
        assert!(watcher.watch(vec![directory(&inner)]));
        fs::write(moved.join("b.log"), "1").unwrap();
        fs::write(inner.join("a.log"), "1").unwrap();
        let mut changes = watcher.changes().await;
        while changes.written.is_empty() {
            changes = watcher.changes().await;
        }
        assert_eq!(changes.written, HashSet::from([inner.join("a.log")]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lack_of_watches_is_logged_once_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("in");
        fs::create_dir(&inner).unwrap();
        let mut watcher = watcher(folder.path(), "**/*.log");
        watcher.watches_max = 1;
        let both = || vec![directory(folder.path()), directory(&inner)];
        assert!(!watcher.watch(both()) && watcher.has_warned);
        assert!(!watcher.watch(both()) && watcher.paths.len() == 1);
        let disabled = Watcher::disabled("test".into(), watcher.patterns.clone());
        let mut none = Watcher { component: "test".into(), ..disabled };
        assert!(!none.watch(both()));
        tokio::time::timeout(Duration::from_secs(60), none.changes()).await.unwrap_err();
    }
}

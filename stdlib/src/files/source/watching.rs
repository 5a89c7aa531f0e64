//! Being told at once when something happens in a directory, where the system can (inotify).
//!
//! Nothing depends on it: the directories are looked through from time to time anyway.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::warn;

/// More directories are not watched but looked through.
const WATCHES_MAX: usize = 8_192;
/// Room for what the kernel tells at once.
const NEWS_BYTES: usize = 16 << 10;

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// These files have been written to.
    pub(super) written: HashSet<PathBuf>,
    /// Names have come or gone, or the kernel has lost count.
    pub(super) names: bool,
}

/// Watches directories.
pub(in crate::files) struct Watcher {
    component: Arc<str>,
    inotify: Option<AsyncFd<OwnedFd>>,
    watched: HashMap<i32, PathBuf>,
    known: HashSet<PathBuf>,
    complained: bool,
}

impl Watcher {
    pub(super) fn new(component: Arc<str>) -> Watcher {
        let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(io::Error::from);
        // What is unsound about it concerns descriptors that are not owned.
        #[expect(deprecated, reason = "what takes its place is unsafe; an owned descriptor is sound")]
        let made = made.and_then(AsyncFd::new);
        let mut watcher = Watcher {
            component,
            inotify: None,
            watched: HashMap::new(),
            known: HashSet::new(),
            complained: false,
        };
        match made {
            Ok(inotify) => watcher.inotify = Some(inotify),
            Err(error) => watcher.complain(&error),
        }
        watcher
    }

    /// Tells of nothing.
    #[cfg(test)]
    pub(super) fn silent(component: Arc<str>) -> Watcher {
        Watcher {
            component,
            inotify: None,
            watched: HashMap::new(),
            known: HashSet::new(),
            complained: false,
        }
    }

    /// Says once that news come late.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            warn!(
                component = %self.component,
                "the system does not tell of changes at once: {error}; the directories are looked through instead"
            );
        }
    }

    /// Watches these directories, and no others any more.
    pub(super) fn watch(&mut self, directories: Vec<PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        let wanted: HashSet<PathBuf> = directories.into_iter().collect();
        self.watched.retain(|number, path| {
            let keep = wanted.contains(path);
            if !keep {
                self.known.remove(path);
                // An error means that the directory has gone, and its watch with it.
                let _: Result<(), Errno> = inotify::remove_watch(inotify.get_ref(), *number);
            }
            keep
        });
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::DELETE_SELF;
        let mut refused = None;
        for path in wanted {
            if self.known.contains(&path) || self.watched.len() >= WATCHES_MAX {
                continue;
            }
            match inotify::add_watch(inotify.get_ref(), &path, flags) {
                Ok(number) => {
                    // The same directory under another name has the same number.
                    if let Some(before) = self.watched.insert(number, path.clone()) {
                        self.known.remove(&before);
                    }
                    self.known.insert(path);
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            self.complain(&error.into());
        }
    }

    /// Waits for news; for ever where there are none.
    pub(super) async fn news(&mut self) -> News {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            let mut news = News::default();
            let mut room = [const { MaybeUninit::uninit() }; NEWS_BYTES];
            let mut reader = inotify::Reader::new(inotify.get_ref(), &mut room);
            // One fill of the room, so that the caller has its turn.
            let mut any = false;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    Err(_nothing_more) => {
                        ready.clear_ready();
                        break;
                    }
                };
                any = true;
                let name = event
                    .file_name()
                    .map(|name| Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).to_path_buf());
                let written = event.events() == ReadFlags::MODIFY;
                match (written, self.watched.get(&event.wd()), name) {
                    (true, Some(directory), Some(name)) => {
                        news.written.insert(directory.join(name));
                    }
                    (true, ..) => {}
                    _ => {
                        news.names = true;
                        if event.events().contains(ReadFlags::IGNORED)
                            && let Some(path) = self.watched.remove(&event.wd())
                        {
                            self.known.remove(&path);
                        }
                    }
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
            if any {
                return news;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn what_happens_in_a_directory_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new("test".into());
        watcher.watch(vec![folder.path().to_path_buf()]);
        let path = folder.path().join("a.log");
        fs::write(&path, "").unwrap();
        assert!(watcher.news().await.names);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"1\n").unwrap();
        let mut news = News::default();
        while news.written.is_empty() {
            news = watcher.news().await;
        }
        assert!(news.written.contains(&path));
        fs::rename(&path, folder.path().join("b.log")).unwrap();
        while !news.names {
            news = watcher.news().await;
        }
    }
}

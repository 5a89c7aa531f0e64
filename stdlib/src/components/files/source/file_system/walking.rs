//! Walks the directories of this machine that can contain a match.

use std::collections::HashMap;
use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::retry_on_intr;
use weir_runtime::storage::{list_directory, uninterrupted};

use crate::components::files::source::discovery::{Directory, FoundFile, Scan};
use crate::components::files::source::identity::State;
use crate::components::files::source::patterns::{NameMatch, PartialMatches, Patterns};

/// The magic numbers of pseudo file systems, which contain only kernel state (linux/magic.h): proc, sysfs, cgroup,
/// cgroup2, devpts, debugfs, tracefs, securityfs, selinuxfs, bpf, pstore, efivarfs, mqueue, hugetlbfs,
/// binfmt_misc, configfs, fusectl, rpc_pipefs, nsfs.
const PSEUDO: [u32; 19] = [
    0x9fa0,
    0x6265_6572,
    0x27_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0xcafe_4a11,
    0x6165_676c,
    0xde5e_81e4,
    0x1980_0202,
    0x9584_58f6,
    0x4249_4e4d,
    0x6265_6570,
    0x6573_5543,
    0x6759_6969,
    0x6e73_6673,
];

/// The magic numbers of local file systems: only this machine changes them, so inotify reports every change. ext2 to
/// ext4, XFS, Btrfs, tmpfs, ramfs, F2FS, ZFS, overlayfs, JFS, bcachefs.
const LOCAL: [u32; 10] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0x8584_58f6,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x794c_7630,
    0x3153_464a,
    0xca45_1a4e,
];

/// The kind of a file system.
#[derive(Debug, Clone, Copy)]
struct FileSystemKind {
    is_pseudo: bool,
    is_local: bool,
}

/// A directory that is still to be visited.
struct Visit {
    path: PathBuf,
    partial: PartialMatches,
    /// The parent directory's device, if a wildcard matched this directory; `None` if a pattern names it.
    parent_device: Option<u64>,
    /// The directory's ancestors on this walk, to detect loops of links.
    parent: Option<Rc<ParentDirectory>>,
    /// Whether a pattern begins here: if it is missing, that is reported.
    is_root: bool,
}

/// A visited directory, linked to its parent.
struct ParentDirectory {
    device: u64,
    inode: u64,
    parent: Option<Rc<ParentDirectory>>,
}

/// One walk through the directories. At most one directory is open at a time.
pub(super) struct Walk<'a> {
    patterns: &'a Patterns,
    seen: &'a mut Scan,
    file_systems: HashMap<u64, FileSystemKind>,
    open: Vec<Visit>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(patterns: &'a Patterns, seen: &'a mut Scan) -> Walk<'a> {
        Walk { patterns, seen, file_systems: HashMap::new(), open: Vec::new() }
    }

    /// Collects all matching files.
    pub(super) fn run(mut self) {
        for (path, partial) in self.patterns.roots() {
            self.open.push(Visit { path, partial, parent_device: None, parent: None, is_root: true });
            while let Some(visit) = self.open.pop() {
                self.visit(visit);
            }
        }
    }

    fn visit(&mut self, visit: Visit) {
        let metadata = match uninterrupted(|| fs::metadata(&visit.path)) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) if visit.is_root => {
                return self.seen.note(&visit.path, &"it is no directory", false);
            }
            Ok(_) => return,
            Err(error) if !is_missing(&error) => return self.seen.note(&visit.path, &error, true),
            Err(error) => {
                if visit.is_root {
                    self.seen.note(&visit.path, &error, false);
                    self.await_directory(&visit.path);
                }
                return;
            }
        };
        let (device, inode) = (metadata.dev(), metadata.ino());
        let file_system = self.file_system(&visit.path, device);
        if file_system.is_pseudo && visit.parent_device.is_some_and(|parent| parent != device) {
            return;
        }
        let mut outer = visit.parent.as_deref();
        while let Some(parent) = outer {
            if (parent.device, parent.inode) == (device, inode) {
                let reason = "a link in it leads back to a directory around it";
                return self.seen.note(&visit.path, &reason, false);
            }
            outer = parent.parent.as_deref();
        }
        self.seen.all_watchable &= file_system.is_local;
        self.seen.directories.push(Directory { path: visit.path.clone(), device, inode });
        let parent = Rc::new(ParentDirectory { device, inode, parent: visit.parent.clone() });
        self.look_up(&visit, &parent);
        if self.patterns.needs_listing(&visit.partial) {
            self.list(&visit, device, &parent);
        }
    }

    /// Looks up the names that patterns spell out.
    fn look_up(&mut self, visit: &Visit, parent: &Rc<ParentDirectory>) {
        let patterns = self.patterns;
        for name in patterns.literal_names(&visit.partial) {
            let path = visit.path.join(name);
            let matched = patterns.match_name(&visit.partial, name);
            match uninterrupted(|| fs::metadata(&path)) {
                Ok(metadata) if metadata.is_dir() => {
                    if visit.is_root && matched.below.is_empty() {
                        let reason = "it is a directory: with `/*` behind it, the files in it are read";
                        self.seen.note(&path, &reason, false);
                    }
                    self.descend(path, matched.below, None, parent);
                }
                Ok(metadata) => {
                    let link = uninterrupted(|| fs::symlink_metadata(&path));
                    let is_link = link.is_ok_and(|link| link.is_symlink());
                    self.found(path, &matched, &metadata, is_link);
                }
                Err(error) if is_missing(&error) => {
                    if visit.is_root {
                        self.seen.note(&path, &error, false);
                    }
                }
                Err(error) => self.seen.note(&path, &error, true),
            }
        }
    }

    /// Lists a directory and matches every name in it.
    fn list(&mut self, visit: &Visit, device: u64, parent: &Rc<ParentDirectory>) {
        // If the listing fails half-way, its entries are dropped: the complete directory counts as unscanned.
        let listed = list_directory(&visit.path, |entry| {
            let matched = self.patterns.match_name(&visit.partial, &entry.file_name());
            Ok(matched.matters().then(|| (entry.path(), metadata_of(entry, &matched), matched)))
        });
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return,
            Err(error) => return self.seen.note(&visit.path, &error, true),
        };
        for (path, metadata, matched) in entries {
            match metadata {
                Ok(None) => {}
                Ok(Some((metadata, _))) if metadata.is_dir() => {
                    self.descend(path, matched.below, Some(device), parent);
                }
                Ok(Some((metadata, is_link))) => self.found(path, &matched, &metadata, is_link),
                // It was removed meanwhile, or is a dangling link.
                Err(error) if is_missing(&error) => {}
                Err(error) => self.seen.note(&path, &error, true),
            }
        }
    }

    fn descend(
        &mut self,
        path: PathBuf,
        partial: PartialMatches,
        parent_device: Option<u64>,
        parent: &Rc<ParentDirectory>,
    ) {
        if !partial.is_empty() {
            let parent = Some(parent.clone());
            self.open.push(Visit { path, partial, parent_device, parent, is_root: false });
        }
    }

    fn found(&mut self, path: PathBuf, matched: &NameMatch, metadata: &Metadata, is_link: bool) {
        if !metadata.is_file() {
            return;
        }
        if matched.file {
            // inotify does not report writes here that are made through another name of the file.
            self.seen.all_watchable &= !is_link && metadata.nlink() == 1;
            let State { key, stamp } = State::of(metadata);
            self.seen.files.push(FoundFile { path, key, stamp });
        } else if matched.unfinished {
            self.seen.note_unfinished(path);
        }
    }

    /// For a missing directory, adds its nearest existing ancestor, so that the watcher sees when it is created.
    fn await_directory(&mut self, path: &Path) {
        let parent = path.ancestors().skip(1);
        let there = parent.filter_map(|path| Some((path, uninterrupted(|| fs::metadata(path)).ok()?)));
        if let Some((path, metadata)) = there.into_iter().find(|(_, metadata)| metadata.is_dir()) {
            let (path, device, inode) = (path.to_path_buf(), metadata.dev(), metadata.ino());
            self.seen.directories.push(Directory { path, device, inode });
        }
    }

    fn file_system(&mut self, path: &Path, device: u64) -> FileSystemKind {
        *self.file_systems.entry(device).or_insert_with(|| {
            // A file system of unknown kind is neither pseudo nor local: it is scanned regularly.
            let kind = retry_on_intr(|| rustix::fs::statfs(path)).map_or(0, |status| status.f_type as u32);
            FileSystemKind { is_pseudo: PSEUDO.contains(&kind), is_local: LOCAL.contains(&kind) }
        })
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Returns an entry's metadata, and whether the entry is a link; `None` if an entry of this kind can't match.
fn metadata_of(entry: &DirEntry, matched: &NameMatch) -> io::Result<Option<(Metadata, bool)>> {
    let kind = uninterrupted(|| entry.file_type())?;
    let matters = match (kind.is_symlink(), kind.is_dir()) {
        (true, _) => true,
        (false, true) => !matched.below.is_empty(),
        (false, false) => kind.is_file() && (matched.file || matched.unfinished),
    };
    if !matters {
        return Ok(None);
    }
    let metadata = uninterrupted(|| match kind.is_symlink() {
        true => fs::metadata(entry.path()),
        false => entry.metadata(),
    })?;
    Ok(Some((metadata, kind.is_symlink())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scan(pattern: &Path) -> Scan {
        let patterns = Patterns::new(vec![pattern.to_string_lossy().into_owned()], true, None).unwrap();
        let mut seen = Scan::default();
        Walk::new(&patterns, &mut seen).run();
        seen
    }

    fn names(seen: &Scan, folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = seen
            .files
            .iter()
            .map(|file| file.path.strip_prefix(folder).unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn directories(seen: &Scan) -> Vec<&Path> {
        seen.directories.iter().map(|directory| directory.path.as_path()).collect()
    }

    #[test]
    fn only_directories_that_can_hold_a_match_are_visited() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for number in 0..50 {
            fs::create_dir(folder.join(format!("unrelated{number}.log"))).unwrap();
        }
        fs::create_dir_all(folder.join("data1/logs/more")).unwrap();
        fs::create_dir_all(folder.join("data1/other")).unwrap();
        fs::write(folder.join("data1/logs/a.log"), "").unwrap();
        fs::write(folder.join("b.log"), "").unwrap();
        let seen = scan(&folder.join("*.log"));
        assert_eq!((names(&seen, folder), directories(&seen)), (vec!["b.log".to_owned()], vec![folder]));
        let seen = scan(&folder.join("data*/logs/*.log"));
        assert_eq!(names(&seen, folder), ["data1/logs/a.log"]);
        assert_eq!(directories(&seen), [folder, &folder.join("data1"), &folder.join("data1/logs")]);
        assert!(seen.all_watchable);
    }

    #[test]
    fn pseudo_file_systems_are_visited_only_by_name() {
        let seen = scan(Path::new("/*/[s]elf/stat*"));
        assert!(!directories(&seen).contains(&Path::new("/proc")), "{:?}", directories(&seen));
        let seen = scan(Path::new("/proc/[s]elf/stat*"));
        assert!(seen.files.iter().any(|file| file.path == Path::new("/proc/self/status")));
        assert!(!seen.all_watchable, "inotify reports no changes there");
    }

    #[test]
    fn links_are_followed_and_not_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir(folder.join("a")).unwrap();
        fs::write(folder.join("a/1.log"), "").unwrap();
        symlink(folder, folder.join("a/round")).unwrap();
        symlink("a", folder.join("again")).unwrap();
        symlink("nowhere", folder.join("lost.log")).unwrap();
        let seen = scan(&folder.join("**/*.log"));
        assert_eq!(names(&seen, folder), ["a/1.log", "again/1.log"]);
        assert_eq!(seen.problems.len(), 2, "{:?}", seen.problems);
        symlink("a/1.log", folder.join("2.log")).unwrap();
        assert!(!scan(&folder.join("*.log")).all_watchable, "the file is written to in another directory");
    }

    #[test]
    fn a_missing_directory_is_watched_through_its_nearest_ancestor() {
        let folder = tempfile::tempdir().unwrap();
        let seen = scan(&folder.path().join("in/logs/*.log"));
        assert_eq!(directories(&seen), [folder.path()]);
        assert!(seen.problems.contains_key(&folder.path().join("in/logs")));
        assert!(seen.unscanned.is_empty(), "there is certainly nothing");
        let seen = scan(folder.path());
        assert!(seen.problems[folder.path()].contains("it is a directory"), "{:?}", seen.problems);
    }
}

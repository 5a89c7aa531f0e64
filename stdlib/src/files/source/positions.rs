//! The file of positions: how far each file was delivered, and what it looked like.
//!
//! It is JSON, an entry for each file, and only ever replaced as a whole: written under another name,
//! synced, renamed, and its directory synced. What stands in it was delivered before it was written,
//! so whatever a crash leaves there is true, if not the latest. A lock beside it keeps a second agent
//! away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use weir_runtime::batch::Partition;
use weir_runtime::storage::{Access, DirectoryError, LockError, Storage, replace};

use super::consumed::Consumed;
use super::identity::{Head, Key, Name, Stamp};

/// The version of the format. Version 1 knew no copies, and other names of partitions.
const VERSION: u32 = 2;

/// A file, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// The name of its partition.
    pub(super) partition: String,
    /// Where it was seen last, for whoever reads this.
    pub(super) path: String,
    /// Up to here it was delivered.
    pub(super) position: u64,
    /// How its text begins, as far as was known.
    pub(super) head: Head,
    /// The hash of what was delivered.
    pub(super) consumed: Option<Consumed>,
    /// What state it was in when everything in it was delivered.
    pub(super) rest: Option<Stamp>,
    /// The packed copy that it is read from now, where that is another file than the partition's name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) copy: Option<Key>,
    /// Whether it was packed when it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) packed: bool,
}

/// A packed file that was found to be a copy of one that another file brings, or has brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copied {
    pub(super) key: Key,
    /// What state it was in then.
    pub(super) stamp: Stamp,
    /// Of what it is a copy.
    pub(super) partition: String,
    /// Whether nothing of it will ever be wanted, since the partition is read beyond it.
    pub(super) done: bool,
}

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::files) struct Memory {
    pub(super) files: Vec<Remembered>,
    pub(super) copies: Vec<Copied>,
}

impl Remembered {
    /// What the position alone says that a channel has stored.
    pub(super) fn stored(partition: &Partition, position: u64) -> Option<Remembered> {
        let Name { head, .. } = partition.name().parse().ok()?;
        let (partition, path) = (partition.name().to_string(), String::new());
        let (consumed, rest, copy) = (None, None, None);
        Some(Remembered { partition, path, position, head, consumed, rest, copy, packed: false })
    }

    /// The parts of its partition's name, if that is a file's.
    pub(super) fn name(&self) -> Option<Name> {
        self.partition.parse().ok()
    }
}

#[derive(Deserialize)]
struct Loaded {
    version: u32,
    files: Vec<Remembered>,
    #[serde(default)]
    copies: Vec<Copied>,
}

#[derive(Serialize)]
struct Saved<'a> {
    version: u32,
    files: &'a [Remembered],
    copies: &'a [Copied],
}

/// Positions that can't be kept.
#[derive(Debug, Error)]
pub(in crate::files) enum PositionsError {
    #[error("{action} the positions {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("making the directory of the positions {}", path.display())]
    Directory { path: PathBuf, source: DirectoryError },
    #[error("the positions {} are kept by another agent", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the positions {} can't be understood; put back what was there, or remove the file to begin anew",
        path.display()
    )]
    Format { path: PathBuf, source: serde_json::Error },
    #[error("the positions {} have version {version}, and this version of Weir knows {VERSION}", path.display())]
    Version { path: PathBuf, version: u32 },
}

/// Keeps positions, and others away while it lives.
pub(in crate::files) trait KeepPositions: Send + Sync {
    /// Replaces what is there. It blocks until that is on disk.
    fn save(&self, memory: &Memory) -> Result<(), PositionsError>;
}

/// A file of positions in a directory; locked while it lives.
pub(super) struct Positions<S: Storage> {
    directory: S,
    name: String,
    /// The whole path, for messages.
    path: PathBuf,
    _lock: Mutex<S::Lock>,
}

impl<S: Storage> Positions<S> {
    /// Takes the lock, and reads what is there. `None`: nothing was ever kept.
    pub(super) fn open(directory: S, path: &Path) -> Result<(Positions<S>, Option<Memory>), PositionsError> {
        let failed = |action| {
            let path = path.to_path_buf();
            move |source| PositionsError::File { action, path, source }
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let note = format!("the source of files, process {}", std::process::id());
        let lock = match directory.lock_name(&format!("{name}.lock"), &note) {
            Ok(lock) => Mutex::new(lock),
            Err(LockError::Held { .. }) => return Err(PositionsError::Locked { path: path.to_path_buf() }),
            Err(LockError::Io(error)) => return Err(failed("locking")(error)),
        };
        let text = read(&directory, &name).map_err(failed("reading"))?;
        let positions = Positions { directory, name, path: path.to_path_buf(), _lock: lock };
        let Some(text) = text else { return Ok((positions, None)) };
        let loaded: Loaded = serde_json::from_slice(&text)
            .map_err(|source| PositionsError::Format { path: path.to_path_buf(), source })?;
        match loaded.version {
            1..=VERSION => Ok((positions, Some(Memory { files: loaded.files, copies: loaded.copies }))),
            version => Err(PositionsError::Version { path: path.to_path_buf(), version }),
        }
    }

    fn replace(&self, memory: &Memory) -> io::Result<()> {
        let saved = Saved { version: VERSION, files: &memory.files, copies: &memory.copies };
        let text = serde_json::to_vec(&saved)?;
        let new = format!("{}.new", self.name);
        let replaced = replace(&self.directory, &new, &self.name, |file| {
            self.directory.write_at(file, 0, &[&text])?;
            self.directory.sync(file)
        });
        replaced.map(drop)
    }
}

impl<S: Storage> KeepPositions for Positions<S> {
    fn save(&self, memory: &Memory) -> Result<(), PositionsError> {
        self.replace(memory).map_err(|source| {
            let path = self.path.clone();
            PositionsError::File { action: "writing", path, source }
        })
    }
}

/// What is in a file; nothing if there is none.
fn read<S: Storage>(directory: &S, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match directory.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let length = usize::try_from(directory.length(&file)?).map_err(io::Error::other)?;
    let mut text = vec![0; length];
    let read = directory.read_at(&file, 0, &mut text)?;
    text.truncate(read);
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::super::room::{LocalRoom, OpenPositions, Room};
    use super::*;

    fn open(path: &Path) -> Result<OpenPositions, PositionsError> {
        LocalRoom.positions(path)
    }

    fn remembered(position: u64) -> Remembered {
        let head = Head::of(b"one\n");
        let consumed = Some(Consumed { base: 0, through: position, digest: u64::MAX });
        let rest = Some(Stamp { length: position, modified: 1_795_391_036_913_788_252 });
        let (partition, path) = ("1-2-3-4-5-0".into(), "/var/log/a.log".into());
        Remembered { partition, path, position, head, consumed, rest, copy: None, packed: false }
    }

    fn memory(position: u64) -> Memory {
        let key = Key { device: 1, inode: 2, birth: 3 };
        let copied = remembered(position);
        let stamp = copied.rest.unwrap();
        let partition = copied.partition.clone();
        let copy = Copied { key, stamp, partition, done: true };
        let packed = Remembered { copy: Some(key), packed: true, ..copied.clone() };
        Memory { files: vec![copied, packed], copies: vec![copy] }
    }

    #[test]
    fn what_was_saved_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/positions.json");
        let (positions, loaded) = open(&path).unwrap();
        assert_eq!(loaded, None);
        for position in [1, 7] {
            positions.save(&memory(position)).unwrap();
        }
        drop(positions);
        assert_eq!(open(&path).unwrap().1, Some(memory(7)));
    }

    #[test]
    fn what_the_first_version_has_saved_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.json");
        let saved = concat!(
            r#"{"version":1,"files":[{"partition":"1-2-3-4-5-0","path":"/var/log/a.log","position":7,"#,
            r#""head":{"length":4,"hash":1},"consumed":{"base":0,"through":7,"digest":5},"#,
            r#""rest":{"length":7,"modified":9}}]}"#
        );
        std::fs::write(&path, saved).unwrap();
        let memory = open(&path).unwrap().1.unwrap();
        let [known] = memory.files.as_slice() else { panic!("{memory:?}") };
        assert_eq!((known.position, known.copy, known.packed, memory.copies), (7, None, false, Vec::new()));
    }

    #[test]
    fn a_second_agent_is_kept_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.json");
        let _first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(PositionsError::Locked { .. })));
    }

    #[test]
    fn what_is_not_understood_is_never_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.json");
        std::fs::write(&path, "{\"version\": 1, \"files\": [").unwrap();
        assert!(matches!(open(&path), Err(PositionsError::Format { .. })));
        std::fs::write(&path, "{\"version\": 9, \"files\": []}").unwrap();
        assert!(matches!(open(&path), Err(PositionsError::Version { version: 9, .. })));
    }
}

//! The identity of a file, independent of its name.
//!
//! A file is identified by its device and inode, by its birth time (a reused inode has another one), and by the
//! beginning of its text. Together they name its partition:
//!
//! ```text
//! fe01-2a0c7-18a5d3f09c2e1b40-1024-9f3c51d2a07be644-0-0-52311-c04be1d29a7f3358
//! │    │     │                │    │                │ │ │     └ XXH3 of the text that was put first
//! │    │     │                │    │                │ │ └ its end in the file (decimal)
//! │    │     │                │    │                │ └ its beginning in the file (decimal)
//! │    │     │                │    │                └ generation: how often the file was restarted (decimal)
//! │    │     │                │    └ XXH3 of the text's beginning
//! │    │     │                └ the length of that beginning, in bytes (decimal)
//! │    │     └ birth time, in nanoseconds since 1970 (0: the file system has none)
//! │    └ inode
//! └ device
//! ```
//!
//! A compressed copy is recognised by the hash of the text that was put first. The hash is part of the name, so that
//! every channel and sink that stores a position of the partition stores the hash in the same act. Names that earlier
//! versions have given end with the generation, and stay valid.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use weir_runtime::batch::Partition;
use xxhash_rust::xxh3::xxh3_64;

use super::text_hash::TextHash;

/// How many bytes of a text's beginning are hashed, if there are as many.
pub(super) const HEAD_BYTES: usize = 1024;

/// A file's device, inode and birth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::components) struct Key {
    pub(in crate::components) device: u64,
    pub(in crate::components) inode: u64,
    /// Nanoseconds since 1970; 0 if the file system does not record birth times.
    pub(in crate::components) birth: u64,
}

impl Key {
    fn of(metadata: &Metadata) -> Key {
        let since = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let birth = since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Key { device: metadata.dev(), inode: metadata.ino(), birth }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { device, inode, birth } = self;
        write!(f, "{device:x}-{inode:x}-{birth:x}")
    }
}

/// A file's length and modification time: if neither has changed, the content is taken to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::components) struct Stamp {
    /// In bytes; of a compressed file, its compressed length.
    pub(in crate::components) length: u64,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(in crate::components) modified: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            length: metadata.len(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }
}

/// A file's key and its present stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::components) struct State {
    pub(in crate::components) key: Key,
    pub(in crate::components) stamp: Stamp,
}

impl State {
    pub(super) fn of(metadata: &Metadata) -> State {
        State { key: Key::of(metadata), stamp: Stamp::of(metadata) }
    }
}

/// The hash of a text's first bytes, at most [`HEAD_BYTES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) hash: u64,
}

impl Head {
    pub(super) fn of(text: &[u8]) -> Head {
        let text = &text[..text.len().min(HEAD_BYTES)];
        // Zeros behind the text of a file that was allocated in advance are replaced when it grows.
        let written = text.iter().rposition(|byte| *byte != 0).map_or(text.len(), |last| last + 1);
        let text = &text[..written];
        Head { length: text.len(), hash: xxh3_64(text) }
    }

    /// Returns whether the hashed bytes are a hole, so that other texts may begin alike.
    pub(super) fn is_hole(&self) -> bool {
        *self == Head::of(&vec![0; self.length])
    }

    /// Returns whether a text with this beginning may be the hashed text, possibly grown.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        text.get(..self.length).is_some_and(|head| xxh3_64(head) == self.hash)
    }
}

/// The parts of a partition's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartitionName {
    pub(super) key: Key,
    /// The head at the time when the name was given; it never changes, even if the file grows.
    pub(super) head: Head,
    /// Incremented when the file is restarted (it was truncated): positions only grow, so it needs a new partition.
    pub(super) generation: u32,
    /// The hash of the text that was put first. Names of earlier versions have none.
    pub(super) first: Option<TextHash>,
}

impl PartitionName {
    pub(super) fn partition(&self) -> Partition {
        Partition::new(self.to_string())
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartitionName { key, head: Head { length, hash }, generation, first } = self;
        write!(f, "{key}-{length}-{hash:016x}-{generation}")?;
        match first {
            Some(TextHash { base, through, digest }) => write!(f, "-{base}-{through}-{digest:016x}"),
            None => Ok(()),
        }
    }
}

/// The text is not the name of a file's partition.
#[derive(Debug)]
pub(super) struct InvalidName;

impl FromStr for PartitionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<PartitionName, InvalidName> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |part: &str, radix| u64::from_str_radix(part, radix).map_err(|_| InvalidName);
        let (named, first) = match parts.as_slice() {
            [named @ .., base, through, digest] if named.len() == 6 => {
                let (base, through) = (number(base, 10)?, number(through, 10)?);
                (named, Some(TextHash { base, through, digest: number(digest, 16)? }))
            }
            named => (named, None),
        };
        let [device, inode, birth, length, hash, generation] = named else { return Err(InvalidName) };
        let key = Key { device: number(device, 16)?, inode: number(inode, 16)?, birth: number(birth, 16)? };
        let length = usize::try_from(number(length, 10)?).ok().filter(|length| *length <= HEAD_BYTES);
        let head = Head { length: length.ok_or(InvalidName)?, hash: number(hash, 16)? };
        let generation = u32::try_from(number(generation, 10)?).map_err(|_| InvalidName)?;
        match first.is_none_or(|first| first.base < first.through) {
            true => Ok(PartitionName { key, head, generation, first }),
            false => Err(InvalidName),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let key = Key { device: 0xfe01, inode: 172_743, birth: 1_795_391_036_913_788_252 };
        for first in [None, Some(TextHash { base: 17, through: 4_711, digest: u64::MAX })] {
            let name = PartitionName { key, head: Head::of(b"2026-01-01 first\n"), generation: 3, first };
            assert_eq!(name.to_string().parse::<PartitionName>().unwrap(), name);
        }
        let wrong = ["", "files", "1-2-3", "1-2-3-9999-0-0", "1-2-3-4-5-6-7", "1-2-3-x-5-6"];
        for wrong in
            wrong.into_iter().chain(["1-2-3-4-5-6-7-7-8", "1-2-3-4-5-6-7-8-9-a", "1-2-3-4-5-6-7-8-x"])
        {
            assert!(wrong.parse::<PartitionName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_still_matches_when_the_text_grows() {
        let head = Head::of(b"one\n");
        assert!(head.begins(b"one\ntwo\n"));
        assert!(!head.begins(b"One\ntwo\n"));
        assert!(!head.begins(b"on"));
        assert!(Head::of(b"").begins(b"anything"));
    }
}

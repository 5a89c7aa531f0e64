//! Which file this is, whatever it is called now.
//!
//! A file is known by where it lies (device and inode), by when it was made (inodes come back, with
//! another birth), and by how its text begins. Together they name its partition:
//!
//! ```text
//! fe01-2a0c7-18a5d3f09c2e1b40-1024-9f3c51d2a07be644-0-0-52311-c04be1d29a7f3358
//! │    │     │                │    │                │ │ │     └ XXH3 of that part
//! │    │     │                │    │                │ │ └ to here (decimal)
//! │    │     │                │    │                │ └ what was first put: the text from here (decimal)
//! │    │     │                │    │                └ generation: how often it was begun anew
//! │    │     │                │    └ XXH3 of that beginning
//! │    │     │                └ how much of the text's beginning is hashed, in bytes (decimal)
//! │    │     └ birth, in nanoseconds since 1970 (0: the file system knows none)
//! │    └ inode
//! └ device
//! ```
//!
//! The hash of what was first put stands in the name, so that whoever stores a position of the partition
//! stores with it by what a packed copy is known: at no moment there is a position without. Names that
//! earlier versions have given end with the generation, and stay as they are.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use weir_runtime::batch::Partition;
use xxhash_rust::xxh3::xxh3_64;

use super::consumed::Consumed;

/// So much of a text's beginning is hashed, once it is there.
pub(super) const HEAD_BYTES: usize = 1024;

/// Where a file lies, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::components::files) struct Key {
    pub(in crate::components::files) device: u64,
    pub(in crate::components::files) inode: u64,
    /// Nanoseconds since 1970; 0 where the file system does not say.
    pub(in crate::components::files) birth: u64,
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

/// What state a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::components::files) struct Stamp {
    /// Bytes on disk.
    pub(in crate::components::files) length: u64,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(in crate::components::files) modified: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            length: metadata.len(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }
}

/// Which file it is, and in what state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::components::files) struct State {
    pub(in crate::components::files) key: Key,
    pub(in crate::components::files) stamp: Stamp,
}

impl State {
    pub(super) fn of(metadata: &Metadata) -> State {
        State { key: Key::of(metadata), stamp: Stamp::of(metadata) }
    }
}

/// How a text begins: the hash of its first bytes, at most [`HEAD_BYTES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) hash: u64,
}

impl Head {
    pub(super) fn of(text: &[u8]) -> Head {
        let text = &text[..text.len().min(HEAD_BYTES)];
        Head { length: text.len(), hash: xxh3_64(text) }
    }

    /// Whether a text that begins like this may be the same, or have grown from it.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        text.get(..self.length).is_some_and(|head| xxh3_64(head) == self.hash)
    }
}

/// The parts of a partition's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) key: Key,
    /// As it was when the name was given; it stays for the life of the partition.
    pub(super) head: Head,
    /// A file that is begun anew (it was truncated) gets another name, since positions only grow.
    pub(super) generation: u32,
    /// The hash of what was first put. Names of earlier versions have none.
    pub(super) first: Option<Consumed>,
}

impl Name {
    pub(super) fn partition(&self) -> Partition {
        Partition::new(self.to_string())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { key, head: Head { length, hash }, generation, first } = self;
        write!(f, "{key}-{length}-{hash:016x}-{generation}")?;
        match first {
            Some(Consumed { base, through, digest }) => write!(f, "-{base}-{through}-{digest:016x}"),
            None => Ok(()),
        }
    }
}

/// A text that names no file's partition.
#[derive(Debug)]
pub(super) struct NoName;

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Name, NoName> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |part: &str, radix| u64::from_str_radix(part, radix).map_err(|_| NoName);
        let (named, first) = match parts.as_slice() {
            [named @ .., base, through, digest] if named.len() == 6 => {
                let (base, through) = (number(base, 10)?, number(through, 10)?);
                (named, Some(Consumed { base, through, digest: number(digest, 16)? }))
            }
            named => (named, None),
        };
        let [device, inode, birth, length, hash, generation] = named else { return Err(NoName) };
        let key = Key { device: number(device, 16)?, inode: number(inode, 16)?, birth: number(birth, 16)? };
        let length = usize::try_from(number(length, 10)?).ok().filter(|length| *length <= HEAD_BYTES);
        let head = Head { length: length.ok_or(NoName)?, hash: number(hash, 16)? };
        let generation = u32::try_from(number(generation, 10)?).map_err(|_| NoName)?;
        match first.is_none_or(|first| first.base < first.through) {
            true => Ok(Name { key, head, generation, first }),
            false => Err(NoName),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let key = Key { device: 0xfe01, inode: 172_743, birth: 1_795_391_036_913_788_252 };
        for first in [None, Some(Consumed { base: 17, through: 4_711, digest: u64::MAX })] {
            let name = Name { key, head: Head::of(b"2026-01-01 first\n"), generation: 3, first };
            assert_eq!(name.to_string().parse::<Name>().unwrap(), name);
        }
        let wrong = ["", "files", "1-2-3", "1-2-3-9999-0-0", "1-2-3-4-5-6-7", "1-2-3-x-5-6"];
        for wrong in
            wrong.into_iter().chain(["1-2-3-4-5-6-7-7-8", "1-2-3-4-5-6-7-8-9-a", "1-2-3-4-5-6-7-8-x"])
        {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_holds_while_the_text_grows() {
        let head = Head::of(b"one\n");
        assert!(head.begins(b"one\ntwo\n"));
        assert!(!head.begins(b"One\ntwo\n"));
        assert!(!head.begins(b"on"));
        assert!(Head::of(b"").begins(b"anything"));
    }
}

//! Hashes of the read parts of a text, by which a later change is detected.

use std::collections::VecDeque;
use std::io;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::content::Content;

/// How many bytes are read at once when a text is only hashed.
const HASH_READ_BYTES: usize = 1 << 20;

/// The hash of the part `[base, through)` of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TextHash {
    pub(super) base: u64,
    pub(super) through: u64,
    pub(super) digest: u64,
}

impl TextHash {
    /// Returns whether this part of the text still has the hash.
    pub(super) fn is_in(&self, content: &mut Content) -> io::Result<bool> {
        let mut hash = RunningHash::new(self.base);
        let is_complete = hash.read_through(content, self.through)?;
        Ok(is_complete && hash.current() == *self)
    }
}

/// A running hash of a text from `base` on.
#[derive(Clone)]
pub(super) struct RunningHash {
    base: u64,
    through: u64,
    hasher: Box<Xxh3>,
}

impl RunningHash {
    /// Begins a hash at a position of the text.
    pub(super) fn new(base: u64) -> RunningHash {
        RunningHash { base, through: base, hasher: Box::new(Xxh3::new()) }
    }

    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// Adds the bytes that follow.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.through += text.len() as u64;
    }

    /// Reads and adds the text up to a position. Returns false if the text is shorter.
    pub(super) fn read_through(&mut self, content: &mut Content, through: u64) -> io::Result<bool> {
        while self.through < through {
            let left = usize::try_from(through - self.through).unwrap_or(usize::MAX);
            let text = content.read(self.through, left.min(HASH_READ_BYTES))?;
            if text.is_empty() {
                return Ok(false);
            }
            self.add(&text);
        }
        Ok(true)
    }

    /// Returns the hash of the text so far.
    pub(super) fn current(&self) -> TextHash {
        TextHash { base: self.base, through: self.through, digest: self.hasher.digest() }
    }
}

/// The hash at the end of each batch that was put and is not yet delivered.
#[derive(Debug, Default)]
pub(super) struct PendingHashes(VecDeque<TextHash>);

impl PendingHashes {
    pub(super) fn push(&mut self, consumed: TextHash) {
        self.0.push_back(consumed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes the hashes up to the delivered position, and returns the last of them.
    pub(super) fn deliver(&mut self, through: u64) -> Option<TextHash> {
        let mut last = None;
        while let Some(hash) = self.0.pop_front_if(|hash| hash.through <= through) {
            last = Some(hash);
        }
        last
    }
}

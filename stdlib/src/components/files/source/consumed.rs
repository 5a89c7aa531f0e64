//! What was read of a text: its hash, by which a text that was changed afterwards is noticed.

use std::collections::VecDeque;
use std::io;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::content::Content;

/// How much is read at once when only the hash is wanted.
const HASH_READ_BYTES: usize = 1 << 20;

/// The hash of the part `[base, through)` of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consumed {
    pub(super) base: u64,
    pub(super) through: u64,
    pub(super) digest: u64,
}

impl Consumed {
    /// Whether the text still has it.
    pub(super) fn is_in(&self, content: &mut Content) -> io::Result<bool> {
        let mut running = Running::new(self.base);
        let whole = running.read_through(content, self.through)?;
        Ok(whole && running.so_far() == *self)
    }
}

/// The hash of what has been read, as it grows.
#[derive(Clone)]
pub(super) struct Running {
    base: u64,
    through: u64,
    hasher: Box<Xxh3>,
}

impl Running {
    /// Of what will be read from here on.
    pub(super) fn new(base: u64) -> Running {
        Running { base, through: base, hasher: Box::new(Xxh3::new()) }
    }

    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// Adds what follows.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.through += text.len() as u64;
    }

    /// Reads and adds the text up to there; whether there was so much.
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

    pub(super) fn so_far(&self) -> Consumed {
        Consumed { base: self.base, through: self.through, digest: self.hasher.digest() }
    }
}

/// What was put and is not yet delivered: the hash at the end of each batch.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<Consumed>);

impl Marks {
    pub(super) fn push(&mut self, consumed: Consumed) {
        self.0.push_back(consumed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last mark that is delivered, if one is; marks up to it are forgotten.
    pub(super) fn deliver(&mut self, through: u64) -> Option<Consumed> {
        let mut last = None;
        while let Some(mark) = self.0.pop_front_if(|mark| mark.through <= through) {
            last = Some(mark);
        }
        last
    }
}

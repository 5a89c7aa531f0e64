//! Files of a simulated disk: the content that is seen, and the content that would survive a crash.

use std::collections::BTreeMap;

/// The bytes that the disk writes atomically, unless a fault tears them.
pub(super) const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// The content that a read returns.
    pub(super) seen: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// For each sector of `seen`, whether it was written since the last sync.
    pub(super) dirty: Vec<bool>,
}

pub(super) enum Change {
    Made(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

impl Change {
    pub(super) fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Made(name, inode) => {
                names.insert(name, inode);
            }
            Change::Renamed(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Change::Removed(name) => {
                names.remove(&name);
            }
        }
    }
}

impl Inode {
    /// Makes a file with durable content.
    pub(super) fn holding(content: Vec<u8>) -> Inode {
        let dirty = vec![false; content.len().div_ceil(SECTOR)];
        Inode { seen: content.clone(), durable: content, dirty }
    }

    /// Truncates the file durably.
    pub(super) fn cut(&mut self, length: usize) {
        self.seen.truncate(length);
        self.durable.truncate(length);
        self.dirty.truncate(length.div_ceil(SECTOR));
    }

    pub(super) fn resize(&mut self, length: usize) {
        if self.seen.len() < length {
            self.seen.resize(length, 0);
            self.dirty.resize(length.div_ceil(SECTOR), false);
        }
    }

    /// Makes a sector durable.
    pub(super) fn keep(&mut self, sector: usize) {
        self.tear(sector, SECTOR);
    }

    /// Makes the first bytes of a sector durable.
    pub(super) fn tear(&mut self, sector: usize, bytes: usize) {
        let begin = sector * SECTOR;
        let end = (begin + bytes).min(self.seen.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        if begin < end {
            self.durable[begin..end].copy_from_slice(&self.seen[begin..end]);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for sector in 0..self.dirty.len() {
            if std::mem::take(&mut self.dirty[sector]) {
                self.keep(sector);
            }
        }
    }

    pub(super) fn restart(&mut self, keep_length: bool) {
        if keep_length {
            self.durable.resize(self.seen.len(), 0);
        }
        self.seen.clone_from(&self.durable);
        self.dirty = vec![false; self.seen.len().div_ceil(SECTOR)];
    }
}

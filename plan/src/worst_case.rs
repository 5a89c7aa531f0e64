//! The most memory and disk space that a program takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sources fill a batch up to about this many bytes; a larger event is a batch of its own.
pub const BATCH_BYTES: u64 = 1 << 20;

/// The most memory and disk space that a program takes, as the compiler has derived it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorstCase {
    /// What the process takes beside its components.
    pub process: Bytes,
    /// What each component takes, by name.
    pub components: BTreeMap<String, Bytes>,
}

/// Bytes of memory and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes {
    /// In memory.
    #[serde(default)]
    pub memory: u64,
    /// On disk.
    #[serde(default)]
    pub disk: u64,
}

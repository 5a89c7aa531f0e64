//! Incarnations: by which an end that keeps identities notices that a channel is not the one it knew.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::batch::Partition;

/// Which life of a durable channel gave its events their numbers.
///
/// A channel draws one at random in each run of the agent, before it gives its first number, and
/// remembers those before. A channel that was made anew, or whose directory was put back from a
/// backup, does not know the incarnations that followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u128);

impl Incarnation {
    /// The incarnation with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Incarnation {
        Incarnation(u128::from_be_bytes(bytes))
    }

    /// Its bytes, as formats on disk hold them.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Incarnation, Self::Err> {
        u128::from_str_radix(text, 16).map(Incarnation)
    }
}

impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Incarnation, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How far an end that keeps identities has been in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The highest position that has arrived there.
    pub through: u64,
    /// The incarnation of the channel that gave this position, where a durable channel did.
    pub incarnation: Option<Incarnation>,
}

/// What a sink that keeps identities has found when it recovered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// For each partition, the position through which everything has arrived everywhere.
    pub settled: BTreeMap<Partition, u64>,
    /// For each partition, how far the sink has been.
    pub reached: BTreeMap<Partition, Reached>,
    /// How far the sink's own memory has been: a number that only grows, with each commit. 0 where
    /// there is no memory yet.
    pub mark: u64,
    /// What shows that this memory was further once, if something does.
    pub forgotten: Option<Forgotten>,
}

/// What shows that a sink's memory has forgotten what it had: it was deleted, or put back from a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// What was found, as a sentence without its end.
    pub what: String,
    /// What can be done where no channel can accept it, as a sentence without its end.
    pub way_out: String,
}

//! Incarnations, by which a sink or source notices that a durable channel is not the one that it knew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::batch::Partition;

/// The run of a durable channel in which it gave its events their numbers.
///
/// In each run of the agent, the channel draws a random incarnation before it gives its first number, and
/// remembers the earlier incarnations. A channel that was created again, or whose directory was restored from a
/// backup, does not know the later incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u128);

impl Incarnation {
    /// Makes an incarnation from its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Incarnation {
        Incarnation(u128::from_be_bytes(bytes))
    }

    /// Returns the incarnation's bytes, as disk formats store them.
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

/// The highest position that a sink has of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The highest position that has arrived.
    pub through: u64,
    /// The incarnation of the durable channel that gave this position; `None` for other partitions.
    pub incarnation: Option<Incarnation>,
    /// The commit ([`Recovered::mark`]) with which the sink began to read this durable channel, or began again after it
    /// had read another one in its place; 0 if that is not known.
    pub came: u64,
    /// The last commit at which the sink read this durable channel; 0 if that is not known.
    pub read: u64,
}

/// The state that a sink with a ledger has recovered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// For each partition, the position through which all events have arrived in all branches.
    pub settled: BTreeMap<Partition, u64>,
    /// For each partition, the highest position that the sink has.
    pub reached: BTreeMap<Partition, Reached>,
    /// The mark of the sink's ledger: a number that grows with each commit. 0 for a sink without a ledger.
    pub mark: u64,
    /// The evidence that the ledger has lost entries, if there is any.
    pub ledger_loss: Option<LedgerLoss>,
}

/// The operator's decision that a sink and its durable channels go on although one of them has lost a part of its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// The partitions of all durable channels that the sink reads from now on.
    pub channels: BTreeSet<Partition>,
    /// The highest mark ([`Recovered::mark`]) of the sink that its channels have ever been told of. The sink's ledger goes
    /// on beyond it, so that an older ledger is known by its mark.
    pub mark: u64,
}

/// The evidence that a sink's ledger has lost entries: it was deleted, or restored from a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerLoss {
    /// The evidence, as a sentence without its full stop.
    pub what: String,
    /// What the user can do if no channel can accept the loss, as a sentence without its full stop.
    pub remedy: String,
}

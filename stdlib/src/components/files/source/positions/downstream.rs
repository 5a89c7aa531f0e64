//! The ends behind the source: who has what was delivered, and whether they still know of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;
use weir_runtime::source::Behind;

use super::RememberedFile;

/// Who had what was delivered when it was saved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Downstream {
    /// The durable channels, each with its incarnation then.
    #[serde(default)]
    pub(in super::super) channels: BTreeMap<Arc<str>, Incarnation>,
    /// The channels in memory, each with how far the memories (ledgers) of the sinks behind it were.
    #[serde(default)]
    pub(in super::super) memories: BTreeMap<Arc<str>, BTreeMap<String, u64>>,
}

/// An end knows less than was delivered to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components::files) enum DownstreamLoss {
    /// The channel never was what it was when the positions were saved.
    Stranger { channel: Arc<str> },
    /// The channel lacks a part of a file.
    Channel { channel: Arc<str>, path: String, delivered: u64, stored: u64 },
    /// The memory of a sink behind the channel is not as far as it was.
    Memory { channel: Arc<str>, sink: String, was: u64, is: u64 },
}

impl fmt::Display for DownstreamLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownstreamLoss::Stranger { channel } => write!(
                f,
                "channel {channel} is not the one that had the events: its directory was deleted, or put back \
                 from a backup"
            ),
            DownstreamLoss::Channel { channel, path, delivered, stored } => write!(
                f,
                "channel {channel} has {path} through byte {stored}, and had it through byte {delivered}: its \
                 directory was deleted, cut, or put back from a backup"
            ),
            DownstreamLoss::Memory { channel, sink, was, is: 0 } => write!(
                f,
                "sink {sink} behind channel {channel} has no ledger, and had entry {was}: the ledger was deleted"
            ),
            DownstreamLoss::Memory { channel, sink, was, is } => write!(
                f,
                "the ledger of sink {sink} behind channel {channel} ends with entry {is}, and had entry {was}: \
                 it was put back from a backup"
            ),
        }
    }
}

impl Downstream {
    /// The ends as they are now.
    pub(in super::super) fn of(behind: &Behind) -> Downstream {
        Downstream { channels: behind.incarnations(), memories: behind.marks() }
    }

    /// What an end lacks of these files that was delivered to it. Ends that are new, or that the source does
    /// not lead to any more, say nothing.
    pub(in super::super) fn loss(&self, files: &[RememberedFile], behind: &Behind) -> Option<DownstreamLoss> {
        if let Some(channel) = behind.strangers(&self.channels).into_iter().next() {
            return Some(DownstreamLoss::Stranger { channel });
        }
        for channel in self.channels.keys() {
            let Some(stored) = behind.stored_by(channel) else { continue };
            for known in files.iter().filter(|known| !known.unconfirmed) {
                let delivered = known.position.position();
                let stored = stored.through(&Partition::new(known.partition.clone()));
                let stored = stored.map_or(0, |given| given.position());
                if delivered > stored {
                    let (channel, path) = (channel.clone(), known.path.clone());
                    return Some(DownstreamLoss::Channel { channel, path, delivered, stored });
                }
            }
        }
        let marks = behind.marks();
        for (channel, sinks) in &self.memories {
            let Some(now) = marks.get(channel) else { continue };
            for (sink, was) in sinks {
                let Some(is) = now.get(sink).copied().filter(|is| is < was) else { continue };
                return Some(DownstreamLoss::Memory {
                    channel: channel.clone(),
                    sink: sink.clone(),
                    was: *was,
                    is,
                });
            }
        }
        None
    }
}

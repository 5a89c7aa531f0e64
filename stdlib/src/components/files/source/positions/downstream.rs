//! The channels and sinks downstream: which of them have the delivered events, and whether they still have them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;
use weir_runtime::source::DownstreamChannels;

use super::RememberedFile;

/// The channels and sinks that had the delivered events when the positions were saved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Downstream {
    /// Each durable channel's incarnation at that time.
    #[serde(default)]
    pub(in super::super) channels: BTreeMap<Arc<str>, Incarnation>,
    /// For each channel in memory, the last entry in the ledger of each sink behind it.
    #[serde(default)]
    pub(in super::super) memories: BTreeMap<Arc<str>, BTreeMap<String, u64>>,
}

/// A channel or sink downstream has lost events that were delivered to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components) enum DownstreamLoss {
    /// The channel is another one than when the positions were saved: it has another incarnation.
    Stranger { channel: Arc<str> },
    /// The channel lacks a part of a file.
    Channel { channel: Arc<str>, path: String, delivered: u64, stored: u64 },
    /// The ledger of a sink behind the channel ends with an earlier entry than it did.
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
    /// Returns the present state of the channels and sinks.
    pub(in super::super) fn of(behind: &DownstreamChannels) -> Downstream {
        Downstream { channels: behind.incarnations(), memories: behind.marks() }
    }

    /// Marks the files that a durable channel lacks a part of, so that the accepted loss is not found again.
    pub(in super::super) fn accept_loss(&self, files: &mut [RememberedFile], behind: &DownstreamChannels) {
        for stored in self.channels.keys().filter_map(|channel| behind.stored_by(channel)) {
            for known in files.iter_mut() {
                let stored = stored.through(&Partition::new(known.partition.clone()));
                let stored = stored.map_or(0, |given| given.position());
                known.unconfirmed |= known.position.position() > stored;
            }
        }
    }

    /// Finds a channel or sink that has lost delivered events of these files. Channels and sinks that are new, or that
    /// the source no longer leads to, are ignored.
    pub(in super::super) fn loss(
        &self,
        files: &[RememberedFile],
        behind: &DownstreamChannels,
    ) -> Option<DownstreamLoss> {
        if let Some(channel) = behind.with_unknown_incarnation(&self.channels).into_iter().next() {
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

//! The puts that wait for the disk.

use crate::batch::Batch;
use crate::channel::Fill;
use crate::routing::Acknowledgement;

/// A put that is not on disk yet.
pub(super) struct Submitted {
    /// `None` if the log has the put already, or if the put has no events.
    pub(super) sequence: Option<u64>,
    pub(super) batch: Batch,
    pub(super) fill: Fill,
    /// The number of events put before it.
    pub(super) events_before: u64,
    /// The record's body; empty if there is nothing to write.
    pub(super) body: Vec<u8>,
    pub(super) body_checksum: u32,
    pub(super) origins_bytes: u32,
    pub(super) acknowledgement: Acknowledgement,
}

impl Submitted {
    /// The bytes of the put as a record or as a batch, whichever has more: a compressed record may be a hundredth of its batch.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.fill.bytes.max(self.body.len() as u64)
    }
}

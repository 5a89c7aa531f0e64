//! What happens when a sink has delivered the events of a lease, or has given them up.

use std::sync::Arc;

use tokio::time::Instant;

use super::port::Amount;
use super::rejecter::RejectedBySink;
use super::rejecting::{RejectedRows, Returning};
use crate::observability::meter::Meter;
use crate::routing::{Acknowledgement, Settle};
use crate::steps::Transaction;

/// Counts a delivery, and acknowledges the lease to the channel.
pub(super) struct DeliverySettle {
    pub(super) sink: Arc<Meter>,
    pub(super) channel: Arc<Meter>,
    pub(super) taken_at: Instant,
    pub(super) leased: Amount,
    pub(super) taken: Amount,
    /// The events of `taken` that the sink has rejected.
    pub(super) rejected_by_sink: RejectedBySink,
    pub(super) lease: Acknowledgement,
    pub(super) number: u64,
    /// The rows that the feed's steps have rejected, if they reject events.
    pub(super) rejected: Option<RejectedRows>,
    /// Whether the lease will return to the channel, if events of it were rejected.
    pub(super) returning: Option<Returning>,
    /// The changes to the state of the steps.
    pub(super) transaction: Transaction,
}

/// Passes the outcome of the events that the sink has on to the lease, of which other events were rejected.
pub(super) struct MainSettle {
    pub(super) share: Acknowledgement,
    pub(super) returning: Returning,
}

impl Settle for MainSettle {
    fn settle(self: Box<Self>, done: bool) {
        if done {
            self.share.done();
        } else {
            self.returning.begin();
        }
    }
}

/// Splits off one share, to be done when the delivery is complete.
pub(super) fn split_own(mut acknowledgement: Acknowledgement) -> (Acknowledgement, Acknowledgement) {
    (acknowledgement.split(1), acknowledgement)
}

impl Settle for DeliverySettle {
    fn settle(self: Box<Self>, done: bool) {
        if done {
            let now = Instant::now();
            let rejected = self.rejected_by_sink.read();
            let events = self.taken.events.saturating_sub(rejected.events as usize);
            self.sink.delivered.add(events, self.taken.bytes.saturating_sub(rejected.bytes));
            self.sink.commit.record(now.saturating_duration_since(self.taken_at));
            self.sink.touch(now);
            self.channel.delivered.add(self.leased.events, self.leased.bytes);
            if let Some(rejected) = &self.rejected {
                self.lease.add_rejected(rejected.forget(self.number));
            }
            self.transaction.commit();
            self.lease.done();
        } else {
            drop(self.lease);
        }
        self.returning.iter().for_each(Returning::end);
    }
}

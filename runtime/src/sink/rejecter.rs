//! Rejects of a sink: events that can never be written go to the flow's rejects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::batch::Batch;
use crate::failure::Failure;
use crate::observability::meter::{Meter, Reading, ReasonKind, StepCount};
use crate::routing::Acknowledgement;
use crate::steps::{Pass, Rejected};

use super::rejecting::{FeedRejects, PutFailed};

/// Rejects single events of a delivery.
#[derive(Clone, Default)]
pub struct Rejecter {
    /// None if the flow has no route for these events.
    rejecting: Option<Arc<Rejecting>>,
    /// The row of the first event of the delivery among the events that were taken with it.
    first: usize,
}

/// The events of one delivery that a sink can reject.
pub(super) struct Rejecting {
    pub(super) rejects: Arc<FeedRejects>,
    /// The number of the leased batch.
    pub(super) number: u64,
    /// The leased batch, with identities.
    pub(super) lease: Batch,
    /// The events of the delivery before the columns of the sink were added, with identities.
    pub(super) events: Batch,
    pub(super) rejected: RejectedBySink,
    pub(super) meter: Arc<Meter>,
}

/// The events of one delivery that its sink has rejected, which don't count as delivered.
#[derive(Clone, Default)]
pub(super) struct RejectedBySink(Arc<Mutex<Reading>>);

impl RejectedBySink {
    fn add(&self, events: &Batch) {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.add(events.rows(), events.payload_bytes());
    }

    pub(super) fn read(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rejecter {
    pub(super) fn new(rejecting: Rejecting) -> Rejecter {
        Rejecter { rejecting: Some(Arc::new(rejecting)), first: 0 }
    }

    /// Returns the rejecter of a part of the delivery that begins at this row.
    pub(super) fn behind(&self, rows: usize) -> Rejecter {
        Rejecter { rejecting: self.rejecting.clone(), first: self.first + rows }
    }

    /// Whether the flow has a route for the events that the sink rejects. Without one, such an event is a permanent failure of
    /// the sink.
    pub fn has_route(&self) -> bool {
        self.rejecting.is_some()
    }

    /// Rejects one event that can never be written: puts it into the channels of the flow's rejects. `share` is the event's
    /// share of the acknowledgement, and is done when the event is safe there. The reason quotes no value of the event.
    ///
    /// An outage or an unknown outcome is no reason to reject an event.
    ///
    /// # Errors
    /// When the flow has no route, the event fits into no transaction of its channels, or a channel is closed.
    pub async fn reject(
        &self,
        row: usize,
        mut share: Acknowledgement,
        kind: ReasonKind,
        reason: &str,
    ) -> Result<(), Failure> {
        let Some(rejecting) = &self.rejecting else { return Err(Failure::permanent(reason)) };
        let Rejecting { rejects, number, lease, events, rejected, meter } = &**rejecting;
        let Some((sink, slot)) = &rejects.by_sink else { return Err(Failure::permanent(reason)) };
        let event = events.slice(self.first + row, 1);
        let mut pass = Pass::default();
        pass.rejected.push(Rejected::by_component(*slot, sink.clone(), event.clone(), (kind, reason)));
        let batch = rejects.rejected_of(*number, lease, events, &mut pass).map_err(Failure::permanent)?;
        if let Some(batch) = batch {
            rejects.put(batch, &mut share, meter).await.map_err(PutFailed::into_failure)?;
        }
        rejected.add(&event);
        let mut reading = Reading::default();
        reading.add(1, event.payload_bytes());
        meter.count_steps(&[StepCount {
            step: sink.clone(),
            received: 1,
            passed: 0,
            dropped: Reading::default(),
            rejected: vec![(kind, reading)],
            rules: Vec::new(),
            took: Duration::ZERO,
        }]);
        share.done();
        Ok(())
    }
}

impl std::fmt::Debug for Rejecter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rejecter").field("has_route", &self.has_route()).finish_non_exhaustive()
    }
}

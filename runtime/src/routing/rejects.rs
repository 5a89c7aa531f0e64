//! The route of rejected events in front of the channels: one more put, in the same unit as the other puts of a batch.

use super::{FindTarget, FlowRejects, Leg, Put, Segment, Target};
use crate::batch::{Batch, BatchError, Identities, Partition};
use crate::steps::{Pass, RejectEvents, Rejected, StepError};

/// The routes of the events that the steps of one leg reject.
///
/// An event may be rejected in several branches of a `copy`, and then has the same position in each. So each of these
/// branches has a route of its own, called a slot, with its own positions in the channels.
pub(crate) struct RejectRoutes {
    pub(crate) slots: Vec<Segment>,
    pub(crate) events: RejectEvents,
}

impl RejectRoutes {
    /// Connects the routes of a number of slots. None if a channel does not exist.
    pub(crate) fn connect(
        FlowRejects { leg, events }: FlowRejects<'_>,
        slots: usize,
        target: &mut FindTarget<'_>,
    ) -> Option<RejectRoutes> {
        let mut rejected =
            |name: &str, optional: bool| Some(Target { is_reject: true, ..target(name, optional)? });
        let slots = (0..slots).map(|_slot| Segment::connect(leg, false, 0, &mut 1, &mut rejected));
        let slots = slots.collect::<Option<Vec<Segment>>>()?;
        Some(RejectRoutes { slots, events: events.clone() })
    }

    /// The channels at the ends of the routes, slot by slot.
    pub(crate) fn targets(&self) -> Vec<&Target> {
        self.slots.iter().flat_map(Segment::targets).collect()
    }

    /// Adds a put of rejected events for each channel of a slot.
    ///
    /// # Errors
    /// When a step of the route does not fit the events.
    pub(crate) fn apply_slot(
        &self,
        slot: usize,
        events: &Batch,
        pass: &mut Pass,
        puts: &mut Vec<Put>,
    ) -> Result<(), StepError> {
        self.slots[slot].apply(events, pass, puts)
    }
}

/// The name of the partition that numbers the events of a batch which has no identities.
const ROWS: &str = "rows";

impl Leg {
    /// Applies the steps and adds a put for each of [`Leg::targets`] in its order, empty puts included. Returns the counts
    /// of the steps in `pass`. `copy` counts dropped events once for each branch.
    pub(crate) fn apply(&self, batch: &Batch, pass: &mut Pass, puts: &mut Vec<Put>) -> Result<(), StepError> {
        let Some(RejectRoutes { slots, events }) = &self.rejects else {
            return self.main.apply(batch, pass, puts);
        };
        let misfit = |error| StepError { step: "-> rejects".to_owned(), error };
        let is_numbered = self.rejects_in_several_ways && batch.identities().is_none();
        let first = puts.len();
        match is_numbered {
            true => self.main.apply(&numbered(batch).map_err(misfit)?, pass, puts)?,
            false => self.main.apply(batch, pass, puts)?,
        }
        let rejected = std::mem::take(&mut pass.rejected);
        for (slot, route) in slots.iter().enumerate() {
            let of_slot: Vec<&Rejected> = rejected.iter().filter(|rejected| rejected.slot == slot).collect();
            let rejected = events.make(&of_slot, batch).map_err(misfit)?;
            route.apply(&rejected, pass, puts)?;
        }
        if is_numbered {
            puts[first..].iter_mut().for_each(|put| put.batch = put.batch.clone().without_identities());
        }
        Ok(())
    }
}

/// Returns the events with their row numbers as identities.
fn numbered(batch: &Batch) -> Result<Batch, BatchError> {
    batch.clone().with_identities(Identities::counting(Partition::new(ROWS), 1))
}

//! Routes: batches pass steps into channels, and acknowledgements return to the source.

mod acknowledgement;
mod compiled;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_schema::SchemaRef;
use tokio::time::Instant;

pub use self::acknowledgement::Acknowledgement;
pub(crate) use self::acknowledgement::Settle;
pub(crate) use self::compiled::{CompiledLeg, CompiledRoute};
use crate::batch::{Batch, BatchError};
use crate::channel::{Channel, CommitError, Fill, PutTransaction, Scope};
use crate::observability::meter::Meter;
use crate::steps::{Selector, Step, StepError, apply_all};

/// A channel at the end of a route.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) meter: Arc<Meter>,
    /// The type of the channel's events, which may have more columns than the events that are put; none leaves the
    /// events as they are.
    pub(crate) schema: Option<SchemaRef>,
    /// Whether a put may fail without failing the event.
    pub(crate) optional: bool,
}

/// Compiled steps, and the route after them.
pub(crate) struct Leg {
    steps: Vec<Arc<Step>>,
    to: Route,
}

enum Route {
    Channel(Target),
    /// No channel: the last step dropped all events.
    End,
    Copy(Vec<Leg>),
    Balance(Vec<Leg>, RoundRobin),
    Select(Arc<Selector>, Vec<Leg>),
}

/// Chooses legs in turn.
#[derive(Debug, Default)]
struct RoundRobin(AtomicUsize);

impl RoundRobin {
    /// The index of the next of `legs` legs.
    fn next(&self, legs: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % legs
    }
}

/// A batch to be put into a channel.
pub(crate) struct Put {
    pub(crate) target: Target,
    pub(crate) batch: Batch,
}

impl Leg {
    /// Connects a compiled leg to its channels. `target` returns the channel of a name; its second argument is whether
    /// the branch is optional. None if a channel does not exist, or the leg leads to a sink.
    pub(crate) fn connect(
        compiled: &CompiledLeg,
        optional: bool,
        target: &mut dyn FnMut(&str, bool) -> Option<Target>,
    ) -> Option<Leg> {
        let to = match &compiled.to {
            CompiledRoute::Channel(name) => Route::Channel(target(name, optional)?),
            CompiledRoute::Copy(branches) => {
                let branches = branches
                    .iter()
                    .map(|(branch, may_fail)| Leg::connect(branch, optional || *may_fail, target));
                Route::Copy(branches.collect::<Option<Vec<Leg>>>()?)
            }
            CompiledRoute::Balance(legs) => {
                let legs = legs.iter().map(|leg| Leg::connect(leg, optional, target));
                Route::Balance(legs.collect::<Option<Vec<Leg>>>()?, RoundRobin::default())
            }
            CompiledRoute::End => Route::End,
            CompiledRoute::Select(selector, legs) => {
                let legs = legs.iter().map(|leg| Leg::connect(leg, optional, target));
                Route::Select(selector.clone(), legs.collect::<Option<Vec<Leg>>>()?)
            }
            CompiledRoute::Sink(_) => return None,
        };
        Some(Leg { steps: compiled.steps.clone(), to })
    }

    /// Whether a step or a selector computes something for each event.
    pub(crate) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
            || match &self.to {
                Route::Channel(_) | Route::End => false,
                Route::Select(..) => true,
                Route::Copy(legs) | Route::Balance(legs, _) => legs.iter().any(Leg::has_steps),
            }
    }

    /// Makes a leg without steps to one channel.
    pub(crate) fn direct(target: Target) -> Leg {
        Leg { steps: Vec::new(), to: Route::Channel(target) }
    }

    /// The channels at the ends of the leg, with repetition.
    pub(crate) fn targets(&self) -> Vec<&Target> {
        match &self.to {
            Route::Channel(target) => vec![target],
            Route::End => Vec::new(),
            Route::Copy(branches) | Route::Balance(branches, _) | Route::Select(_, branches) => {
                branches.iter().flat_map(Leg::targets).collect()
            }
        }
    }

    /// Applies the steps and adds a put for each of [`Leg::targets`] in its order, empty puts included.
    ///
    /// Events that the steps drop are counted in `meter`, once for each branch.
    pub(crate) fn apply(&self, batch: &Batch, meter: &Meter, puts: &mut Vec<Put>) -> Result<(), StepError> {
        let batch = apply_all(&self.steps, batch, meter)?;
        match &self.to {
            Route::Channel(target) => {
                let batch = widened(batch, target.schema.as_ref(), &target.name)?;
                puts.push(Put { target: target.clone(), batch: batch.compacted() });
            }
            Route::End => {}
            Route::Copy(branches) => {
                for branch in branches {
                    branch.apply(&batch, meter, puts)?;
                }
            }
            Route::Balance(legs, round_robin) => {
                // An empty batch tells the other channels the positions, so that they see no gap.
                let (chosen, empty) = (round_robin.next(legs.len()), batch.slice(0, 0));
                for (index, leg) in legs.iter().enumerate() {
                    leg.apply(if index == chosen { &batch } else { &empty }, meter, puts)?;
                }
            }
            Route::Select(selector, legs) => {
                // A leg without events receives an empty batch: it tells the channels the positions.
                let select = || -> Result<Vec<Batch>, BatchError> {
                    let masks = selector.masks(&batch)?;
                    masks.iter().map(|mask| batch.filter(mask)).collect()
                };
                let misfit = |error| StepError { step: selector.name().to_owned(), error };
                for (leg, batch) in legs.iter().zip(select().map_err(misfit)?) {
                    leg.apply(&batch, meter, puts)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the batch under the schema of the channel or sink `component`; columns that the batch lacks are null.
pub(crate) fn widened(batch: Batch, schema: Option<&SchemaRef>, component: &str) -> Result<Batch, StepError> {
    let Some(schema) = schema else { return Ok(batch) };
    batch.project(schema).map_err(|error| StepError { step: format!("-> {component}"), error })
}

impl Put {
    /// Whether the batch fits into one transaction of its channel.
    pub(crate) fn fits(&self) -> bool {
        let (size, limits) = (Fill::of(&self.batch), self.target.channel.limits());
        size.events <= limits.transaction_capacity && size.bytes <= limits.byte_capacity
    }

    /// Puts the batch into the reserved space, and commits.
    pub(crate) fn commit(
        self,
        transaction: Box<dyn PutTransaction>,
        scope: &Scope,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError> {
        let (rows, now) = (self.batch.rows(), Instant::now());
        let meter = &self.target.meter;
        meter.received.add(rows, self.batch.payload_bytes());
        meter.age.put(rows, now);
        meter.touch(now);
        transaction.commit(scope, self.batch, acknowledgement)
    }

    /// Puts the batch into an optional channel without waiting. If the channel has no space, the events are skipped and
    /// counted; so are the events after them in the same run, if the channel knows positions.
    pub(crate) fn commit_if_room(self, scope: &Scope) {
        let (meter, rows) = (self.target.meter.clone(), self.batch.rows() as u64);
        let committed = match self.target.channel.try_reserve(Fill::of(&self.batch)) {
            Some(transaction) => self.commit(transaction, scope, Acknowledgement::unobserved()).is_ok(),
            None => false,
        };
        if !committed {
            meter.count("skipped_events", rows);
        }
    }
}

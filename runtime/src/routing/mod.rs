//! Routes: the way of a batch through steps into channels, and of acknowledgements back.

mod acknowledgement;
mod planned;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_schema::SchemaRef;
use tokio::time::Instant;

pub use self::acknowledgement::Acknowledgement;
pub(crate) use self::acknowledgement::Settle;
pub(crate) use self::planned::{Compiled, Ends};
use crate::batch::Batch;
use crate::channel::{Channel, CommitError, Fill, PutTransaction, Scope};
use crate::observability::meter::Meter;
use crate::steps::{Step, StepError, apply_all};

/// A channel that a route leads into.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) meter: Arc<Meter>,
    /// The type of the channel's events, which may be wider than those that are put; none leaves
    /// them as they are.
    pub(crate) schema: Option<SchemaRef>,
    /// A branch that may fail without failing the event.
    pub(crate) optional: bool,
}

/// Steps, and where the events go after them.
pub(crate) struct Leg {
    steps: Vec<Arc<Step>>,
    to: Route,
}

enum Route {
    Channel(Target),
    Copy(Vec<Leg>),
    Balance(Vec<Leg>, Turn),
}

/// Whose turn it is among several ways.
#[derive(Debug, Default)]
struct Turn(AtomicUsize);

impl Turn {
    fn next(&self, ways: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % ways
    }
}

/// A batch on its way into a channel.
pub(crate) struct Put {
    pub(crate) target: Target,
    pub(crate) batch: Batch,
}

impl Leg {
    /// The compiled leg with its channels looked up by `target`, given name and optionality; none if one is not
    /// there, or the leg leads to a sink.
    pub(crate) fn connect(
        compiled: &Compiled,
        optional: bool,
        target: &mut dyn FnMut(&str, bool) -> Option<Target>,
    ) -> Option<Leg> {
        let to = match &compiled.to {
            Ends::Channel(name) => Route::Channel(target(name, optional)?),
            Ends::Copy(branches) => {
                let branches = branches
                    .iter()
                    .map(|(branch, may_fail)| Leg::connect(branch, optional || *may_fail, target));
                Route::Copy(branches.collect::<Option<Vec<Leg>>>()?)
            }
            Ends::Balance(legs) => {
                let ways = legs.iter().map(|leg| Leg::connect(leg, optional, target));
                Route::Balance(ways.collect::<Option<Vec<Leg>>>()?, Turn::default())
            }
            Ends::Sink(_) => return None,
        };
        Some(Leg { steps: compiled.steps.clone(), to })
    }

    /// Whether events pass steps on their way.
    pub(crate) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
            || match &self.to {
                Route::Channel(_) => false,
                Route::Copy(legs) | Route::Balance(legs, _) => legs.iter().any(Leg::has_steps),
            }
    }

    /// No steps and one channel.
    pub(crate) fn direct(target: Target) -> Leg {
        Leg { steps: Vec::new(), to: Route::Channel(target) }
    }

    /// The channels that it leads into.
    pub(crate) fn targets(&self) -> Vec<&Target> {
        match &self.to {
            Route::Channel(target) => vec![target],
            Route::Copy(branches) | Route::Balance(branches, _) => {
                branches.iter().flat_map(Leg::targets).collect()
            }
        }
    }

    /// Applies the steps and adds a put for each channel, empty ones included.
    ///
    /// What the steps drop is counted in `meter`, once for each branch that drops it.
    pub(crate) fn apply(&self, batch: &Batch, meter: &Meter, puts: &mut Vec<Put>) -> Result<(), StepError> {
        let batch = apply_all(&self.steps, batch, meter)?;
        match &self.to {
            Route::Channel(target) => {
                let batch = widened(batch, target.schema.as_ref(), &target.name)?;
                puts.push(Put { target: target.clone(), batch: batch.compacted() });
            }
            Route::Copy(branches) => {
                for branch in branches {
                    branch.apply(&batch, meter, puts)?;
                }
            }
            Route::Balance(ways, turn) => {
                // The other ways are told of the positions, so that they have no holes.
                let (chosen, nothing) = (turn.next(ways.len()), batch.slice(0, 0));
                for (way, leg) in ways.iter().enumerate() {
                    leg.apply(if way == chosen { &batch } else { &nothing }, meter, puts)?;
                }
            }
        }
        Ok(())
    }
}

/// The batch as one of the events that meet in a channel or a sink: what only others have is null.
pub(crate) fn widened(batch: Batch, schema: Option<&SchemaRef>, place: &str) -> Result<Batch, StepError> {
    let Some(schema) = schema else { return Ok(batch) };
    batch.project(schema).map_err(|error| StepError { step: format!("-> {place}"), error })
}

impl Put {
    /// Whether it fits into one transaction of its channel.
    pub(crate) fn fits(&self) -> bool {
        let (room, limits) = (Fill::of(&self.batch), self.target.channel.limits());
        room.events <= limits.transaction_capacity && room.bytes <= limits.byte_capacity
    }

    /// Puts and commits into the room that was reserved.
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

    /// Puts into an optional channel; what it has no room for is counted and left out, and so is
    /// what comes behind that in the same run.
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

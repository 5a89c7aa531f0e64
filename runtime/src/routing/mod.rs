//! Routes: batches pass steps into channels, and acknowledgements return to the source.

mod acknowledgement;
mod compiled;
mod failover;
mod portion;
mod puts;
mod rejects;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_schema::SchemaRef;
use tokio::time::Instant;

pub use self::acknowledgement::Acknowledgement;
pub(crate) use self::acknowledgement::Settle;
pub(crate) use self::compiled::{CompiledLeg, CompiledRoute};
pub(crate) use self::failover::ActiveLeg;
use self::failover::{Alternatives, Failover};
pub(crate) use self::portion::Portion;
pub use self::puts::PutError;
pub(crate) use self::puts::Puts;
pub(crate) use self::rejects::RejectRoutes;
use crate::batch::{Batch, BatchError, Origins, Partition};
use crate::channel::{Channel, CommitError, Fill, PutTransaction, Scope};
use crate::observability::meter::Meter;
use crate::steps::{Pass, RejectEvents, Selector, Step, StepError};

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
    /// Whether the put is of rejected events.
    pub(crate) is_reject: bool,
    /// Whether the channel, if it can, recognises events by the positions of their source. It can't where a fork sends an event
    /// that comes again to another channel: the events of a position may then be missing in a channel that knows later ones.
    pub(crate) knows_positions: bool,
    /// The number of events that the steps behind the channel let through in a short time: larger puts are divided.
    pub(crate) portion: Portion,
}

impl Target {
    /// Whether the channel recognises events that are put again.
    pub(crate) fn recognises_events(&self) -> bool {
        self.knows_positions && self.channel.knows_positions()
    }

    /// The last positions of a scope that the channel has; none if it does not recognise events.
    pub(crate) fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        self.channel.stored(scope).filter(|_| self.knows_positions)
    }
}

/// A path from a source into channels, with the route of the events that its steps reject.
pub(crate) struct Leg {
    main: Segment,
    /// None if no step rejects events.
    rejects: Option<RejectRoutes>,
    /// Whether events of one slot are rejected in several ways; they are then put into their order.
    rejects_in_several_ways: bool,
}

/// Compiled steps, and the route after them.
pub(crate) struct Segment {
    steps: Vec<Arc<Step>>,
    to: Route,
    /// The slot of the events that the steps reject.
    slot: usize,
}

/// The rejects of a flow, for the legs whose steps reject events.
#[derive(Clone, Copy)]
pub(crate) struct FlowRejects<'a> {
    /// The flow's route for rejected events.
    pub(crate) leg: &'a CompiledLeg,
    /// Makes these events.
    pub(crate) events: &'a RejectEvents,
}

enum Route {
    Channel(Target),
    /// No channel: the last step dropped all events.
    End,
    Copy(Vec<Segment>),
    Balance(Vec<Segment>, RoundRobin),
    Failover(Arc<Failover>),
    Select(Arc<Selector>, Vec<Segment>),
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
    /// The other channels of a `failover` that may take the events.
    others: Option<Alternatives>,
}

/// Returns the channel of a name; the second argument is whether the branch is optional.
pub(crate) type FindTarget<'a> = dyn FnMut(&str, bool) -> Option<Target> + 'a;

impl Leg {
    /// Connects a compiled leg to its channels. None if a channel does not exist, the leg leads to a sink, or its steps
    /// reject events and the flow has no route for them.
    pub(crate) fn connect(
        compiled: &CompiledLeg,
        rejects: Option<FlowRejects<'_>>,
        target: &mut FindTarget<'_>,
    ) -> Option<Leg> {
        let mut slots = 1;
        let main = Segment::connect(compiled, false, 0, &mut slots, target)?;
        let ways = compiled.ways_to_reject();
        if ways == 0 {
            return Some(Leg { main, rejects: None, rejects_in_several_ways: false });
        }
        let rejects = RejectRoutes::connect(rejects?, slots, target)?;
        Some(Leg { main, rejects: Some(rejects), rejects_in_several_ways: ways > 1 })
    }

    /// Whether a step or a selector computes something for each event.
    pub(crate) fn has_steps(&self) -> bool {
        self.main.has_steps()
    }

    /// Makes a leg without steps to one channel.
    pub(crate) fn direct(target: Target) -> Leg {
        let main = Segment { steps: Vec::new(), to: Route::Channel(target), slot: 0 };
        Leg { main, rejects: None, rejects_in_several_ways: false }
    }

    /// The channels at the ends of the leg, with repetition: first the channels that events reach, then the channels of
    /// rejected events.
    pub(crate) fn targets(&self) -> Vec<&Target> {
        let rejects = self.rejects.iter().flat_map(RejectRoutes::targets);
        self.main.targets().into_iter().chain(rejects).collect()
    }
}

impl Segment {
    /// `slot` is the slot of the events that the steps reject; `slots` is the number of slots so far.
    fn connect(
        compiled: &CompiledLeg,
        optional: bool,
        slot: usize,
        slots: &mut usize,
        target: &mut FindTarget<'_>,
    ) -> Option<Segment> {
        let mut all = |legs: &[CompiledLeg]| -> Option<Vec<Segment>> {
            legs.iter().map(|leg| Segment::connect(leg, optional, slot, slots, target)).collect()
        };
        let to = match &compiled.to {
            CompiledRoute::Channel(name) => Route::Channel(target(name, optional)?),
            CompiledRoute::Copy(branches) => {
                let branches = branches.iter().enumerate().map(|(index, (branch, may_fail))| {
                    let mut slot = slot;
                    if index > 0 && branch.ways_to_reject() > 0 {
                        slot = *slots;
                        *slots += 1;
                    }
                    Segment::connect(branch, optional || *may_fail, slot, slots, target)
                });
                Route::Copy(branches.collect::<Option<Vec<Segment>>>()?)
            }
            CompiledRoute::Balance(legs) => {
                let knows_positions = put_back!("balance_knows_positions");
                let mut target =
                    |name: &str, optional| Some(Target { knows_positions, ..target(name, optional)? });
                let legs = legs.iter().map(|leg| Segment::connect(leg, optional, slot, slots, &mut target));
                Route::Balance(legs.collect::<Option<_>>()?, RoundRobin::default())
            }
            CompiledRoute::Failover(legs, active) => {
                let knows_positions = put_back!("failover_knows_positions");
                let mut target =
                    |name: &str, optional| Some(Target { knows_positions, ..target(name, optional)? });
                let legs = legs.iter().map(|leg| Segment::connect(leg, optional, slot, slots, &mut target));
                Route::Failover(Arc::new(Failover::new(legs.collect::<Option<_>>()?, active.clone())))
            }
            CompiledRoute::End => Route::End,
            CompiledRoute::Select(selector, legs) => Route::Select(selector.clone(), all(legs)?),
            CompiledRoute::Sink(_) => return None,
        };
        Some(Segment { steps: compiled.steps.clone(), to, slot })
    }

    fn has_steps(&self) -> bool {
        !self.steps.is_empty()
            || match &self.to {
                Route::Channel(_) | Route::End => false,
                Route::Select(..) => true,
                Route::Copy(legs) | Route::Balance(legs, _) => legs.iter().any(Segment::has_steps),
                Route::Failover(failover) => failover.legs.iter().any(Segment::has_steps),
            }
    }

    pub(crate) fn targets(&self) -> Vec<&Target> {
        match &self.to {
            Route::Channel(target) => vec![target],
            Route::End => Vec::new(),
            Route::Copy(branches) | Route::Balance(branches, _) | Route::Select(_, branches) => {
                branches.iter().flat_map(Segment::targets).collect()
            }
            Route::Failover(failover) => failover.legs.iter().flat_map(Segment::targets).collect(),
        }
    }

    /// Applies the steps and adds a put for each of the targets, empty puts included.
    fn apply(&self, batch: &Batch, pass: &mut Pass, puts: &mut Vec<Put>) -> Result<(), StepError> {
        let batch = pass.through(&self.steps, batch, self.slot)?;
        match &self.to {
            Route::Channel(target) => {
                let batch = widened(batch, target.schema.as_ref(), &target.name)?;
                let batch = match (target.knows_positions, target.channel.knows_positions()) {
                    (true, _) => batch,
                    // A `sample` behind the channel chooses events by their identities.
                    (false, false) => batch.with_origins(Origins::default()),
                    (false, true) => batch.without_identities().with_origins(Origins::default()),
                };
                puts.push(Put { target: target.clone(), batch: batch.compacted(), others: None });
            }
            Route::End => {}
            Route::Copy(branches) => {
                for branch in branches {
                    branch.apply(&batch, pass, puts)?;
                }
            }
            Route::Balance(legs, round_robin) => {
                // An empty batch tells the other channels the positions, so that they see no gap.
                let (chosen, empty) = (round_robin.next(legs.len()), batch.slice(0, 0));
                for (index, leg) in legs.iter().enumerate() {
                    leg.apply(if index == chosen { &batch } else { &empty }, pass, puts)?;
                }
            }
            Route::Failover(failover) => failover.apply(&batch, pass, puts)?,
            Route::Select(selector, legs) => {
                // A leg without events receives an empty batch: it tells the channels the positions.
                let select = || -> Result<Vec<Batch>, BatchError> {
                    let masks = selector.masks(&batch, &pass.memo)?;
                    masks.iter().map(|mask| batch.filter(mask)).collect()
                };
                let misfit = |error| StepError { step: selector.name().to_owned(), error };
                for (leg, mut batch) in legs.iter().zip(select().map_err(misfit)?) {
                    if batch.is_empty() && put_back!("balance_positions_untold") {
                        batch = batch.with_origins(Origins::default());
                    }
                    leg.apply(&batch, pass, puts)?;
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

//! Failover over channels: a put goes into the first channel that has space.
//!
//! The channel of the active leg gets all puts. When it has had no space for as long as a put waits, the put goes into the
//! first other channel that has space, and so do the following ones. After a wait that grows, a put tries the channels before
//! the active one again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Put, Segment, Target};
use crate::batch::Batch;
use crate::channel::Fill;
use crate::failure::GrowingWaits;
use crate::observability::failover::{Branch, Cause};
use crate::steps::{Pass, StepError};

/// The shortest and the longest wait before the channels before the active one are tried again.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// The legs of a `failover`, each of which ends at a channel and rejects nothing.
pub(crate) struct Failover {
    pub(super) legs: Vec<Segment>,
    active: Arc<ActiveLeg>,
}

/// The leg of a `failover` that takes the events. All sources that put into it share it.
#[derive(Default)]
pub(crate) struct ActiveLeg(Mutex<Active>);

struct Active {
    index: usize,
    waits: GrowingWaits,
    /// When the legs before the active one are tried again.
    next_try: Option<Instant>,
}

impl Default for Active {
    fn default() -> Active {
        Active { index: 0, waits: GrowingWaits::new(WAITS[0], WAITS[1]), next_try: None }
    }
}

impl Active {
    fn wait(&mut self) {
        self.next_try = Some(Instant::now() + self.waits.next_wait());
    }
}

/// The legs that may take the events of a put instead.
#[derive(Clone)]
pub(super) struct Alternatives {
    failover: Arc<Failover>,
    /// The leg that the put goes through.
    index: usize,
    /// The events before the steps of the legs.
    batch: Batch,
}

impl Failover {
    /// Makes the fork, and shows the active leg in the metrics of the channels.
    pub(super) fn new(legs: Vec<Segment>, active: Arc<ActiveLeg>) -> Failover {
        let failover = Failover { legs, active };
        for (index, leg) in failover.legs.iter().enumerate() {
            leg.targets().into_iter().for_each(|target| branch(target).show(index == 0));
        }
        failover
    }

    fn lock(&self) -> MutexGuard<'_, Active> {
        self.active.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self, leg: usize) -> Option<&Target> {
        self.legs[leg].targets().into_iter().next()
    }

    /// Adds a put for each leg. All events are in the put of the active leg.
    pub(super) fn apply(
        self: &Arc<Self>,
        batch: &Batch,
        pass: &mut Pass,
        puts: &mut Vec<Put>,
    ) -> Result<(), StepError> {
        let (chosen, empty) = (self.choose(batch), batch.slice(0, 0));
        for (index, leg) in self.legs.iter().enumerate() {
            let first = puts.len();
            leg.apply(if index == chosen { batch } else { &empty }, pass, puts)?;
            if index == chosen {
                let others = Alternatives { failover: self.clone(), index, batch: batch.clone() };
                puts[first..].iter_mut().for_each(|put| put.others = Some(others.clone()));
            }
        }
        Ok(())
    }

    /// Returns the active leg, after trying the legs before it if it is time.
    fn choose(&self, batch: &Batch) -> usize {
        let mut active = self.lock();
        if batch.is_empty() || active.next_try.is_none_or(|at| Instant::now() < at) {
            return active.index;
        }
        let has_space =
            |leg: &usize| self.target(*leg).is_some_and(|target| has_space(target, Fill::of(batch)));
        match (0..active.index).find(has_space) {
            Some(leg) => self.switch(&mut active, leg, Cause::WorksAgain),
            None => active.wait(),
        }
        active.index
    }

    fn switch(&self, active: &mut Active, to: usize, cause: Cause<'_>) {
        if let (Some(new), Some(old)) = (self.target(to), self.target(active.index))
            && to != active.index
        {
            branch(new).take_over(&branch(old), cause);
        }
        if cause == Cause::WorksAgain {
            active.waits = Active::default().waits;
        }
        active.index = to;
        match to {
            0 => active.next_try = None,
            _ => active.wait(),
        }
    }
}

impl Put {
    /// Returns this put into another channel of its `failover`, if its own channel has no space and the other one has.
    ///
    /// # Errors
    /// When a step of the other leg does not fit the events.
    pub(super) fn elsewhere(&self) -> Result<Option<Put>, StepError> {
        let Some(Alternatives { failover, index, batch }) = &self.others else { return Ok(None) };
        if has_space(&self.target, Fill::of(&self.batch)) {
            return Ok(None);
        }
        for (other, leg) in failover.legs.iter().enumerate().filter(|(other, _)| other != index) {
            let (mut pass, mut puts) = (Pass::default(), Vec::new());
            leg.apply(batch, &mut pass, &mut puts)?;
            let Some(put) = puts.pop() else { continue };
            if has_space(&put.target, Fill::of(&put.batch)) {
                let why = format!("the channel {} is full", self.target.name);
                failover.switch(&mut failover.lock(), other, Cause::Failed(&why));
                let others = Alternatives { failover: failover.clone(), index: other, batch: batch.clone() };
                return Ok(Some(Put { others: Some(others), ..put }));
            }
        }
        Ok(None)
    }
}

/// Whether a put of this size does not have to wait.
fn has_space(target: &Target, size: Fill) -> bool {
    target.channel.try_reserve(size).is_some()
}

fn branch(target: &Target) -> Branch {
    Branch { component: target.name.clone(), meter: target.meter.clone() }
}

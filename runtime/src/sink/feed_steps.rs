//! The steps between a channel and a sink.
//!
//! Each sink behind a channel reads all its events and applies the steps on its own way. Where several ways have steps
//! in common, one of them reports the events that these steps reject, so that each is rejected once.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::batch::Batch;
use crate::routing::{CompiledLeg, CompiledRoute};
use crate::steps::{Pass, Selector, Step, StepError};

/// One part of the way from a channel to a sink.
#[derive(Clone)]
pub(crate) enum FeedStep {
    Apply {
        step: Arc<Step>,
        /// Whether this way reports the events that the step rejects.
        reports: bool,
    },
    /// A leg without a sink, whose steps drop or reject all events. It changes nothing for the following steps.
    Aside(Aside),
}

/// A leg without a sink.
#[derive(Clone)]
pub(crate) struct Aside {
    /// The choice of the events that take the leg; none if all events do.
    choice: Option<(Arc<Selector>, usize)>,
    steps: Vec<FeedStep>,
    /// The slot of the events that the leg rejects.
    slot: usize,
}

/// The way from a channel to a sink.
#[derive(Clone, Default)]
pub(crate) struct FeedSteps {
    pub(crate) steps: Vec<FeedStep>,
    /// The number of slots beyond the first, in which an event may be rejected once each.
    more_slots: usize,
    /// Differs between the readers of channels.
    reader: u64,
}

/// The steps with state of one reader, by the steps that they are copies of. Sinks that share a reader share them.
pub(crate) type StepsOfReader = Vec<(Arc<Step>, Arc<Step>)>;

impl FeedSteps {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Differs between the readers of channels.
    pub(crate) fn reader(&self) -> u64 {
        self.reader
    }

    /// Gives the steps the state of the reader with this name of a channel.
    pub(crate) fn of_reader(&mut self, channel: &str, reader: &str, own: &mut StepsOfReader) {
        self.reader = xxh3_64(format!("{reader}@{channel}").as_bytes());
        self.steps.iter_mut().for_each(|step| step.take_own_state(own));
    }

    /// The number of slots in which the steps reject events; 0 if they reject none.
    pub(crate) fn slots(&self) -> usize {
        if self.steps.iter().any(FeedStep::rejects) { 1 + self.more_slots } else { 0 }
    }

    /// Adds the steps of a leg.
    pub(crate) fn extend(&mut self, steps: &[Arc<Step>]) {
        let added = steps.iter().map(|step| FeedStep::Apply { step: step.clone(), reports: true });
        self.steps.extend(added);
    }

    /// Adds a step that rejects nothing.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(FeedStep::Apply { step: Arc::new(step), reports: false });
    }

    /// Returns the steps for a way of which another way reports the rejected events.
    pub(crate) fn unreported(&self) -> FeedSteps {
        let unreported = |step: &FeedStep| match step {
            FeedStep::Apply { step, .. } => Some(FeedStep::Apply { step: step.clone(), reports: false }),
            FeedStep::Aside(_) => None,
        };
        FeedSteps { steps: self.steps.iter().filter_map(unreported).collect(), ..FeedSteps::default() }
    }

    /// Adds a leg without a sink whose steps reject events. A leg of a `copy` needs a slot of its own.
    pub(crate) fn add_aside(&mut self, leg: &CompiledLeg, choice: Option<(Arc<Selector>, usize)>) {
        let slot = match choice {
            Some(_) => 0,
            None => {
                self.more_slots += 1;
                self.more_slots
            }
        };
        let aside = self.aside(leg, choice, slot);
        self.steps.push(FeedStep::Aside(aside));
    }

    fn aside(&mut self, leg: &CompiledLeg, choice: Option<(Arc<Selector>, usize)>, slot: usize) -> Aside {
        let apply = |step: &Arc<Step>| FeedStep::Apply { step: step.clone(), reports: true };
        let mut steps: Vec<FeedStep> = leg.steps.iter().map(apply).collect();
        let selector = match &leg.to {
            CompiledRoute::Select(selector, _) => Some(selector.clone()),
            _ => None,
        };
        for (index, leg) in leg.to.legs().enumerate().filter(|(_, leg)| leg.ways_to_reject() > 0) {
            let choice = selector.clone().map(|selector| (selector, index));
            let slot = match (&choice, index) {
                (Some(_), _) | (None, 0) => slot,
                (None, _) => {
                    self.more_slots += 1;
                    self.more_slots
                }
            };
            steps.push(FeedStep::Aside(self.aside(leg, choice, slot)));
        }
        Aside { choice, steps, slot }
    }

    /// Applies the steps to a batch.
    ///
    /// # Errors
    /// When a step does not fit the events.
    pub(crate) fn apply(&self, batch: &Batch, pass: &mut Pass) -> Result<Batch, StepError> {
        apply(&self.steps, batch, 0, pass)
    }
}

impl FeedStep {
    /// Replaces steps with state by their copies.
    fn take_own_state(&mut self, own: &mut StepsOfReader) {
        match self {
            FeedStep::Apply { step, .. } => {
                if let Some((_, copy)) = own.iter().find(|(original, _)| Arc::ptr_eq(original, step)) {
                    *step = copy.clone();
                } else if let Some(copy) = step.with_own_state() {
                    let copy = Arc::new(copy);
                    own.push((std::mem::replace(step, copy.clone()), copy));
                }
            }
            FeedStep::Aside(aside) => aside.steps.iter_mut().for_each(|step| step.take_own_state(own)),
        }
    }

    fn rejects(&self) -> bool {
        match self {
            FeedStep::Apply { step, reports } => *reports && step.ways_to_reject() > 0,
            FeedStep::Aside(aside) => aside.steps.iter().any(FeedStep::rejects),
        }
    }
}

fn apply(steps: &[FeedStep], batch: &Batch, slot: usize, pass: &mut Pass) -> Result<Batch, StepError> {
    let mut batch = batch.clone();
    for step in steps {
        match step {
            FeedStep::Apply { step, reports: true } => {
                batch = pass.through(std::slice::from_ref(step), &batch, slot)?;
            }
            FeedStep::Apply { step, reports: false } => batch = pass.through_unreported(step, &batch)?,
            FeedStep::Aside(Aside { choice, steps, slot }) => {
                let events = match choice {
                    None => batch.clone(),
                    Some((selector, leg)) => {
                        let misfit = |error| StepError { step: selector.name().to_owned(), error };
                        let masks = selector.masks(&batch, &pass.memo).map_err(misfit)?;
                        batch.filter(&masks[*leg]).map_err(misfit)?
                    }
                };
                apply(steps, &events, *slot, pass)?;
            }
        }
    }
    Ok(batch)
}

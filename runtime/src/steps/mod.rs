//! Steps, compiled once from the plan, each in its own file. A step changes a batch between two components.
//!
//! [`Step::compile`] refuses the steps that this version does not support; `weir_plan::support` lists them for the compiler,
//! and a test compares the two.

mod columns;
mod condition;
mod drop;
mod keep;
mod parse;
mod selector;
mod take;

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_schema::{Field, FieldRef, Schema};
use thiserror::Error;
use weir_plan::{Action, EventType, OnFailure, Step as PlannedStep};

use crate::batch::{Batch, BatchError};
use crate::expressions::{Failures, Functions, Program, Unsupported, local_column};
use crate::observability::meter::Meter;
use crate::parsers::Parsers;

pub(crate) use selector::Selector;

/// The functions, parsers and event types with which steps are compiled.
#[derive(Clone, Copy)]
pub(crate) struct StepTools<'p> {
    /// The functions of the library.
    pub(crate) functions: &'p Functions,
    /// The parsers of the library.
    pub(crate) parsers: &'p Parsers,
    /// The event types of the plan.
    pub(crate) event_types: &'p [EventType],
}

#[cfg(test)]
impl StepTools<'static> {
    /// Makes tools without functions, parsers and event types.
    pub(crate) fn none() -> StepTools<'static> {
        static FUNCTIONS: Functions = Functions::new();
        static PARSERS: Parsers = Parsers::new();
        StepTools { functions: &FUNCTIONS, parsers: &PARSERS, event_types: &[] }
    }
}

/// A compiled step.
pub(crate) struct Step {
    /// The step's first words, its name in metrics and messages.
    label: String,
    action: Box<dyn Apply>,
    /// The fate of events for which the step fails; none if it can't fail.
    on_failure: Option<OnFailure>,
}

/// The action of a step.
trait Apply: Send + Sync {
    /// Applies the step to a batch.
    ///
    /// # Errors
    /// When the batch is not of the event type that the step was compiled for.
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError>;
}

/// The result of a step.
struct Applied {
    /// The events after the step, without the events for which it failed.
    batch: Batch,
    /// The rows of the batch before the step for which it failed.
    failures: Failures,
    /// The number of dropped events.
    dropped_events: usize,
    /// The bytes of the dropped events, as they came to the step.
    dropped_bytes: u64,
}

/// The error of a step on a batch: the plan does not fit the events, which is a defect.
#[derive(Debug, Error)]
#[error("step `{step}` can't be applied: {error}")]
pub struct StepError {
    /// The step's first words.
    pub step: String,
    /// The cause.
    pub error: BatchError,
}

impl Step {
    /// Compiles a step of a plan without [faults](weir_plan::Plan::faults), with these tools.
    ///
    /// # Errors
    /// When this version does not support the step, or a part of it.
    ///
    /// `locals` are the locals of the steps before, to which a `let` adds its own: further columns of the batches, which
    /// a channel or a sink does not take.
    pub(crate) fn compile(
        planned: &PlannedStep,
        tools: &StepTools<'_>,
        locals: &mut Vec<FieldRef>,
    ) -> Result<Step, Unsupported> {
        let PlannedStep { label, action, on_failure, .. } = planned;
        let step_name = || Unsupported(format!("the step `{label}`"));
        let part = |Unsupported(part)| Unsupported(format!("the step `{label}`: {part}"));
        let program = |expression| Program::compile(expression, tools.functions).map_err(part);
        if let Action::Let { local, value } = action {
            let field = Field::new(local_column(*local), value.data_type.clone(), value.nullable);
            locals.push(Arc::new(field));
        }
        let after = || {
            let schema = &tools.event_types[planned.event_type.0 as usize].schema;
            match locals.is_empty() {
                true => schema.clone(),
                false => Arc::new(Schema::new([schema.fields().as_ref(), locals.as_slice()].concat())),
            }
        };
        let action: Box<dyn Apply> = match action {
            Action::Keep(condition) => Box::new(keep::Keep(program(condition)?)),
            Action::Drop(condition) => Box::new(drop::Drop(program(condition)?)),
            Action::Set { column, value } => {
                Box::new(columns::Set { column: column.clone(), value: program(value)?, after: after() })
            }
            Action::Unset(_) | Action::Select(_) => Box::new(columns::Narrow { after: after() }),
            Action::Rename { from, to } => {
                Box::new(columns::Rename { from: from.clone(), to: to.clone(), after: after() })
            }
            Action::Parse { parser, settings, fields, strict } => {
                let parse = parse::Parse::compile(parser, settings, fields, *strict, after(), tools);
                Box::new(parse.map_err(part)?)
            }
            Action::Let { local, value } => Box::new(columns::Set {
                column: local_column(*local),
                value: program(value)?,
                after: after(),
            }),
            Action::Reject { .. }
            | Action::Check { .. }
            | Action::Throttle(_)
            | Action::Sample(_)
            | Action::Dedupe { .. } => return Err(step_name()),
        };
        match on_failure {
            None | Some(OnFailure::Drop) => {
                Ok(Step { label: label.clone(), action, on_failure: *on_failure })
            }
            Some(OnFailure::Reject) => Err(part(Unsupported("`else reject`".to_owned()))),
        }
    }

    /// Makes a step that passes on only the events that take one leg of a route, for a reader that reads all events of a
    /// channel. The other events are no drops: their own readers have them.
    pub(crate) fn take(route: &str, selector: Arc<Selector>, leg: usize) -> Step {
        Step { label: route.to_owned(), action: Box::new(take::Take { selector, leg }), on_failure: None }
    }

    /// Applies the step, and counts dropped events in `meter`.
    fn apply(&self, batch: &Batch, meter: &Meter) -> Result<Batch, StepError> {
        let failed = |error| StepError { step: self.label.clone(), error };
        let Applied { batch: applied, failures, dropped_events, dropped_bytes } =
            self.action.apply(batch).map_err(failed)?;
        match (self.on_failure, failures.first()) {
            (None, Some((row, reason))) => {
                let what = format!("it can't fail by the plan, and failed for event {row}: {reason}");
                return Err(failed(BatchError::Arrow(arrow_schema::ArrowError::ComputeError(what))));
            }
            // `applied` is without the failed events, so they are dropped.
            (Some(OnFailure::Drop | OnFailure::Reject), _) | (None, None) => {}
        }
        meter.drop_events(&self.label, dropped_events, dropped_bytes);
        Ok(applied)
    }
}

/// Applies steps in their order, and counts dropped events in `meter`.
pub(crate) fn apply_all(steps: &[Arc<Step>], batch: &Batch, meter: &Meter) -> Result<Batch, StepError> {
    let mut batch = batch.clone();
    for step in steps {
        batch = step.apply(&batch, meter)?;
    }
    Ok(batch)
}

impl Applied {
    /// The result of a step that drops events and changes none of the others.
    fn filtered(before: &Batch, batch: Batch, failures: Failures) -> Applied {
        let dropped_events = before.rows() - batch.rows();
        let dropped_bytes = before.payload_bytes() - batch.payload_bytes();
        Applied { batch, failures, dropped_events, dropped_bytes }
    }

    /// The result of a step that changes the columns of all events, without the events for which it failed.
    ///
    /// # Errors
    /// When Arrow's filter refuses the columns.
    fn changed(before: &Batch, batch: Batch, failures: Failures) -> Result<Applied, BatchError> {
        if failures.is_empty() {
            return Ok(Applied { batch, failures, dropped_events: 0, dropped_bytes: 0 });
        }
        let failed = failures.mask(batch.rows());
        let dropped = before.filter(&failed)?;
        let (dropped_events, dropped_bytes) = (dropped.rows(), dropped.payload_bytes());
        let kept = BooleanArray::new(!failed.values(), None);
        Ok(Applied { batch: batch.filter(&kept)?, failures, dropped_events, dropped_bytes })
    }
}

#[cfg(test)]
mod supported;
#[cfg(test)]
mod tests;

//! Steps, compiled once from the plan, each in its own file. A step changes a batch between two components.
//!
//! [`Step::compile`] refuses the steps that this version does not support; `weir_plan::support` lists them for the compiler,
//! and a test compares the two.

mod before;
mod check;
mod columns;
mod condition;
mod dedupe;
mod drop;
mod fingerprint;
mod keep;
mod nested;
mod observer;
mod original_body;
mod parse;
mod reject;
mod rejection;
mod sample;
mod seen;
mod selector;
mod take;
mod throttle;
mod tools;
mod transaction;

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_schema::{Field, Schema, SchemaRef};
use thiserror::Error;
use tokio::time::Instant;
use weir_plan::{Action, OnFailure, SENSITIVE, Step as PlannedStep};

use crate::batch::{Batch, BatchError};
use crate::expressions::{CompileError, Failures, Memo, Program, ReasonKind, local_column};
use crate::observability::meter::{Reading, RuleCount, StepCount};

pub(crate) use before::Before;
pub(crate) use observer::{Observed, Observing};
pub use observer::{Observer, RoutePlace, StepPlace};
pub(crate) use original_body::keeps_original_body;
pub use rejection::EventsAsJson;
use rejection::Reasons;
pub(crate) use rejection::{ORIGINAL_BODY, RejectEvents, Rejected};
pub(crate) use selector::Selector;
pub(crate) use tools::StepTools;
pub(crate) use transaction::{AT_ONCE, Pace, PutNumber, Transaction};

/// The values that a reason must not quote.
enum Masked {
    Nothing,
    Everything,
    /// The fields of these names, and a body that can't be parsed into them.
    Fields(Vec<String>),
}

/// A compiled step.
pub(crate) struct Step {
    /// The step's first words, its name in metrics and messages.
    label: Arc<str>,
    action: StepAction,
    /// The fate of events for which the step fails; none if it can't fail.
    on_failure: Option<OnFailure>,
    masked: Masked,
    /// Whether the step parses bodies.
    parses: bool,
    /// In how many ways the step rejects events.
    ways_to_reject: usize,
    /// Who watches the step, if somebody does.
    observed: Option<Observed<StepPlace>>,
}

/// The action of a step.
enum StepAction {
    /// An action whose result depends on nothing but the batch.
    Pure(Box<dyn Apply>),
    WithState(Box<dyn ApplyInTransaction>),
}

/// An action without state.
trait Apply: Send + Sync {
    /// Applies the step to a batch.
    ///
    /// # Errors
    /// When the batch is not of the event type that the step was compiled for.
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError>;
}

/// An action with state, which the transactions of batches change.
trait ApplyInTransaction: Send + Sync {
    /// Applies the step to a batch, whose changes to the state the transaction keeps or undoes.
    ///
    /// # Errors
    /// When the batch is not of the event type that the step was compiled for.
    fn apply(&self, batch: &Batch, memo: &Memo, transaction: &mut Transaction)
    -> Result<Applied, BatchError>;

    /// Makes the same action with new state.
    fn with_own_state(&self) -> Box<dyn ApplyInTransaction>;
}

/// The result of a step.
struct Applied {
    /// The events after the step, without the events for which it failed.
    batch: Batch,
    /// The rows of the batch before the step for which it failed.
    failures: Failures,
    /// The number and bytes of the other events that are gone, as they came to the step.
    dropped: Reading,
    /// The events that the step rejects although it did not fail for them.
    rejected: Vec<(Batch, Reasons)>,
    /// The counts of the rules of a quality.
    rules: Vec<RuleCount>,
    /// The rows of the batch before the step that are the events after it, without nulls; none if the step does more than
    /// select events.
    selection: Option<BooleanArray>,
}

/// The way of one batch through steps: the counts and the rejected events of the steps, and the changes to their state.
#[derive(Default)]
pub(crate) struct Pass {
    pub(crate) transaction: Transaction,
    pub(crate) counts: Vec<StepCount>,
    pub(crate) rejected: Vec<Rejected>,
    /// The results of expressions that several steps have in common.
    pub(crate) memo: Memo,
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
    /// Compiles a step of a plan without [faults](weir_plan::Plan::faults), with these tools. Changes `before` to the
    /// columns and locals after the step.
    ///
    /// # Errors
    /// When this version does not support the step, or a part of it.
    pub(crate) fn compile(
        planned: &PlannedStep,
        tools: &StepTools<'_>,
        before: &mut Before,
    ) -> Result<Step, CompileError> {
        let PlannedStep { label, action, on_failure, .. } = planned;
        let part = |error: CompileError| error.within(&format!("the step `{label}`"));
        let schema = tools.event_types.get(planned.event_type.0 as usize).map(|after| after.schema.clone());
        let masked = masked(action, before, schema.as_ref());
        if let Action::Let { local, value } = action {
            before.add_local(local_column(*local), value);
        }
        let after = || {
            let schema = schema.clone().unwrap_or_else(|| Arc::new(Schema::empty()));
            match before.locals.is_empty() {
                true => schema,
                false => Arc::new(Schema::new([schema.fields().as_ref(), before.locals.as_slice()].concat())),
            }
        };
        let compiled = match action {
            Action::Check { quality, rules } => StepAction::Pure(Box::new(
                check::Check::compile(quality, rules, before, tools).map_err(part)?,
            )),
            Action::Sample(share) => {
                before.samples += 1;
                StepAction::Pure(Box::new(sample::Sample::new(*share, before.samples)))
            }
            Action::Throttle(_) | Action::Dedupe { .. } => {
                StepAction::WithState(compile_with_state(action, label, tools).map_err(part)?)
            }
            action => StepAction::Pure(compile_action(action, label, tools, &after).map_err(part)?),
        };
        before.schema.clone_from(&schema);
        let own_ways = match action {
            Action::Reject { .. } => 1,
            Action::Check { rules, .. } => rules.len(),
            _ => 0,
        };
        let label: Arc<str> = label.as_str().into();
        Ok(Step {
            observed: tools.observing.map(|observing| observing.step(&label)),
            label,
            action: compiled,
            on_failure: *on_failure,
            masked,
            parses: matches!(planned.action, Action::Parse { .. }),
            ways_to_reject: own_ways + usize::from(*on_failure == Some(OnFailure::Reject)),
        })
    }

    /// Makes a step that keeps the body as it came in for later steps that reject events.
    pub(crate) fn keep_original_body(before: &mut Before) -> Step {
        let field = Field::new(ORIGINAL_BODY, arrow_schema::DataType::BinaryView, false);
        before.locals.push(Arc::new(field));
        let fields = before.schema.iter().flat_map(|schema| schema.fields().iter().cloned());
        let after = Arc::new(Schema::new(fields.chain(before.locals.iter().cloned()).collect::<Vec<_>>()));
        Step::internal("body", Box::new(original_body::KeepOriginalBody { after }))
    }

    /// Makes a step that passes on only the events that take one leg of a route, for a reader that reads all events of a
    /// channel. The other events are no drops: their own readers have them.
    pub(crate) fn take(route: &str, selector: Arc<Selector>, leg: usize) -> Step {
        Step::internal(route, Box::new(take::Take { selector, leg }))
    }

    fn internal(label: &str, action: Box<dyn Apply>) -> Step {
        Step {
            label: label.into(),
            action: StepAction::Pure(action),
            on_failure: None,
            masked: Masked::Nothing,
            parses: false,
            ways_to_reject: 0,
            observed: None,
        }
    }

    /// Returns the same step with new state; none if it has no state.
    pub(crate) fn with_own_state(&self) -> Option<Step> {
        let StepAction::WithState(action) = &self.action else { return None };
        Some(Step {
            label: self.label.clone(),
            action: StepAction::WithState(action.with_own_state()),
            on_failure: self.on_failure,
            masked: Masked::Nothing,
            parses: false,
            ways_to_reject: self.ways_to_reject,
            observed: self.observed.clone(),
        })
    }

    /// In how many ways the step rejects events; 0 if it rejects none.
    pub(crate) fn ways_to_reject(&self) -> usize {
        self.ways_to_reject
    }

    /// Applies the step. Its counts and the events that it rejects go to `pass`.
    fn apply(&self, batch: &Batch, slot: usize, pass: &mut Pass) -> Result<Batch, StepError> {
        let begun = Instant::now();
        let failed = |error| StepError { step: self.label.to_string(), error };
        let applied = match &self.action {
            StepAction::Pure(action) => action.apply(batch, &pass.memo),
            StepAction::WithState(action) => action.apply(batch, &pass.memo, &mut pass.transaction),
        };
        let applied = applied.map_err(failed)?;
        let Applied { batch: after, failures, mut dropped, mut rejected, rules, selection } = applied;
        if let Some(selection) = selection {
            pass.memo.select(batch, &after, &selection);
        }
        if !failures.is_empty() {
            match self.on_failure {
                None => {
                    let (row, reason) = failures.iter().next().expect("there is a failure");
                    let what = format!("it can't fail by the plan, and failed for event {row}: {reason}");
                    return Err(failed(BatchError::Arrow(arrow_schema::ArrowError::ComputeError(what))));
                }
                Some(on_failure) => {
                    let events = batch.filter(&failures.mask(batch.rows())).map_err(failed)?;
                    match on_failure {
                        OnFailure::Drop => dropped.add(events.rows(), events.payload_bytes()),
                        OnFailure::Reject => rejected.push((events, self.reasons(&failures))),
                    }
                }
            }
        }
        let mut count = StepCount {
            step: self.label.clone(),
            received: batch.rows(),
            passed: after.rows(),
            dropped,
            rejected: Vec::new(),
            rules,
            took: begun.elapsed(),
        };
        if let Some(Observed { observer, place }) = &self.observed {
            let rejected = rejected.iter().map(|(events, _)| events.rows()).sum();
            observer.applied(place, batch, &after, rejected);
        }
        for (events, reasons) in rejected {
            count.rejected.extend(reasons.count(&events));
            pass.rejected.push(Rejected { slot, step: self.label.clone(), events, reasons });
        }
        pass.counts.push(count);
        Ok(after)
    }

    /// The reasons of failures in words, without sensitive values.
    fn reasons(&self, failures: &Failures) -> Reasons {
        let is_masked = |field: Option<&str>| match (&self.masked, field) {
            (Masked::Nothing, _) => false,
            (Masked::Everything, _) | (Masked::Fields(_), None) => true,
            (Masked::Fields(fields), Some(field)) => fields.iter().any(|masked| masked == field),
        };
        let reasons = failures.iter().map(|(_, reason)| {
            let text = match is_masked(reason.field()) {
                true => reason.masked().to_string(),
                false => reason.to_string(),
            };
            let kind = match reason.kind() {
                // Only a parser reads the complete body; a function reads a value.
                ReasonKind::Parse if !self.parses => ReasonKind::Conversion,
                kind => kind,
            };
            (kind, text)
        });
        Reasons::Each(reasons.collect())
    }
}

/// Returns the values that the reasons of an action must not quote. `after` is the type of the events after it.
fn masked(action: &Action, before: &Before, after: Option<&SchemaRef>) -> Masked {
    let expression = match action {
        Action::Parse { fields, .. } => {
            let is_marked = |name: &str| {
                let field = after.and_then(|after| after.field_with_name(name).ok());
                field.is_some_and(|field| field.metadata().contains_key(SENSITIVE))
            };
            let marked = fields.iter().map(|field| &field.name).filter(|name| is_marked(name));
            let marked: Vec<String> = marked.cloned().collect();
            return if marked.is_empty() { Masked::Nothing } else { Masked::Fields(marked) };
        }
        Action::Keep(expression) | Action::Drop(expression) => expression,
        Action::Reject { condition: expression, .. } => expression,
        Action::Set { value: expression, .. } | Action::Let { value: expression, .. } => expression,
        Action::Check { .. }
        | Action::Unset(_)
        | Action::Rename { .. }
        | Action::Select(_)
        | Action::Explode(_)
        | Action::Flatten { .. }
        | Action::Throttle(_)
        | Action::Sample(_)
        | Action::Dedupe { .. } => return Masked::Nothing,
    };
    if before.is_sensitive(expression) { Masked::Everything } else { Masked::Nothing }
}

/// Compiles an action. `after` returns the columns of the events after it, locals included.
fn compile_action(
    action: &Action,
    label: &str,
    tools: &StepTools<'_>,
    after: &dyn Fn() -> SchemaRef,
) -> Result<Box<dyn Apply>, CompileError> {
    let program = |expression| Program::compile_with(expression, &tools.expressions());
    Ok(match action {
        Action::Keep(condition) => Box::new(keep::Keep(program(condition)?)),
        Action::Drop(condition) => Box::new(drop::Drop(program(condition)?)),
        Action::Reject { condition, reason } => {
            let reason = reason.as_deref().unwrap_or(label).into();
            Box::new(reject::Reject { condition: program(condition)?, reason })
        }
        Action::Set { column, value } => {
            Box::new(columns::Set { column: column.clone(), value: program(value)?, after: after() })
        }
        Action::Unset(_) | Action::Select(_) => Box::new(columns::Narrow { after: after() }),
        Action::Explode(column) => Box::new(nested::Explode { column: column.clone(), after: after() }),
        Action::Flatten { column, fields } => Box::new(nested::Flatten::new(column, fields, after())),
        Action::Rename { from, to } => {
            Box::new(columns::Rename { from: from.clone(), to: to.clone(), after: after() })
        }
        Action::Parse { parser, settings, fields, strict } => {
            Box::new(parse::Parse::compile(parser, settings, fields, *strict, after(), tools)?)
        }
        Action::Let { local, value } => {
            Box::new(columns::Set { column: local_column(*local), value: program(value)?, after: after() })
        }
        Action::Check { .. } | Action::Throttle(_) | Action::Sample(_) | Action::Dedupe { .. } => {
            return Err(CompileError::Unsupported("all of it".to_owned()));
        }
    })
}

/// Compiles an action with state.
fn compile_with_state(
    action: &Action,
    label: &str,
    tools: &StepTools<'_>,
) -> Result<Box<dyn ApplyInTransaction>, CompileError> {
    Ok(match action {
        Action::Throttle(rate) => Box::new(throttle::Throttle::compile(rate)?),
        Action::Dedupe { by, within } => {
            Box::new(dedupe::Dedupe::new(Program::compile_with(by, &tools.expressions())?, *within, label))
        }
        _ => return Err(CompileError::Unsupported("all of it".to_owned())),
    })
}

impl Pass {
    /// Begins the way of a batch with this transaction.
    pub(crate) fn within(transaction: Transaction) -> Pass {
        Pass { transaction, ..Pass::default() }
    }

    /// Applies a step whose rejected events another reader of the channel reports: they are removed, and nothing else.
    ///
    /// # Errors
    /// When the step does not fit the events.
    pub(crate) fn through_unreported(&mut self, step: &Step, batch: &Batch) -> Result<Batch, StepError> {
        let rejected = self.rejected.len();
        let after = step.apply(batch, 0, self)?;
        self.rejected.truncate(rejected);
        if let Some(count) = self.counts.last_mut() {
            count.rejected.clear();
            count.rules.clear();
        }
        Ok(after)
    }

    /// Applies steps in their order. Events that they reject are rejected at this slot.
    ///
    /// # Errors
    /// When a step does not fit the events.
    pub(crate) fn through(
        &mut self,
        steps: &[Arc<Step>],
        batch: &Batch,
        slot: usize,
    ) -> Result<Batch, StepError> {
        let mut batch = batch.clone();
        for step in steps {
            batch = step.apply(&batch, slot, self)?;
        }
        Ok(batch)
    }
}

impl Applied {
    /// The result of a step that drops events and changes none of the others.
    fn filtered(before: &Batch, batch: Batch, failures: Failures) -> Result<Applied, BatchError> {
        let mut dropped = Reading::default();
        dropped.add(before.rows() - batch.rows(), before.payload_bytes() - batch.payload_bytes());
        if !failures.is_empty() {
            let failed = before.filter(&failures.mask(before.rows()))?;
            dropped.events -= failed.rows() as u64;
            dropped.bytes -= failed.payload_bytes();
        }
        Ok(Applied { dropped, ..Applied::rejected(batch, failures, Vec::new()) })
    }

    /// The result of a step that changes the columns of all events, without the events for which it failed.
    ///
    /// # Errors
    /// When Arrow's filter refuses the columns.
    fn changed(batch: Batch, failures: Failures) -> Result<Applied, BatchError> {
        let mut batch = batch;
        if !failures.is_empty() {
            let kept = BooleanArray::new(!failures.mask(batch.rows()).values(), None);
            batch = batch.filter(&kept)?;
        }
        Ok(Applied::rejected(batch, failures, Vec::new()))
    }

    /// The result of a step that rejects events, and changes none of the others.
    fn rejected(batch: Batch, failures: Failures, rejected: Vec<(Batch, Reasons)>) -> Applied {
        let dropped = Reading::default();
        Applied { batch, failures, dropped, rejected, rules: Vec::new(), selection: None }
    }

    /// The same result of a step that selects these rows of the batch before it.
    fn selecting(self, rows: BooleanArray) -> Applied {
        Applied { selection: Some(rows), ..self }
    }
}

#[cfg(test)]
mod supported;
#[cfg(test)]
mod tests;

//! Finds decisions about events that may differ when they are made again.
//!
//! The steps behind a channel are applied once for each sink and once for each delivery, the steps before a channel again
//! after a restart. If the way of an event then differs, the event can get lost: a durable channel has passed its position, or
//! no sink takes it.

use std::collections::BTreeSet;

use crate::{Action, Expression, OnFailure, Operation};

/// The columns and locals whose values may differ when the same steps are applied to the same event again.
#[derive(Debug, Clone, Default)]
pub struct Varying {
    columns: BTreeSet<String>,
    locals: BTreeSet<u32>,
    /// Whether the steps are behind a channel, where each leg of a fork applies them on its own.
    is_behind_channel: bool,
    /// Whether a lookup table may have other rows.
    reads_tables: bool,
    /// Whether a `dedupe` has dropped events; each leg then has its own view of which event was the first.
    is_deduped: bool,
}

/// A decision about the way of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The step with this index rejects events.
    Step(usize),
    /// The fork behind the steps chooses a leg.
    Fork,
}

/// Returns whether a step may have another result when a restarted agent applies it to the same event again.
pub fn may_differ_after_restart(action: &Action) -> bool {
    // The file of a lookup table may change.
    let varies = |expression: &Expression| {
        expression.any(&|part| part.is_varying_call() || matches!(part.operation, Operation::Table(_)))
    };
    matches!(action, Action::Dedupe { .. }) || action.expressions().into_iter().any(varies)
}

impl Varying {
    /// Begins at a source or at a channel.
    pub fn begin(is_behind_channel: bool) -> Varying {
        Varying { is_behind_channel, ..Varying::default() }
    }

    /// Takes the rows of lookup tables for varying: their files may change before a restart.
    pub fn with_tables(self) -> Varying {
        Varying { reads_tables: true, ..self }
    }

    /// Adds columns that vary.
    pub fn with_columns(mut self, columns: impl IntoIterator<Item = String>) -> Varying {
        self.columns.extend(columns);
        self
    }

    /// Returns the columns that vary behind these steps.
    pub fn behind<'s>(mut self, steps: impl Iterator<Item = &'s Action>) -> Varying {
        steps.for_each(|action| self.apply(action));
        self
    }

    /// Returns the columns that vary.
    pub fn columns(&self) -> impl Iterator<Item = String> {
        self.columns.iter().cloned()
    }

    /// Applies the steps of a leg. Returns the first of its decisions that may differ, without the decisions of the legs
    /// behind its fork. `conditions` are the conditions of the fork.
    pub fn decision<'s>(
        &mut self,
        steps: impl Iterator<Item = (&'s Action, Option<OnFailure>)>,
        conditions: Vec<&Expression>,
    ) -> Option<Decision> {
        for (index, (action, on_failure)) in steps.enumerate() {
            if self.rejects(action, on_failure) {
                return Some(Decision::Step(index));
            }
            self.apply(action);
        }
        let varies = |condition| self.is_deduped || self.varies(condition);
        conditions.into_iter().any(varies).then_some(Decision::Fork)
    }

    /// Applies a step.
    fn apply(&mut self, action: &Action) {
        match action {
            Action::Set { column, value } => match self.varies(value) {
                true => drop(self.columns.insert(column.clone())),
                false => drop(self.columns.remove(column)),
            },
            Action::Let { local, value } => match self.varies(value) {
                true => drop(self.locals.insert(*local)),
                false => drop(self.locals.remove(local)),
            },
            Action::Unset(column) => drop(self.columns.remove(column)),
            Action::Flatten { column, fields } => {
                if self.columns.remove(column) {
                    self.columns.extend(fields.iter().map(|field| Action::flattened(column, field)));
                }
            }
            Action::Rename { from, to } => match self.columns.remove(from) {
                true => drop(self.columns.insert(to.clone())),
                false => drop(self.columns.remove(to)),
            },
            Action::Parse { fields, .. } => {
                let body_varies = self.columns.remove(crate::BODY);
                for field in fields {
                    match body_varies {
                        true => drop(self.columns.insert(field.name.clone())),
                        false => drop(self.columns.remove(&field.name)),
                    }
                }
            }
            Action::Keep(_)
            | Action::Drop(_)
            | Action::Reject { .. }
            | Action::Check { .. }
            | Action::Select(_)
            | Action::Explode(_)
            | Action::Throttle(_)
            | Action::Sample(_) => {}
            Action::Dedupe { .. } => self.is_deduped |= self.is_behind_channel,
        }
    }

    /// Returns whether the value of an expression may differ.
    fn varies(&self, expression: &Expression) -> bool {
        expression.any(&|part| match &part.operation {
            Operation::Column(name) => self.columns.contains(name),
            Operation::Local(local) => self.locals.contains(local),
            Operation::Table(_) => self.reads_tables,
            _ => part.is_varying_call(),
        })
    }

    /// Applies a step. Returns whether it may drop or reject an event in one run and not in another, in which the time and random
    /// numbers differ.
    pub fn chooses(&mut self, action: &Action, on_failure: Option<OnFailure>) -> bool {
        let chooses = match action {
            Action::Keep(condition) | Action::Drop(condition) => self.varies(condition),
            Action::Explode(column) => self.columns.contains(column),
            Action::Dedupe { .. } => true,
            _ => false,
        };
        let chooses = chooses || self.rejects(action, on_failure.map(|_| OnFailure::Reject));
        self.apply(action);
        chooses
    }

    /// Returns whether one of the conditions of a fork may differ.
    pub fn any_varies<'e>(&self, conditions: impl IntoIterator<Item = &'e Expression>) -> bool {
        conditions.into_iter().any(|condition| self.varies(condition))
    }

    /// Returns whether a step may reject an event at one time and not at another.
    fn rejects(&self, action: &Action, on_failure: Option<OnFailure>) -> bool {
        let fails = || match action {
            Action::Keep(value)
            | Action::Drop(value)
            | Action::Set { value, .. }
            | Action::Let { value, .. } => self.varies(value),
            Action::Parse { .. } => self.columns.contains(crate::BODY),
            _ => false,
        };
        let decides = match action {
            Action::Reject { condition, .. } => self.varies(condition),
            Action::Check { rules, .. } => rules.iter().any(|rule| self.varies(&rule.condition)),
            _ => false,
        };
        decides || on_failure == Some(OnFailure::Reject) && fails()
    }
}

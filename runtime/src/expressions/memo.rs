//! Equal parts of the expressions of one edge, which are computed once for the same events.
//!
//! When the steps of an edge are compiled, expressions that occur several times become one [`SharedOperation`]. Its result
//! for a batch is remembered together with the columns that it read, and is valid for a batch with the very same columns:
//! columns never change, so that a step which sets a column, or selects rows, makes others. Functions that vary are never
//! shared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::BooleanArray;
use arrow_select::filter::FilterBuilder;
use weir_plan::{Expression, Operation};

use super::constants::columns_read;
use super::{CompileError, Evaluate, Evaluated};
use crate::batch::{Batch, BatchError, Column};

/// The expressions that occur several times on an edge, by their text.
#[derive(Default)]
pub(crate) struct SharedExpressions(Mutex<BTreeMap<String, Option<Arc<SharedOperation>>>>);

/// An operation that occurs at several places.
struct SharedOperation {
    reads: Vec<String>,
    operation: Box<dyn Evaluate>,
}

/// One of the places of a shared operation.
struct Shared(Arc<SharedOperation>);

/// The results of shared operations for the batches that pass through steps.
#[derive(Default)]
pub(crate) struct Memo(RefCell<Vec<Known>>);

/// The last result of a shared operation.
struct Known {
    operation: Arc<SharedOperation>,
    /// The number of events, and the columns that were read: the result follows from them.
    rows: usize,
    columns: Vec<Column>,
    evaluated: Evaluated,
    /// The selections that were made since of the events, one after the other. They are applied to the result when it is
    /// needed.
    selections: Vec<BooleanArray>,
}

/// A batch for whose events operations are computed, and what is known of the results.
pub(super) struct Evaluation<'b> {
    batch: &'b Batch,
    memo: &'b Memo,
    /// The evaluation of which the batch has the events of a mask.
    whole: Option<(&'b Evaluation<'b>, &'b BooleanArray)>,
}

impl SharedExpressions {
    /// Makes a table without expressions.
    pub(crate) const fn none() -> SharedExpressions {
        SharedExpressions(Mutex::new(BTreeMap::new()))
    }

    /// Finds the expressions that occur several times in these and their parts. The parts of an expression that occurs again
    /// do not count again, since they are computed with it.
    pub(crate) fn of<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> SharedExpressions {
        let mut counts = BTreeMap::new();
        expressions.into_iter().for_each(|expression| count(expression, &mut counts));
        let repeated = counts.into_iter().filter(|(_, is_repeated)| *is_repeated);
        SharedExpressions(Mutex::new(repeated.map(|(text, _)| (text, None)).collect()))
    }

    /// Returns the operation of an expression, which is compiled once if it occurs several times.
    ///
    /// # Errors
    /// When it can't be compiled.
    pub(super) fn operation(
        &self,
        expression: &Expression,
        compile: impl FnOnce() -> Result<Box<dyn Evaluate>, CompileError>,
    ) -> Result<Box<dyn Evaluate>, CompileError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().is_empty() || !is_shareable(expression) {
            return compile();
        }
        let text = text_of(expression);
        // The table is not locked while parts are compiled, which look for themselves.
        let known = lock().get(&text).cloned();
        let Some(known) = known else { return compile() };
        let shared = match known {
            Some(shared) => shared,
            None => {
                let shared = SharedOperation { reads: columns_read(expression), operation: compile()? };
                let shared = Arc::new(shared);
                lock().insert(text, Some(shared.clone()));
                shared
            }
        };
        Ok(Box::new(Shared(shared)))
    }
}

/// Returns the text by which expressions are compared. It shows each part with its type.
fn text_of(expression: &Expression) -> String {
    format!("{expression:?}")
}

/// Whether the expression is worth remembering, and has the same value for the same columns.
fn is_shareable(expression: &Expression) -> bool {
    let is_value = matches!(
        expression.operation,
        Operation::Literal(_) | Operation::Column(_) | Operation::Local(_) | Operation::Table(_)
    );
    !is_value && !expression.any(&Expression::is_varying_call) && !columns_read(expression).is_empty()
}

/// Adds an expression and its parts, each with whether it occurs again.
fn count(expression: &Expression, counts: &mut BTreeMap<String, bool>) {
    if is_shareable(expression) {
        match counts.entry(text_of(expression)) {
            Entry::Occupied(mut known) => {
                known.insert(true);
                return;
            }
            Entry::Vacant(place) => place.insert(false),
        };
    }
    expression.operation.parts().into_iter().for_each(|part| count(part, counts));
}

impl<'b> Evaluation<'b> {
    /// Begins an evaluation for the events of a batch.
    pub(super) fn new(batch: &'b Batch, memo: &'b Memo) -> Evaluation<'b> {
        Evaluation { batch, memo, whole: None }
    }

    /// Begins an evaluation for the events of a mask, which `part` has. The mask has no nulls.
    pub(super) fn of_part(
        &'b self,
        part: &'b Batch,
        mask: &'b BooleanArray,
        memo: &'b Memo,
    ) -> Evaluation<'b> {
        Evaluation { batch: part, memo, whole: Some((self, mask)) }
    }

    /// Returns the result of an operation, if it is known for these events, or for more events of which these are a part.
    fn known(&self, operation: &Arc<SharedOperation>) -> Result<Option<Evaluated>, BatchError> {
        if let Some(known) = self.memo.find(operation, self.batch)? {
            return Ok(Some(known));
        }
        let Some((whole, mask)) = self.whole else { return Ok(None) };
        let known = whole.known(operation)?.map(|known| known.selected(mask)).transpose()?;
        if let Some(known) = &known {
            self.memo.remember(operation, self.batch, known);
        }
        Ok(known)
    }
}

impl Deref for Evaluation<'_> {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        self.batch
    }
}

impl Evaluate for Shared {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        if let Some(known) = batch.known(&self.0)? {
            return Ok(known);
        }
        let evaluated = self.0.operation.evaluate(batch)?;
        batch.memo.remember(&self.0, batch, &evaluated);
        Ok(evaluated)
    }
}

impl Memo {
    fn find(&self, operation: &Arc<SharedOperation>, batch: &Batch) -> Result<Option<Evaluated>, BatchError> {
        let mut all = self.0.borrow_mut();
        let Some(known) = all.iter_mut().find(|known| Arc::ptr_eq(&known.operation, operation)) else {
            return Ok(None);
        };
        if !known.is_of(batch) {
            return Ok(None);
        }
        for selection in std::mem::take(&mut known.selections) {
            known.evaluated = known.evaluated.selected(&selection)?;
        }
        Ok(Some(known.evaluated.clone()))
    }

    fn remember(&self, operation: &Arc<SharedOperation>, batch: &Batch, evaluated: &Evaluated) {
        let columns = operation.reads.iter().map(|name| batch.column(name).cloned());
        let Some(columns) = columns.collect::<Option<Vec<Column>>>() else { return };
        let known = Known {
            operation: operation.clone(),
            rows: batch.rows(),
            columns,
            evaluated: evaluated.clone(),
            selections: Vec::new(),
        };
        let mut all = self.0.borrow_mut();
        match all.iter_mut().find(|known| Arc::ptr_eq(&known.operation, operation)) {
            Some(before) => *before = known,
            None => all.push(known),
        }
    }

    /// Goes on with the events of `before` that a step has selected, and that `after` has. The mask has no nulls.
    pub(crate) fn select(&self, before: &Batch, after: &Batch, selection: &BooleanArray) {
        self.0.borrow_mut().retain_mut(|known| known.is_of(before) && known.select(after, selection));
    }
}

impl Known {
    /// Whether the result is that for a batch.
    fn is_of(&self, batch: &Batch) -> bool {
        let is_read =
            |(name, read): (&String, &Column)| batch.column(name).is_some_and(|column| column.is_same(read));
        self.rows == batch.rows() && self.operation.reads.iter().zip(&self.columns).all(is_read)
    }

    /// Goes on with the selected events. Returns false if they lack a column.
    fn select(&mut self, after: &Batch, selection: &BooleanArray) -> bool {
        for (name, column) in self.operation.reads.iter().zip(&mut self.columns) {
            match after.column(name) {
                Some(selected) => *column = selected.clone(),
                None => return false,
            }
        }
        self.rows = after.rows();
        self.selections.push(selection.clone());
        true
    }
}

impl Evaluated {
    /// Returns the values and failures of the rows of the mask, which has no nulls.
    fn selected(&self, mask: &BooleanArray) -> Result<Evaluated, BatchError> {
        let values = self.values.filter(&FilterBuilder::new(mask).optimize().build())?;
        Ok(Evaluated { values, failures: self.failures.selected(mask) })
    }
}

#[cfg(test)]
mod tests;

//! Operations on constants: computed once when the program is compiled, or once for each batch.

use std::collections::BTreeSet;

use arrow_array::{Array, ArrayRef, Scalar, make_array};
use arrow_schema::Schema;
use weir_plan::{Expression, Operation};

use super::{Evaluate, Evaluated, Evaluation, Memo, local_column};
use crate::batch::{Batch, BatchError, Column, Origins};

/// An operation that is computed once for a batch in which all columns that it reads are constants.
struct OnceForConstants {
    reads: Vec<String>,
    operation: Box<dyn Evaluate>,
}

/// A value that was computed when the program was compiled.
struct Computed(Column);

/// Returns the columns and locals that an expression reads.
pub(super) fn columns_read(expression: &Expression) -> Vec<String> {
    fn collect(expression: &Expression, reads: &mut BTreeSet<String>) {
        match &expression.operation {
            Operation::Column(name) => drop(reads.insert(name.clone())),
            Operation::Local(number) => drop(reads.insert(local_column(*number))),
            other => other.parts().into_iter().for_each(|part| collect(part, reads)),
        }
    }
    let mut reads = BTreeSet::new();
    collect(expression, &mut reads);
    reads.into_iter().collect()
}

/// Returns a compiled operation that computes a constant from constants.
pub(super) fn kept(expression: &Expression, operation: Box<dyn Evaluate>) -> Box<dyn Evaluate> {
    let is_value = matches!(
        expression.operation,
        Operation::Literal(_) | Operation::Column(_) | Operation::Local(_) | Operation::Table(_)
    );
    if is_value || expression.any(&Expression::is_varying_call) {
        return operation;
    }
    let once = OnceForConstants { reads: columns_read(expression), operation };
    if once.reads.is_empty()
        && let Ok(row) = Batch::new(Schema::empty().into(), Vec::new(), 1, Origins::default())
        && let Ok(Evaluated { values, failures }) = once.evaluate(&Evaluation::new(&row, &Memo::default()))
        && failures.is_empty()
    {
        return Box::new(Computed(values));
    }
    Box::new(once)
}

/// Returns the first value as a constant.
fn constant(values: &Column) -> Column {
    let first: ArrayRef = make_array(values.values().slice(0, 1).to_data());
    Column::Constant(Scalar::new(first))
}

impl Evaluate for OnceForConstants {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let is_constant = |name: &String| matches!(batch.column(name), Some(Column::Constant(_)));
        if !self.reads.iter().all(is_constant) {
            return self.operation.evaluate(batch);
        }
        let (constants, memo) = (batch.constants(&self.reads)?, Memo::default());
        let Evaluated { values, failures } = self.operation.evaluate(&Evaluation::new(&constants, &memo))?;
        Ok(Evaluated { values: constant(&values), failures: failures.repeated(batch.rows()) })
    }
}

impl Evaluate for Computed {
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        Ok(self.0.clone().into())
    }
}

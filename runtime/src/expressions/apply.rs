//! Calls of the program's functions.

use std::sync::Arc;

use arrow_schema::{Field, Schema};

use super::{Evaluate, Evaluated, Evaluation, Memo, Several, local_column};
use crate::batch::{Batch, BatchError, Column, Origins};

/// A function of the program. The parameters are locals 0, 1 and so on; the lets are the following locals.
pub(super) struct ProgramFunction {
    pub(super) lets: Vec<Box<dyn Evaluate>>,
    pub(super) result: Box<dyn Evaluate>,
}

/// A call of a function of the program.
pub(super) struct Apply {
    pub(super) function: Arc<ProgramFunction>,
    pub(super) arguments: Vec<Box<dyn Evaluate>>,
}

/// Makes events whose columns are the locals of a function.
fn locals(columns: &[Column], rows: usize) -> Result<Batch, BatchError> {
    let field = |(number, column): (usize, &Column)| {
        Field::new(local_column(number as u32), column.data_type().clone(), true)
    };
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    Batch::new(Arc::new(schema), columns.to_vec(), rows, Origins::default())
}

impl Evaluate for Apply {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let rows = batch.rows();
        let mut computed = Several::default();
        for argument in &self.arguments {
            computed.add(argument.evaluate(batch)?);
        }
        let memo = Memo::default();
        for value in &self.function.lets {
            computed.add(value.evaluate(&Evaluation::new(&locals(&computed.columns, rows)?, &memo))?);
        }
        let locals = locals(&computed.columns, rows)?;
        let result = self.function.result.evaluate(&Evaluation::new(&locals, &memo))?;
        Ok(Evaluated { values: result.values, failures: computed.failures.and(result.failures) })
    }
}

//! Operands that only some rows need, such as the branches of an `if`.

use arrow_array::{BooleanArray, UInt32Array};
use arrow_schema::DataType;
use arrow_select::take::take;
use arrow_select::zip::zip;
use weir_plan::{Expression, Operation};

use super::constants::columns_read;
use super::{CompileError, Evaluate, Evaluated, Evaluation, Failures, Memo, Tools, compile};
use crate::batch::{BatchError, Column};

/// An operand that is computed for some rows of a batch.
pub(super) struct Branch {
    operand: Box<dyn Evaluate>,
    data_type: DataType,
    reads: Vec<String>,
    /// Whether it costs more to compute the operand for a row than to select the row.
    is_costly: bool,
}

/// Returns whether a row of the expression costs more than copying the columns that it reads.
fn is_costly(expression: &Expression) -> bool {
    matches!(
        expression.operation,
        Operation::Call { .. } | Operation::Apply { .. } | Operation::Matches(..) | Operation::Filled(_)
    ) || expression.operation.parts().into_iter().any(is_costly)
}

impl Branch {
    /// Compiles an operand.
    ///
    /// # Errors
    /// When this version does not support a part of it.
    pub(super) fn compile(expression: &Expression, tools: &Tools<'_>) -> Result<Branch, CompileError> {
        Ok(Branch {
            operand: compile(expression, tools)?,
            data_type: expression.data_type.clone(),
            reads: columns_read(expression),
            is_costly: is_costly(expression),
        })
    }

    /// Computes the operand for the rows of the mask, which has no nulls. The other rows have any values, and no
    /// failures. A costly operand is computed for no other rows, if these are less than three quarters.
    ///
    /// # Errors
    /// When the batch is not of the event type that the operand was compiled for.
    pub(super) fn evaluate(
        &self,
        batch: &Evaluation<'_>,
        mask: &BooleanArray,
    ) -> Result<Evaluated, BatchError> {
        let wanted = mask.true_count();
        if wanted == 0 {
            return Ok(Column::null(&self.data_type).into());
        }
        if !self.is_costly || wanted * 4 >= batch.rows() * 3 {
            let Evaluated { values, failures } = self.operand.evaluate(batch)?;
            return Ok(Evaluated { values, failures: failures.retain(|row| mask.value(row)) });
        }
        let (part, memo) = (batch.part(&self.reads, mask)?, Memo::default());
        let Evaluated { values, failures } = self.operand.evaluate(&batch.of_part(&part, mask, &memo))?;
        let rows: Vec<usize> = mask.values().set_indices().collect();
        let failures = failures.of_rows(&rows);
        let values = match &values {
            Column::Constant(_) => values,
            Column::Array(array) => {
                let mut places = vec![None; batch.rows()];
                rows.iter().zip(0_u32..).for_each(|(row, place)| places[*row] = Some(place));
                Column::Array(take(array, &UInt32Array::from(places), None)?)
            }
        };
        Ok(Evaluated { values, failures })
    }
}

/// Puts the values of pieces together, each piece with the rows that take it. A row that no piece has is null. No two
/// pieces have the same row.
pub(super) fn merged(
    pieces: Vec<(BooleanArray, Evaluated)>,
    data_type: &DataType,
    rows: usize,
) -> Result<Evaluated, BatchError> {
    let mut failures = Failures::default();
    let mut values: Option<Column> = None;
    for (mask, piece) in pieces {
        let wanted = mask.true_count();
        if wanted == 0 {
            continue;
        }
        failures = failures.and(piece.failures);
        values = Some(match values {
            None if wanted == rows => piece.values,
            others => {
                let others = others.unwrap_or_else(|| Column::null(data_type));
                Column::Array(zip(&mask, piece.values.datum(), others.datum())?)
            }
        });
    }
    let values = values.unwrap_or_else(|| Column::null(data_type));
    Ok(Evaluated { values, failures })
}

/// Returns a mask of all rows, each of them set or none.
pub(super) fn all(value: bool, rows: usize) -> BooleanArray {
    BooleanArray::from(vec![value; rows])
}

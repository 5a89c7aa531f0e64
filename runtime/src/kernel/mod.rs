//! Kernels: expressions over the columns of a batch, a whole column at a time.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Datum, DurationMicrosecondArray, Float64Array,
    Int64Array, Scalar, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_ord::cmp;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use weir_plan::{Comparison, Expression, Operation, Value};

use crate::batch::{Batch, BatchError, Column};

/// Keeps the events for which the condition is true.
///
/// # Errors
/// When the condition does not fit the batch's columns.
pub(crate) fn keep(condition: &Expression, batch: &Batch) -> Result<Batch, BatchError> {
    let truth = evaluate(condition, batch)?;
    let Some(truths) = truth.values().as_boolean_opt() else {
        let found = truth.data_type();
        return Err(ArrowError::SchemaError(format!("{found} where a truth is expected")).into());
    };
    let kept = match &truth {
        Column::Array(_) => batch.filter(truths)?,
        Column::Constant(_) if truths.is_valid(0) && truths.value(0) => batch.clone(),
        Column::Constant(_) => batch.filter(&BooleanArray::from(vec![false; batch.rows()]))?,
    };
    Ok(kept)
}

/// Evaluates an expression: to a constant where all its operands are.
fn evaluate(expression: &Expression, batch: &Batch) -> Result<Column, BatchError> {
    match &expression.operation {
        Operation::Literal(value) => {
            Ok(Column::Constant(Scalar::new(literal(value, &expression.data_type)?)))
        }
        Operation::Column(name) => batch.column(name).cloned().ok_or_else(|| BatchError::Column {
            name: name.clone(),
            what: "the event type does not have it".to_string(),
        }),
        Operation::Not(operand) => Ok(array(arrow_arith::boolean::not(&truths(operand, batch)?)?)),
        Operation::And(left, right) => {
            Ok(array(arrow_arith::boolean::and_kleene(&truths(left, batch)?, &truths(right, batch)?)?))
        }
        Operation::Or(left, right) => {
            Ok(array(arrow_arith::boolean::or_kleene(&truths(left, batch)?, &truths(right, batch)?)?))
        }
        Operation::Compare(comparison, left, right) => {
            let (left, right) = (evaluate(left, batch)?, evaluate(right, batch)?);
            let compared = compare(*comparison, left.datum(), right.datum())?;
            match (&left, &right) {
                (Column::Constant(_), Column::Constant(_)) => {
                    Ok(Column::Constant(Scalar::new(Arc::new(compared))))
                }
                _ => Ok(array(compared)),
            }
        }
        Operation::IsNull(operand) => {
            let operand = evaluate(operand, batch)?;
            let nulls = arrow_arith::boolean::is_null(operand.values())?;
            match operand {
                Column::Constant(_) => Ok(Column::Constant(Scalar::new(Arc::new(nulls)))),
                Column::Array(_) => Ok(array(nulls)),
            }
        }
        // The agent refuses a plan with others before it starts.
        _ => Err(ArrowError::NotYetImplemented("no kernel for this operation".to_owned()).into()),
    }
}

fn array(values: BooleanArray) -> Column {
    Column::Array(Arc::new(values))
}

/// The truth of an expression for each event; a constant is repeated, a bit an event.
fn truths(expression: &Expression, batch: &Batch) -> Result<BooleanArray, BatchError> {
    let column = evaluate(expression, batch)?;
    let Some(values) = column.values().as_boolean_opt() else {
        let found = column.data_type();
        return Err(ArrowError::SchemaError(format!("{found} where a truth is expected")).into());
    };
    Ok(match &column {
        Column::Array(_) => values.clone(),
        Column::Constant(_) => {
            let value = values.is_valid(0).then(|| values.value(0));
            BooleanArray::from(vec![value; batch.rows()])
        }
    })
}

fn compare(comparison: Comparison, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray, ArrowError> {
    match comparison {
        Comparison::Equal => cmp::eq(left, right),
        Comparison::NotEqual => cmp::neq(left, right),
        Comparison::Less => cmp::lt(left, right),
        Comparison::LessOrEqual => cmp::lt_eq(left, right),
        Comparison::Greater => cmp::gt(left, right),
        Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
    }
}

/// A literal as an array of one value, of the type that the checker has given it.
///
/// Times are literals of text, in RFC 3339, that the checker has turned into microseconds.
fn literal(value: &Value, data_type: &DataType) -> Result<ArrayRef, BatchError> {
    let array: ArrayRef = match (value, data_type) {
        (Value::Bool(value), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        (Value::Int(value), DataType::Int64) => Arc::new(Int64Array::from(vec![*value])),
        (Value::Int(value), DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*value]).with_timezone(zone.clone()))
        }
        (Value::Float(value), DataType::Float64) => Arc::new(Float64Array::from(vec![*value])),
        (Value::Text(text), DataType::Utf8View) => Arc::new(StringViewArray::from_iter_values([text])),
        (Value::Text(text), DataType::BinaryView) => Arc::new(BinaryViewArray::from_iter_values([text])),
        (Value::Size(bytes), DataType::UInt64) => Arc::new(UInt64Array::from(vec![*bytes])),
        (Value::Duration(duration), DataType::Duration(TimeUnit::Microsecond)) => {
            let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
            Arc::new(DurationMicrosecondArray::from(vec![microseconds]))
        }
        (value, data_type) => {
            return Err(ArrowError::SchemaError(format!("the literal {value:?} is no {data_type}")).into());
        }
    };
    Ok(array)
}

#[cfg(test)]
mod tests;

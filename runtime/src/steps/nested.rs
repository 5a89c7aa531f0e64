//! `explode` and `flatten`: events of the elements of a list, and columns of the fields of a record.

use arrow_arith::boolean::is_null;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::nullif::nullif;
use arrow_select::take::take;
use weir_plan::Action;

use super::{Applied, Apply};
use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{Failures, Memo};
use crate::observability::meter::Reading;

/// `explode`: makes an event of each element of a list.
pub(super) struct Explode {
    /// The column with the list, and then with the element.
    pub(super) column: String,
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

/// `flatten`: replaces a record by its fields.
pub(super) struct Flatten {
    /// The column with the record.
    pub(super) column: String,
    /// The names of the fields, each with the name of its column.
    pub(super) fields: Vec<(String, String)>,
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

impl Flatten {
    /// Makes the step.
    pub(super) fn new(column: &str, fields: &[String], after: SchemaRef) -> Flatten {
        let fields = fields.iter().map(|field| (field.clone(), Action::flattened(column, field)));
        Flatten { column: column.to_owned(), fields: fields.collect(), after }
    }
}

impl Apply for Explode {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let column = batch.column(&self.column).ok_or_else(|| misfit(&self.column, "it is missing"))?;
        let column = column.clone().repeated(batch.rows())?;
        let DataType::List(_) = column.data_type() else {
            return Err(misfit(&self.column, "it has no lists"));
        };
        let lists = column.values().as_list::<i32>();
        let (mut rows, mut elements) = (Vec::new(), Vec::new());
        let has_elements = |row: usize| lists.is_valid(row) && lists.value_length(row) > 0;
        let full = BooleanArray::new(BooleanBuffer::collect_bool(lists.len(), has_elements), None);
        for row in full.values().set_indices() {
            let (begin, end) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
            rows.resize(rows.len() + (end - begin) as usize, row as u32);
            elements.extend(begin as u32..end as u32);
        }
        let elements = take(lists.values(), &UInt32Array::from(elements), None)?;
        // The lists are left out before the other columns are repeated.
        let others = batch.without(&self.column)?;
        let repeated = others.take(&UInt32Array::from(rows))?;
        let exploded = repeated.with_columns(&self.after, vec![(&self.column, Column::Array(elements))])?;
        let mut dropped = Reading::default();
        if full.has_false() {
            let empty = batch.filter(&BooleanArray::new(!full.values(), None))?;
            dropped.add(empty.rows(), empty.payload_bytes());
        }
        Ok(Applied { dropped, ..Applied::rejected(exploded, Failures::default(), Vec::new()) })
    }
}

impl Apply for Flatten {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let column = batch.column(&self.column).ok_or_else(|| misfit(&self.column, "it is missing"))?;
        let column = column.clone().repeated(batch.rows())?;
        let DataType::Struct(_) = column.data_type() else {
            return Err(misfit(&self.column, "it has no records"));
        };
        let records = column.values().as_struct();
        let nulls = records.nulls().map(|_| is_null(records)).transpose()?;
        let field = |(field, name): &'_ (String, String)| -> Result<Column, BatchError> {
            let values = records.column_by_name(field).ok_or_else(|| misfit(name, "no record has it"))?;
            // A field of a record that is null is null, whatever its values are.
            Ok(Column::Array(match &nulls {
                Some(nulls) => nullif(values, nulls)?,
                None => values.clone(),
            }))
        };
        let columns = self.fields.iter().map(|named| Ok((named.1.as_str(), field(named)?)));
        let columns = columns.collect::<Result<Vec<_>, BatchError>>()?;
        Applied::changed(batch.with_columns(&self.after, columns)?, Failures::default())
    }
}

fn misfit(column: &str, what: &str) -> BatchError {
    ArrowError::ComputeError(format!("the column `{column}`: {what}")).into()
}

//! Lists of values: `[a, b]`.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, new_empty_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};
use arrow_select::interleave::interleave;

use super::{Evaluate, Evaluated, Evaluation, Several, unexpected};
use crate::batch::{BatchError, Column};

/// A list of values of one type.
pub(super) struct Items {
    pub(super) items: Vec<Box<dyn Evaluate>>,
    pub(super) data_type: DataType,
}

/// The field of a list's items; none for another type.
fn item_field(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(field) => Some(field),
        _ => None,
    }
}

/// Makes a list of the columns' values for each of `rows` rows. A row in which a value is missing has no list: its
/// computation has failed, or another branch of the expression takes the row.
fn lists(columns: &[Column], field: &FieldRef, rows: usize) -> Result<ArrayRef, BatchError> {
    let is_whole = |row: usize| {
        let mut items = columns.iter();
        field.is_nullable() || items.all(|column| !column.values().is_null(column.index(row)))
    };
    let whole: Vec<bool> = (0..rows).map(is_whole).collect();
    let mut places = Vec::with_capacity(rows * columns.len());
    for row in (0..rows).filter(|row| whole[*row]) {
        places.extend(columns.iter().enumerate().map(|(item, column)| (item, column.index(row))));
    }
    let arrays: Vec<&dyn Array> = columns.iter().map(Column::values).collect();
    let items = match places.is_empty() {
        true => new_empty_array(field.data_type()),
        false => interleave(&arrays, &places)?,
    };
    let offsets =
        OffsetBuffer::from_lengths(whole.iter().map(|whole| if *whole { columns.len() } else { 0 }));
    let nulls = Some(NullBuffer::from(whole)).filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, items, nulls)?))
}

impl Evaluate for Items {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let mut items = Several::default();
        for item in &self.items {
            items.add(item.evaluate(batch)?);
        }
        let field = item_field(&self.data_type).ok_or_else(|| unexpected(&self.data_type, "a list"))?;
        let values = Column::Array(lists(&items.columns, field, batch.rows())?);
        Ok(Evaluated { values, failures: items.failures })
    }
}

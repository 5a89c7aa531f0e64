//! Fills the columns of fields body by body.

use arrow_array::{Array, BinaryViewArray};
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::{Failures, Reason};
use weir_runtime::parsers::Parsed;

use super::columns::{Field, FieldColumn};

/// Parses each body into a row of the fields' columns. `parse` appends a value to each column and returns the first reason
/// why a value can't be read; if it returns an error, it has appended nothing.
///
/// # Errors
/// When the columns can't be made.
pub(super) fn filled<'f>(
    fields: impl Iterator<Item = &'f Field>,
    bodies: &BinaryViewArray,
    mut parse: impl FnMut(usize, &mut [FieldColumn<'f>]) -> Result<Option<Reason>, Reason>,
) -> Result<Parsed, BatchError> {
    let mut columns: Vec<_> = fields.map(|field| field.column(bodies, bodies.len())).collect();
    let mut failures = Failures::default();
    for row in 0..bodies.len() {
        let reason = parse(row, &mut columns).unwrap_or_else(|reason| {
            columns.iter_mut().for_each(FieldColumn::append_undefined);
            Some(reason)
        });
        if let Some(reason) = reason {
            failures.push(row, reason);
        }
    }
    let columns = columns.into_iter().map(|column| column.finish(bodies));
    Ok(Parsed { columns: columns.collect::<Result<_, _>>()?, failures })
}

/// Appends a value to each column. Returns the first reason why a value can't be read.
#[inline]
pub(super) fn append_each<'f, T>(
    columns: &mut [FieldColumn<'f>],
    values: impl IntoIterator<Item = T>,
    mut append: impl FnMut(&mut FieldColumn<'f>, T) -> Result<(), Reason>,
) -> Option<Reason> {
    let mut first = None;
    for (column, value) in columns.iter_mut().zip(values) {
        if let Err(reason) = append(column, value) {
            first.get_or_insert(reason);
        }
    }
    first
}

//! Items of lists and maps, fields of records, and `in` for lists and maps.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, MapArray, Scalar, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};
use arrow_select::concat::concat;
use arrow_select::take::take;
use weir_plan::Value;

use super::functions::TableRows;
use super::literal::Literal;
use super::{Evaluate, Evaluated, Evaluation, unexpected};
use crate::batch::{BatchError, Column};

/// A field of a record; null where the record is null.
pub(super) struct Part {
    pub(super) record: Box<dyn Evaluate>,
    pub(super) field: String,
}

/// An item of a list by its index, or of a map by its name; null where the item does not exist.
pub(super) struct Item {
    pub(super) of: Box<dyn Evaluate>,
    pub(super) index: Box<dyn Evaluate>,
}

/// Whether a map has a name, or a list an item.
pub(super) struct Contains {
    pub(super) of: Box<dyn Evaluate>,
    pub(super) item: Box<dyn Evaluate>,
}

/// A map that is a constant: `let rates = { gold: 10 }`.
pub(super) struct ConstantMap {
    /// The index of each name's value.
    names: HashMap<String, u32>,
    values: ArrayRef,
}

/// An item of a constant map by its name; null where the map does not have the name.
pub(super) struct ConstantItem {
    pub(super) map: Arc<ConstantMap>,
    pub(super) name: Box<dyn Evaluate>,
    /// Whether only the existence of the item is asked for.
    pub(super) existence: bool,
}

impl ConstantMap {
    /// Makes a map; none if this version does not support the type of its values.
    pub(super) fn new(value: &Value, data_type: &DataType) -> Option<ConstantMap> {
        let Value::Record(entries) = value else { return None };
        let value_type = ConstantMap::value_type(data_type)?;
        let columns: Option<Vec<Column>> =
            entries.values().map(|value| Some(Literal::new(value, value_type)?.into_column())).collect();
        let columns = columns?;
        let arrays: Vec<&dyn Array> = columns.iter().map(Column::values).collect();
        let values = match arrays.is_empty() {
            true => arrow_array::new_empty_array(value_type),
            false => concat(&arrays).ok()?,
        };
        let names = entries.keys().cloned().zip(0..).collect();
        Some(ConstantMap { names, values })
    }

    /// Makes a map from the keys to the rows of a table.
    ///
    /// # Errors
    /// When two rows have the same key, in words for the user.
    pub(super) fn of_rows(table: &TableRows) -> Result<ConstantMap, String> {
        let mut names = HashMap::with_capacity(table.keys.len());
        for (key, row) in table.keys.iter().flatten().zip(0..) {
            if names.insert(key.to_owned(), row).is_some() {
                return Err(format!("two rows have the key \"{key}\""));
            }
        }
        Ok(ConstantMap { names, values: table.rows.clone() })
    }

    /// Returns the type of a map's values; none for another type.
    pub(super) fn value_type(data_type: &DataType) -> Option<&DataType> {
        let DataType::Map(entries, _) = data_type else { return None };
        let DataType::Struct(fields) = entries.data_type() else { return None };
        fields.get(1).map(|field| field.data_type())
    }
}

impl Evaluate for ConstantItem {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values: names, failures } = self.name.evaluate(batch)?;
        let mismatch = || unexpected(names.data_type(), "a text");
        let texts = names.values().as_string_view_opt().ok_or_else(mismatch)?;
        let found: UInt32Array = texts.iter().map(|name| self.map.names.get(name?).copied()).collect();
        let items: ArrayRef = match self.existence {
            true => Arc::new(BooleanArray::new(found.is_not_null_bits(), texts.nulls().cloned())),
            false => take(&self.map.values, &found, None)?,
        };
        Ok(Evaluated { values: like(&names, items), failures })
    }
}

/// Returns values as a constant if they were computed from a constant.
fn like(operand: &Column, values: ArrayRef) -> Column {
    match operand {
        Column::Constant(_) => Column::Constant(Scalar::new(values)),
        Column::Array(_) => Column::Array(values),
    }
}

/// The bits of rows that have a value.
trait Present {
    fn is_not_null_bits(&self) -> arrow_buffer::BooleanBuffer;
}

impl Present for UInt32Array {
    fn is_not_null_bits(&self) -> arrow_buffer::BooleanBuffer {
        match self.nulls() {
            Some(nulls) => nulls.inner().clone(),
            None => arrow_buffer::BooleanBuffer::new_set(self.len()),
        }
    }
}

impl Evaluate for Part {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values: records, failures } = self.record.evaluate(batch)?;
        let mismatch = || unexpected(records.data_type(), &format!("a record with a field {}", self.field));
        let structs = records.values().as_struct_opt().ok_or_else(mismatch)?;
        let field = structs.column_by_name(&self.field).ok_or_else(mismatch)?;
        // A record that is null may have values beneath.
        let nulls = NullBuffer::union(structs.nulls(), field.nulls());
        let data = field.to_data().into_builder().nulls(nulls).build()?;
        Ok(Evaluated { values: like(&records, arrow_array::make_array(data)), failures })
    }
}

/// Finds items in a column of lists or maps. Returns the index of each row's item in the values beneath.
fn positions(
    of: &Column,
    rows: usize,
    mut find: impl FnMut(usize, std::ops::Range<usize>) -> Option<usize>,
) -> Result<UInt32Array, BatchError> {
    let values = of.values();
    let offsets: &[i32] = match values.data_type() {
        DataType::List(_) => values.as_list::<i32>().value_offsets(),
        DataType::Map(..) => values.as_map().value_offsets(),
        other => return Err(unexpected(other, "a list or a map")),
    };
    let position = |row: usize| {
        let at = of.index(row);
        if values.is_null(at) {
            return None;
        }
        let range = usize::try_from(offsets[at]).ok()?..usize::try_from(offsets[at + 1]).ok()?;
        u32::try_from(find(row, range)?).ok()
    };
    Ok((0..rows).map(position).collect())
}

/// Finds each row's name among the names of its map.
fn named(of: &Column, map: &MapArray, names: &Column, rows: usize) -> Result<UInt32Array, BatchError> {
    let mismatch = |found: &DataType| unexpected(found, "a text");
    let known = map.keys().as_string_view_opt().ok_or_else(|| mismatch(map.keys().data_type()))?;
    let wanted = names.values().as_string_view_opt().ok_or_else(|| mismatch(names.data_type()))?;
    positions(of, rows, |row, mut range| {
        let at = names.index(row);
        (!wanted.is_null(at)).then(|| range.find(|entry| known.value(*entry) == wanted.value(at)))?
    })
}

impl Evaluate for Item {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (of, index) = (self.of.evaluate(batch)?, self.index.evaluate(batch)?);
        let failures = of.failures.and(index.failures);
        let (of, index, rows) = (of.values, index.values, batch.rows());
        let values = of.values();
        let items = match values.data_type() {
            DataType::Map(..) => {
                let map = values.as_map();
                take(map.values(), &named(&of, map, &index, rows)?, None)?
            }
            _ => {
                let mismatch = || unexpected(index.data_type(), "an Int");
                let wanted = index.values().as_primitive_opt::<Int64Type>().ok_or_else(mismatch)?;
                let found = positions(&of, rows, |row, range| {
                    let at = index.index(row);
                    let wanted = (!wanted.is_null(at)).then(|| usize::try_from(wanted.value(at)).ok())??;
                    range.start.checked_add(wanted).filter(|position| range.contains(position))
                })?;
                take(values.as_list::<i32>().values(), &found, None)?
            }
        };
        Ok(Evaluated { values: Column::Array(items), failures })
    }
}

impl Evaluate for Contains {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (of, item) = (self.of.evaluate(batch)?, self.item.evaluate(batch)?);
        let failures = of.failures.and(item.failures);
        let (of, item, rows) = (of.values, item.values, batch.rows());
        let values = of.values();
        let found = match values.data_type() {
            DataType::Map(..) => named(&of, values.as_map(), &item, rows)?,
            DataType::List(_) => {
                let items = values.as_list::<i32>().values();
                let compare = make_comparator(items.as_ref(), item.values(), SortOptions::default())?;
                positions(&of, rows, |row, mut range| {
                    let at = item.index(row);
                    range.find(|position| compare(*position, at) == Ordering::Equal)
                })?
            }
            other => return Err(unexpected(other, "a list or a map")),
        };
        let absent = |row: usize| values.is_null(of.index(row)) || item.values().is_null(item.index(row));
        let nulls = NullBuffer::from_iter((0..rows).map(|row| !absent(row)));
        let truths = BooleanArray::new(found.is_not_null_bits(), Some(nulls));
        Ok(Evaluated { values: Column::Array(Arc::new(truths)), failures })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{Int64Builder, MapBuilder, StringViewBuilder};
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, ListArray, StringViewArray, StructArray};
    use arrow_schema::{Field, Schema};
    use weir_plan::{Expression, Operation};

    use super::*;
    use crate::batch::{Batch, Origins};
    use crate::expressions::{Functions, Program};

    /// Three events: texts, lists, maps and records, the last of each null.
    fn batch() -> Batch {
        let names = StringViewArray::from(vec![Some("a"), Some("b"), None]);
        let lists = vec![Some(vec![Some(1), Some(2)]), Some(vec![]), None];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
        for entries in [vec![("b", 1), ("a", 2)], vec![("a", 3)]] {
            for (name, value) in entries {
                maps.keys().append_value(name);
                maps.values().append_value(value);
            }
            maps.append(true).unwrap();
        }
        maps.append(false).unwrap();
        let field = Arc::new(Field::new("size", DataType::Int64, false));
        let sizes: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9]));
        let nulls = Some(NullBuffer::from(vec![true, true, false]));
        let records = StructArray::new(vec![field].into(), vec![sizes], nulls);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", Arc::new(names)),
            ("list", Arc::new(lists)),
            ("map", Arc::new(maps.finish())),
            ("record", Arc::new(records)),
        ];
        let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        let columns = columns.into_iter().map(|(_, array)| Column::Array(array)).collect();
        Batch::new(Arc::new(schema), columns, 3, Origins::default()).unwrap()
    }

    fn column(name: &str) -> Box<Expression> {
        let data_type = batch().column(name).unwrap().data_type().clone();
        Box::new(Expression { data_type, nullable: true, operation: Operation::Column(name.into()) })
    }

    fn constant(value: Value, data_type: DataType) -> Box<Expression> {
        Box::new(Expression { data_type, nullable: false, operation: Operation::Literal(value) })
    }

    fn evaluated(operation: Operation, data_type: DataType) -> Evaluated {
        let expression = Expression { data_type, nullable: true, operation };
        Program::compile(&expression, &Functions::default()).unwrap().evaluate(&batch()).unwrap()
    }

    fn integers(operation: Operation) -> Vec<Option<i64>> {
        evaluated(operation, DataType::Int64).values.values().as_primitive::<Int64Type>().iter().collect()
    }

    fn truths(operation: Operation) -> Vec<Option<bool>> {
        evaluated(operation, DataType::Boolean).values.values().as_boolean().iter().collect()
    }

    /// `{ a: 10, c: 30 }`
    fn rates() -> Box<Expression> {
        let entries = [("a", 10), ("c", 30)].map(|(name, rate)| (name.to_owned(), Value::Int(rate)));
        constant(Value::Record(entries.into()), column("map").data_type)
    }

    #[test]
    fn items_are_found_by_index_and_by_name() {
        let at = |index| constant(Value::Int(index), DataType::Int64);
        assert_eq!(integers(Operation::Index(column("list"), at(1))), [Some(2), None, None]);
        assert_eq!(integers(Operation::Index(column("list"), at(-1))), [None; 3]);
        assert_eq!(integers(Operation::Index(column("list"), at(i64::MAX))), [None; 3]);
        assert_eq!(integers(Operation::Index(column("map"), column("name"))), [Some(2), None, None]);
        let text = |text: &str| constant(Value::Text(text.into()), DataType::Utf8View);
        assert_eq!(integers(Operation::Index(column("map"), text("a"))), [Some(2), Some(3), None]);
        assert_eq!(truths(Operation::Contains(column("map"), text("b"))), [Some(true), Some(false), None]);
        assert_eq!(truths(Operation::Contains(column("list"), at(2))), [Some(true), Some(false), None]);
    }

    #[test]
    fn a_constant_map_is_a_table() {
        assert_eq!(integers(Operation::Index(rates(), column("name"))), [Some(10), None, None]);
        assert_eq!(truths(Operation::Contains(rates(), column("name"))), [Some(true), Some(false), None]);
        let empty = constant(Value::Record(Default::default()), column("map").data_type);
        assert_eq!(integers(Operation::Index(empty, column("name"))), [None; 3]);
    }

    #[test]
    fn a_field_of_a_record_that_is_null_is_null() {
        assert_eq!(integers(Operation::Field(column("record"), "size".into())), [Some(7), Some(8), None]);
    }
}

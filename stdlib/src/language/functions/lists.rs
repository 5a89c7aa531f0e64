//! Functions of lists and maps, and of any values that have an order.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, UInt32Array, make_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, Field, SortOptions};
use arrow_select::take::take;
use arrow_select::zip::zip;
use weir_plan::DecimalType;
use weir_runtime::Registry;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Evaluated, Reason};

use super::arguments::{Ints, Lists, argument, unexpected};
use super::numbers::{Exact, decimal_type, decimals};
use super::results::{Answer, Made, array, ints, kernel, nulls, primitives, truths};
use super::searching::clipped;

pub(super) fn register(registry: Registry) -> Registry {
    let registry = registry
        .function("count", |_| {
            kernel(|arguments, rows| {
                let lists = Lists::of(arguments, 0)?;
                Ok(ints(rows, |row| Ok(lists.get(row).map(|list| list.len() as i64))))
            })
        })
        .function("first", |_| one_item(|list| (!list.is_empty()).then_some(list.start)))
        .function("last", |_| one_item(|list| (!list.is_empty()).then(|| list.end - 1)))
        .function("reversed", |_| chosen(|list, _, _| list.rev().collect()))
        .function("sorted", |_| chosen(|list, compare, _| sorted(list, compare)))
        .function("distinct", |_| chosen(|list, compare, _| distinct(list, compare)))
        .function("sublist", |_| kernel(sublist))
        .function("concat", |_| kernel(concatenated))
        .function("index_in", |_| kernel(index_in))
        .function("contains_all", |_| kernel(contains_all))
        .function("min_of", |_| extreme(Ordering::Less))
        .function("max_of", |_| extreme(Ordering::Greater))
        .function("sum", |_| kernel(sum))
        .function("names", |_| of_map(true))
        .function("values", |_| of_map(false))
        .function("map_size", |_| {
            kernel(|arguments, rows| {
                let column = argument(arguments, 0)?;
                let maps = column.values().as_map_opt().ok_or_else(|| unexpected(column, "a map"))?;
                Ok(ints(rows, |row| {
                    let index = column.index(row);
                    Ok(maps.is_valid(index).then(|| i64::from(maps.value_length(index))))
                }))
            })
        });
    registry
        .function("min", |_| kernel(|arguments, rows| chosen_of_two(arguments, rows, Ordering::Less)))
        .function("max", |_| kernel(|arguments, rows| chosen_of_two(arguments, rows, Ordering::Greater)))
        .function("clamp", |_| {
            kernel(|arguments, rows| {
                let [value, least, most] = arguments else {
                    return Err(unexpected(argument(arguments, 0)?, "three arguments"));
                };
                let above = chosen_of_two(&[value.clone(), least.clone()], rows, Ordering::Greater)?;
                chosen_of_two(&[above.values, most.clone()], rows, Ordering::Less)
            })
        })
}

type Compare<'c> = &'c dyn Fn(usize, usize) -> Ordering;

fn one_item(choose: fn(Range<usize>) -> Option<usize>) -> Made {
    kernel(move |arguments, rows| {
        let lists = Lists::of(arguments, 0)?;
        let place = |row: usize| lists.get(row).and_then(choose).map(|place| place as u32);
        let places: UInt32Array = (0..rows).map(place).collect();
        Ok(array(take(lists.values.values(), &places, None)?))
    })
}

/// Makes the lists of these places in the values; none is a null list.
fn lists_of(
    values: &ArrayRef,
    rows: impl Iterator<Item = Option<Vec<usize>>>,
) -> Result<ArrayRef, BatchError> {
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        valid.push(row.is_some());
        let row = row.unwrap_or_default();
        lengths.push(row.len());
        places.extend(row.into_iter().map(|place| place as u32));
    }
    let items = take(values, &UInt32Array::from(places), None)?;
    let field = Arc::new(Field::new("item", values.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, items, nulls(valid))?))
}

/// Makes a function that chooses items of each list, in an order.
fn chosen(choose: fn(Range<usize>, Compare<'_>, usize) -> Vec<usize>) -> Made {
    kernel(move |arguments, rows| {
        let lists = Lists::of(arguments, 0)?;
        let values = lists.values.values();
        let compare = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default())?;
        let row = |row: usize| lists.get(row).map(|list| choose(list, &compare, row));
        Ok(array(lists_of(values, (0..rows).map(row))?))
    })
}

fn sorted(list: Range<usize>, compare: Compare<'_>) -> Vec<usize> {
    let mut places: Vec<usize> = list.collect();
    places.sort_by(|left, right| compare(*left, *right));
    places
}

/// Returns the items without those that are equal to an earlier one.
fn distinct(list: Range<usize>, compare: Compare<'_>) -> Vec<usize> {
    let mut places = sorted(list, compare);
    // The sort is stable, so the first of equal items comes first.
    places.dedup_by(|later, earlier| compare(*later, *earlier).is_eq());
    places.sort_unstable();
    places
}

fn sublist(arguments: &[Column], rows: usize) -> Answer {
    let (lists, begins) = (Lists::of(arguments, 0)?, Ints::of(arguments, 1)?);
    let lengths = if arguments.len() > 2 { Some(Ints::of(arguments, 2)?) } else { None };
    let row = |row: usize| {
        let (list, begin) = (lists.get(row)?, begins.get(row)?);
        let length = lengths.as_ref().and_then(|lengths| lengths.get(row));
        let part = clipped(begin, length, list.len());
        Some((list.start + part.start..list.start + part.end).collect())
    };
    Ok(array(lists_of(lists.values.values(), (0..rows).map(row))?))
}

fn concatenated(arguments: &[Column], rows: usize) -> Answer {
    let (lefts, rights) = (Lists::of(arguments, 0)?, Lists::of(arguments, 1)?);
    let (left, right) = (lefts.values.values(), rights.values.values());
    let both = arrow_select::concat::concat(&[left.as_ref(), right.as_ref()])?;
    let row = |row: usize| {
        let (first, second) = (lefts.get(row)?, rights.get(row)?);
        Some(first.chain(second.map(|place| place + left.len())).collect())
    };
    Ok(array(lists_of(&both, (0..rows).map(row))?))
}

fn index_in(arguments: &[Column], rows: usize) -> Answer {
    let (lists, wanted) = (Lists::of(arguments, 0)?, argument(arguments, 1)?);
    let items = lists.values.values();
    let compare = make_comparator(items.as_ref(), wanted.values(), SortOptions::default())?;
    Ok(ints(rows, |row| {
        let index = wanted.index(row);
        let Some(list) = lists.get(row).filter(|_| wanted.values().is_valid(index)) else { return Ok(None) };
        let begin = list.start;
        let found = list.into_iter().find(|place| compare(*place, index).is_eq());
        Ok(found.map(|place| (place - begin) as i64))
    }))
}

fn contains_all(arguments: &[Column], rows: usize) -> Answer {
    let (lists, wanted) = (Lists::of(arguments, 0)?, Lists::of(arguments, 1)?);
    let (items, searched) = (lists.values.values(), wanted.values.values());
    let compare = make_comparator(items.as_ref(), searched.as_ref(), SortOptions::default())?;
    Ok(truths(rows, |row| {
        let Some((list, mut wanted)) = lists.get(row).zip(wanted.get(row)) else { return Ok(None) };
        Ok(Some(wanted.all(|one| list.clone().any(|place| compare(place, one).is_eq()))))
    }))
}

/// Makes a function that takes the least or the greatest item of each list.
fn extreme(wanted: Ordering) -> Made {
    kernel(move |arguments, rows| {
        let lists = Lists::of(arguments, 0)?;
        let values = lists.values.values();
        let compare = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default())?;
        let better = |best: usize, next: usize| if compare(next, best) == wanted { next } else { best };
        let place = |row: usize| lists.get(row)?.reduce(better).map(|place| place as u32);
        let places: UInt32Array = (0..rows).map(place).collect();
        Ok(array(take(values, &places, None)?))
    })
}

fn sum(arguments: &[Column], rows: usize) -> Answer {
    let lists = Lists::of(arguments, 0)?;
    let values = lists.values.values();
    macro_rules! summed {
        ($type:ty, $zero:expr, $add:expr) => {{
            let values = values.as_primitive::<$type>();
            primitives::<$type>(rows, |row| {
                let Some(mut list) = lists.get(row) else { return Ok(None) };
                let total = list.try_fold($zero, |total, place| $add(total, values.value(place)));
                total.map(Some).ok_or(Reason::Overflow)
            })
        }};
    }
    let is_finite = |left: f64, right: f64| Some(left + right).filter(|sum| sum.is_finite());
    let (sums, failures): (ArrayRef, _) = match values.data_type() {
        DataType::Int64 => {
            let (sums, failures) = summed!(Int64Type, 0, i64::checked_add);
            (Arc::new(sums), failures)
        }
        DataType::Float64 => {
            let (sums, failures) = summed!(Float64Type, 0.0, is_finite);
            (Arc::new(sums), failures)
        }
        DataType::Duration(_) => {
            let (sums, failures) = summed!(DurationMicrosecondType, 0, i64::checked_add);
            (Arc::new(sums), failures)
        }
        DataType::UInt64 => {
            let (sums, failures) = summed!(UInt64Type, 0, u64::checked_add);
            (Arc::new(sums), failures)
        }
        DataType::Decimal128(digits, _) => {
            let limit = 10_i128.pow(u32::from(*digits));
            let add = |left: i128, right: i128| Some(left + right).filter(|sum| sum.abs() < limit);
            let (sums, failures) = summed!(Decimal128Type, 0, add);
            (Arc::new(sums.with_data_type(values.data_type().clone())), failures)
        }
        _ => return Err(unexpected(argument(arguments, 0)?, "a list of numbers")),
    };
    Ok(Evaluated { values: Column::Array(sums), failures })
}

/// Makes a function that takes the names or the values of a map, in the alphabetical order of the names.
fn of_map(names: bool) -> Made {
    kernel(move |arguments, rows| {
        let column = argument(arguments, 0)?;
        let maps = column.values().as_map_opt().ok_or_else(|| unexpected(column, "a map"))?;
        let keys = maps.keys();
        let compare = make_comparator(keys.as_ref(), keys.as_ref(), SortOptions::default())?;
        let offsets = maps.value_offsets();
        let row = |row: usize| {
            let index = column.index(row);
            let list = maps.is_valid(index).then(|| offsets[index] as usize..offsets[index + 1] as usize)?;
            Some(sorted(list, &compare))
        };
        let taken = if names { keys } else { maps.values() };
        Ok(array(lists_of(taken, (0..rows).map(row))?))
    })
}

/// Takes of two arguments the one that compares as `wanted` with the other. Decimal numbers may differ in their types.
fn chosen_of_two(arguments: &[Column], rows: usize, wanted: Ordering) -> Answer {
    let (left, right) = (argument(arguments, 0)?, argument(arguments, 1)?);
    if left.data_type() != right.data_type() {
        return chosen_of_exact(arguments, rows, wanted);
    }
    let compare = make_comparator(left.values(), right.values(), SortOptions::default())?;
    let is_valid = |column: &Column, row: usize| column.values().is_valid(column.index(row));
    let is_left = |row: usize| compare(left.index(row), right.index(row)) == wanted;
    let (mut mask, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        let is_whole = is_valid(left, row) && is_valid(right, row);
        valid.push(is_whole);
        mask.push(is_whole && is_left(row));
    }
    let chosen = zip(&BooleanArray::from(mask), left.datum(), right.datum())?;
    let valid = NullBuffer::union(nulls(valid).as_ref(), chosen.nulls());
    Ok(array(make_array(chosen.to_data().into_builder().nulls(valid).build()?)))
}

fn chosen_of_exact(arguments: &[Column], rows: usize, wanted: Ordering) -> Answer {
    let (lefts, rights) = (Exact::of(arguments, 0)?, Exact::of(arguments, 1)?);
    let decimal = |column: &Column| decimal_type(column.data_type()).unwrap_or(DecimalType::OF_INT);
    let both = decimal(&arguments[0]).of_both(decimal(&arguments[1]));
    let both = both.ok_or_else(|| unexpected(&arguments[1], "a Decimal with fewer digits"))?;
    decimals(rows, both, |row| {
        let Some((left, right)) = lefts.get(row).zip(rights.get(row)) else { return Ok(None) };
        Ok(if left.cmp(&right) == wanted { left } else { right }.of_type(both))
    })
}

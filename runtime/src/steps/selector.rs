//! Selectors: the choice of one leg for each event, by the cases of a `match` or the key of a `balance by`.

use arrow_arith::boolean::{and, and_not};
use arrow_array::Array;
use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use weir_plan::{Expression, Route};
use xxhash_rust::xxh3::xxh3_64;

use super::fingerprint::for_each_fingerprint;
use super::observer::{Observed, RoutePlace};
use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{CompileError, Memo, Program, Tools};

/// Chooses one of several legs for each event.
pub(crate) struct Selector {
    choice: Choice,
    /// Who watches the choices, if somebody does.
    observed: Option<Observed<RoutePlace>>,
}

enum Choice {
    /// The first case whose condition is true. A case without a condition takes every event.
    Cases(Vec<Option<Program>>),
    /// A leg that depends only on the value of the key and the number of legs.
    Key {
        /// The key.
        by: Program,
        /// The number of legs.
        legs: usize,
    },
}

impl Selector {
    /// Compiles the choice that a route makes for each event, with these tools; none if the route
    /// makes no such choice.
    ///
    /// # Errors
    /// When this version does not support a part of a condition or of the key.
    pub(crate) fn compile(
        route: &Route,
        tools: &Tools<'_>,
        observed: Option<Observed<RoutePlace>>,
    ) -> Result<Option<Selector>, CompileError> {
        let compile = |expression: &Expression| Program::compile_with(expression, tools);
        let choice = match route {
            Route::Match(cases) => {
                let conditions = cases.iter().map(|case| case.condition.as_ref().map(compile).transpose());
                Choice::Cases(conditions.collect::<Result<_, _>>()?)
            }
            Route::Balance { by: Some(by), legs } => Choice::Key { by: compile(by)?, legs: legs.len() },
            Route::Channel(_)
            | Route::Sink(_)
            | Route::End
            | Route::Copy(_)
            | Route::Balance { by: None, .. }
            | Route::Failover(_) => return Ok(None),
        };
        Ok(Some(Selector { choice, observed }))
    }

    /// Returns the name of the route in messages.
    pub(crate) fn name(&self) -> &'static str {
        match &self.choice {
            Choice::Cases(_) => "match",
            Choice::Key { .. } => "balance by",
        }
    }

    /// Returns a mask for each leg: the events that take it, without nulls. Every event takes exactly one leg.
    ///
    /// # Errors
    /// When the batch is not of the event type that the selector was compiled for, an expression fails for an event that
    /// it decides, or no case takes an event; the plan does not fit the events then.
    pub(crate) fn masks(&self, batch: &Batch, memo: &Memo) -> Result<Vec<BooleanArray>, BatchError> {
        let masks = match &self.choice {
            Choice::Cases(cases) => first_true(cases, batch, memo),
            Choice::Key { by, legs } => by_key(by, *legs, batch, memo),
        }?;
        if let Some(Observed { observer, place }) = &self.observed {
            let events: Vec<usize> = masks.iter().map(BooleanArray::true_count).collect();
            observer.routed(place, &events);
        }
        Ok(masks)
    }
}

fn first_true(
    cases: &[Option<Program>],
    batch: &Batch,
    memo: &Memo,
) -> Result<Vec<BooleanArray>, BatchError> {
    let rows = batch.rows();
    let mut rest = all(true, rows);
    let mut masks = Vec::with_capacity(cases.len());
    for case in cases {
        let taken = match case {
            None => rest.clone(),
            Some(_) if !rest.has_true() => all(false, rows),
            Some(condition) => {
                let evaluated = condition.evaluate_with(batch, memo)?;
                let failure = evaluated.failures.iter().find(|(row, _)| rest.value(*row));
                if let Some((row, reason)) = failure {
                    return Err(misfit(format!("a condition fails for event {row}: {reason}")));
                }
                and(&rest, &evaluated.true_rows(rows)?)?
            }
        };
        rest = and_not(&rest, &taken)?;
        masks.push(taken);
    }
    match rest.values().set_indices().next() {
        None => Ok(masks),
        Some(row) => Err(misfit(format!("no case takes event {row}"))),
    }
}

fn by_key(by: &Program, legs: usize, batch: &Batch, memo: &Memo) -> Result<Vec<BooleanArray>, BatchError> {
    let key = by.evaluate_with(batch, memo)?;
    if let Some((row, reason)) = key.failures.first() {
        return Err(misfit(format!("the key fails for event {row}: {reason}")));
    }
    let rows = batch.rows();
    let leg_of = |hash: u64| (hash % legs as u64) as usize;
    let hashes = hashes(key.values.values())?;
    if let Column::Constant(_) = key.values {
        let chosen = leg_of(hashes[0]);
        return Ok((0..legs).map(|leg| all(leg == chosen, rows)).collect());
    }
    let chosen: Vec<usize> = hashes.into_iter().map(leg_of).collect();
    Ok((0..legs).map(|leg| chosen.iter().map(|chosen| Some(*chosen == leg)).collect()).collect())
}

/// Returns the hash of each value: XXH3 with 64 bits of its bytes, numbers in little-endian order, and of no bytes for a
/// null. A list, a map or a record has a half of its fingerprint. The hashes decide the leg of an event, also after a restart, so they must not change between versions.
fn hashes(values: &dyn Array) -> Result<Vec<u64>, BatchError> {
    let all = 0..values.len();
    let each = |hash: &dyn Fn(usize) -> u64| -> Vec<u64> {
        all.clone().map(|row| if values.is_null(row) { xxh3_64(&[]) } else { hash(row) }).collect()
    };
    Ok(match values.data_type() {
        DataType::Utf8View => {
            let texts = values.as_string_view();
            each(&|row| xxh3_64(texts.value(row).as_bytes()))
        }
        DataType::BinaryView => {
            let bytes = values.as_binary_view();
            each(&|row| xxh3_64(bytes.value(row)))
        }
        DataType::Boolean => {
            let truths = values.as_boolean();
            each(&|row| xxh3_64(&[u8::from(truths.value(row))]))
        }
        DataType::Int64 => {
            let numbers = values.as_primitive::<Int64Type>();
            each(&|row| xxh3_64(&numbers.value(row).to_le_bytes()))
        }
        DataType::Float64 => {
            let numbers = values.as_primitive::<Float64Type>();
            each(&|row| xxh3_64(&canonical(numbers.value(row)).to_le_bytes()))
        }
        DataType::Decimal128(..) => {
            let numbers = values.as_primitive::<Decimal128Type>();
            each(&|row| xxh3_64(&numbers.value(row).to_le_bytes()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            each(&|row| xxh3_64(&times.value(row).to_le_bytes()))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let durations = values.as_primitive::<DurationMicrosecondType>();
            each(&|row| xxh3_64(&durations.value(row).to_le_bytes()))
        }
        DataType::UInt64 => {
            let sizes = values.as_primitive::<UInt64Type>();
            each(&|row| xxh3_64(&sizes.value(row).to_le_bytes()))
        }
        DataType::FixedSizeBinary(_) => {
            let addresses = values.as_fixed_size_binary();
            each(&|row| xxh3_64(addresses.value(row)))
        }
        _ => {
            let mut fingerprints = Vec::with_capacity(values.len());
            // The lower half.
            for_each_fingerprint(values, |fingerprint| fingerprints.push(fingerprint as u64))?;
            each(&|row| fingerprints[row])
        }
    })
}

/// Returns one number for all numbers that compare as equal: 0 for -0, and one of all NaN.
fn canonical(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number + 0.0 }
}

fn all(value: bool, rows: usize) -> BooleanArray {
    let values = if value {
        arrow_buffer::BooleanBuffer::new_set(rows)
    } else {
        arrow_buffer::BooleanBuffer::new_unset(rows)
    };
    BooleanArray::new(values, None)
}

fn misfit(what: String) -> BatchError {
    ArrowError::ComputeError(what).into()
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{Int64Builder, MapBuilder, StringViewBuilder};
    use arrow_array::{FixedSizeBinaryArray, ListArray, UInt64Array};

    use super::*;

    #[test]
    fn values_of_every_type_are_keys() {
        let sizes = hashes(&UInt64Array::from(vec![Some(7), None, Some(7)])).unwrap();
        assert_eq!(sizes, [xxh3_64(&7_u64.to_le_bytes()), xxh3_64(&[]), xxh3_64(&7_u64.to_le_bytes())]);
        let addresses = [[1_u8; 16], [2; 16]];
        let found = hashes(&FixedSizeBinaryArray::try_from_iter(addresses.into_iter()).unwrap()).unwrap();
        assert_eq!(found, addresses.map(|address| xxh3_64(&address)));
        let lists = [Some(vec![Some(1), Some(2)]), Some(vec![Some(1)]), Some(vec![Some(1), Some(2)]), None];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let found = hashes(&lists).unwrap();
        assert!(found[0] == found[2] && found[0] != found[1] && found[3] == xxh3_64(&[]));
    }

    /// The order of a map's entries is no part of its value.
    #[test]
    fn equal_maps_have_equal_hashes() {
        let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
        for entries in [[("a", 1), ("b", 2)], [("b", 2), ("a", 1)], [("a", 1), ("b", 3)]] {
            for (key, value) in entries {
                maps.keys().append_value(key);
                maps.values().append_value(value);
            }
            maps.append(true).unwrap();
        }
        let found = hashes(&maps.finish()).unwrap();
        assert!(found[0] == found[1] && found[0] != found[2], "{found:?}");
    }
}

//! Runs the tables of cases in `tests/language/expressions/`, by the programs and by the slow evaluator.
//!
//! A file has lines of fields (`fields: a: Int, b: Text?`), items of the program (`item: fn …`), expressions, and below
//! each expression its cases: an event as JSON, `=>`, and the value as JSON, or `fails`. In an item, `\n` ends a line.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field};
use serde_json::Value;
use weir_runtime::batch::{Batch, Column, Origins};
use weir_runtime::expressions::Evaluated;

use super::program::{Compiled, library, values};
use super::slow::Event;
use super::value::{Single, array_of};

/// An expression with its cases.
struct Expected {
    place: String,
    fields: String,
    items: String,
    expression: String,
    cases: Vec<(Value, Option<Value>)>,
}

fn tables() -> Vec<Expected> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/language/expressions");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| expected(path)).collect()
}

fn expected(path: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let (mut fields, mut items, mut found) = (String::new(), String::new(), Vec::<Expected>::new());
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if let Some(given) = line.strip_prefix("fields: ") {
            fields = given.replace(", ", "\n");
        } else if let Some(item) = line.strip_prefix("item: ") {
            items = format!("{items}{}\n", item.replace("\\n", "\n"));
        } else if let Some(case) = line.strip_prefix("  ") {
            let (event, value) = case.rsplit_once(" => ").unwrap_or_else(|| panic!("{place}: no `=>`"));
            let read =
                |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}"));
            let value = (value != "fails").then(|| read(value));
            found.last_mut().unwrap().cases.push((read(event), value));
        } else if !line.is_empty() && !line.starts_with('#') {
            let (fields, items) = (fields.clone(), items.clone());
            found.push(Expected { place, fields, items, expression: line.to_owned(), cases: Vec::new() });
        }
    }
    found
}

/// Reads a field of an event.
fn single(value: &Value, data_type: &DataType) -> Single {
    match (value, data_type) {
        (Value::Bool(truth), _) => Single::Bool(*truth),
        (Value::Number(number), DataType::Int64) => Single::Int(number.as_i64().unwrap()),
        (Value::Number(number), DataType::Float64) => Single::Float(number.as_f64().unwrap()),
        (Value::Number(number), DataType::UInt64) => Single::Size(number.as_u64().unwrap()),
        (Value::Number(number), DataType::Duration(_)) => {
            Single::Duration((number.as_f64().unwrap() * 1e6).round() as i64)
        }
        (Value::String(text), DataType::Decimal128(..)) => Single::Decimal(text.parse().unwrap()),
        (Value::String(text), DataType::Timestamp(..)) => {
            Single::Time(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
        }
        (Value::String(text), DataType::BinaryView) => Single::Bytes(text.clone().into_bytes()),
        (Value::String(_), DataType::FixedSizeBinary(_)) => {
            Single::of_constant(&weir_plan::Value::Text(value.as_str().unwrap().to_owned()), data_type)
        }
        (Value::String(text), _) => Single::Text(text.clone()),
        (Value::Array(items), DataType::List(field)) => {
            Single::List(items.iter().map(|item| single(item, field.data_type())).collect())
        }
        (Value::Object(entries), DataType::Map(field, _)) => {
            let DataType::Struct(fields) = field.data_type() else { unreachable!("a map has entries") };
            let entry =
                |(name, value): (&String, &Value)| (name.clone(), single(value, fields[1].data_type()));
            Single::Map(entries.iter().map(entry).collect())
        }
        _ => Single::Null,
    }
}

/// Returns the events of the cases, by column.
fn events(compiled: &Compiled, cases: &[(Value, Option<Value>)]) -> Vec<Vec<Single>> {
    let fields = compiled.columns.fields().iter();
    fields
        .map(|field| cases.iter().map(|(event, _)| single(&event[field.name()], field.data_type())).collect())
        .collect()
}

fn batch(compiled: &Compiled, columns: &[Vec<Single>]) -> Batch {
    let fields = compiled.columns.fields();
    let arrays = columns.iter().zip(fields).map(|(column, field)| array_of(column, field.data_type()));
    let rows = columns[0].len();
    Batch::new(compiled.columns.clone(), arrays.map(Column::Array).collect(), rows, Origins::default())
        .unwrap()
}

/// Returns the value of a row as the language writes it in JSON; none if the row failed.
fn outcome(evaluated: &Evaluated, row: usize) -> Option<Value> {
    if evaluated.failures.rows().any(|failed| failed == row) {
        return None;
    }
    let values = values(evaluated, row + 1).slice(row, 1);
    if values.is_null(0) {
        return Some(Value::Null);
    }
    let field = Arc::new(Field::new("value", values.data_type().clone(), true));
    let text = crate::formats::json::texts(&field, values.as_ref()).unwrap();
    Some(serde_json::from_str(text.value(0)).unwrap())
}

fn is_right(found: &Option<Value>, wanted: &Option<Value>) -> bool {
    match (found, wanted) {
        (Some(Value::Number(found)), Some(Value::Number(wanted))) => {
            match (found.as_i64(), wanted.as_i64()) {
                (Some(found), Some(wanted)) => found == wanted,
                _ => found.as_f64() == wanted.as_f64(),
            }
        }
        _ => found == wanted,
    }
}

/// Checks the cases of one expression, and adds the problems.
fn check(library: &weir_compiler::Library, expected: &Expected, problems: &mut Vec<String>) {
    let Expected { place, fields, items, expression, cases } = expected;
    let compiled = match Compiled::new(library, fields, items, expression) {
        Ok(compiled) => compiled,
        Err(problem) => return problems.push(format!("{place}: {expression}: {problem}")),
    };
    let columns = events(&compiled, cases);
    let whole = batch(&compiled, &columns);
    let evaluated = compiled.evaluate(&whole);
    for (row, (event, wanted)) in cases.iter().enumerate() {
        let mut add = |how: &str, found: &dyn std::fmt::Debug| {
            problems.push(format!("{place}: {expression} of {event} is {found:?} {how}, not {wanted:?}"));
        };
        let found = outcome(&evaluated, row);
        if !is_right(&found, wanted) {
            add("in a batch", &found);
        }
        let alone = outcome(&compiled.evaluate(&whole.slice(row, 1)), 0);
        if !is_right(&alone, wanted) {
            add("alone", &alone);
        }
        let constants = columns.iter().zip(compiled.columns.fields()).map(|(column, field)| {
            match field.name() == weir_plan::BODY {
                true => {
                    Column::Array(array_of(&[column[row].clone(), column[row].clone()], field.data_type()))
                }
                false => {
                    let one = array_of(&[column[row].clone()], field.data_type());
                    Column::Constant(arrow_array::Scalar::new(one))
                }
            }
        });
        let constants = constants.collect();
        let constants = Batch::new(compiled.columns.clone(), constants, 2, Origins::default()).unwrap();
        let found = outcome(&compiled.evaluate(&constants), 1);
        if !is_right(&found, wanted) {
            add("of constants", &found);
        }
        let names = compiled.columns.fields().iter().map(|field| field.name().clone());
        let event_columns: HashMap<String, Single> =
            names.zip(columns.iter().map(|column| column[row].clone())).collect();
        let event = Event { columns: event_columns, locals: Vec::new(), functions: &compiled.plan.functions };
        let slow = event.value(&compiled.expression);
        let same = match &slow {
            Err(_) => wanted.is_none(),
            Ok(value) => {
                let array = array_of(std::slice::from_ref(value), &compiled.expression.data_type);
                is_right(&outcome(&Column::Array(array).into(), 0), wanted)
            }
        };
        if !same {
            add("by the slow evaluator", &slow);
        }
    }
}

#[test]
fn every_case_has_its_value_in_every_form_of_a_batch() {
    let (library, tables) = (library(), tables());
    let mut problems = Vec::new();
    tables.iter().for_each(|expected| check(&library, expected, &mut problems));
    let cases: usize = tables.iter().map(|expected| expected.cases.len()).sum();
    assert!(problems.is_empty(), "{} of {cases} cases:\n{}", problems.len(), problems.join("\n"));
    assert!(cases >= 500, "{cases} cases");
}

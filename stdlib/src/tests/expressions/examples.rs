//! Runs the examples in the doc comments of the functions: `` `EXPRESSION` is `VALUE` ``.

use arrow_array::Array;
use weir_runtime::batch::{Batch, Column, Origins};
use weir_runtime::expressions::Evaluated;

use super::program::{Compiled, library, values};
use super::value::{Single, array_of};

/// A function with the examples of its doc comment.
struct Documented {
    name: String,
    examples: Vec<(String, String)>,
}

/// Returns the examples in a text: two quotes with `is` between them.
fn examples(text: &str) -> Vec<(String, String)> {
    let pieces: Vec<&str> = text.split('`').collect();
    let pairs = pieces.windows(3).enumerate().filter(|(at, piece)| at % 2 == 1 && piece[1].trim() == "is");
    pairs.map(|(_, piece)| (piece[0].to_owned(), piece[2].to_owned())).collect()
}

fn documented() -> Vec<Documented> {
    let mut found = Vec::new();
    for (_, text) in crate::library_sources() {
        let mut comment = String::new();
        for line in text.lines() {
            if let Some(documentation) = line.strip_prefix("///") {
                comment.push_str(documentation);
            } else {
                if let Some(item) = line.strip_prefix("extern fn ") {
                    let name = item.split(['(', '<']).next().unwrap().to_owned();
                    found.push(Documented { name, examples: examples(&comment) });
                }
                comment.clear();
            }
        }
    }
    found
}

#[test]
fn every_function_has_an_example_whose_value_is_right() {
    let (library, documented) = (library(), documented());
    assert!(documented.len() >= 110, "{} functions", documented.len());
    let mut problems = Vec::new();
    for Documented { name, examples } in documented {
        if !examples.iter().any(|(expression, _)| expression.contains(&format!("{name}("))) {
            problems.push(format!("{name} has no example"));
        }
        for (expression, value) in examples {
            if let Err(problem) = holds(&library, &expression, &value) {
                problems.push(format!("{expression} is {value}: {problem}"));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Checks that an expression has a value.
///
/// # Errors
/// What is wrong.
fn holds(library: &weir_compiler::Library, expression: &str, value: &str) -> Result<(), String> {
    let compiled = |text: &str| Compiled::new(library, "  extra: Map<Int>", "", text);
    let found = evaluated(&compiled(expression)?);
    if let Some((_, reason)) = found.failures.first() {
        return Err(format!("it fails: {reason}"));
    }
    let found = values(&found, 1);
    if value == "null" {
        return if found.is_null(0) { Ok(()) } else { Err(format!("it is {found:?}")) };
    }
    let expected = values(&evaluated(&compiled(value)?), 1);
    if found.to_data() == expected.to_data() { Ok(()) } else { Err(format!("it is {found:?}")) }
}

/// Evaluates an expression for an event whose field `extra` is `{ b: 1, a: 2 }`, and whose other columns are null.
fn evaluated(compiled: &Compiled) -> Evaluated {
    let extra = Single::Map(vec![("b".to_owned(), Single::Int(1)), ("a".to_owned(), Single::Int(2))]);
    let columns = compiled.columns.fields().iter().map(|field| match field.name().as_str() {
        "extra" => Column::Array(array_of(std::slice::from_ref(&extra), field.data_type())),
        _ => Column::null(field.data_type()),
    });
    let batch = Batch::new(compiled.columns.clone(), columns.collect(), 1, Origins::default());
    compiled.evaluate(&batch.expect("the columns have the types of the events"))
}

//! Functions on text.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, BooleanArray, Int64Array};
use memchr::memmem::Finder;
use weir_plan::Value;
use weir_runtime::Registry;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Call, Evaluated, Function};

use super::arguments::{AnyBytes, Texts, nulls};

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("lower", |_| Ok(Box::new(Mapped(lower))))
        .function("upper", |_| Ok(Box::new(Mapped(upper))))
        .function("trim", |_| Ok(Box::new(Mapped(|text, _| text.trim()))))
        .function("length", |_| Ok(Box::new(Length)))
        .function("starts_with", |_| Ok(Box::new(Predicate(|value, part| value.starts_with(part)))))
        .function("ends_with", |_| Ok(Box::new(Predicate(|value, part| value.ends_with(part)))))
        .function("contains", |call| Ok(contains(call)))
}

/// A function from a text to a text. It may write the result into the buffer.
struct Mapped(for<'t> fn(&'t str, &'t mut String) -> &'t str);

impl Function for Mapped {
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        let texts = Texts::of(arguments, 0)?;
        let (mut results, mut buffer) = (StringViewBuilder::with_capacity(rows), String::new());
        for row in 0..rows {
            buffer.clear();
            results.append_option(texts.get(row).map(|text| (self.0)(text, &mut buffer)));
        }
        Ok(array(Arc::new(results.finish())))
    }
}

fn array(values: ArrayRef) -> Evaluated {
    Column::Array(values).into()
}

fn lower<'t>(text: &'t str, buffer: &'t mut String) -> &'t str {
    if !text.is_ascii() {
        // A letter may become several, and may depend on the letters beside it.
        buffer.push_str(&text.to_lowercase());
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        buffer.push_str(text);
        buffer.make_ascii_lowercase();
    } else {
        return text;
    }
    buffer
}

fn upper<'t>(text: &'t str, buffer: &'t mut String) -> &'t str {
    if !text.is_ascii() {
        buffer.push_str(&text.to_uppercase());
    } else if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        buffer.push_str(text);
        buffer.make_ascii_uppercase();
    } else {
        return text;
    }
    buffer
}

struct Length;

impl Function for Length {
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        let values = AnyBytes::of(arguments, 0)?;
        // Each character has one byte that is not a continuation byte of UTF-8.
        let characters = |text: &[u8]| text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let length = |value: &[u8]| if values.is_text { characters(value) } else { value.len() };
        let lengths = (0..rows).map(|row| values.get(row).map(|value| length(value) as i64));
        Ok(array(Arc::new(lengths.collect::<Int64Array>())))
    }
}

/// A function from a value and a text to a boolean.
struct Predicate(fn(&[u8], &[u8]) -> bool);

impl Function for Predicate {
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        let parts = Texts::of(arguments, 1)?;
        predicate(arguments, rows, |row, value| parts.get(row).map(|part| (self.0)(value, part.as_bytes())))
    }
}

/// Applies `ask` to the first argument of each event. The result is null if the argument is null, or `ask` returns
/// none.
fn predicate(
    arguments: &[Column],
    rows: usize,
    ask: impl Fn(usize, &[u8]) -> Option<bool>,
) -> Result<Evaluated, BatchError> {
    let values = AnyBytes::of(arguments, 0)?;
    let (mut results, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        let answer = values.get(row).and_then(|value| ask(row, value));
        results.push(answer == Some(true));
        valid.push(answer.is_some());
    }
    Ok(array(Arc::new(BooleanArray::new(results.into(), nulls(valid)))))
}

/// Makes `contains`. The search for a constant is prepared once.
fn contains(call: &Call<'_>) -> Box<dyn Function> {
    match call.constant(1) {
        Some(Value::Text(part)) => Box::new(ContainsOne(Finder::new(part).into_owned())),
        _ => Box::new(Predicate(|value, part| memchr::memmem::find(value, part).is_some())),
    }
}

struct ContainsOne(Finder<'static>);

impl Function for ContainsOne {
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        predicate(arguments, rows, |_, value| Some(self.0.find(value).is_some()))
    }
}

#[cfg(test)]
mod tests;

//! The columns and locals that show through the result of an expression.

use std::sync::Arc;

use weir_plan::{Expression, Operation, Pattern, Value};

use crate::signatures::Library;
use crate::types::Type;

/// A column or a local value of steps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Column(Arc<str>),
    Local(u32),
}

impl Place {
    pub(super) fn column(name: &str) -> Place {
        Place::Column(name.into())
    }
}

/// What an expression reads: a column or a local, or a field within a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) place: Place,
    /// The path of a field from the column on, such as `place.zip`; `None` for a complete value.
    pub(super) path: Option<String>,
}

/// Returns what shows through the result: not what a function masks, and not what is only asked for null.
pub(super) fn revealed(expression: &Expression, library: &Library) -> Vec<Read> {
    let mut found = Vec::new();
    collect(expression, library, &mut found);
    found
}

fn collect(expression: &Expression, library: &Library, found: &mut Vec<Read>) {
    match &expression.operation {
        Operation::Column(name) => {
            found.push(Read { place: Place::Column(name.as_str().into()), path: None });
        }
        Operation::Local(number) => found.push(Read { place: Place::Local(*number), path: None }),
        Operation::Field(..) => match field_path(expression) {
            Some(path) => {
                let root = path.split('.').next().unwrap_or_default();
                found.push(Read { place: Place::Column(root.into()), path: Some(path) });
            }
            None => parts(expression, library, found),
        },
        Operation::IsNull(_) => {}
        Operation::Call { function, .. } if masks(function, library) => {}
        Operation::Match { subject, arms, otherwise } => {
            let asks_for_null = |pattern: &Pattern| matches!(pattern, Pattern::Value(Value::Null));
            if !arms.iter().flat_map(|arm| &arm.patterns).all(asks_for_null) {
                collect(subject, library, found);
            }
            arms.iter().for_each(|arm| collect(&arm.value, library, found));
            otherwise.iter().for_each(|otherwise| collect(otherwise, library, found));
        }
        _ => parts(expression, library, found),
    }
}

fn parts(expression: &Expression, library: &Library, found: &mut Vec<Read>) {
    expression.operation.parts().into_iter().for_each(|part| collect(part, library, found));
}

fn masks(function: &str, library: &Library) -> bool {
    library.functions.get(function).is_some_and(|signature| signature.masks)
}

/// Returns the path of a field of a column: `place.zip`.
fn field_path(expression: &Expression) -> Option<String> {
    match &expression.operation {
        Operation::Column(name) => Some(name.clone()),
        Operation::Field(inner, name) => Some(format!("{}.{name}", field_path(inner)?)),
        _ => None,
    }
}

/// Returns the first field that is declared sensitive within a type: its name and its place.
pub(super) fn sensitive_within(value_type: &Type) -> Option<(Arc<str>, weir_grammar::Span)> {
    match value_type {
        Type::List(item) | Type::Map(item) => sensitive_within(item),
        Type::Schema(schema) => schema.fields.iter().find_map(|field| match field.sensitive {
            true => Some((field.name.clone(), field.span)),
            false => sensitive_within(&field.value_type),
        }),
        _ => None,
    }
}

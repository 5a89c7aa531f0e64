//! The type of the events at one edge: its columns, and where each of them comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_grammar::Span;
use weir_plan::EventType;

use crate::types::Type;

/// The columns at one edge by name, headers with their `@`; so headers come first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    pub(crate) columns: BTreeMap<Arc<str>, Column>,
    /// The sources of the events, with their places in the program.
    pub(crate) origins: Vec<Origin>,
}

/// A component that events come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
}

/// One header or field.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    /// The first of the sources that have it.
    pub(crate) origin: Origin,
    /// Where the library declares it.
    pub(crate) declared: Span,
    /// For one that only some events have, a source that lacks it.
    pub(crate) lacking: Option<Origin>,
}

impl Column {
    /// Why the column may be null, with a place that shows it.
    pub(crate) fn why_optional(&self) -> Option<(String, Span)> {
        match &self.lacking {
            Some(origin) => Some((format!("events of `{}` don't have it", origin.name), origin.span)),
            None => self.optional.then(|| ("declared here".to_owned(), self.declared)),
        }
    }
}

/// A column that two kinds of events have in two types.
pub(crate) struct Clash {
    pub(crate) name: Arc<str>,
    pub(crate) first: Column,
    pub(crate) second: Column,
}

/// The type of events that come from both: what only some have is optional.
///
/// A column whose types clash is left out, so that nothing further is said about it.
pub(crate) fn merge(first: &Columns, second: &Columns, clashes: &mut Vec<Clash>) -> Columns {
    let mut merged = Columns { columns: BTreeMap::new(), origins: first.origins.clone() };
    for origin in &second.origins {
        if !merged.origins.contains(origin) {
            merged.origins.push(origin.clone());
        }
    }
    for (name, column) in &first.columns {
        let mut column = column.clone();
        match second.columns.get(name) {
            Some(other) if other.value_type != column.value_type => {
                clashes.push(Clash { name: name.clone(), first: column, second: other.clone() });
                continue;
            }
            Some(other) => {
                column.lacking = column.lacking.or_else(|| other.lacking.clone());
                if other.optional && !column.optional {
                    column.declared = other.declared;
                }
                column.optional |= other.optional;
            }
            None => make_optional(&mut column, second),
        }
        merged.columns.insert(name.clone(), column);
    }
    for (name, column) in &second.columns {
        if !first.columns.contains_key(name) {
            let mut column = column.clone();
            make_optional(&mut column, first);
            merged.columns.insert(name.clone(), column);
        }
    }
    merged
}

fn make_optional(column: &mut Column, others: &Columns) {
    column.optional = true;
    if column.lacking.is_none() {
        column.lacking = others.origins.first().cloned();
    }
}

impl Columns {
    /// The event type as the plan has it.
    pub(crate) fn event_type(&self) -> EventType {
        let fields = self.columns.iter();
        let fields = fields
            .map(|(name, column)| Field::new(name.as_ref(), arrow(&column.value_type), column.optional));
        EventType::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The names of the columns, headers first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.keys().map(|name| name.to_string()).collect()
    }

    /// The sources with their places, as labels want them.
    pub(crate) fn labels(&self) -> Vec<(String, Span)> {
        self.origins.iter().take(3).map(|origin| (origin.name.to_string(), origin.span)).collect()
    }
}

/// The Arrow type of a column's type. Types that only settings have are text.
pub(crate) fn arrow(value_type: &Type) -> DataType {
    match value_type {
        Type::Bool => DataType::Boolean,
        Type::Int => DataType::Int64,
        Type::Float | Type::EventRate | Type::ByteRate => DataType::Float64,
        Type::Bytes => DataType::BinaryView,
        Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Duration => DataType::Duration(TimeUnit::Microsecond),
        Type::Size => DataType::UInt64,
        Type::List(item) => DataType::List(Arc::new(Field::new("item", arrow(item), false))),
        _ => DataType::Utf8View,
    }
}

//! The type of the events at one edge: its columns, and where each of them comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_grammar::Span;
use weir_plan::{EventType, SENSITIVE};

use crate::types::Type;

/// The columns at one edge by name, headers with their `@`; so headers come first.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// The columns of which everything is known.
    pub columns: BTreeMap<Arc<str>, Column>,
    /// The sources of the events, with their places in the program.
    pub(crate) origins: Vec<Origin>,
    /// The columns of which nothing is known, because of something that has been reported.
    pub broken: BTreeSet<Arc<str>>,
    /// Whether there may be columns that nobody knows, because of something that has been reported.
    pub lost: bool,
}

/// A component that events come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
}

/// One header or field.
#[derive(Debug, Clone)]
pub struct Column {
    /// The type of its values.
    pub value_type: Type,
    /// Whether it may be null.
    pub optional: bool,
    /// Whether its values must not be shown to everybody.
    pub sensitive: bool,
    /// The first of the sources that have it.
    pub(crate) origin: Origin,
    /// Where it is declared, or given a value.
    pub declared: Span,
    /// The definitions of its name: where a schema, a signature or a step names it first. Several where events of
    /// several sources meet.
    pub named: Arc<[Span]>,
    /// For one that only some events have, a source that lacks it.
    pub(crate) lacking: Option<Origin>,
}

impl Column {
    /// Adds the definitions of the name that events of another source bring.
    fn name_also(&mut self, others: &[Span]) {
        if others.iter().any(|other| !self.named.contains(other)) {
            let all = self.named.iter().chain(others.iter().filter(|other| !self.named.contains(other)));
            self.named = all.copied().collect();
        }
    }

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
    let mut merged = Columns {
        columns: BTreeMap::new(),
        origins: first.origins.clone(),
        broken: first.broken.union(&second.broken).cloned().collect(),
        lost: first.lost || second.lost,
    };
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
                merged.broken.insert(name.clone());
                continue;
            }
            Some(other) => {
                column.lacking = column.lacking.or_else(|| other.lacking.clone());
                if other.optional && !column.optional {
                    column.declared = other.declared;
                }
                column.optional |= other.optional;
                column.sensitive |= other.sensitive;
                column.name_also(&other.named);
            }
            None if !second.lacks(name) => {
                merged.broken.insert(name.clone());
                continue;
            }
            None => make_optional(&mut column, second),
        }
        merged.columns.insert(name.clone(), column);
    }
    for (name, column) in &second.columns {
        if first.columns.contains_key(name) {
            continue;
        }
        if !first.lacks(name) {
            merged.broken.insert(name.clone());
        } else {
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
    /// The columns that these sources give.
    pub(crate) fn of(columns: BTreeMap<Arc<str>, Column>, origins: Vec<Origin>) -> Columns {
        Columns { columns, origins, broken: BTreeSet::new(), lost: false }
    }

    /// Whether a column that is not there is missing for sure.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        !self.lost && !self.broken.contains(name) && !self.columns.contains_key(name)
    }

    /// Gives events a column.
    pub(crate) fn insert(&mut self, name: Arc<str>, column: Column) {
        self.broken.remove(&name);
        self.columns.insert(name, column);
    }

    /// Notes that nothing is known of a column.
    pub(crate) fn break_column(&mut self, name: Arc<str>) {
        self.columns.remove(&name);
        self.broken.insert(name);
    }

    /// What a path with points leads to, as `place.city`: it may be null where any part of the way may.
    pub(crate) fn part(&self, path: &str) -> Option<Column> {
        let mut names = path.split('.');
        let mut found = self.columns.get(names.next()?)?.clone();
        for name in names {
            let Type::Schema(schema) = &found.value_type else { return None };
            let field = schema.fields.iter().find(|field| *field.name == *name)?;
            found = Column {
                value_type: field.value_type.clone(),
                optional: found.optional || field.optional,
                sensitive: found.sensitive || field.sensitive,
                declared: if found.optional { found.declared } else { field.span },
                named: Arc::new([field.span]),
                ..found
            };
        }
        Some(found)
    }

    /// The event type as the plan has it.
    pub(crate) fn event_type(&self) -> EventType {
        let fields = self.columns.iter();
        let fields = fields.map(|(name, column)| {
            let field = Field::new(name.as_ref(), arrow(&column.value_type), column.optional);
            let marks = column.sensitive.then(|| (SENSITIVE.to_owned(), "true".to_owned()));
            field.with_metadata(marks.into_iter().collect::<std::collections::HashMap<_, _>>())
        });
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
        Type::Percent => DataType::Float64,
        Type::Decimal(digits, scale) => DataType::Decimal128(*digits, *scale as i8),
        Type::Ip => DataType::FixedSizeBinary(16),
        Type::List(item) => DataType::List(Arc::new(Field::new("item", arrow(item), false))),
        Type::Map(item) => {
            let entries =
                vec![Field::new("key", DataType::Utf8View, false), Field::new("value", arrow(item), false)];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
        }
        Type::Schema(schema) => {
            let fields = schema.fields.iter();
            let fields =
                fields.map(|field| Field::new(field.name.as_ref(), arrow(&field.value_type), field.optional));
            DataType::Struct(fields.collect())
        }
        _ => DataType::Utf8View,
    }
}

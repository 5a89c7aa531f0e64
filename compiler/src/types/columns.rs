//! The type of the events at one edge: the columns and their origins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_grammar::Span;
use weir_plan::{ATTACHED, EventType, SENSITIVE};

use crate::types::Type;
use crate::types::ranges::IntRange;

/// The columns at one edge, by name. The names of headers begin with `@`, so headers come first.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// The columns with known types.
    pub columns: BTreeMap<Arc<str>, Column>,
    /// The sources of the events, with their places in the program.
    pub(crate) origins: Vec<Origin>,
    /// The parts of columns that are known not to be null, although their types are optional: `place.country`.
    pub(crate) known: BTreeSet<Arc<str>>,
    /// The columns with unknown types, because of a reported fault.
    pub broken: BTreeSet<Arc<str>>,
    /// Whether there may be further, unknown columns, because of a reported fault.
    pub lost: bool,
}

/// A component from which events come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
}

/// One header or field.
#[derive(Debug, Clone)]
pub struct Column {
    /// The type of the values.
    pub value_type: Type,
    /// Whether the column may be null.
    pub optional: bool,
    /// Whether the values are sensitive, so that they must not be shown.
    pub sensitive: bool,
    /// The first of the sources whose events have the column.
    pub(crate) origin: Origin,
    /// The place at which the column is declared or set.
    pub declared: Span,
    /// The definitions of the name, in a schema, a signature or a step. There are several if events of several sources
    /// are merged.
    pub named: Arc<[Span]>,
    /// A source whose events lack the column, if only some events have it.
    pub(crate) lacking: Option<Origin>,
    /// Whether the column holds the headers that peers attach, which are no field of the events.
    pub(crate) attached: bool,
    /// The range of an `Int`; every integer for other types.
    pub(crate) range: IntRange,
}

impl Column {
    /// Adds the definitions of the name in the events of another source.
    fn name_also(&mut self, others: &[Span]) {
        if others.iter().any(|other| !self.named.contains(other)) {
            let all = self.named.iter().chain(others.iter().filter(|other| !self.named.contains(other)));
            self.named = all.copied().collect();
        }
    }

    /// Returns the reason why the column may be null, with the place that causes it.
    pub(crate) fn why_optional(&self) -> Option<(String, Span)> {
        match &self.lacking {
            Some(origin) => Some((format!("events of `{}` don't have it", origin.name), origin.span)),
            None => self.optional.then(|| ("declared here".to_owned(), self.declared)),
        }
    }
}

/// Returns whether the rest of a place, behind the name of its column, is a part of the column.
fn begins_part(rest: &str) -> bool {
    rest.starts_with(['.', '['])
}

/// Returns the parts of columns that are known not to be null in the events of both types.
fn known_in_both(first: &Columns, second: &Columns) -> BTreeSet<Arc<str>> {
    let of = |one: &Columns, other: &Columns| -> Vec<Arc<str>> {
        let never_null = |place: &&Arc<str>| {
            other.known.contains(*place) || other.part(place).is_some_and(|part| !part.optional)
        };
        one.known.iter().filter(never_null).cloned().collect()
    };
    of(first, second).into_iter().chain(of(second, first)).collect()
}

/// A column whose types differ in two merged event types.
pub(crate) struct Clash {
    pub(crate) name: Arc<str>,
    pub(crate) first: Column,
    pub(crate) second: Column,
}

/// Merges two event types: a column of only one type becomes optional.
///
/// A column with different types is left out and counts as broken, so that no further fault of it is reported.
pub(crate) fn merge(first: &Columns, second: &Columns, clashes: &mut Vec<Clash>) -> Columns {
    let mut merged = Columns {
        columns: BTreeMap::new(),
        origins: first.origins.clone(),
        known: known_in_both(first, second),
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
                column.attached |= other.attached;
                column.range = column.range.or(other.range);
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
    /// Creates the event type of these columns and sources.
    pub(crate) fn of(columns: BTreeMap<Arc<str>, Column>, origins: Vec<Origin>) -> Columns {
        Columns { columns, origins, known: BTreeSet::new(), broken: BTreeSet::new(), lost: false }
    }

    /// Returns the columns after a channel. It may hold events of an earlier program, whose integers had other ranges.
    pub(crate) fn without_ranges(columns: Arc<Columns>) -> Arc<Columns> {
        if columns.columns.values().all(|column| column.range == IntRange::ALL) {
            return columns;
        }
        let mut columns = Arc::unwrap_or_clone(columns);
        columns.columns.values_mut().for_each(|column| column.range = IntRange::ALL);
        Arc::new(columns)
    }

    /// Returns whether a column is certainly missing.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        !self.lost && !self.broken.contains(name) && !self.columns.contains_key(name)
    }

    /// Adds a column, or replaces it.
    pub(crate) fn insert(&mut self, name: Arc<str>, column: Column) {
        self.forget(&name);
        self.broken.remove(&name);
        self.columns.insert(name, column);
    }

    /// Marks a column as broken: its type is unknown.
    pub(crate) fn break_column(&mut self, name: Arc<str>) {
        self.remove(&name);
        self.broken.insert(name);
    }

    /// Removes a column and returns it.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Column> {
        self.forget(name);
        self.columns.remove(name)
    }

    /// Renames a column. The facts about its parts stay.
    pub(crate) fn rename(&mut self, from: &str, to: Arc<str>, named: Arc<[Span]>) {
        let parts: Vec<Arc<str>> = self
            .known
            .iter()
            .filter_map(|place| place.strip_prefix(from))
            .filter(|rest| begins_part(rest))
            .map(|rest| format!("{to}{rest}").into())
            .collect();
        if let Some(column) = self.remove(from) {
            self.insert(to, Column { named, attached: false, ..column });
            self.known.extend(parts);
        }
    }

    /// Forgets the facts about the parts of a column.
    fn forget(&mut self, name: &str) {
        if !self.known.is_empty() {
            self.known.retain(|place| !place.strip_prefix(name).is_some_and(begins_part));
        }
    }

    /// Returns the column of a path such as `place.city`. It may be null if any part of the path may be null.
    pub(crate) fn part(&self, path: &str) -> Option<Column> {
        let mut names = path.split('.');
        let first = names.next()?;
        let mut found = self.columns.get(first)?.clone();
        let mut end = first.len();
        for name in names {
            end += 1 + name.len();
            let Type::Schema(schema) = &found.value_type else { return None };
            let field = schema.fields.iter().find(|field| *field.name == *name)?;
            found = Column {
                value_type: field.value_type.clone(),
                optional: found.optional || (field.optional && !self.known.contains(&path[..end])),
                sensitive: found.sensitive || field.sensitive,
                declared: if found.optional { found.declared } else { field.span },
                named: Arc::new([field.span]),
                attached: false,
                range: field.range(),
                ..found
            };
        }
        Some(found)
    }

    /// Returns the parts of a path that may be null, the outermost first: `place` and `place.city` of `place.city`.
    pub(crate) fn optional_parts(&self, path: &str) -> Vec<String> {
        let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
        let may_be_null = |part: &&str| match part.rsplit_once('.') {
            None => self.columns.get(*part).is_some_and(|column| column.optional),
            Some((of, name)) => self.part(of).is_some_and(|of| match &of.value_type {
                Type::Schema(schema) => {
                    let field = schema.fields.iter().find(|field| &*field.name == name);
                    field.is_some_and(|field| field.optional) && !self.known.contains(*part)
                }
                _ => false,
            }),
        };
        ends.map(|end| &path[..end]).filter(may_be_null).map(str::to_owned).collect()
    }

    /// Returns the event type for the plan.
    pub(crate) fn event_type(&self) -> EventType {
        let fields = self.columns.iter();
        let fields = fields.map(|(name, column)| {
            let field = Field::new(name.as_ref(), arrow(&column.value_type), column.optional);
            let marks = [(column.sensitive, SENSITIVE), (column.attached, ATTACHED)];
            let marks = marks.into_iter().filter(|(is_set, _)| *is_set);
            let marks = marks.map(|(_, mark)| (mark.to_owned(), "true".to_owned()));
            field.with_metadata(marks.collect::<std::collections::HashMap<_, _>>())
        });
        EventType::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Returns the names of the columns, headers first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.keys().map(|name| name.to_string()).collect()
    }

    /// Returns the first three sources with their places, for labels.
    pub(crate) fn labels(&self) -> Vec<(String, Span)> {
        self.origins.iter().take(3).map(|origin| (origin.name.to_string(), origin.span)).collect()
    }
}

/// Returns the Arrow type of a column's type. Types that only settings have are mapped to text or numbers.
pub(crate) fn arrow(value_type: &Type) -> DataType {
    match value_type {
        Type::Bool => DataType::Boolean,
        Type::Int | Type::Group => DataType::Int64,
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

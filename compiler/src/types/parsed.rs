//! The fields of a schema as a parser reads them.

use weir_plan::{FieldFormat as PlannedFormat, ParsedField};

use super::{FieldFormat, FieldType, Type};

impl FieldType {
    /// Returns the field as it is read from a body.
    pub(crate) fn parsed(&self) -> ParsedField {
        let items = items(&self.value_type);
        let format = match &self.format {
            FieldFormat::Plain if *items == Type::Json => PlannedFormat::Json,
            FieldFormat::Plain => PlannedFormat::Plain,
            FieldFormat::Within(range) => PlannedFormat::Within(range.least, range.most),
            FieldFormat::Unit(length) => PlannedFormat::Unit(*length),
            FieldFormat::Pattern(pattern) => PlannedFormat::Pattern(pattern.clone()),
        };
        let fields: &[FieldType] = match items {
            Type::Schema(schema) => &schema.fields,
            _ => &[],
        };
        let is_special = |part: &ParsedField| part.format != PlannedFormat::Plain || !part.parts.is_empty();
        let parts = fields.iter().map(FieldType::parsed).filter(is_special).collect();
        ParsedField { name: self.name.to_string(), format, parts, unread: false }
    }
}

/// Returns the type of the values within lists and maps.
fn items(value_type: &Type) -> &Type {
    match value_type {
        Type::List(item) | Type::Map(item) => items(item),
        other => other,
    }
}

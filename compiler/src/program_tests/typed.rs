//! Checks the values of types with parts: JSON, maps, and records of a schema, alone and in lists.

use std::collections::BTreeMap;

use weir_grammar::tree::{Block, Entry, Expression, ExpressionKind};
use weir_plan::Value;

use super::ProgramTests;
use crate::checker::Expectation;
use crate::diagnostics::{UnknownName, WrongType};
use crate::spelling::nearest;
use crate::types::{SchemaType, Type};

/// Which fields of a record a test has to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// All that may not be null: the record goes in.
    All,
    /// Any: the record is compared, and fields that are left out are not.
    Any,
}

impl ProgramTests<'_, '_> {
    /// Checks a value against a type, also against those that only events have.
    pub(super) fn typed(
        &mut self,
        value: &Expression,
        value_type: &Type,
        optional: bool,
        fields: Fields,
    ) -> Option<Value> {
        match (&value.kind, value_type) {
            (ExpressionKind::Paren(inner), _) => self.typed(inner, value_type, optional, fields),
            (ExpressionKind::Null, _) if optional => Some(Value::Null),
            (_, Type::Json) => Some(json(self.document(value)?, fields)),
            (ExpressionKind::Record(block), Type::Schema(schema)) => {
                self.record(value, block, schema, fields)
            }
            (ExpressionKind::Record(block), Type::Map(item)) => {
                let entry = |tests: &mut Self, Entry { name, value }: &Entry| {
                    Some((name.text.to_string(), tests.typed(value, item, false, fields)?))
                };
                let entries: Vec<_> = block.entries.iter().map(|found| entry(self, found)).collect();
                let entries = entries.into_iter().collect::<Option<BTreeMap<_, _>>>()?;
                (!block.broken).then_some(Value::Record(entries))
            }
            (ExpressionKind::List(items), Type::List(item)) => {
                let items: Vec<_> =
                    items.iter().map(|found| self.typed(found, item, false, fields)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
            }
            _ => {
                let expected = Expectation { optional, negatives: true, ..Expectation::plain(value_type) };
                self.checker.value(value, &expected)
            }
        }
    }

    fn record(
        &mut self,
        value: &Expression,
        block: &Block,
        schema: &SchemaType,
        fields: Fields,
    ) -> Option<Value> {
        let mut entries = BTreeMap::new();
        let mut whole = !block.broken;
        for Entry { name, value } in &block.entries {
            let Some(field) = schema.fields.iter().find(|field| *field.name == *name.text) else {
                let known = schema.fields.iter().map(|field| &*field.name);
                let near = nearest(&name.text, known).map(str::to_owned);
                let (name, span) = (name.text.to_string(), name.span);
                self.checker.report(UnknownName { name, wanted: "field", near, quote: false, span });
                whole = false;
                continue;
            };
            self.checker.notes.uses.note(name.span, field.span);
            match self.typed(value, &field.value_type, field.optional, fields) {
                Some(value) => drop(entries.insert(name.text.to_string(), value)),
                None => whole = false,
            }
        }
        if fields == Fields::All && whole {
            let missing =
                schema.fields.iter().find(|field| !field.optional && !entries.contains_key(&*field.name));
            if let Some(field) = missing {
                let (expected, found) =
                    (schema.name.to_string(), format!("a record without `{}`", field.name));
                let declared = format!("`{}` may not be null", field.name);
                let declared = Some((declared, field.span));
                self.checker.report(WrongType::new(expected, found, value.span).declared(declared));
                return None;
            }
        }
        whole.then_some(Value::Record(entries))
    }
}

/// Returns a JSON document as the text that events have. A record or a list that is compared stays one, since parts of it may be left
/// out.
fn json(document: Value, fields: Fields) -> Value {
    match (&document, fields) {
        (Value::Record(_) | Value::List(_), Fields::Any) => document,
        _ => Value::Text(document.to_json().to_string()),
    }
}

//! Types `lookup("countries.csv", key: "code", as: Country)`: a table that the agent reads when it starts.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Argument, Call, Expression, ExpressionKind, Name, Path};
use weir_plan::{Operation, Table, TableFormat, Value};

use super::{Merged, Typed, Typer};
use crate::checker::Expectation;
use crate::diagnostics::{MalformedText, NestedField, TABLE_ROW, UnknownName, WrongArguments, WrongType};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::spelling::nearest;
use crate::types::{FieldType, SchemaType, Type};

/// The name of the function.
pub(crate) const LOOKUP: &str = "lookup";

/// Returns whether an expression is a lookup table.
pub(crate) fn is_table(given: &Expression) -> bool {
    matches!(&given.kind, ExpressionKind::Call(call)
        if call.function.qualifier.is_none() && &*call.function.name.text == LOOKUP)
}

impl Typer<'_, '_> {
    pub(super) fn lookup(&mut self, call: &Call, span: Span) -> Option<Typed> {
        let mut given: [Option<&Expression>; 3] = [None; 3];
        for (index, Argument { name, value }) in call.arguments.iter().enumerate() {
            let at = match name.as_ref().map(|name| &*name.text) {
                None => index,
                Some(name) => ["path", "key", "as"].iter().position(|known| *known == name).unwrap_or(3),
            };
            match given.get_mut(at) {
                Some(place @ None) => *place = Some(value),
                _ => return self.wrong_lookup("takes a file, the name of its key and a schema", span),
            }
        }
        let [Some(path), Some(key), Some(schema)] = given else {
            return self.wrong_lookup("needs a file, the name of its key and a schema", span);
        };
        let path = self.file(path);
        let name = self.checker.value(key, &Expectation::plain(&Type::Text));
        let schema = self.schema_of(schema)?;
        let (Some((path, format)), Some(Value::Text(name))) = (path, name) else { return None };
        let Some(field) = schema.fields.iter().find(|field| *field.name == *name) else {
            let near = nearest(&name, schema.fields.iter().map(|field| &*field.name)).map(str::to_owned);
            let near = near.map(|near| format!("\"{near}\""));
            let wanted = "field of this schema";
            self.report(UnknownName { name, wanted, near, quote: false, span: key.span });
            return None;
        };
        if field.value_type != Type::Text || field.optional {
            let found = crate::diagnostics::with_article(&field.value_type.named(field.optional));
            let declared =
                Some((format!("`{name}` is {}", field.value_type.named(field.optional)), field.span));
            let expected = "key of type Text".to_owned();
            self.report(WrongType::new(expected, found, key.span).declared(declared));
            return None;
        }
        self.checker.notes.uses.note(key.span, field.span);
        if let Some(nested) = schema.fields.iter().find(|field| field.value_type.has_parts()) {
            self.report(NestedField {
                field: nested.name.to_string(),
                type_name: nested.value_type.to_string(),
                by: "a lookup table".to_owned(),
                reason: "each field of a row is one value".to_owned(),
                span,
                field_span: Some(nested.span),
                declared: None,
            });
            return None;
        }
        let fields = schema.fields.iter().map(FieldType::parsed);
        let table = Table { path, format, key: name, fields: fields.collect() };
        let value_type = Type::Map(Box::new(Type::Schema(schema)));
        Some(Merged::default().typed(Operation::Table(table), value_type, false, span))
    }

    fn wrong_lookup(&mut self, reason: &str, span: Span) -> Option<Typed> {
        let usage = "lookup(\"countries.csv\", key: \"code\", as: Country)".to_owned();
        let (name, reason) = (LOOKUP.to_owned(), reason.to_owned());
        self.report(WrongArguments { name, reason, span, usage, declared: None });
        None
    }

    /// Checks the path of a table, whose ending says the format.
    fn file(&mut self, given: &Expression) -> Option<(String, TableFormat)> {
        let Value::Text(path) = self.checker.value(given, &Expectation::plain(&Type::Text))? else {
            return None;
        };
        let format = match path.rsplit_once('.').map(|(_, ending)| ending) {
            _ if path.contains('\0') => Err(("a path has no NUL", "name a file")),
            Some("csv") => Ok(TableFormat::Csv),
            Some("json" | "jsonl" | "ndjson") => Ok(TableFormat::Json),
            _ => {
                Err(("its ending says no format", "a table ends with `.csv`, `.json`, `.jsonl` or `.ndjson`"))
            }
        };
        let format = match format {
            Ok(format) => format,
            Err((reason, help)) => {
                let (expected, reason, help) =
                    ("lookup table".to_owned(), reason.to_owned(), help.to_owned());
                let (near, span) = (None, given.span);
                self.report(MalformedText { expected, text: path, reason, help, near, span });
                return None;
            }
        };
        Some((path, format))
    }

    /// Returns the schema that an argument names.
    fn schema_of(&mut self, given: &Expression) -> Option<Arc<SchemaType>> {
        let name = |text: &str, span| Name { text: text.into(), span };
        let path = match &given.kind {
            ExpressionKind::Name(text) => Path { qualifier: None, name: name(text, given.span) },
            ExpressionKind::Member(inner, member) => match &inner.kind {
                ExpressionKind::Name(text) => {
                    Path { qualifier: Some(name(text, inner.span)), name: member.clone() }
                }
                _ => return None,
            },
            _ => {
                let found = crate::values::literals::found(given);
                self.report(WrongType::new("schema".to_owned(), found, given.span));
                return None;
            }
        };
        match self.checker.scopes.path(&path).map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Schema(schema), declared)) => {
                self.checker.uses(Mention::of_path(&path), declared);
                self.checker.schema_type(schema)
            }
            Some((Meaning::Broken, _)) => None,
            other => {
                let written = self.checker.files.text(given.span).to_owned();
                match other {
                    Some((meaning, _)) => {
                        let found = format!("{} `{written}`", meaning.in_words());
                        self.report(WrongType::new("schema".to_owned(), found, given.span));
                    }
                    None => {
                        let known = |meaning| matches!(meaning, Meaning::Schema(_));
                        let names = self.checker.scopes.names(given.span.file, known);
                        let near = nearest(&written, names).map(str::to_owned);
                        let (wanted, span) = ("schema", given.span);
                        self.report(UnknownName { name: written, wanted, near, quote: false, span });
                    }
                }
                None
            }
        }
    }
}

impl Typer<'_, '_> {
    /// Reports a lookup table that is used as a value, and returns whether it is one.
    pub(super) fn is_whole_table(&mut self, typed: &Typed) -> bool {
        let is_table = matches!(typed.planned.operation, Operation::Table(_));
        if is_table {
            self.report(WrongType::new(TABLE_ROW, "a lookup table", typed.span));
        }
        is_table
    }
}

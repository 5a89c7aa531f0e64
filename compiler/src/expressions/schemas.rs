//! Resolves the names of types, and reads schemas, which declare the fields of events.

use std::sync::Arc;
use std::time::Duration;

use weir_grammar::Span;
use weir_grammar::tree::{self, ExpressionKind, TypeName, TypeNameKind};

use crate::checker::{Checker, Expectation};
use crate::diagnostics::{Diagnostic, DuplicateEntry, ForeignForm, Misplaced, WrongType};
use crate::names::definitions::DefinitionKind;
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::types::ranges::IntRange;
use crate::types::{FieldFormat, FieldType, SchemaType, Type};

/// The units that a number may have if it is a duration.
const UNITS: [(&str, Duration); 7] = [
    ("us", Duration::from_micros(1)),
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("min", Duration::from_secs(60)),
    ("h", Duration::from_secs(3_600)),
    ("d", Duration::from_secs(86_400)),
    ("ns", Duration::from_nanos(1)),
];

impl Checker<'_> {
    /// Resolves the name of a type. Returns the type and whether it is optional. Reports an unknown type and returns
    /// `None`.
    pub(crate) fn resolve(&mut self, type_name: &TypeName) -> Option<(Type, bool)> {
        let library = self.library;
        let mut broken = false;
        let resolved = library.resolve_with(type_name, &mut |path| {
            let named = self.scopes.path(path)?;
            match named.meaning {
                Meaning::Schema(schema) => {
                    self.uses(Mention::of_path(path), named.declared);
                    // The errors of a broken schema have been reported.
                    let schema = self.schema_type(schema);
                    broken |= schema.is_none();
                    schema.map(Type::Schema)
                }
                _ => None,
            }
        });
        match resolved {
            // A broken schema may have the name of a built-in type.
            Ok(_) if broken => None,
            Ok(resolved) => {
                self.uses_type(type_name);
                self.items_are_never_null(type_name)?;
                Some(resolved)
            }
            Err(unknown) => {
                let broken = matches!(&*unknown, Diagnostic::UnknownType(unknown)
                if self.scopes.get(unknown.span.file, &unknown.name).is_some_and(|named| {
                    matches!(named.meaning, Meaning::Broken | Meaning::Schema(_))
                }));
                if !broken {
                    self.diagnostics.push(*unknown);
                }
                None
            }
        }
    }

    /// Reports a `?` behind the type of the items of a list or map.
    fn items_are_never_null(&mut self, type_name: &TypeName) -> Option<()> {
        let (TypeNameKind::List(item) | TypeNameKind::Applied(_, item)) = &type_name.kind else {
            return Some(());
        };
        if !item.optional {
            return self.items_are_never_null(item);
        }
        let span = Span { start: item.span.end.saturating_sub(1), ..item.span };
        let message = "the items of a list or map are never null".to_owned();
        let title = "leave out the `?`; behind the whole type, it lets the list or map be null".to_owned();
        self.report(ForeignForm::new(span, message, title, vec![(span, String::new())]));
        None
    }

    /// Records the uses of the library's enums and records in the name of a type.
    fn uses_type(&mut self, type_name: &TypeName) {
        match &type_name.kind {
            TypeNameKind::List(item) | TypeNameKind::Applied(_, item) => self.uses_type(item),
            TypeNameKind::Sized(..) => {}
            TypeNameKind::Name(path) => {
                let library = self.library;
                let is_of_library = path.qualifier.is_none() && library.types.contains_key(&*path.name.text);
                // Built-in types are most names; they have no definition that could be searched for.
                if !is_of_library || self.scopes.path(path).is_some() {
                    return;
                }
                if let Some(found) = library.definitions.named(DefinitionKind::Type, &path.name.text).next() {
                    self.uses(Mention::of_path(path), found.span);
                }
            }
        }
    }

    /// Returns the type of a schema; `None` if the schema has errors.
    pub(crate) fn schema_type(&mut self, schema: &tree::Schema) -> Option<Arc<SchemaType>> {
        if self.scopes.cyclic.contains(&schema.name.span) {
            return None;
        }
        if let Some(known) = self.schemas.get(&schema.name.span) {
            return known.clone();
        }
        let mut fields: Vec<FieldType> = Vec::new();
        let mut whole = !schema.broken;
        for field in &schema.fields {
            if let Some(first) = fields.iter().find(|first| *first.name == *field.name.text) {
                let (name, first, second) = (field.name.text.to_string(), first.span, field.name.span);
                self.report(DuplicateEntry { name, first, second });
                continue;
            }
            match self.field(field) {
                Some(field) => fields.push(field),
                None => whole = false,
            }
        }
        let name = schema.name.text.as_ref().into();
        let read = whole.then(|| Arc::new(SchemaType { name, fields }));
        self.schemas.insert(schema.name.span, read.clone());
        read
    }

    fn field(&mut self, field: &tree::Field) -> Option<FieldType> {
        let (value_type, optional) = self.resolve(&field.type_name)?;
        if value_type.is_setting_only() {
            let name = format!("the type `{value_type}`");
            let rule = "the fields of events are Bool, Int, Float, Decimal(p, s), Text, Bytes, Time, Duration, Size, \
                        Ip, Json, lists, maps and schemas";
            let (role, rule, span) = ("a type of settings", rule.to_owned(), field.type_name.span);
            self.report(Misplaced { name, role, rule, span, declared: None });
            return None;
        }
        let mut format = FieldFormat::Plain;
        if let Some(range) = &field.range {
            if value_type != Type::Int {
                return self.unfit_format("Int before the range", field, &value_type);
            }
            match IntRange::of_text(range) {
                Some(range) => format = FieldFormat::Within(range),
                None => return self.no_integers(range),
            }
        }
        if let Some(unit) = &field.unit {
            let known = UNITS.iter().find(|(name, _)| *name == &*unit.text);
            match known {
                Some((_, length)) if value_type == Type::Duration => format = FieldFormat::Unit(*length),
                Some(_) => return self.unfit_format("Duration before `in`", field, &value_type),
                None => {
                    let known = UNITS.iter().map(|(name, _)| *name);
                    let near = crate::spelling::nearest(&unit.text, known).map(str::to_owned);
                    let (name, span) = (unit.text.to_string(), unit.span);
                    self.report(crate::diagnostics::UnknownName {
                        name,
                        wanted: "unit of durations",
                        near,
                        quote: false,
                        span,
                    });
                    return None;
                }
            }
        }
        if let Some(pattern) = &field.pattern {
            if value_type != Type::Time {
                return self.unfit_format("Time before `as`", field, &value_type);
            }
            if pattern.kind != ExpressionKind::Broken {
                match self.value(pattern, &Expectation::plain(&Type::InstantPattern))? {
                    weir_plan::Value::Text(text) => format = FieldFormat::Pattern(text),
                    _ => return None,
                }
            }
        }
        let (name, span) = (field.name.text.as_ref().into(), field.name.span);
        Some(FieldType { name, span, value_type, optional, sensitive: field.sensitive.is_some(), format })
    }

    fn no_integers(&mut self, range: &tree::Range) -> Option<FieldType> {
        let (name, value) = (self.files.text(range.span).to_owned(), "no range of integers".to_owned());
        let (words, span) = ("from the lesser to the greater Int, as in `100..=599`".to_owned(), range.span);
        self.report(crate::diagnostics::OutOfRange { name, value, range: words, span, declared: span });
        None
    }

    fn unfit_format(&mut self, expected: &str, field: &tree::Field, value_type: &Type) -> Option<FieldType> {
        let found = crate::diagnostics::with_article(&value_type.to_string());
        let (expected, span) = (expected.to_owned(), field.type_name.span);
        self.report(WrongType::new(expected, found, span));
        None
    }
}

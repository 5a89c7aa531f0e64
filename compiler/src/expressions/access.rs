//! Types names, fields of records, and items of lists and maps.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Name};
use weir_plan::{ATTACHED_HEADERS, Operation, Value};

use super::tables::is_table;
use super::{Binding, Bindings, Merged, Typed, Typer, constant, typed_constant};
use crate::checker::Expectation;
use crate::diagnostics::{NoSuchOperation, UnknownName, WrongType};
use crate::names::scopes::{Meaning, Named};
use crate::names::visit::Mention;
use crate::spelling::{literal_elsewhere, nearest};
use crate::types::Type;

impl Typer<'_, '_> {
    /// Types a name: a binding of the steps, a field, a param or a `let`.
    pub(super) fn name(&mut self, name: &str, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        let span = given.span;
        if let Some(binding) = self.bindings.names.get(name) {
            if let Some(declared) = binding.declared() {
                self.checker.notes.uses.note(span, declared);
            }
            return self.binding(binding, span);
        }
        if self.columns.is_some_and(|columns| columns.columns.contains_key(name)) {
            return self.column(name, span);
        }
        let named = self.checker.scopes.get(span.file, name);
        if named.is_none() && self.columns.is_some_and(|columns| !columns.lacks(name)) {
            return None;
        }
        match named {
            Some(named) => self.named(named, Mention::plain(name, span), expected),
            None if matches!(name, weir_plan::BODY | "headers") && self.columns.is_some() => {
                self.column(name, span)
            }
            None => {
                let columns = self.columns.into_iter().flat_map(|columns| columns.columns.keys());
                let values = self.checker.scopes.values(span.file);
                let bound = self.bindings.names.keys().map(AsRef::as_ref);
                let candidates = values.chain(columns.map(AsRef::as_ref)).chain(bound);
                let literal = literal_elsewhere(name);
                let near = literal.or_else(|| nearest(name, candidates)).map(str::to_owned);
                let near =
                    near.or_else(|| self.checker.scopes.near(Mention::plain(name, span), Meaning::is_value));
                let wanted =
                    if self.columns.is_some() { "field, param or let" } else { "parameter, param or let" };
                let (name, quote) = (name.to_owned(), expected.is_some_and(Type::is_textual));
                self.report(UnknownName { name, wanted, near, quote, span });
                // The rest is checked with the value that was meant.
                let value = literal.and_then(|literal| literal.parse::<bool>().ok())?;
                Some(constant(Value::Bool(value), Type::Bool, span))
            }
        }
    }

    fn binding(&mut self, binding: &Binding, span: Span) -> Option<Typed> {
        match binding {
            Binding::Broken => None,
            Binding::Constant { value, value_type, .. } => {
                Some(constant(value.clone(), value_type.clone(), span))
            }
            Binding::Column { name, required, span: named_at, .. } => {
                let typed = self.column(name, *named_at)?;
                let typed = if *required { self.present(typed)? } else { typed };
                Some(Typed { span, ..typed })
            }
            Binding::Local { number, value_type, optional, sensitive, range, .. } => {
                let place = format!("${number}");
                let known = self.is_known(&place);
                let facts = self.bindings.conditions.get(number).cloned().unwrap_or_default();
                let merged = Merged { sensitive: *sensitive, ..Merged::default() };
                let typed = merged.typed(Operation::Local(*number), value_type.clone(), *optional, span);
                Some(Typed {
                    optional: *optional && !known,
                    place: Some(place.into()),
                    facts,
                    range: *range,
                    ..typed
                })
            }
        }
    }

    /// Types a param or a `let` by its value.
    fn named(&mut self, named: Named<'_>, mention: Mention<'_>, expected: Option<&Type>) -> Option<Typed> {
        let (name, span) = (mention.name, mention.span);
        match named.meaning {
            Meaning::Broken => None,
            Meaning::Let(item) => {
                self.checker.uses(mention, named.declared);
                let constant = match &item.value.kind {
                    // The holes of a `let` name what the file and the events have, and no bindings of the steps.
                    ExpressionKind::Text(text) if text.has_holes() => {
                        let (columns, known, bindings) =
                            (self.columns, self.known.clone(), Bindings::default());
                        let mut typer = Typer { checker: self.checker, columns, bindings: &bindings, known };
                        return typer.typed(&item.value, expected).map(|typed| Typed { span, ..typed });
                    }
                    ExpressionKind::Call(_) if is_table(&item.value) => {
                        return self.typed_or_table(&item.value, None).map(|typed| Typed { span, ..typed });
                    }
                    // Text, lists and `null` take the type that the use of the `let` expects.
                    ExpressionKind::Text(_) | ExpressionKind::List(_) | ExpressionKind::Null => {
                        return self.typed(&item.value, expected).map(|typed| Typed { span, ..typed });
                    }
                    _ => self.checker.fold(&item.value)?,
                };
                if constant.literal.is_some() {
                    return self.constant_number(&constant, span, expected);
                }
                let value_type =
                    constant.value_type.unwrap_or_else(|| expected.cloned().unwrap_or(Type::Text));
                typed_constant(constant.value, value_type, span)
            }
            Meaning::Param => {
                self.checker.uses(mention, named.declared);
                let param = self.checker.params.get(&named.declared)?.clone()?;
                let wanted = match expected {
                    Some(wanted) if wanted.is_setting_only() || param.value_type == *wanted => {
                        param.value_type
                    }
                    _ if param.value_type.is_setting_only() && param.value_type.is_textual() => Type::Text,
                    _ => param.value_type,
                };
                let place = format!("={name}");
                let optional = param.optional && !self.is_known(&place);
                let place = param.optional.then(|| place.into());
                let typed = typed_constant(param.value?, wanted, span)?;
                // The program is right for every value that the param may have.
                let range = param.range.unwrap_or(typed.range);
                Some(Typed { optional, place, range, ..typed })
            }
            meaning => {
                let expected = "value of an event".to_owned();
                let found = format!("{} `{name}`", meaning.in_words());
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    /// Types `place.city`, or a name of another file.
    pub(super) fn member(
        &mut self,
        given: &Expression,
        inner: &Expression,
        name: &Name,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        if let ExpressionKind::Name(qualifier) = &inner.kind
            && !self.is_value(qualifier)
            && let Some(Meaning::File(file)) =
                self.checker.scopes.get(inner.span.file, qualifier).map(|named| named.meaning)
        {
            let mention = Mention::of_member(qualifier, inner.span, name);
            return match self.checker.scopes.mention(mention) {
                Some(named) => self.named(named, mention, expected),
                None => {
                    let near = nearest(&name.text, self.checker.scopes.values(file));
                    let near = near.map(|near| format!("{qualifier}.{near}"));
                    let (name, wanted) = (format!("{qualifier}.{}", name.text), "param or let");
                    self.report(UnknownName { name, wanted, near, quote: false, span: given.span });
                    None
                }
            };
        }
        if let ExpressionKind::Name(qualifier) = &inner.kind
            && !self.means_something(qualifier, inner.span)
        {
            let mention = Mention::of_member(qualifier, inner.span, name);
            let near = self.checker.scopes.near(mention, Meaning::is_value);
            if near.is_some() {
                let (name, wanted) = (format!("{qualifier}.{}", name.text), "param or let");
                self.report(UnknownName { name, wanted, near, quote: false, span: given.span });
                return None;
            }
        }
        let typed = self.typed(inner, None).and_then(|typed| self.present(typed))?;
        let Type::Schema(schema) = &typed.value_type else {
            let right =
                (self.checker.files.text(inner.span).to_owned(), typed.value_type.to_string(), inner.span);
            let help = "only a field whose type is a schema has fields of its own".to_owned();
            self.report(NoSuchOperation { operator: ".".to_owned(), left: None, right, help });
            return None;
        };
        let Some(field) = schema.fields.iter().find(|field| *field.name == *name.text) else {
            let near = nearest(&name.text, schema.fields.iter().map(|field| &*field.name)).map(str::to_owned);
            let (name, wanted) = (name.text.to_string(), "field of this schema");
            self.report(UnknownName { name, wanted, near, quote: false, span: given.span });
            return None;
        };
        self.checker.notes.uses.note(name.span, field.span);
        let mut merged = Merged::of([&typed]);
        merged.sensitive |= field.sensitive;
        let operation = Operation::Field(Box::new(typed.planned.clone()), name.text.to_string());
        let place = typed.place.as_ref().map(|place| format!("{place}.{}", name.text));
        let known = place.as_ref().is_some_and(|place| self.is_known(place));
        let result = merged.typed(operation, field.value_type.clone(), field.optional, given.span);
        Some(Typed { optional: field.optional && !known, place: place.map(Into::into), ..result })
    }

    /// Returns whether a name is declared in this scope.
    pub(super) fn means_something(&self, name: &str, span: Span) -> bool {
        self.is_value(name) || self.checker.scopes.get(span.file, name).is_some()
    }

    pub(super) fn is_value(&self, name: &str) -> bool {
        self.bindings.names.contains_key(name)
            || self.columns.is_some_and(|columns| columns.columns.contains_key(name))
    }

    /// Types `list[0]` or `map["key"]`, whose value is null if the item does not exist.
    pub(super) fn index(&mut self, inner: &Expression, index: &Expression, span: Span) -> Option<Typed> {
        let typed = self.typed_or_table(inner, None).and_then(|typed| self.present(typed));
        let (wanted, result) = match typed.as_ref().map(|typed| &typed.value_type) {
            Some(Type::List(item)) => (Type::Int, item.as_ref().clone()),
            Some(Type::Map(item)) => (Type::Text, item.as_ref().clone()),
            Some(Type::Json) => (Type::Text, Type::Json),
            Some(other) => {
                let right = (self.checker.files.text(inner.span).to_owned(), other.to_string(), inner.span);
                let help = "lists, maps and Json have items".to_owned();
                self.report(NoSuchOperation { operator: "[ ]".to_owned(), left: None, right, help });
                return None;
            }
            None => {
                self.typed(index, None);
                return None;
            }
        };
        let index = self.valued(index, &wanted)?;
        Some(self.item(typed?, index, result, span))
    }

    /// Returns the item of a list, a map or a JSON object.
    fn item(&mut self, of: Typed, index: Typed, value_type: Type, span: Span) -> Typed {
        let merged = Merged::of([&of, &index]);
        let place = item_place(&of, &index);
        let optional = !place.as_ref().is_some_and(|place| self.is_known(place));
        let operation = Operation::Index(Box::new(of.planned), Box::new(index.planned));
        let typed = merged.typed(operation, value_type, true, span);
        Typed { optional, place, ..typed }
    }

    /// Types `header("name")`: a header that the sender attached.
    pub(super) fn header(&mut self, name: &Expression, span: Span) -> Option<Typed> {
        let index = self.valued(name, &Type::Text)?;
        let headers = self.column(ATTACHED_HEADERS, span)?;
        if headers.value_type != Type::Map(Box::new(Type::Text)) {
            let wanted = Type::Map(Box::new(Type::Text));
            return self.mismatch(&headers, &wanted);
        }
        let headers = self.present(headers)?;
        Some(self.item(headers, index, Type::Text, span))
    }

    /// Returns a constant that an expression over events needs, such as a regular expression, a rate or a percentage.
    pub(crate) fn setting(&mut self, given: &Expression, wanted: &Type, optional: bool) -> Option<Value> {
        if let ExpressionKind::Name(name) = &given.kind
            && let Some(binding) = self.bindings.names.get(name)
        {
            if let Some(declared) = binding.declared() {
                self.checker.notes.uses.note(given.span, declared);
            }
            return match binding {
                Binding::Constant { value, value_type, .. } if value_type == wanted => Some(value.clone()),
                Binding::Broken => None,
                _ => {
                    let found = format!("`{name}`, which is known only with each event");
                    let (expected, span) = (wanted.to_string(), given.span);
                    self.report(WrongType::new(expected, found, span));
                    None
                }
            };
        }
        if self.known_only_with_events(given, wanted) {
            return None;
        }
        let expectation = Expectation { optional, ..Expectation::plain(wanted) };
        self.checker.value(given, &expectation)
    }

    /// Reports a field or a header where a constant is expected, and returns whether it reported one.
    pub(crate) fn known_only_with_events(&mut self, given: &Expression, wanted: &Type) -> bool {
        let name = match &given.kind {
            ExpressionKind::Name(name) => name.to_string(),
            ExpressionKind::Header(name) => format!("@{name}"),
            _ => return false,
        };
        let is_column = self.columns.is_some_and(|columns| columns.columns.contains_key(name.as_str()));
        if is_column && !self.bindings.names.contains_key(name.as_str()) {
            let found = format!("`{name}`, which is known only with each event");
            let (expected, span) = (wanted.to_string(), given.span);
            self.report(WrongType::new(expected, found, span));
            return true;
        }
        false
    }
}

/// Returns the place of an item whose index is a constant: `extra["id"]`, `tags[0]`.
pub(super) fn item_place(of: &Typed, index: &Typed) -> Option<Arc<str>> {
    let of = of.place.as_ref()?;
    match &index.planned.operation {
        Operation::Literal(Value::Text(name)) => Some(format!("{of}[{name:?}]").into()),
        Operation::Literal(Value::Int(number)) => Some(format!("{of}[{number}]").into()),
        _ => None,
    }
}

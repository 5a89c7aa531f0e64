//! Checks values against types. Each check returns a value of the plan or reports a diagnostic.
//!
//! `None` means that the value has an error, which has been reported.

pub(crate) mod constants;
pub(crate) mod defaults;
pub(crate) mod expectations;
pub(crate) mod literals;
mod number_literals;
pub(crate) mod numbers;
pub(crate) mod operators;
pub(crate) mod params;
pub(crate) mod qualities;
pub(crate) mod ranges;
pub(crate) mod regexes;
mod replacements;
pub(crate) mod requirements;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod templates;
pub(crate) mod texts;
pub(crate) mod times;

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_grammar::tree::{
    Block, Call, Conditional, Expression, ExpressionKind, Name, Number, Operator, Text, TextPart,
};
use weir_plan::{SecretReference, Value};

use crate::analysis::expressions::ExpressionType;
use crate::analysis::settings::Found;
use crate::checker::{Checker, Expectation, Owner};
use crate::diagnostics::{
    DuplicateEntry, MalformedText, NoSettings, PlainSecret, UnfitText, UnknownName, UnknownVariant,
    WrongArguments, WrongType, with_article,
};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::Named;
use crate::spelling::literal_elsewhere;
use crate::types::Type;
use crate::values::literals::{found, number_type};
use crate::values::templates::constant_template;

impl<'c> Checker<'c> {
    /// Checks a value against a type.
    pub(crate) fn value(&mut self, given: &Expression, expected: &Expectation<'_>) -> Option<Value> {
        self.value_with(given, expected, &mut Found::default())
    }

    /// Checks a value against a type, and collects its nested settings and the columns and headers that it needs.
    pub(crate) fn value_with(
        &mut self,
        given: &Expression,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        self.notes.expected.insert(given.span, (expected.value_type.clone(), expected.optional));
        let value = self.value_of_kind(given, expected, found).filter(|value| {
            self.formed(given, value, expected) && !self.is_below_zero(value, given, expected)
        });
        let noted = value.as_ref().map(|value| ExpressionType {
            value_type: expected.value_type.clone(),
            optional: *value == Value::Null,
            sensitive: false,
            fails: false,
        });
        self.note_type(given.span, noted);
        value
    }

    /// Checks that the texts of a value have the forms that their setting requires. The items of a written list have
    /// been checked one by one.
    fn formed(&mut self, given: &Expression, value: &Value, expected: &Expectation<'_>) -> bool {
        let Some(setting) = expected.setting else { return true };
        if matches!(given.kind, ExpressionKind::List(_) | ExpressionKind::Paren(_) | ExpressionKind::If(_)) {
            return true;
        }
        for form in &setting.forms {
            if let Some(text) = form.misfit(value) {
                self.report(UnfitText {
                    setting: setting.name.text.to_string(),
                    text,
                    reason: form.because.text.clone(),
                    span: given.span,
                    declared: form.because.span,
                });
                return false;
            }
        }
        true
    }

    fn value_of_kind(
        &mut self,
        given: &Expression,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        match (&given.kind, expected.value_type) {
            (ExpressionKind::Broken, _) => None,
            (ExpressionKind::Null, _) if expected.optional => Some(Value::Null),
            (ExpressionKind::Paren(inner), _) => self.value_with(inner, expected, found),
            (ExpressionKind::Name(_) | ExpressionKind::Member(..), wanted) => match constants::mention(given)
            {
                Some(mention) => self.named(mention, wanted, expected, found),
                None => self.wrong(given, expected),
            },
            (ExpressionKind::If(conditional), _) => self.chosen(conditional, expected, found),
            (ExpressionKind::Binary(Operator::Coalesce, first, second), _) => {
                let constant = self.fold(first)?;
                match constant.value {
                    Value::Null => self.value_with(second, expected, found),
                    _ => self.fitting(constant, first, expected),
                }
            }
            (ExpressionKind::Secret(call), Type::Secret) => self.secret(call, given.span),
            (ExpressionKind::Text(_), Type::Secret) => self.plain_secret(given.span, expected),
            (ExpressionKind::Header(name), Type::Header) => {
                found.headers.push((format!("@{name}"), given.span));
                Some(Value::Text(format!("@{name}")))
            }
            _ if self.foreign_value(given, expected.value_type) => None,
            (ExpressionKind::Record(block), Type::Map(item)) => self.map(block, item, expected, found),
            (
                ExpressionKind::Binary(..)
                | ExpressionKind::Negate(_)
                | ExpressionKind::Not(_)
                | ExpressionKind::And(_)
                | ExpressionKind::Or(_)
                | ExpressionKind::Is(_)
                | ExpressionKind::Call(_),
                _,
            ) => {
                let constant = self.fold(given)?;
                self.fitting(constant, given, expected)
            }
            (ExpressionKind::Variant(name, settings), Type::Named(wanted)) => {
                self.variant(name, Some(settings), wanted, given, expected, found)
            }
            (ExpressionKind::Record(block), Type::Named(wanted)) => {
                self.record(block, wanted, given, expected, found)
            }
            (ExpressionKind::List(items), Type::List(wanted)) => {
                self.list(items, &expected.item(wanted), found)
            }
            (ExpressionKind::Bool(value), Type::Bool) => Some(Value::Bool(*value)),
            (ExpressionKind::Number(number), wanted) => self.number(*number, wanted, given, expected),
            (ExpressionKind::Text(text), Type::Template) => self.template(text, found).map(Value::Template),
            (ExpressionKind::Text(text), wanted) if wanted.is_textual() => {
                self.text(text, wanted, given.span)
            }
            _ => self.wrong(given, expected),
        }
    }

    /// Checks a list whose items are expected to be values of one type.
    fn list(&mut self, items: &[Expression], expected: &Expectation<'_>, found: &mut Found) -> Option<Value> {
        let item = |(index, item)| {
            let before = found.settings.len();
            let value = self.value_with(item, expected, found);
            found.name_from(before, &format!("[{index}]"));
            value
        };
        let values: Vec<Option<Value>> = items.iter().enumerate().map(item).collect();
        if *expected.value_type == Type::Header {
            self.headers_differ(items);
        }
        values.into_iter().collect::<Option<Vec<Value>>>().map(Value::List)
    }

    /// Returns the chosen value of an `if`. The values of the other branches must have the expected type too.
    fn chosen(
        &mut self,
        conditional: &Conditional,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        let mut chosen = self.value_with(&conditional.otherwise, expected, found);
        for (condition, value) in conditional.cases.iter().rev() {
            let value = self.value_with(value, expected, found);
            if self.fold(condition)?.value == Value::Bool(true) {
                chosen = value;
            }
        }
        chosen
    }

    fn map(
        &mut self,
        block: &Block,
        item: &Type,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        let mut values = BTreeMap::new();
        for entry in &block.entries {
            let before = found.settings.len();
            let value = self.value_with(&entry.value, &expected.item(item), found)?;
            found.name_from(before, &entry.name.text);
            values.insert(entry.name.text.to_string(), value);
        }
        (!block.broken).then_some(Value::Record(values))
    }

    pub(super) fn wrong(&mut self, given: &Expression, expected: &Expectation<'_>) -> Option<Value> {
        let shown = self.files.text(given.span);
        let literal = match &given.kind {
            ExpressionKind::Text(text) => whole_text(text)
                .and_then(|text| replacements::literal(text, expected.value_type, self.library)),
            _ => None,
        };
        let replacement = match (expected.value_type, &given.kind) {
            (Type::List(item), ExpressionKind::Text(_)) if item.is_textual() => Some(format!("[{shown}]")),
            (Type::Bool, ExpressionKind::Text(_)) if matches!(shown, "\"true\"" | "\"false\"") => {
                Some(shown.trim_matches('"').to_owned())
            }
            (Type::Int, ExpressionKind::Text(text)) => whole_text(text)
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .map(str::to_owned),
            (wanted, ExpressionKind::Number(Number::Int(number))) if wanted.is_textual() => {
                Some(format!("\"{number}\""))
            }
            _ => literal,
        };
        self.report(WrongType {
            expected: expected.name(),
            found: found(given),
            span: given.span,
            declared: expected.declared(),
            value: None,
            replacement,
        });
        None
    }

    fn plain_secret(&mut self, span: Span, expected: &Expectation<'_>) -> Option<Value> {
        let setting = expected.setting.map_or("this".to_owned(), |setting| setting.name.text.to_string());
        self.report(PlainSecret { setting, given: false, span });
        None
    }

    /// Checks `secret env("NAME")` or `secret file("/path")`.
    fn secret(&mut self, call: &Call, span: Span) -> Option<Value> {
        let text = match call.arguments.as_slice() {
            [argument] if argument.name.is_none() => {
                self.value(&argument.value, &Expectation::plain(&Type::Text))?
            }
            _ => Value::Null,
        };
        match (&*call.function.name.text, text) {
            (of @ ("env" | "file"), Value::Text(name)) if name.is_empty() => {
                let (reason, help) = match of {
                    "env" => ("it names no environment variable", "name one: `secret env(\"NAME\")`"),
                    _ => ("it names no file", "name one: `secret file(\"/path\")`"),
                };
                let (expected, reason, help) = ("Secret".to_owned(), reason.to_owned(), help.to_owned());
                self.report(MalformedText { expected, text: name, reason, help, near: None, span });
                None
            }
            ("env", Value::Text(name)) => Some(Value::Secret(SecretReference::Environment(name))),
            ("file", Value::Text(path)) => Some(Value::Secret(SecretReference::File(path))),
            _ => {
                let name = "secret".to_owned();
                let reason = "comes from the environment or from a file".to_owned();
                let usage = "secret env(\"NAME\")`, or as `secret file(\"/path\")".to_owned();
                self.report(WrongArguments { name, reason, span, usage, declared: None });
                None
            }
        }
    }

    /// Reports a header that a list names twice.
    fn headers_differ(&mut self, items: &[Expression]) {
        let mut first = BTreeMap::new();
        for item in items {
            let ExpressionKind::Header(name) = &item.kind else { continue };
            if let Some(first) = first.insert(name, item.span) {
                self.report(DuplicateEntry { name: format!("@{name}"), first, second: item.span });
            }
        }
    }

    /// Resolves a name where a value is expected: a variant, a `let` or a param.
    fn named(
        &mut self,
        mention: Mention<'_>,
        wanted: &Type,
        expected: &Expectation<'_>,
        found_within: &mut Found,
    ) -> Option<Value> {
        let (name, span) = (mention.name, mention.span);
        let given = Expression { span, kind: ExpressionKind::Name(name.into()) };
        let named = self.scopes.mention(mention);
        if let Type::Named(type_name) = wanted
            && mention.qualifier.is_none()
            && (named.is_none() || self.variants(type_name).contains(&name))
        {
            let variant = Name { text: name.into(), span };
            return self.variant(&variant, None, type_name, &given, expected, found_within);
        }
        let Some(named) = named else {
            if *wanted == Type::Header && mention.qualifier.is_none() {
                self.report(replacements::header(name, span));
                return None;
            }
            let literal = literal_elsewhere(name).filter(|_| !wanted.is_textual()).map(str::to_owned);
            let near = literal.or_else(|| self.scopes.near(mention, Meaning::is_value));
            let quote = wanted.is_textual() && mention.qualifier.is_none();
            let name = self.files.text(span).to_owned();
            self.report(UnknownName { name, wanted: "param or let", near, quote, span });
            return None;
        };
        match named.meaning {
            Meaning::Broken => None,
            Meaning::Let(item) => {
                self.uses(mention, named.declared);
                let value = &item.value;
                if fits(&value.kind, wanted, expected.optional) {
                    return self.value_with(value, expected, found_within);
                }
                let label = Some((format!("`{name}` is {}", found(value)), value.span));
                self.mismatch(found(value), span, label, expected)
            }
            Meaning::Param => {
                self.uses(mention, named.declared);
                let Some(param) = self.params.get(&named.declared).cloned() else {
                    return self.mismatch(format!("the param `{name}`"), span, None, expected);
                };
                let param = param?;
                let (value_type, optional) = (&param.value_type, param.optional);
                let same = value_type == wanted || (*value_type == Type::Text && *wanted == Type::Template);
                if same && (expected.optional || !optional) {
                    let value = param.value?;
                    return Some(if *wanted == Type::Template { constant_template(value) } else { value });
                }
                let found = with_article(&value_type.named(optional));
                let label = Some((format!("`{name}` is {}", value_type.named(optional)), param.declared));
                self.mismatch(found, span, label, expected)
            }
            meaning => self.mismatch(format!("{} `{name}`", meaning.in_words()), span, None, expected),
        }
    }

    pub(crate) fn mismatch(
        &mut self,
        found: String,
        span: Span,
        value: Option<(String, Span)>,
        expected: &Expectation<'_>,
    ) -> Option<Value> {
        let (declared, replacement) = (expected.declared(), None);
        self.report(WrongType { expected: expected.name(), found, span, declared, value, replacement });
        None
    }

    fn variants(&self, enumeration: &str) -> Vec<&'c str> {
        match self.library.types.get(enumeration) {
            Some(Named::Enum(variants)) => variants.iter().map(|variant| &*variant.name.text).collect(),
            _ => Vec::new(),
        }
    }

    #[allow(clippy::too_many_arguments)] // The variant, its place and what is expected there.
    fn variant(
        &mut self,
        name: &Name,
        settings: Option<&Block>,
        enumeration: &str,
        given: &Expression,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        let library = self.library;
        let Some(Named::Enum(variants)) = library.types.get(enumeration) else {
            return self.wrong(given, expected);
        };
        let Some(variant) = variants.iter().find(|variant| variant.name.text == name.text) else {
            let known = self.variants(enumeration);
            let near = library.nearest(&name.text, known.iter().copied()).map(str::to_owned);
            self.report(UnknownVariant {
                name: name.text.to_string(),
                enumeration: enumeration.to_owned(),
                near,
                known: known.into_iter().map(str::to_owned).collect(),
                span: name.span,
            });
            return None;
        };
        self.notes.uses.note(name.span, variant.name.span);
        let owner = Owner { words: format!("`{}`", variant.name.text), span: name.span };
        let settings = match (&variant.group, settings) {
            (Some(group), Some(block)) => self.group_with(group, block, &owner, found)?,
            (Some(group), None) => {
                let block = Block { span: given.span, entries: Vec::new(), broken: false };
                self.group_with(group, &block, &owner, found)?
            }
            (None, None) => BTreeMap::new(),
            (None, Some(block)) => {
                let (variant, span) = (variant.name.text.to_string(), block.span);
                self.report(NoSettings { variant, name_span: name.span, span });
                return None;
            }
        };
        Some(Value::Variant { name: variant.name.text.to_string(), settings })
    }

    fn record(
        &mut self,
        block: &Block,
        record: &str,
        given: &Expression,
        expected: &Expectation<'_>,
        found: &mut Found,
    ) -> Option<Value> {
        let library = self.library;
        let Some(Named::Record(group)) = library.types.get(record) else {
            return self.wrong(given, expected);
        };
        let owner = Owner { words: format!("the record {record}"), span: block.span };
        self.group_with(group, block, &owner, found).map(Value::Record)
    }

    /// Checks text that is the same for every event against its type.
    fn text(&mut self, text: &Text, wanted: &Type, span: Span) -> Option<Value> {
        let text = self.common_text(text, wanted)?;
        self.checked_text(text, wanted, span)
    }

    /// Checks text against the form that its type requires.
    pub(crate) fn checked_text(&mut self, text: String, wanted: &Type, span: Span) -> Option<Value> {
        if *wanted == Type::Regex {
            return self.regex(&text, span).map(|()| Value::Regex(text));
        }
        match texts::check(wanted, &text) {
            Ok(()) => Some(Value::Text(text)),
            Err(error) => {
                self.report(MalformedText {
                    expected: wanted.to_string(),
                    text,
                    reason: error.reason,
                    help: error.help.to_owned(),
                    near: error.near,
                    span,
                });
                None
            }
        }
    }
}

/// Returns the text if it has no holes. Such text has at most one part.
fn whole_text(text: &Text) -> Option<&str> {
    match text.parts.as_slice() {
        [] => Some(""),
        [TextPart::Literal(text)] => Some(text),
        _ => None,
    }
}

/// Returns whether a value has the shape of a type. If it does, an error lies in a nested value.
fn fits(kind: &ExpressionKind, wanted: &Type, optional: bool) -> bool {
    match kind {
        ExpressionKind::Broken => true,
        ExpressionKind::Null => optional,
        ExpressionKind::Name(_) => true,
        ExpressionKind::Text(_) => wanted.is_textual() || *wanted == Type::Secret,
        ExpressionKind::List(_) => matches!(wanted, Type::List(_)),
        ExpressionKind::Record(_) => matches!(wanted, Type::Named(_) | Type::Map(_)),
        ExpressionKind::Variant(..) => matches!(wanted, Type::Named(_)),
        ExpressionKind::Bool(_) => *wanted == Type::Bool,
        ExpressionKind::Number(number) => match (number, wanted) {
            (Number::Int(_) | Number::Point { .. }, Type::Float | Type::Decimal(..)) => true,
            _ => *wanted == number_type(*number),
        },
        ExpressionKind::Header(_) => *wanted == Type::Header,
        ExpressionKind::Secret(_) => *wanted == Type::Secret,
        // A computed expression reports its own type errors.
        _ => true,
    }
}

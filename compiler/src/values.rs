//! Values against types: each becomes one of the plan, or a diagnostic.
//!
//! `None` is a value about which everything has been said already.

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_grammar::tree::{Block, Expression, ExpressionKind, Name, Number, Text, TextPart};
use weir_plan::Value;

use crate::constants::Constant;
use crate::diagnostics::{
    HoleNotAllowed, MalformedText, MissingUnit, NoSettings, UnknownName, UnknownVariant, WrongType,
    with_article,
};
use crate::library::Named;
use crate::names::nearest;
use crate::settings::{Checker, Expectation, Owner};
use crate::templates::constant_template;
use crate::texts;
use crate::types::Type;

impl<'c> Checker<'c> {
    /// Checks a value against a type.
    pub(crate) fn value(&mut self, given: &Expression, expected: &Expectation<'_>) -> Option<Value> {
        match (&given.kind, expected.value_type) {
            (ExpressionKind::Broken, _) => None,
            (ExpressionKind::Null, _) if expected.optional => Some(Value::Null),
            (ExpressionKind::Name(name), wanted) => self.named(name, given.span, wanted, expected),
            (ExpressionKind::Variant(name, settings), Type::Named(wanted)) => {
                self.variant(name, Some(settings), wanted, given, expected)
            }
            (ExpressionKind::Record(block), Type::Named(wanted)) => {
                self.record(block, wanted, given, expected)
            }
            (ExpressionKind::List(items), Type::List(wanted)) => {
                let values: Vec<Option<Value>> =
                    items.iter().map(|item| self.value(item, &expected.item(wanted))).collect();
                values.into_iter().collect::<Option<Vec<Value>>>().map(Value::List)
            }
            (ExpressionKind::Bool(value), Type::Bool) => Some(Value::Bool(*value)),
            (ExpressionKind::Number(number), wanted) => self.number(*number, wanted, given, expected),
            (ExpressionKind::Text(text), Type::Template) => self.template(text).map(Value::Template),
            (ExpressionKind::Text(text), wanted) if wanted.is_textual() => {
                self.text(text, wanted, given.span)
            }
            _ => self.wrong(given, expected),
        }
    }

    fn wrong(&mut self, given: &Expression, expected: &Expectation<'_>) -> Option<Value> {
        let shown = self.files.text(given.span);
        let replacement = match (expected.value_type, &given.kind) {
            (Type::List(item), ExpressionKind::Text(_)) if item.is_textual() => Some(format!("[{shown}]")),
            (Type::Float, ExpressionKind::Number(Number::Int(number))) => Some(format!("{number}.0")),
            (Type::Bool, ExpressionKind::Text(_)) if matches!(shown, "\"true\"" | "\"false\"") => {
                Some(shown.trim_matches('"').to_owned())
            }
            (Type::Int, ExpressionKind::Text(text)) => whole_text(text)
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .map(str::to_owned),
            (wanted, ExpressionKind::Number(Number::Int(number))) if wanted.is_textual() => {
                Some(format!("\"{number}\""))
            }
            _ => None,
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

    fn number(
        &mut self,
        number: Number,
        wanted: &Type,
        given: &Expression,
        expected: &Expectation<'_>,
    ) -> Option<Value> {
        match (number, wanted) {
            (Number::Int(_), Type::Int)
            | (Number::Float(_), Type::Float)
            | (Number::Duration(_), Type::Duration)
            | (Number::Size(_), Type::Size)
            | (Number::EventRate(_), Type::EventRate)
            | (Number::ByteRate(_), Type::ByteRate) => return Some(number_value(number)),
            _ => {}
        }
        let units: &[&str] = match (number, wanted) {
            (Number::Int(_) | Number::Float(_), Type::Duration) => &["s", "ms"],
            (Number::Int(_) | Number::Float(_), Type::Size) => &["B", "KiB", "MiB"],
            (Number::Int(_) | Number::Float(_), Type::EventRate) => &["/s"],
            (Number::Int(_) | Number::Float(_), Type::ByteRate) => &["KiB/s", "MiB/s"],
            _ => return self.wrong(given, expected),
        };
        let shown = self.files.text(given.span).to_owned();
        let offers = units.iter().map(|unit| format!("{shown}{unit}")).collect();
        self.report(MissingUnit {
            expected: expected.value_type.to_string(),
            number: shown,
            offers,
            span: given.span,
            declared: expected.declared(),
        });
        None
    }

    /// A name where a value is expected: a variant, a let or a param.
    fn named(&mut self, name: &str, span: Span, wanted: &Type, expected: &Expectation<'_>) -> Option<Value> {
        let given = Expression { span, kind: ExpressionKind::Name(name.into()) };
        if let (Type::Named(type_name), None) = (wanted, self.constants.get(name)) {
            let variant = Name { text: name.into(), span };
            return self.variant(&variant, None, type_name, &given, expected);
        }
        if let Type::Named(type_name) = wanted
            && self.variants(type_name).contains(&name)
        {
            let variant = Name { text: name.into(), span };
            return self.variant(&variant, None, type_name, &given, expected);
        }
        match self.constants.get(name) {
            None => {
                let near = nearest(name, self.constants.values()).map(str::to_owned);
                let quote = wanted.is_textual();
                self.report(UnknownName { name: name.to_owned(), wanted: "param or let", near, quote, span });
                None
            }
            Some(Constant::Broken) => None,
            Some(Constant::Thing { what, .. }) => {
                let found = format!("{what} `{name}`");
                self.mismatch(found, span, None, expected)
            }
            Some(Constant::Let(value)) => {
                self.used.insert(name.to_owned());
                if fits(&value.kind, wanted, expected.optional) {
                    return self.value(value, expected);
                }
                let label = Some((format!("`{name}` is {}", found(value)), value.span));
                self.mismatch(found(value), span, label, expected)
            }
            Some(Constant::Param { value_type, optional, value, declared }) => {
                self.used.insert(name.to_owned());
                let same = value_type == wanted || (*value_type == Type::Text && *wanted == Type::Template);
                if same && (expected.optional || !optional) {
                    let value = value.clone()?;
                    return Some(if *wanted == Type::Template { constant_template(value) } else { value });
                }
                let found = with_article(&value_type.named(*optional));
                let label = Some((format!("`{name}` is {}", value_type.named(*optional)), *declared));
                self.mismatch(found, span, label, expected)
            }
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

    fn variant(
        &mut self,
        name: &Name,
        settings: Option<&Block>,
        enumeration: &str,
        given: &Expression,
        expected: &Expectation<'_>,
    ) -> Option<Value> {
        let library = self.library;
        let Some(Named::Enum(variants)) = library.types.get(enumeration) else {
            return self.wrong(given, expected);
        };
        let Some(variant) = variants.iter().find(|variant| variant.name.text == name.text) else {
            let known = self.variants(enumeration);
            let near = nearest(&name.text, known.iter().copied()).map(str::to_owned);
            self.report(UnknownVariant {
                name: name.text.to_string(),
                enumeration: enumeration.to_owned(),
                near,
                known: known.into_iter().map(str::to_owned).collect(),
                span: name.span,
            });
            return None;
        };
        let owner = Owner { words: format!("`{}`", variant.name.text), span: name.span };
        let settings = match (&variant.group, settings) {
            (Some(group), Some(block)) => self.group(group, block, &owner)?,
            (Some(group), None) => {
                let block = Block { span: given.span, entries: Vec::new(), broken: false };
                self.group(group, &block, &owner)?
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
    ) -> Option<Value> {
        let library = self.library;
        let Some(Named::Record(group)) = library.types.get(record) else {
            return self.wrong(given, expected);
        };
        let owner = Owner { words: format!("the record {record}"), span: block.span };
        self.group(group, block, &owner).map(Value::Record)
    }

    /// Text that every event has in common, in the form of its type.
    fn text(&mut self, text: &Text, wanted: &Type, span: Span) -> Option<Value> {
        for part in &text.parts {
            if let TextPart::Hole(hole) = part {
                self.report(HoleNotAllowed { span: hole.span, expected: wanted.to_string() });
                return None;
            }
        }
        let whole = whole_text(text).unwrap_or_default();
        match texts::check(wanted, whole) {
            Ok(()) => Some(Value::Text(whole.to_owned())),
            Err(error) => {
                self.report(MalformedText {
                    expected: wanted.to_string(),
                    text: whole.to_owned(),
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

/// Text without holes; it has one part or none.
fn whole_text(text: &Text) -> Option<&str> {
    match text.parts.as_slice() {
        [] => Some(""),
        [TextPart::Literal(text)] => Some(text),
        _ => None,
    }
}

/// Whether a constant's value has the shape of a type, so that what is wrong with it is inside it.
fn fits(kind: &ExpressionKind, wanted: &Type, optional: bool) -> bool {
    match kind {
        ExpressionKind::Broken => true,
        ExpressionKind::Null => optional,
        ExpressionKind::Name(_) => true,
        ExpressionKind::Text(_) => wanted.is_textual(),
        ExpressionKind::List(_) => matches!(wanted, Type::List(_)),
        ExpressionKind::Record(_) | ExpressionKind::Variant(..) => matches!(wanted, Type::Named(_)),
        ExpressionKind::Bool(_) => *wanted == Type::Bool,
        ExpressionKind::Number(number) => *wanted == number_type(*number),
        _ => false,
    }
}

/// The type of a number.
pub(crate) fn number_type(number: Number) -> Type {
    match number {
        Number::Int(_) => Type::Int,
        Number::Float(_) => Type::Float,
        Number::Duration(_) => Type::Duration,
        Number::Size(_) => Type::Size,
        Number::EventRate(_) => Type::EventRate,
        Number::ByteRate(_) => Type::ByteRate,
    }
}

/// A number as the plan has it.
pub(crate) fn number_value(number: Number) -> Value {
    match number {
        Number::Int(value) => Value::Int(value),
        Number::Float(value) => Value::Float(value),
        Number::Duration(value) => Value::Duration(value),
        Number::Size(value) => Value::Size(value),
        Number::EventRate(value) => Value::EventRate(value),
        Number::ByteRate(value) => Value::ByteRate(value),
    }
}

/// What an expression is, in words.
pub(crate) fn found(given: &Expression) -> String {
    match &given.kind {
        ExpressionKind::Null => "`null`".to_owned(),
        ExpressionKind::Bool(_) => "a Bool".to_owned(),
        ExpressionKind::Number(Number::Int(_)) => "an Int".to_owned(),
        ExpressionKind::Number(Number::EventRate(_)) => "an EventRate".to_owned(),
        ExpressionKind::Number(number) => format!("a {}", number_type(*number)),
        ExpressionKind::Text(_) => "text".to_owned(),
        ExpressionKind::List(_) => "a list".to_owned(),
        ExpressionKind::Record(_) => "a record".to_owned(),
        ExpressionKind::Name(name) => format!("`{name}`"),
        ExpressionKind::Header(name) => format!("the header `@{name}`, which only events have"),
        ExpressionKind::Variant(name, _) => format!("the variant `{}`", name.text),
        _ => "a condition".to_owned(),
    }
}

/// The order of two values of one type that has one.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Size(left), Value::Size(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right))
        | (Value::EventRate(left), Value::EventRate(right))
        | (Value::ByteRate(left), Value::ByteRate(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

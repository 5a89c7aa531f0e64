//! Settings against their signatures: each value becomes one of the plan, or a diagnostic.
//!
//! `None` is a value about which everything has been said already.

use std::collections::{BTreeMap, HashMap, HashSet};

use weir_grammar::Span;
use weir_grammar::tree::{Block, Entry, Expression, ExpressionKind, Hole, Name, Number, Text, TextPart};
use weir_plan::{HoleFormat, Template, TemplatePart, Value};

use crate::constants::{Constant, Constants};
use crate::diagnostics::{
    Diagnostic, DuplicateEntry, HoleNotAllowed, MalformedHole, MalformedText, MissingSetting, MissingUnit,
    NoSettings, OutOfRange, UnknownName, UnknownSetting, UnknownVariant, WrongType, with_article,
};
use crate::library::{Group, Library, Named, SettingSignature};
use crate::names::nearest;
use crate::sources::Files;
use crate::texts;
use crate::types::Type;

/// What a place asks for, and what to point at when it gets something else.
pub(crate) struct Expectation<'e> {
    pub(crate) value_type: &'e Type,
    pub(crate) optional: bool,
    pub(crate) declared: Option<(String, Span)>,
}

impl<'e> Expectation<'e> {
    pub(crate) fn of(setting: &'e SettingSignature) -> Expectation<'e> {
        let text = format!("`{}` is {}", setting.name.text, setting.value_type.named(setting.optional));
        let declared = Some((text, setting.name.span));
        Expectation { value_type: &setting.value_type, optional: setting.optional, declared }
    }

    fn item(&self, value_type: &'e Type) -> Expectation<'e> {
        Expectation { value_type, optional: false, declared: self.declared.clone() }
    }

    fn name(&self) -> String {
        self.value_type.named(self.optional)
    }
}

/// A hole that events fill; it is checked when their columns are known.
#[derive(Debug, Clone)]
pub(crate) struct OpenHole {
    pub(crate) column: String,
    pub(crate) span: Span,
    pub(crate) name_span: Span,
    pub(crate) format: HoleFormat,
    pub(crate) format_span: Option<Span>,
}

/// Whose settings are checked, in words, and where it stands.
pub(crate) struct Owner {
    pub(crate) words: String,
    pub(crate) span: Span,
}

/// Checks values.
pub(crate) struct Checker<'c> {
    pub(crate) library: &'c Library,
    pub(crate) files: &'c Files,
    pub(crate) constants: &'c Constants<'c>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The holes since they were last taken out.
    pub(crate) holes: Vec<OpenHole>,
    /// The params and lets that were used.
    pub(crate) used: HashSet<String>,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(library: &'c Library, files: &'c Files, constants: &'c Constants<'c>) -> Checker<'c> {
        let (diagnostics, holes, used) = (Vec::new(), Vec::new(), HashSet::new());
        Checker { library, files, constants, diagnostics, holes, used }
    }

    fn report(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.diagnostics.push(diagnostic.into());
    }

    /// Checks a block of settings against a group; the values with the defaults filled in.
    pub(crate) fn group(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
    ) -> Option<BTreeMap<String, Value>> {
        let mut given: HashMap<&str, &Entry> = HashMap::with_capacity(block.entries.len());
        let mut unknown: Vec<&Name> = Vec::new();
        for entry in &block.entries {
            let known = group.settings.iter().any(|setting| setting.name.text == entry.name.text);
            let setting = if known {
                &*entry.name.text
            } else {
                self.meant(group, block, &entry.name, owner, &mut unknown)
            };
            if setting.is_empty() {
                continue;
            }
            if let Some(first) = given.insert(setting, entry) {
                let name = entry.name.text.to_string();
                self.report(DuplicateEntry { name, first: first.name.span, second: entry.name.span });
            }
        }
        let complete = self.complete(group, block, owner, &given, &unknown);
        let mut values = BTreeMap::new();
        let mut whole = complete && unknown.is_empty() && !block.broken;
        for setting in &group.settings {
            let value = match (given.get(&*setting.name.text), &setting.default) {
                (Some(entry), _) => self.setting(setting, &entry.value),
                (None, Some(default)) => self.value(default, &Expectation::of(setting)),
                (None, None) => setting.optional.then_some(Value::Null),
            };
            match value {
                Some(value) => {
                    values.insert(setting.name.text.to_string(), value);
                }
                None => whole = false,
            }
        }
        let given = given.iter().map(|(name, entry)| (*name, entry.value.span)).collect();
        whole &= self.requirements(group, &values, &given);
        whole.then_some(values)
    }

    /// Reports an unknown setting; the name of the one that was most likely meant, or nothing.
    fn meant<'g>(
        &mut self,
        group: &'g Group,
        block: &'g Block,
        name: &'g Name,
        owner: &Owner,
        unknown: &mut Vec<&'g Name>,
    ) -> &'g str {
        let absent = group.settings.iter().map(|setting| &*setting.name.text);
        let absent = absent.filter(|known| !block.entries.iter().any(|entry| *entry.name.text == **known));
        match nearest(&name.text, absent) {
            Some(near) => {
                self.report(UnknownSetting {
                    name: name.text.to_string(),
                    owner: owner.words.clone(),
                    near: Some(near.to_owned()),
                    known: group.settings.iter().map(|setting| setting.name.text.to_string()).collect(),
                    missing: Vec::new(),
                    span: name.span,
                });
                near
            }
            None => {
                unknown.push(name);
                ""
            }
        }
    }

    /// Reports the settings that nobody knows and those that are missing. Where there are both, one
    /// is likely the other by another name, so that is one mistake.
    fn complete(
        &mut self,
        group: &Group,
        block: &Block,
        owner: &Owner,
        given: &HashMap<&str, &Entry>,
        unknown: &[&Name],
    ) -> bool {
        let needed = group.settings.iter().filter(|setting| setting.default.is_none() && !setting.optional);
        let missing: Vec<&SettingSignature> =
            needed.filter(|setting| !given.contains_key(&*setting.name.text)).collect();
        for (index, name) in unknown.iter().enumerate() {
            let missing = if index == 0 { missing.as_slice() } else { &[] };
            self.report(UnknownSetting {
                name: name.text.to_string(),
                owner: owner.words.clone(),
                near: None,
                known: group.settings.iter().map(|setting| setting.name.text.to_string()).collect(),
                missing: missing.iter().map(|setting| setting.name.text.to_string()).collect(),
                span: name.span,
            });
        }
        if unknown.is_empty() && !missing.is_empty() && !block.broken {
            let missing = missing.iter().map(|setting| {
                (setting.name.text.to_string(), setting.value_type.to_string(), setting.name.span)
            });
            self.report(MissingSetting {
                owner: owner.words.clone(),
                missing: missing.collect(),
                span: owner.span,
            });
            return false;
        }
        missing.is_empty()
    }

    /// Checks the value of one setting: its type and its range.
    pub(crate) fn setting(&mut self, setting: &SettingSignature, given: &Expression) -> Option<Value> {
        let value = self.value(given, &Expectation::of(setting))?;
        self.range(setting, &value, given.span).then_some(value)
    }

    /// Checks that a value is in its setting's range.
    pub(crate) fn range(&mut self, setting: &SettingSignature, value: &Value, span: Span) -> bool {
        let Some(range) = &setting.range else { return true };
        let bound = |bound: &Expression| match &bound.kind {
            ExpressionKind::Number(number) => Some(number_value(*number)),
            _ => None,
        };
        use std::cmp::Ordering;
        let too_small = bound(&range.least).and_then(|least| compare(value, &least)) == Some(Ordering::Less);
        let greatest = range.greatest.as_ref().and_then(bound).and_then(|greatest| compare(value, &greatest));
        let too_large = match greatest {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => !range.inclusive,
            _ => false,
        };
        if too_small || too_large {
            let name = setting.name.text.to_string();
            let text = |bound: &Expression| self.files.text(bound.span).to_owned();
            let range_text = match (&range.greatest, range.inclusive) {
                (None, _) => format!("at least {}", text(&range.least)),
                (Some(greatest), true) => format!("from {} to {}", text(&range.least), text(greatest)),
                (Some(greatest), false) => {
                    format!("at least {} and below {}", text(&range.least), text(greatest))
                }
            };
            let declared = range.span;
            self.report(OutOfRange { name, value: value.to_string(), range: range_text, span, declared });
            return false;
        }
        true
    }

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
            declared: expected.declared.clone(),
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
            declared: expected.declared.clone(),
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
            && self.variants(type_name).iter().any(|variant| *variant == name)
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
        let (declared, replacement) = (expected.declared.clone(), None);
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

    /// Text with holes: those of params and lets are filled here, the others are left open.
    fn template(&mut self, text: &Text) -> Option<Template> {
        let mut parts = Vec::new();
        let mut whole = true;
        for part in &text.parts {
            match part {
                TextPart::Literal(literal) => push_text(&mut parts, literal),
                TextPart::Hole(hole) => whole &= self.hole(hole, &mut parts).is_some(),
            }
        }
        whole.then_some(Template { parts })
    }

    fn hole(&mut self, hole: &Hole, parts: &mut Vec<TemplatePart>) -> Option<()> {
        let format = self.format(hole);
        let constant = self.constants.get(&hole.name.text);
        if hole.name.text.starts_with('@') || constant.is_none() {
            let format = format?;
            let column = hole.name.text.to_string();
            let format_span = hole.format.as_ref().map(|format| format.span);
            let name_span = hole.name.span;
            self.holes.push(OpenHole {
                column: column.clone(),
                span: hole.span,
                name_span,
                format: format.clone(),
                format_span,
            });
            parts.push(TemplatePart::Hole(weir_plan::Hole { column, format }));
            return Some(());
        }
        self.used.insert(hole.name.text.to_string());
        let value = match constant? {
            Constant::Broken => return None,
            Constant::Param { value, .. } => value.clone()?,
            Constant::Let(value) => match &value.kind {
                ExpressionKind::Broken => return None,
                ExpressionKind::Number(number) => number_value(*number),
                ExpressionKind::Text(text) => {
                    let inner = self.template(text)?;
                    for part in inner.parts {
                        match part {
                            TemplatePart::Text(text) => push_text(parts, &text),
                            hole => parts.push(hole),
                        }
                    }
                    return Some(());
                }
                _ => return self.unfit_hole(hole, &found(value)),
            },
            Constant::Thing { what, .. } => return self.unfit_hole(hole, what),
        };
        match (&value, format?) {
            (Value::Text(text), HoleFormat::Plain) => push_text(parts, text),
            (Value::Int(number), HoleFormat::Plain) => push_text(parts, &number.to_string()),
            (Value::Int(number), HoleFormat::Padded(digits)) => {
                push_text(parts, &format!("{number:0width$}", width = usize::from(digits)));
            }
            _ => return self.unfit_hole(hole, &format!("{value}")),
        }
        Some(())
    }

    fn unfit_hole(&mut self, hole: &Hole, what: &str) -> Option<()> {
        let reason = format!("`{}` can't fill this hole: it is {what}", hole.name.text);
        let help = "params and lets fill a hole with text or whole numbers, which `:03` pads".to_owned();
        self.report(MalformedHole { reason, span: hole.span, column: None, help });
        None
    }

    /// Reads a hole's format; whether it fits is known with the column.
    fn format(&mut self, hole: &Hole) -> Option<HoleFormat> {
        let Some(format) = &hole.format else { return Some(HoleFormat::Plain) };
        let text = &*format.text;
        if text.contains('%') {
            let Some((range, reason)) = texts::wrong_time_pattern(text) else {
                return Some(HoleFormat::Time(text.to_owned()));
            };
            let start = format.span.start + range.start as u32;
            let span = Span { start, end: format.span.start + range.end as u32, ..format.span };
            let help = "years are `%Y`, months `%m`, days `%d`, hours `%H`, minutes `%M`".to_owned();
            self.report(MalformedHole { reason, span, column: None, help });
            return None;
        }
        match text.strip_prefix('0').and_then(|digits| digits.parse::<u8>().ok()) {
            Some(digits) if (1..=20).contains(&digits) => Some(HoleFormat::Padded(digits)),
            _ => {
                let reason = format!("`{text}` is no format");
                let help = "times are written as `:%Y-%m-%d`, whole numbers as `:03`".to_owned();
                self.report(MalformedHole { reason, span: format.span, column: None, help });
                None
            }
        }
    }
}

fn push_text(parts: &mut Vec<TemplatePart>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(TemplatePart::Text(last)) => last.push_str(text),
        _ => parts.push(TemplatePart::Text(text.to_owned())),
    }
}

/// A text value as a template without holes.
fn constant_template(value: Value) -> Value {
    match value {
        Value::Text(text) if text.is_empty() => Value::Template(Template { parts: Vec::new() }),
        Value::Text(text) => Value::Template(Template { parts: vec![TemplatePart::Text(text)] }),
        other => other,
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

//! Templates: text with holes that are filled with params and `let`s, or with values of events.

use weir_grammar::Span;
use weir_grammar::tree::{ExpressionKind, Hole, Text, TextPart};
use weir_plan::{HoleFormat, Template, TemplatePart, Value};

use crate::analysis::settings::{Found, OpenHole};
use crate::checker::Checker;
use crate::diagnostics::{HoleNotAllowed, HoleStep, MalformedHole, UnknownName};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::types::Type;
use crate::values::literals::found;
use crate::values::replacements;
use crate::values::times::{self, PatternError};

impl Checker<'_> {
    /// Checks a template. Fills the holes that name params and `let`s, and leaves holes for the columns of events open.
    pub(crate) fn template(&mut self, text: &Text, found: &mut Found) -> Option<Template> {
        let mut parts = Vec::new();
        let mut whole = true;
        for part in &text.parts {
            match part {
                TextPart::Literal(literal) => push_text(&mut parts, literal),
                TextPart::Hole(hole) => whole &= self.hole(hole, &mut parts, found).is_some(),
            }
        }
        whole.then_some(Template { parts })
    }

    /// Returns text that is the same for all events: its holes may name params and `let`s only.
    pub(crate) fn common_text(&mut self, text: &Text, expected: &Type) -> Option<String> {
        let mut found = Found::default();
        let mut parts = Vec::new();
        let mut whole = true;
        for part in &text.parts {
            match part {
                TextPart::Literal(literal) => push_text(&mut parts, literal),
                TextPart::Hole(hole) => {
                    whole &= self.hole(hole, &mut parts, &mut found).is_some();
                    if !found.holes.is_empty() {
                        return self.open_hole(hole, expected);
                    }
                }
            }
        }
        let filled = parts.into_iter().map(|part| match part {
            TemplatePart::Text(text) => text,
            TemplatePart::Hole(_) => String::new(),
        });
        whole.then(|| filled.collect())
    }

    /// Reports a hole that names neither a param nor a `let`, and suggests a similar name.
    fn open_hole(&mut self, hole: &Hole, expected: &Type) -> Option<String> {
        let span = hole.name.span;
        match self.scopes.near(Mention::of_name(&hole.name), Meaning::is_value) {
            near @ Some(_) => {
                let name = hole.name.text.to_string();
                self.report(UnknownName { name, wanted: "param or let", near, quote: false, span });
            }
            None => self.report(HoleNotAllowed { span: hole.span, expected: expected.to_string() }),
        }
        None
    }

    fn hole(&mut self, hole: &Hole, parts: &mut Vec<TemplatePart>, found_within: &mut Found) -> Option<()> {
        let format = self.hole_format(hole);
        let mention = Mention::of_name(&hole.name);
        // A field may share its name with a component or a flow, so only `let`s and params are considered here.
        let constant = self
            .scopes
            .mention(mention)
            .filter(|named| matches!(named.meaning, Meaning::Let(_) | Meaning::Param | Meaning::Broken));
        if hole.name.text.starts_with('@') || constant.is_none() {
            let format = format?;
            let column = hole.name.text.to_string();
            let format_span = hole.format.as_ref().map(|format| format.span);
            let name_span = hole.name.span;
            if let Some(habit) = replacements::variable(&hole.name.text, hole.span, name_span, self) {
                self.report(habit);
                return None;
            }
            found_within.holes.push(OpenHole {
                column: column.clone(),
                span: hole.span,
                name_span,
                format: format.clone(),
                format_span,
            });
            parts.push(TemplatePart::Hole(weir_plan::Hole { column, format }));
            return Some(());
        }
        let constant = constant?;
        self.uses(mention, constant.declared);
        let value = match constant.meaning {
            Meaning::Broken => return None,
            Meaning::Param => match self.params.get(&constant.declared) {
                Some(param) => param.as_ref()?.value.clone()?,
                // The params are still being read, and the value of a param must not depend on another param.
                None => {
                    let reason = format!("no param's value depends on another, as on `{}`", hole.name.text);
                    let help = "make it a `let`: that may name params".to_owned();
                    self.report(MalformedHole { reason, span: hole.span, column: None, help, instead: None });
                    return None;
                }
            },
            Meaning::Let(item) => match &item.value.kind {
                ExpressionKind::Text(text) => {
                    let inner = self.template(text, found_within)?;
                    for part in inner.parts {
                        match part {
                            TemplatePart::Text(text) => push_text(parts, &text),
                            hole => parts.push(hole),
                        }
                    }
                    return Some(());
                }
                ExpressionKind::List(_) | ExpressionKind::Record(_) | ExpressionKind::Variant(..) => {
                    return self.unfit_hole(hole, &found(&item.value));
                }
                _ => self.fold(&item.value)?.value,
            },
            meaning => return self.unfit_hole(hole, meaning.in_words()),
        };
        match (&value, format?) {
            (Value::Text(text), HoleFormat::Plain) => push_text(parts, text),
            (Value::Int(number), HoleFormat::Plain) => push_text(parts, &number.to_string()),
            (Value::Decimal(number), HoleFormat::Plain) => push_text(parts, &number.to_string()),
            (Value::Int(number), HoleFormat::Padded(digits)) => {
                push_text(parts, &format!("{number:0width$}", width = usize::from(digits)));
            }
            _ => return self.unfit_hole(hole, &format!("{value}")),
        }
        Some(())
    }

    pub(crate) fn unfit_hole<T>(&mut self, hole: &Hole, what: &str) -> Option<T> {
        let reason = format!("`{}` can't fill this hole: it is {what}", hole.name.text);
        let help =
            "params and lets fill a hole with text, decimal numbers or whole numbers, which `:03` pads"
                .to_owned();
        self.report(MalformedHole { reason, span: hole.span, column: None, help, instead: None });
        None
    }

    /// Parses a hole's format. The format is checked against the column's type later.
    pub(crate) fn hole_format(&mut self, hole: &Hole) -> Option<HoleFormat> {
        let Some(format) = &hole.format else { return Some(HoleFormat::Plain) };
        let text = &*format.text;
        if text.contains('%') {
            let Some(PatternError { range, reason, .. }) = times::fault_of_pattern(text) else {
                return Some(HoleFormat::Time(text.to_owned()));
            };
            let start = format.span.start + range.start as u32;
            let span = Span { start, end: format.span.start + range.end as u32, ..format.span };
            let help = times::LETTERS.to_owned();
            self.report(MalformedHole { reason, span, column: None, help, instead: None });
            return None;
        }
        match text.strip_prefix('0').and_then(|digits| digits.parse::<u8>().ok()) {
            Some(digits) if (1..=20).contains(&digits) => Some(HoleFormat::Padded(digits)),
            _ => {
                let reason = match text {
                    "" => "a format stands behind the `:`".to_owned(),
                    text => format!("`{text}` is no format"),
                };
                let instead = times::of_java(text);
                let help = match &instead {
                    Some(pattern) => format!("the letters of times begin with `%`: `:{pattern}`"),
                    None => "times are written as `:%Y-%m-%d`, whole numbers as `:03`".to_owned(),
                };
                self.report(MalformedHole { reason, span: format.span, column: None, help, instead });
                None
            }
        }
    }
}

/// Why a value can't fill a hole with a format.
pub(crate) enum Misfit<'t> {
    /// The type has no form as text.
    NoForm(&'t Type),
    /// A `Time` without a format, in a setting.
    NoFormat,
    /// A format of times for another type.
    NotTime,
    /// Padding for a `Time`.
    Padded,
    /// Padding for a type other than `Int`.
    NotInt,
}

/// Returns why values of this type can't fill a hole with this format. Bytes fill the holes of settings, which escape
/// what is not text, but no text of an event. Times fill the holes of settings in a format only, since names of files
/// and topics can't have all of their letters.
pub(crate) fn misfit<'t>(format: &HoleFormat, value_type: &'t Type, of_event: bool) -> Option<Misfit<'t>> {
    Some(match (format, value_type) {
        (HoleFormat::Plain, Type::Schema(_) | Type::List(_) | Type::Map(_) | Type::Bool) => {
            Misfit::NoForm(value_type)
        }
        (HoleFormat::Plain, Type::Bytes) if of_event => Misfit::NoForm(value_type),
        (HoleFormat::Plain, Type::Time) if !of_event => Misfit::NoFormat,
        (HoleFormat::Plain, _) | (HoleFormat::Time(_), Type::Time) | (HoleFormat::Padded(_), Type::Int) => {
            return None;
        }
        (HoleFormat::Time(_), _) => Misfit::NotTime,
        (HoleFormat::Padded(_), Type::Time) => Misfit::Padded,
        (HoleFormat::Padded(_), _) => Misfit::NotInt,
    })
}

impl Misfit<'_> {
    /// Returns the reason and the help for a hole with this path.
    pub(crate) fn in_words(&self, path: &str, step: HoleStep) -> (String, String) {
        let (reason, help) = match self {
            Misfit::NoForm(value_type) => {
                let computed = match value_type {
                    Type::Schema(schema) => {
                        let field = schema.fields.first().map_or("field", |field| &*field.name);
                        let help = format!("name one of its fields: `{{{path}.{field}}}`");
                        return (no_form(path, value_type), help);
                    }
                    Type::List(item) if **item == Type::Text => format!("join({path}, \",\")"),
                    Type::Bool => format!("text({path})"),
                    Type::Bytes => format!("utf8({path}) else \"…\""),
                    _ => format!("json_text({path})"),
                };
                let help = format!("compute it in a step before: {}", step.with(path, &computed));
                return (no_form(path, value_type), help);
            }
            Misfit::NoFormat => {
                let reason = format!("`{path}` needs a format: it is a Time");
                return (reason, format!("say which parts of it: `{{{path}:%Y-%m-%d}}`"));
            }
            Misfit::NotTime => ("is not a Time", "only times are written with `%`"),
            Misfit::Padded => ("is a Time", "times are written as `:%Y-%m-%d`"),
            Misfit::NotInt => ("is not an Int", "only whole numbers are padded"),
        };
        (format!("this format does not fit `{path}`: it {reason}"), help.to_owned())
    }
}

fn no_form(path: &str, value_type: &Type) -> String {
    format!("`{path}` can't fill this hole: {value_type} has no form as text")
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

/// Converts a text value to a template without holes.
pub(crate) fn constant_template(value: Value) -> Value {
    match value {
        Value::Text(text) if text.is_empty() => Value::Template(Template { parts: Vec::new() }),
        Value::Text(text) => Value::Template(Template { parts: vec![TemplatePart::Text(text)] }),
        other => other,
    }
}

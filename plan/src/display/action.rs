//! Renders steps as text.

use std::fmt::{self, Display, Formatter};

use super::LINE_MAX;
use super::expression::Shown;
use crate::{
    Action, DEDUPE_VALUE_BYTES, DEDUPE_VALUES_MAX, Expression, FieldFormat, Function, OnFailure, ParsedField,
    Rule, Settings, Step, Value,
};

/// The level of detail of a step's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Whole,
    /// Only what the types of the events, which are shown too, do not say.
    Types,
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.action, otherwise(self))
    }
}

impl Display for Action {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let lines = action_lines(self, &[], Detail::Whole, None);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_start()).collect();
        formatter.write_str(&lines.join(" "))
    }
}

/// Renders a step as one line, or as several lines if it is long; the first line is less indented than the others.
pub(super) fn step_lines(step: &Step, functions: &[Function], detail: Detail, before: usize) -> Vec<String> {
    let mut lines = action_lines(&step.action, functions, detail, Some(before));
    if let Some(last) = lines.last_mut() {
        last.push_str(otherwise(step));
    }
    lines
}

fn otherwise(step: &Step) -> &'static str {
    match step.on_failure {
        None => "",
        Some(OnFailure::Reject) => " else reject",
        Some(OnFailure::Drop) => " else drop",
    }
}

/// Renders an action. With `before`, the number of characters before its first line, a long action has several lines.
pub(crate) fn action_lines(
    action: &Action,
    functions: &[Function],
    detail: Detail,
    before: Option<usize>,
) -> Vec<String> {
    let value = |head: String, expression: &Expression| {
        let shown = Shown { expression, functions };
        let mut lines = match before {
            Some(before) => shown.lines(before + head.chars().count()),
            None => vec![shown.to_string()],
        };
        lines[0].insert_str(0, &head);
        lines
    };
    let line = |text: String| vec![text];
    match action {
        Action::Keep(condition) => value("keep if ".to_owned(), condition),
        Action::Drop(_) if action.takes_all() => vec!["drop".to_owned()],
        Action::Drop(condition) => value("drop if ".to_owned(), condition),
        Action::Reject { condition, reason } => {
            let mut lines = match action.takes_all() {
                true => line("reject".to_owned()),
                false => value("reject if ".to_owned(), condition),
            };
            if let (Some(last), Some(reason)) = (lines.last_mut(), reason) {
                last.push_str(&because(reason));
            }
            lines
        }
        Action::Check { quality, rules } if before.is_some() && detail == Detail::Whole => {
            let mut lines = line(format!("check {quality} {{"));
            lines.extend(rules.iter().map(|rule| format!("  {}", rule_text(rule, functions))));
            lines.push("}".to_owned());
            lines
        }
        Action::Check { quality, .. } => line(format!("check {quality}")),
        Action::Set { column, value: given } => value(format!("set {column} = "), given),
        Action::Unset(column) => line(format!("unset {column}")),
        Action::Rename { from, to } => line(format!("rename {from} to {to}")),
        Action::Select(columns) => line(format!("select {{ {} }}", columns.join(", "))),
        Action::Parse { parser, settings, fields, strict } => {
            let head = format!("parse {parser}{}", arguments(settings));
            let strict = if *strict { " strict" } else { "" };
            match detail {
                Detail::Types => line(format!("{head}{strict}")),
                Detail::Whole => parse_lines(&head, fields, strict, before),
            }
        }
        Action::Let { local, value: given } => value(format!("let ${local} = "), given),
        Action::Explode(column) => line(format!("explode {column}")),
        Action::Flatten { column, .. } => line(format!("flatten {column}")),
        Action::Throttle(rate) => line(format!("throttle {rate}")),
        Action::Sample(share) => line(format!("sample {}%", percent(*share))),
        Action::Dedupe { by, within } => {
            let shown = Shown { expression: by, functions };
            let bound = match before.is_some() && detail == Detail::Whole {
                true => {
                    format!(", at most {} values in {}", Value::Int(DEDUPE_VALUES_MAX as i64), dedupe_bytes())
                }
                false => String::new(),
            };
            line(format!("dedupe by {shown} within {}{bound}", Value::Duration(*within)))
        }
    }
}

/// The memory of a `dedupe` that remembers as many values as it can.
fn dedupe_bytes() -> Value {
    Value::Size((DEDUPE_VALUES_MAX * DEDUPE_VALUE_BYTES) as u64)
}

/// Converts a fraction to percent, rounded to remove the error of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e14).round() / 1e12
}

fn because(reason: &str) -> String {
    format!(" because {}", Value::Text(reason.to_owned()))
}

fn rule_text(rule: &Rule, functions: &[Function]) -> String {
    let condition = Shown { expression: &rule.condition, functions }.to_string();
    let reason = rule.reason.as_deref().map_or(String::new(), because);
    // The name of an unnamed rule is the text of its condition.
    let named = rule.name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if named { format!("{}: {condition}{reason}", rule.name) } else { format!("{condition}{reason}") }
}

fn arguments(settings: &Settings) -> String {
    let given = settings.values.iter().filter(|(_, value)| **value != Value::Null);
    let given: Vec<String> = given.map(|(name, value)| format!("{name}: {value}")).collect();
    if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) }
}

/// Renders a parse step with the fields that it reads: on one line if they fit, or else on several lines.
fn parse_lines(head: &str, fields: &[ParsedField], strict: &str, before: Option<usize>) -> Vec<String> {
    let all = fields.len();
    let fields: Vec<String> = fields.iter().filter(|field| !field.unread).map(field_text).collect();
    let head = match fields.len() {
        read if read == all => format!("{head} into"),
        read => format!("{head} reads {read} of {all} fields into"),
    };
    let whole = format!("{head} {{ {} }}{strict}", fields.join(", "));
    match before {
        Some(before) if before + whole.chars().count() > LINE_MAX => {
            let mut lines = vec![format!("{head} {{")];
            lines.extend(
                wrapped(&fields, LINE_MAX.saturating_sub(before + 2)).iter().map(|line| format!("  {line}")),
            );
            lines.push(format!("}}{strict}"));
            lines
        }
        _ => vec![whole],
    }
}

fn field_text(field: &ParsedField) -> String {
    match &field.format {
        _ if !field.parts.is_empty() => {
            let parts: Vec<String> = field.parts.iter().map(field_text).collect();
            format!("{} {{ {} }}", field.name, parts.join(", "))
        }
        FieldFormat::Plain => field.name.clone(),
        FieldFormat::Json => format!("{} as JSON", field.name),
        FieldFormat::Within(least, i64::MAX) => format!("{} in {}..", field.name, Value::Int(*least)),
        FieldFormat::Within(least, most) => {
            format!("{} in {}..={}", field.name, Value::Int(*least), Value::Int(*most))
        }
        FieldFormat::Unit(unit) => {
            // The unit `1ms` is written `ms`.
            let unit = Value::Duration(*unit).to_string();
            let one = unit.strip_prefix('1').filter(|name| name.starts_with(char::is_alphabetic));
            format!("{} in {}", field.name, one.unwrap_or(&unit))
        }
        FieldFormat::Pattern(pattern) => format!("{} as {pattern:?}", field.name),
    }
}

/// Joins items with commas and breaks them into lines of this width.
pub(super) fn wrapped(items: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (at, item) in items.iter().enumerate() {
        let comma = if at + 1 == items.len() { "" } else { "," };
        let item = format!("{item}{comma}");
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&item),
            Some(line) if line.chars().count() + 1 + item.chars().count() <= width => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

//! Renders a plan as text. The output is deterministic, so that `diff` shows the changes between two plans.

mod action;
mod expression;
mod flow;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use arrow_schema::{DataType, Field};

use crate::{
    Component, Delivery, EventType, Expression, Function, Hole, HoleFormat, Order, Origin, Path, Plan,
    SENSITIVE, SecretReference, Template, TemplatePart, Value,
};
pub(crate) use action::{Detail, action_lines};
use expression::{Shown, function_text};
use flow::{flow_text, stages_text};

/// The maximum length of a line that can be broken.
const LINE_MAX: usize = 100;

impl Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "program {}, plan version {}", self.program, self.version)?;
        let groups = [("source", &self.sources), ("channel", &self.channels), ("sink", &self.sinks)];
        for (role, components) in groups {
            for component in components {
                component_text(formatter, role, component)?;
            }
        }
        for function in &self.functions {
            write!(formatter, "\n{}", function_text(function, &self.functions))?;
        }
        for flow in &self.flows {
            write!(formatter, "\n{}", flow_text(self, flow, Detail::Whole))?;
        }
        if !self.agent.values.is_empty() {
            writeln!(formatter, "\nagent")?;
            settings_lines(formatter, &self.agent.values, &BTreeMap::new())?;
        }
        Ok(())
    }
}

impl Plan {
    /// Renders the type of the events at every edge of every flow: the complete type at origins and
    /// destinations, and the changes after each step.
    pub fn edges(&self) -> String {
        let flows = self.flows.iter().map(|flow| flow_text(self, flow, Detail::Types));
        flows.collect::<Vec<_>>().join("\n")
    }

    /// Renders the steps, forks and destinations of a path, each on lines of its own, without types.
    pub fn stages(&self, path: &Path) -> String {
        stages_text(self, &path.leg)
    }

    /// Renders a function of the program, as its definition would be written.
    pub fn function(&self, function: &Function) -> String {
        function_text(function, &self.functions)
    }
}

impl Origin {
    /// Returns the name by which a plan shows the origin: that of a source or a channel, or `rejects`.
    pub fn name(&self) -> &str {
        match self {
            Origin::Source(name) | Origin::Channel(name) => name,
            Origin::Rejects(_) => "rejects",
        }
    }
}

/// Renders an expression on one line. `functions` are the functions of the program.
pub(crate) fn expression_text(expression: &Expression, functions: &[Function]) -> String {
    Shown { expression, functions }.to_string()
}

fn component_text(formatter: &mut Formatter<'_>, role: &str, component: &Component) -> fmt::Result {
    let implicit = if component.implicit { ", added by the compiler" } else { "" };
    writeln!(formatter, "\n{role} {} = {}{implicit}", component.name, component.kind)?;
    settings_lines(formatter, &component.settings.values, &component.derived)
}

/// Renders settings, each on a line, without the null values of omitted settings. `derived` has the settings whose
/// values follow from other settings.
fn settings_lines(
    formatter: &mut Formatter<'_>,
    values: &BTreeMap<String, Value>,
    derived: &BTreeMap<String, String>,
) -> fmt::Result {
    for (name, value) in values.iter().filter(|(_, value)| **value != Value::Null) {
        let of_setting = derived.iter().filter_map(|(derived, from)| match derived.strip_prefix(name)? {
            "" => Some(format!("derived from {from}")),
            nested if nested.starts_with('.') => Some(format!("{derived} is derived from {from}")),
            _ => None,
        });
        let notes: Vec<String> = of_setting.collect();
        match notes.is_empty() {
            true => writeln!(formatter, "  {name}: {value}")?,
            false => writeln!(formatter, "  {name}: {value} ({})", notes.join(", "))?,
        }
    }
    Ok(())
}

impl Display for Delivery {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Delivery::BestEffort => "best_effort",
            Delivery::AtMostOnce => "at_most_once",
            Delivery::AtLeastOnce => "at_least_once",
            Delivery::ExactlyOnce => "exactly_once",
        })
    }
}

impl Display for Order {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Order::None => formatter.write_str("unordered"),
            Order::Partition => formatter.write_str("ordered"),
            Order::By(column) => write!(formatter, "ordered by {column}"),
            Order::Total => formatter.write_str("ordered totally"),
        }
    }
}

impl Display for EventType {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.schema.fields().iter().map(|field| column_text(field));
        write!(formatter, "{{ {} }}", columns.collect::<Vec<_>>().join(", "))
    }
}

/// Renders a column's name and type.
fn column_text(field: &Field) -> String {
    format!("{}: {}", field.name(), column_type(field))
}

/// Renders a column's type, with `?` if it is optional, and whether it is sensitive.
fn column_type(field: &Field) -> String {
    let optional = if field.is_nullable() { "?" } else { "" };
    let sensitive = if field.metadata().contains_key(SENSITIVE) { " sensitive" } else { "" };
    format!("{}{optional}{sensitive}", type_name(field.data_type()))
}

/// Returns the language's name of a column's type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "Bool".to_owned(),
        DataType::Int64 => "Int".to_owned(),
        DataType::Float64 => "Float".to_owned(),
        DataType::Utf8View => "Text".to_owned(),
        DataType::BinaryView => "Bytes".to_owned(),
        DataType::Timestamp(..) => "Time".to_owned(),
        DataType::Duration(_) => "Duration".to_owned(),
        DataType::UInt64 => "Size".to_owned(),
        DataType::List(item) => format!("[{}]", type_name(item.data_type())),
        DataType::Decimal128(digits, scale) => format!("Decimal({digits}, {scale})"),
        DataType::FixedSizeBinary(16) => "Ip".to_owned(),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("Map<{}>", type_name(fields[1].data_type()))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let optional = if field.is_nullable() { "?" } else { "" };
                format!("{}: {}{optional}", field.name(), type_name(field.data_type()))
            });
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

impl Display for Value {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("null"),
            Value::Bool(value) => write!(formatter, "{value}"),
            Value::Int(value) => formatter.write_str(&grouped(*value)),
            // The language has no exponents.
            Value::Float(value) if value.fract() == 0.0 => write!(formatter, "{value:.1}"),
            Value::Float(value) => write!(formatter, "{value}"),
            Value::Decimal(value) => write!(formatter, "{value}"),
            // The name of a header, in a setting.
            Value::Text(text) if is_header(text) => formatter.write_str(text),
            Value::Text(text) => text_literal(formatter, text),
            Value::Regex(pattern) => raw_literal(formatter, pattern),
            Value::Duration(duration) => duration_text(formatter, *duration),
            Value::NegativeDuration(duration) => {
                formatter.write_char('-')?;
                duration_text(formatter, *duration)
            }
            Value::Size(bytes) => size_text(formatter, *bytes),
            Value::EventRate(rate) if rate.fract() == 0.0 => {
                write!(formatter, "{}/s", grouped(*rate as i64))
            }
            Value::EventRate(rate) => write!(formatter, "{rate}/s"),
            Value::ByteRate(rate) if rate.fract() == 0.0 => {
                size_text(formatter, *rate as u64)?;
                formatter.write_str("/s")
            }
            Value::ByteRate(rate) => write!(formatter, "{rate}B/s"),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(formatter, "[{}]", values.join(", "))
            }
            Value::Record(values) => settings_text(formatter, values),
            Value::Variant { name, settings } if settings.is_empty() => formatter.write_str(name),
            Value::Variant { name, settings } => {
                write!(formatter, "{name} ")?;
                settings_text(formatter, settings)
            }
            Value::Template(template) => write!(formatter, "{template}"),
            Value::Secret(SecretReference::Environment(name)) => write!(formatter, "secret env({name:?})"),
            Value::Secret(SecretReference::File(path)) => write!(formatter, "secret file({path:?})"),
        }
    }
}

fn settings_text(formatter: &mut Formatter<'_>, values: &BTreeMap<String, Value>) -> fmt::Result {
    let given = values.iter().filter(|(_, value)| **value != Value::Null);
    let given: Vec<String> = given.map(|(name, value)| format!("{name}: {value}")).collect();
    if given.is_empty() {
        return formatter.write_str("{}");
    }
    write!(formatter, "{{ {} }}", given.join(", "))
}

/// Renders an integer; long ones with their digits in groups.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "-" } else { "" };
    if digits.len() < 5 {
        return format!("{sign}{digits}");
    }
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    format!("{sign}{}", groups.join("_"))
}

impl Display for Template {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => escaped(formatter, text)?,
                TemplatePart::Hole(Hole { column, format }) => hole(formatter, column, format)?,
            }
        }
        formatter.write_char('"')
    }
}

/// Renders a hole with its format.
fn hole(formatter: &mut Formatter<'_>, value: &impl Display, format: &HoleFormat) -> fmt::Result {
    match format {
        HoleFormat::Plain => write!(formatter, "{{{value}}}"),
        HoleFormat::Time(pattern) => write!(formatter, "{{{value}:{pattern}}}"),
        HoleFormat::Padded(digits) => write!(formatter, "{{{value}:0{digits}}}"),
    }
}

fn is_header(text: &str) -> bool {
    let name = text.strip_prefix('@').unwrap_or_default();
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Renders text as a literal: as raw text if it would need escapes otherwise.
fn text_literal(formatter: &mut Formatter<'_>, text: &str) -> fmt::Result {
    match text.contains(['\\', '{', '}']) {
        true => raw_literal(formatter, text),
        false => quoted(formatter, text),
    }
}

/// Renders text as raw text, as regular expressions are written, unless it has letters that raw text can't have.
fn raw_literal(formatter: &mut Formatter<'_>, pattern: &str) -> fmt::Result {
    match pattern.contains(|letter: char| letter == '"' || letter.is_control()) {
        true => quoted(formatter, pattern),
        false => write!(formatter, "r\"{pattern}\""),
    }
}

fn quoted(formatter: &mut Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_char('"')?;
    escaped(formatter, text)?;
    formatter.write_char('"')
}

/// Renders text with the language's escapes.
fn escaped(formatter: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '"' => formatter.write_str("\\\"")?,
            '\\' => formatter.write_str("\\\\")?,
            '\n' => formatter.write_str("\\n")?,
            '\r' => formatter.write_str("\\r")?,
            '\t' => formatter.write_str("\\t")?,
            '{' => formatter.write_str("{{")?,
            '}' => formatter.write_str("}}")?,
            letter if letter.is_control() => write!(formatter, "\\u{{{:x}}}", letter as u32)?,
            letter => formatter.write_char(letter)?,
        }
    }
    Ok(())
}

/// Renders a duration in the largest unit without a remainder.
fn duration_text(formatter: &mut Formatter<'_>, duration: Duration) -> fmt::Result {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let milliseconds = duration.as_millis();
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return write!(formatter, "{}ms", duration.as_secs_f64() * 1_000.0);
    }
    let unit = UNITS.iter().find(|(unit, _)| milliseconds != 0 && milliseconds.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => write!(formatter, "{}{name}", milliseconds / unit),
        None if milliseconds == 0 => formatter.write_str("0s"),
        None => write!(formatter, "{milliseconds}ms"),
    }
}

/// Renders a size in the largest binary unit without a remainder.
fn size_text(formatter: &mut Formatter<'_>, bytes: u64) -> fmt::Result {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = UNITS.iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((shift, name)) => write!(formatter, "{}{name}", bytes >> shift),
        None => write!(formatter, "{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rendered_in_the_syntax_of_the_language() {
        assert_eq!(Value::Duration(Duration::from_secs(300)).to_string(), "5min");
        assert_eq!(Value::Duration(Duration::ZERO).to_string(), "0s");
        assert_eq!(Value::Size(128 << 20).to_string(), "128MiB");
        assert_eq!(Value::Size(1_000).to_string(), "1000B");
        assert_eq!(Value::Text("a\"{\n".into()).to_string(), "\"a\\\"{{\\n\"");
        assert_eq!(Value::Float(1.0).to_string(), "1.0");
        assert_eq!(Value::Float(1e17).to_string(), "100000000000000000.0");
        assert_eq!(Value::Float(1e-7).to_string(), "0.0000001");
        assert_eq!(Value::NegativeDuration(Duration::from_secs(90)).to_string(), "-90s");
        assert_eq!(Value::Int(1_000).to_string(), "1000");
        assert_eq!(Value::Int(-1_234_567).to_string(), "-1_234_567");
        assert_eq!(Value::Int(i64::MIN).to_string(), "-9_223_372_036_854_775_808");
        assert_eq!(Value::ByteRate(f64::from(10 << 20)).to_string(), "10MiB/s");
        assert_eq!(Value::EventRate(50_000.0).to_string(), "50_000/s");
        let settings = BTreeMap::from([("age".into(), Value::Null), ("count".into(), Value::Int(1))]);
        assert_eq!(Value::Record(settings).to_string(), "{ count: 1 }");
    }
}

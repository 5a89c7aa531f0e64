//! The plan as people read it: deterministic, so that `diff` shows what changed between two.

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use arrow_schema::DataType;
use jiff::Timestamp;

use crate::{
    Action, Component, Delivery, EventType, Expression, Flow, Hole, HoleFormat, Operation, Origin, Path,
    Plan, Route, SecretReference, Segment, Template, TemplatePart, Value,
};

impl Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "program {}, plan version {}", self.program, self.version)?;
        let groups = [("source", &self.sources), ("channel", &self.channels), ("sink", &self.sinks)];
        for (role, components) in groups {
            for component in components {
                component_text(formatter, role, component)?;
            }
        }
        for (index, event_type) in self.event_types.iter().enumerate() {
            writeln!(formatter, "\nevents #{index} {event_type}")?;
        }
        for flow in &self.flows {
            flow_text(formatter, flow)?;
        }
        Ok(())
    }
}

fn component_text(formatter: &mut Formatter<'_>, role: &str, component: &Component) -> fmt::Result {
    let implicit = if component.implicit { ", added by the compiler" } else { "" };
    let Component { name, kind, event_type, .. } = component;
    writeln!(formatter, "\n{role} {name} = {kind}, events #{}{implicit}", event_type.0)?;
    for (setting, value) in &component.settings.values {
        writeln!(formatter, "  {setting}: {value}")?;
    }
    Ok(())
}

fn flow_text(formatter: &mut Formatter<'_>, flow: &Flow) -> fmt::Result {
    writeln!(formatter, "\nflow {} delivers {}", flow.name, flow.delivers)?;
    for Path { from, segment } in &flow.paths {
        let (Origin::Source(name) | Origin::Channel(name)) = from;
        write!(formatter, "  {name}")?;
        segment_text(formatter, segment, 2)?;
        writeln!(formatter)?;
    }
    Ok(())
}

fn segment_text(formatter: &mut Formatter<'_>, segment: &Segment, indent: usize) -> fmt::Result {
    for step in &segment.steps {
        write!(formatter, " -> {}", step.action)?;
    }
    match &segment.to {
        Route::Channel(name) | Route::Sink(name) => write!(formatter, " -> {name}"),
        Route::Copy(branches) => {
            writeln!(formatter, " -> copy {{")?;
            for branch in branches {
                let optional = if branch.optional { " optional" } else { "" };
                write!(formatter, "{:indent$} {optional}", "")?;
                segment_text(formatter, &branch.segment, indent + 2)?;
                writeln!(formatter)?;
            }
            write!(formatter, "{:indent$}}}", "")
        }
    }
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

impl Display for EventType {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.schema.fields().iter().map(|field| {
            let optional = if field.is_nullable() { "?" } else { "" };
            format!("{}: {}{optional}", field.name(), type_name(field.data_type()))
        });
        write!(formatter, "{{ {} }}", columns.collect::<Vec<_>>().join(", "))
    }
}

/// The name that the language has for a column's type.
fn type_name(data_type: &DataType) -> String {
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
        other => other.to_string(),
    }
}

impl Display for Action {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Keep(condition) => write!(formatter, "keep if {condition}"),
        }
    }
}

impl Display for Expression {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.operation {
            Operation::Literal(value) => literal(formatter, value, &self.data_type),
            Operation::Column(name) => formatter.write_str(name),
            Operation::Not(operand) => match &operand.operation {
                Operation::IsNull(operand) => write!(formatter, "{operand} is not null"),
                _ => write!(formatter, "not {}", Operand(operand)),
            },
            Operation::And(left, right) => write!(formatter, "{} and {}", Operand(left), Operand(right)),
            Operation::Or(left, right) => write!(formatter, "{} or {}", Operand(left), Operand(right)),
            Operation::Compare(comparison, left, right) => {
                write!(formatter, "{left} {} {right}", comparison.symbol())
            }
            Operation::IsNull(operand) => write!(formatter, "{operand} is null"),
        }
    }
}

fn literal(formatter: &mut Formatter<'_>, value: &Value, data_type: &DataType) -> fmt::Result {
    match (value, data_type) {
        (Value::Int(microseconds), DataType::Timestamp(..)) => {
            match Timestamp::from_microsecond(*microseconds) {
                Ok(time) => write!(formatter, "\"{time}\""),
                Err(_) => write!(formatter, "{microseconds}"),
            }
        }
        _ => write!(formatter, "{value}"),
    }
}

/// An operand of a logical operator, in parentheses where another one would bind it wrongly.
struct Operand<'e>(&'e Expression);

impl Display for Operand<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0.operation {
            Operation::And(..) | Operation::Or(..) => write!(formatter, "({})", self.0),
            _ => write!(formatter, "{}", self.0),
        }
    }
}

impl Display for Value {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("null"),
            Value::Bool(value) => write!(formatter, "{value}"),
            Value::Int(value) => write!(formatter, "{value}"),
            Value::Float(value) => write!(formatter, "{value:?}"),
            Value::Text(text) => quoted(formatter, text),
            Value::Duration(duration) => duration_text(formatter, *duration),
            Value::Size(bytes) => size_text(formatter, *bytes),
            Value::EventRate(rate) => write!(formatter, "{rate}/s"),
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

fn settings_text(
    formatter: &mut Formatter<'_>,
    values: &std::collections::BTreeMap<String, Value>,
) -> fmt::Result {
    if values.is_empty() {
        return formatter.write_str("{}");
    }
    let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    write!(formatter, "{{ {} }}", values.join(", "))
}

impl Display for Template {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => escaped(formatter, text)?,
                TemplatePart::Hole(Hole { column, format }) => match format {
                    HoleFormat::Plain => write!(formatter, "{{{column}}}")?,
                    HoleFormat::Time(pattern) => write!(formatter, "{{{column}:{pattern}}}")?,
                    HoleFormat::Padded(digits) => write!(formatter, "{{{column}:0{digits}}}")?,
                },
            }
        }
        formatter.write_char('"')
    }
}

fn quoted(formatter: &mut Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_char('"')?;
    escaped(formatter, text)?;
    formatter.write_char('"')
}

/// Text as the language writes it between quotes.
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

/// A duration in the largest unit that leaves no rest.
fn duration_text(formatter: &mut Formatter<'_>, duration: Duration) -> fmt::Result {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let milliseconds = duration.as_millis();
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return write!(formatter, "{}ms", duration.as_secs_f64() * 1_000.0);
    }
    let unit = UNITS.iter().find(|(unit, _)| milliseconds != 0 && milliseconds.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => write!(formatter, "{}{name}", milliseconds / unit),
        None => write!(formatter, "{milliseconds}ms"),
    }
}

/// A size in the largest binary unit that leaves no rest.
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
    fn values_are_shown_as_the_language_writes_them() {
        assert_eq!(Value::Duration(Duration::from_secs(300)).to_string(), "5min");
        assert_eq!(Value::Duration(Duration::ZERO).to_string(), "0ms");
        assert_eq!(Value::Size(128 << 20).to_string(), "128MiB");
        assert_eq!(Value::Size(1_000).to_string(), "1000B");
        assert_eq!(Value::Text("a\"{\n".into()).to_string(), "\"a\\\"{{\\n\"");
        assert_eq!(Value::Float(1.0).to_string(), "1.0");
    }
}

//! Values of settings and literals.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// A value of the language, with its unit normalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// No value: an omitted optional setting.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A decimal number. A constant of a decimal type has the scale of that type.
    Decimal(Decimal),
    /// Text; also an address or a URL, whose form the checker has validated.
    Text(String),
    /// A regular expression in the syntax of the `regex` crate.
    Regex(String),
    /// A duration.
    Duration(Duration),
    /// A duration below zero, by its length. Only expressions over events have one, settings never do.
    NegativeDuration(Duration),
    /// A number of bytes.
    Size(u64),
    /// Events per second.
    EventRate(f64),
    /// Bytes per second.
    ByteRate(f64),
    /// Values of one type.
    List(Vec<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
    /// A variant of an enum, with its settings.
    Variant {
        /// The variant's name.
        name: String,
        /// The variant's settings; empty for most variants.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        settings: BTreeMap<String, Value>,
    },
    /// Text with holes, which each event fills.
    Template(Template),
    /// A reference to a secret. The secret itself is never in a plan.
    Secret(SecretReference),
}

impl Value {
    /// Returns the value as JSON: durations, sizes and rates as the language writes them.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Decimal(number) => match number.to_whole().and_then(|whole| i64::try_from(whole).ok()) {
                Some(whole) if number.scale() == 0 => whole.into(),
                _ => number.to_float().into(),
            },
            Value::Text(text) | Value::Regex(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Value::to_json).collect(),
            Value::Record(entries) => {
                entries.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
            }
            other => other.to_string().into(),
        }
    }
}

/// Text with typed holes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The parts, in order; two texts are never adjacent.
    pub parts: Vec<TemplatePart>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplatePart {
    /// Literal text.
    Text(String),
    /// A hole.
    Hole(Hole),
}

/// A hole of a template. The event type of the edge has the column, or the record of which it names a field. The value is
/// never null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The column with the value, or the path of a field: `place.city` is the field `city` of the column `place`.
    pub column: String,
    /// The format of the value.
    pub format: HoleFormat,
}

/// The format of a hole's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoleFormat {
    /// The default format of the type.
    Plain,
    /// A time with a `strftime` pattern, which the checker has validated.
    Time(String),
    /// An integer, padded with zeros to this number of digits.
    Padded(u8),
}

/// The place of a secret, which is read when the agent starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretReference {
    /// This environment variable.
    Environment(String),
    /// This file.
    File(String),
}

//! Values of settings and literals, with their types kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A value of the language, its unit normalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// No value: an optional setting that was left out.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a point.
    Float(f64),
    /// Text, also an address, a URL or a regex: whatever the checker has looked into.
    Text(String),
    /// A length of time.
    Duration(Duration),
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
    /// A variant of an enum, with the settings that it carries.
    Variant {
        /// The variant's name.
        name: String,
        /// Its settings; empty for most.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        settings: BTreeMap<String, Value>,
    },
    /// Text with holes that each event fills.
    Template(Template),
    /// Where a secret is to be found. Its value is never in a plan.
    Secret(SecretReference),
}

/// Text with typed holes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The pieces in their order; two texts never meet.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplatePart {
    /// Text as it stands.
    Text(String),
    /// A hole.
    Hole(Hole),
}

/// A hole of a template. Its column is in the event type of the edge and is never null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The column that fills it.
    pub column: String,
    /// How the value is written.
    pub format: HoleFormat,
}

/// How a hole's value is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoleFormat {
    /// As the type is written by default.
    Plain,
    /// A time, by a `strftime` pattern that the checker has validated.
    Time(String),
    /// A whole number, padded with zeros to this many digits.
    Padded(u8),
}

/// Where a secret is to be found when the agent starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretReference {
    /// In this environment variable.
    Environment(String),
    /// In this file.
    File(String),
}

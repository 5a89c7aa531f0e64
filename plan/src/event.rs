//! Event types: the columns that exist at one edge of the graph.

use arrow_schema::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// The name of the column that holds an event's body, of type `BinaryView`.
pub const BODY: &str = "body";

/// What the name of a header's column begins with: the header `@host` is the column `"@host"`.
/// Columns without it are the body or fields.
pub const HEADER_SIGIL: char = '@';

/// The type of every event at one edge: one Arrow column for each header and field.
///
/// Types of the language map to Arrow types in one way only: `Bool` is `Boolean`, `Int` is
/// `Int64`, `Float` is `Float64`, `Text` is `Utf8View`, `Bytes` is `BinaryView`, `Time` is
/// `Timestamp(Microsecond, "UTC")`, `Duration` is `Duration(Microsecond)`, `Size` is `UInt64`.
/// An optional type is a nullable column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventType {
    /// The columns, headers first, each group in alphabetical order.
    pub schema: SchemaRef,
}

impl EventType {
    /// An event type with these columns.
    pub fn new(schema: Schema) -> EventType {
        EventType { schema: SchemaRef::new(schema) }
    }
}

/// The place of an event type in [`Plan::event_types`](crate::Plan::event_types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypeId(pub u32);

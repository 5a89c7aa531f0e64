//! Event types: the columns that exist at one edge of the graph.

use std::collections::HashMap;

use arrow_schema::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// The name of the column that holds an event's body, of type `BinaryView`.
pub const BODY: &str = "body";

/// The first character of a header's column: the header `@host` is the column `"@host"`.
/// Other columns are the body or fields.
pub const HEADER_SIGIL: char = '@';

/// The name of the column with the headers that a peer has attached, of type `Map<Text>`. Sources add it.
pub const ATTACHED_HEADERS: &str = "headers";

/// The key in the metadata of the column with attached headers. The column is not a field: formats omit it, and steps
/// that select fields keep it. A field of a schema may have the same name.
pub const ATTACHED: &str = "attached";

/// The header by which a test recognises the events that came of one that it has sent. No program can name it; no plan has
/// it but that of a test.
pub const LINEAGE: &str = "@$lineage";

/// The key in the metadata of a column with sensitive values.
pub const SENSITIVE: &str = "sensitive";

/// The type of every event at one edge: one Arrow column for each header and field.
///
/// Each type of the language has one Arrow type: `Bool` is `Boolean`, `Int` is
/// `Int64`, `Float` is `Float64`, `Text` is `Utf8View`, `Bytes` is `BinaryView`, `Time` is
/// `Timestamp(Microsecond, "UTC")`, `Duration` is `Duration(Microsecond)`, `Size` is `UInt64`,
/// `Decimal(p, s)` is `Decimal128(p, s)`, `Ip` is `FixedSizeBinary(16)` (an IPv4 address mapped into
/// IPv6), `Json` is `Utf8View`, a list is `List`, `Map<T>` is `Map` from `Utf8View`, a schema within a
/// schema is `Struct`. A column with [`SENSITIVE`] in its metadata is sensitive.
/// An optional type is a nullable column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventType {
    /// The columns, headers first, each group in alphabetical order.
    pub schema: SchemaRef,
}

impl EventType {
    /// Creates an event type with these columns.
    pub fn new(schema: Schema) -> EventType {
        EventType { schema: SchemaRef::new(schema) }
    }
}

/// The index of an event type in [`Plan::event_types`](crate::Plan::event_types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypeId(pub u32);

/// Returns the fields of a schema by name. `Schema::field_with_name` compares the name with that of each field.
pub(crate) fn fields_by_name(schema: &Schema) -> HashMap<&str, &Field> {
    schema.fields().iter().map(|field| (field.name().as_str(), field.as_ref())).collect()
}

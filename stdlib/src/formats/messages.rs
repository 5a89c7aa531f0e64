//! Encodes each event into the content of one message, for sinks that write messages or records.
//!
//! A [`MessageFormatting`] is made once from the settings and the schema of the events. It encodes many rows at once, in
//! columns, into one buffer, in which each content is a range. Rows that the format can't represent are listed with the
//! reason, so that a sink can reject them; they never fail the other rows.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{BinaryViewArray, RecordBatch};
use arrow_schema::{ArrowError, Schema};
use serde::Deserialize;
use weir_plan::SecretReference;
use weir_runtime::batch::Batch;

use super::columns::{Columns, Style};
use super::datums::{Datums, Frame};
use super::{FormatError, GATHERED_BYTES_MAX, json};

/// The most rows that are encoded at once.
const ROWS_AT_ONCE_MAX: usize = 8_192;

/// The format of a message: the settings of `MessageFormat` in `formats.flow`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageFormat {
    /// The body as it is.
    Raw,
    /// A JSON object.
    Json {
        /// The headers that are written besides the fields.
        headers: Vec<String>,
    },
    /// An Avro datum.
    Avro {
        /// The headers that are written besides the fields.
        headers: Vec<String>,
        /// The path of the file with the schema; none for the schema of the events.
        schema: Option<String>,
        /// The mark before the datum.
        frame: Frame,
        /// The number of the schema in its registry.
        id: Option<u64>,
        /// The registry that gives the number. Plans of earlier versions have none.
        #[serde(default)]
        registry: Option<SchemaRegistry>,
    },
}

impl MessageFormat {
    /// Returns the registry that gives the number of the schema, if one does.
    pub(crate) fn registry(&self) -> Option<&SchemaRegistry> {
        match self {
            MessageFormat::Avro { registry, .. } => registry.as_ref(),
            MessageFormat::Raw | MessageFormat::Json { .. } => None,
        }
    }

    /// Returns the format with this number of the schema in place of the registry.
    pub(crate) fn numbered(self, number: u32) -> MessageFormat {
        match self {
            MessageFormat::Avro { headers, schema, frame, .. } => {
                MessageFormat::Avro { headers, schema, frame, id: Some(number.into()), registry: None }
            }
            other => other,
        }
    }
}

/// A registry of schemas: the record of this name in `formats.flow`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SchemaRegistry {
    pub(crate) url: String,
    pub(crate) subject: String,
    pub(crate) missing: MissingSchema,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretReference>,
    pub(crate) ca: Option<String>,
}

/// What happens when a registry lacks the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingSchema {
    Register,
    Refuse,
}

/// How the events of a sink become the contents of messages.
#[derive(Debug)]
pub(crate) struct MessageFormatting {
    kind: Kind,
    columns: Columns,
}

#[derive(Debug)]
enum Kind {
    Raw,
    Json,
    Avro(Box<Datums>),
}

/// The contents of the messages of some rows of a batch.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The row of the batch to which the first content belongs.
    first: usize,
    stored: Stored,
    /// The rows that the format can't represent, in order, with the reasons.
    pub(crate) unwritable: Vec<Unwritable>,
}

#[derive(Debug)]
enum Stored {
    /// The bodies of the batch.
    Bodies(BinaryViewArray),
    /// One buffer. Each content ends where the next one begins; the first one begins at 0.
    Encoded { bytes: Vec<u8>, ends: Vec<usize> },
}

/// A row that the format can't represent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwritable {
    /// The row in its batch.
    pub(crate) row: usize,
    /// Why, without any value of the event.
    pub(crate) reason: String,
}

impl MessageFormatting {
    /// Makes the formatting for events of this schema.
    ///
    /// # Errors
    /// When events of this schema can't be written in the format, or the file with the schema can't be read.
    pub(crate) fn new(format: MessageFormat, schema: &Schema) -> Result<MessageFormatting, FormatError> {
        let (kind, columns) = match format {
            MessageFormat::Raw => (Kind::Raw, Columns::body(schema)?),
            MessageFormat::Json { headers } => {
                let columns = Columns::fields(schema, &headers, Style::AsTheyAre)?;
                // A type that JSON does not have is found before any event comes.
                let none = RecordBatch::new_empty(columns.schema().clone());
                json::write_objects(&none, &mut Vec::new(), &mut Vec::new())?;
                (Kind::Json, columns)
            }
            MessageFormat::Avro { headers, schema: path, frame, id, registry } => {
                let columns = Columns::fields(schema, &headers, Style::Avro)?;
                let id = match (&registry, frame, id) {
                    (None, _, id) => id,
                    // The registry gives the number later.
                    (Some(_), Frame::Confluent, None) => Some(0),
                    (Some(_), Frame::Confluent, Some(_)) => {
                        return Err(FormatError::SchemaId(
                            "the `registry` gives the number of the schema: leave `id` out",
                        ));
                    }
                    (Some(_), ..) => {
                        return Err(FormatError::SchemaId("the frame of a `registry` is `confluent`"));
                    }
                };
                let datums = Datums::new(columns.schema(), path.as_deref(), frame, id)?;
                (Kind::Avro(Box::new(datums)), columns)
            }
        };
        Ok(MessageFormatting { kind, columns })
    }

    /// Returns the Avro schema of the messages as JSON; none for other formats.
    pub(crate) fn avro_schema(&self) -> Option<&str> {
        match &self.kind {
            Kind::Avro(datums) => Some(datums.json()),
            Kind::Raw | Kind::Json => None,
        }
    }

    /// Returns how many rows of a batch may be encoded at once. Values that all rows share are repeated in each, so the
    /// number is bounded by memory.
    pub(crate) fn rows_at_once(&self, batch: &Batch) -> usize {
        let row_bytes = usize::try_from(self.columns.row_bytes(batch)).unwrap_or(usize::MAX);
        match self.kind {
            Kind::Raw => batch.rows().max(1),
            _ => (GATHERED_BYTES_MAX / row_bytes.max(1)).clamp(1, ROWS_AT_ONCE_MAX),
        }
    }

    /// Encodes these rows of a batch, at most [`MessageFormatting::rows_at_once`].
    ///
    /// # Errors
    /// When the batch has another schema than the formatting was made for.
    pub(crate) fn encode(&mut self, batch: &Batch, rows: Range<usize>) -> Result<Contents, ArrowError> {
        let first = rows.start;
        if let Kind::Raw = self.kind {
            let body = batch.bodies().ok_or_else(|| ArrowError::SchemaError("no body".to_owned()))?;
            let bodies = body.slice(first, rows.len());
            return Ok(Contents { first, stored: Stored::Bodies(bodies), unwritable: Vec::new() });
        }
        // A batch has at most a million rows.
        let range = rows.start as u32..rows.end as u32;
        let gathered = self.columns.gather(batch, std::slice::from_ref(&range))?;
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(rows.len()));
        let mut unwritable = Vec::new();
        self.append(&gathered, &mut bytes, &mut ends, &mut |row, reason| {
            unwritable.push(Unwritable { row: first + row, reason });
        });
        Ok(Contents { first, stored: Stored::Encoded { bytes, ends }, unwritable })
    }

    /// Appends the contents of all rows. If the rows can't be encoded together, each half is tried alone, until the rows
    /// that can't be encoded are found; their contents are empty.
    fn append(
        &mut self,
        rows: &RecordBatch,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        refuse: &mut impl FnMut(usize, String),
    ) {
        let encoded = match &mut self.kind {
            Kind::Raw => return,
            Kind::Json => json::write_objects(rows, bytes, ends).map_err(|error| error.to_string()),
            Kind::Avro(datums) => datums.write(rows, bytes, ends),
        };
        let Err(reason) = encoded else { return };
        let half = rows.num_rows() / 2;
        if half == 0 {
            refuse(ends.len(), reason);
            ends.push(bytes.len());
            return;
        }
        self.append(&rows.slice(0, half), bytes, ends, refuse);
        self.append(&rows.slice(half, rows.num_rows() - half), bytes, ends, refuse);
    }
}

impl Contents {
    /// Returns the content of a row, by its number in the batch; empty if the row is unwritable.
    pub(crate) fn of(&self, row: usize) -> &[u8] {
        let index = row - self.first;
        match &self.stored {
            Stored::Bodies(bodies) => bodies.value(index),
            Stored::Encoded { bytes, ends } => {
                let begin = if index == 0 { 0 } else { ends[index - 1] };
                &bytes[begin..ends[index]]
            }
        }
    }

    /// Whether the format can't represent a row.
    pub(crate) fn is_unwritable(&self, row: usize) -> bool {
        !self.unwritable.is_empty()
            && self.unwritable.binary_search_by_key(&row, |unwritable| unwritable.row).is_ok()
    }
}

/// Returns the values of a header as the bytes of a message's header: bytes as they are, all other types as CSV writes
/// them.
///
/// # Errors
/// When the values have no text.
pub(crate) fn header_values(
    field: &arrow_schema::FieldRef,
    values: &arrow_array::ArrayRef,
) -> Result<BinaryViewArray, ArrowError> {
    match values.data_type() {
        arrow_schema::DataType::BinaryView => Ok(values.as_binary_view().clone()),
        _ => Ok(super::columns::cells(field, values)?.to_binary_view()),
    }
}

#[cfg(test)]
mod tests;

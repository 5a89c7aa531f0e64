//! Events as bytes, for channels that keep them outside of this process.
//!
//! ```text
//!   0  4  magic `WEIR`
//!   4  1  version, 1
//!   5  3  zeros
//!   8  4  number of events, little-endian
//!  12  4  length of the schema
//!  16  .  the schema of the events as Arrow's JSON
//!   .  .  the columns, as in a put of the file channel (`file/columns.rs`), uncompressed
//! ```
//!
//! The bytes describe themselves, so that an agent reads what one with another program has written.

use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_schema::{Schema, SchemaRef};
use thiserror::Error;

use super::file::columns::{decode_columns, encode_columns, unsupported};
use crate::batch::{Batch, Origins};

const MAGIC: &[u8; 4] = b"WEIR";
const VERSION: u8 = 1;
const FIXED: usize = 16;

/// The most events that are encoded together.
pub const ROWS_MAX: usize = 1 << 20;

/// Why bytes are no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are damaged, or something else has written them.
    #[error("it has no events of Weir, or is damaged")]
    Invalid,
    /// A later version has written them.
    #[error("a later version of Weir has written it")]
    Later,
}

/// Encodes events of one schema.
#[derive(Debug, Clone)]
pub struct Encoder {
    schema: Vec<u8>,
}

impl Encoder {
    /// Makes the encoder of events of this schema.
    ///
    /// # Errors
    /// The first column whose values can't be encoded.
    pub fn new(schema: &Schema) -> Result<Encoder, String> {
        match unsupported(schema) {
            Some(column) => Err(column.to_owned()),
            None => Ok(Encoder {
                schema: serde_json::to_vec(schema).expect("a schema's maps have texts as keys"),
            }),
        }
    }

    /// Returns the most bytes of a batch that is charged `charged` bytes ([`Batch::charged_bytes`]).
    pub fn bytes_max(&self, charged: u64) -> u64 {
        2 * charged + (FIXED + self.schema.len()) as u64 + 1024
    }

    /// Encodes a batch of the schema, of at most [`ROWS_MAX`] events, without its origins and identities.
    pub fn encode(&self, batch: &Batch) -> Vec<u8> {
        let mut out = Vec::with_capacity(batch.charged_bytes() as usize + FIXED + self.schema.len() + 256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&(batch.rows() as u32).to_le_bytes());
        out.extend_from_slice(&(self.schema.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.schema);
        encode_columns(batch, &mut out);
        out
    }
}

/// Decodes events. Most batches have the schema of the one before, which is decoded once.
#[derive(Debug, Default)]
pub struct Decoder {
    last: Option<(Vec<u8>, SchemaRef)>,
}

impl Decoder {
    /// Decodes a batch. It keeps the bytes alive.
    ///
    /// # Errors
    /// When the bytes are not the encoding of a batch.
    pub fn decode(&mut self, bytes: Vec<u8>) -> Result<Batch, DecodeError> {
        let header =
            bytes.get(..FIXED).filter(|header| header.starts_with(MAGIC)).ok_or(DecodeError::Invalid)?;
        if header[4] > VERSION {
            return Err(DecodeError::Later);
        }
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (rows, schema_bytes) = (number(8) as usize, number(12) as usize);
        let begin = FIXED.saturating_add(schema_bytes);
        let text = bytes.get(FIXED..begin).ok_or(DecodeError::Invalid)?;
        let schema = self.schema(text).ok_or(DecodeError::Invalid)?;
        if rows > ROWS_MAX {
            return Err(DecodeError::Invalid);
        }
        let body = Buffer::from_vec(bytes);
        let columns = decode_columns(&schema, rows, &body, begin).ok_or(DecodeError::Invalid)?;
        Batch::new(schema, columns, rows, Origins::default()).map_err(|_| DecodeError::Invalid)
    }

    fn schema(&mut self, text: &[u8]) -> Option<SchemaRef> {
        if let Some((_, schema)) = self.last.as_ref().filter(|(last, _)| last == text) {
            return Some(schema.clone());
        }
        let schema: Schema = serde_json::from_slice(text).ok()?;
        if unsupported(&schema).is_some() {
            return None;
        }
        let schema = Arc::new(schema);
        self.last = Some((text.to_vec(), schema.clone()));
        Some(schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryViewArray, StringViewArray};
    use arrow_schema::{DataType, Field};

    use super::*;
    use crate::batch::Column;

    fn batch(bodies: &[&str]) -> Batch {
        let fields =
            [("host", DataType::Utf8View), ("tag", DataType::Utf8View), ("body", DataType::BinaryView)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let tags = bodies.iter().map(|body| (body.len() > 3).then_some(*body));
        let columns = vec![
            Column::constant_text("web-1"),
            Column::Array(Arc::new(StringViewArray::from_iter(tags))),
            BinaryViewArray::from_iter_values(bodies).into(),
        ];
        let schema = Arc::new(Schema::new(fields.to_vec()));
        Batch::new(schema, columns, bodies.len(), Origins::default()).unwrap()
    }

    #[test]
    fn events_are_decoded_as_they_were() {
        let batch = batch(&["one", "a second line that is longer", ""]);
        let bytes = Encoder::new(batch.schema()).unwrap().encode(&batch);
        let mut decoder = Decoder::default();
        for _ in 0..2 {
            let decoded = decoder.decode(bytes.clone()).unwrap();
            assert_eq!(decoded.schema(), batch.schema());
            for (found, expected) in decoded.columns().iter().zip(batch.columns()) {
                assert_eq!(found.values(), expected.values());
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let batch = batch(&["one", "a second line that is longer"]);
        let bytes = Encoder::new(batch.schema()).unwrap().encode(&batch);
        for end in 0..bytes.len() {
            let cut = Decoder::default().decode(bytes[..end].to_vec());
            assert_eq!(cut.err(), Some(DecodeError::Invalid), "{end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                // Some bits are those of a value. Nothing panics.
                let _any = Decoder::default().decode(damaged);
            }
        }
        let mut later = bytes.clone();
        later[4] = 2;
        assert_eq!(Decoder::default().decode(later).err(), Some(DecodeError::Later));
    }
}

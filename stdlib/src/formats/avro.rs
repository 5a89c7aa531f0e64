//! Avro container files (Avro 1.11, "Object Container Files"), by arrow-avro.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::schema::{AVRO_NAME_METADATA_KEY, AvroSchema, SCHEMA_METADATA_KEY};
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_avro::writer::{Writer, WriterBuilder};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;

/// The name of the record type of events.
const RECORD: &str = "Event";

/// A block, which is compressed as one, is written when about this many bytes of rows are gathered.
const BLOCK_BYTES: usize = 64 * 1024;

/// Returns the schema with the Avro schema in its metadata. The Avro schema names the record and has no attributes of
/// Arrow.
///
/// # Errors
/// When a type has no counterpart in Avro.
pub(super) fn schema(schema: &Schema) -> Result<Schema, ArrowError> {
    let plain: Vec<Field> = schema.fields().iter().map(|field| plain_field(field)).collect();
    let named = HashMap::from([(AVRO_NAME_METADATA_KEY.to_string(), RECORD.to_string())]);
    let avro = AvroSchema::try_from(&Schema::new_with_metadata(plain, named))?;
    let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_string(), avro.json_string)]);
    Ok(Schema::new_with_metadata(schema.fields().clone(), metadata))
}

/// Returns the field with types that leave no attribute of Arrow in the Avro schema, such as bytes without views.
fn plain_field(field: &Field) -> Field {
    let plain = match field.data_type() {
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(Arc::new(plain_field(item))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| plain_field(field)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(plain_field(entries)), *sorted),
        other => other.clone(),
    };
    Field::new(field.name(), plain, field.is_nullable())
}

/// The output of arrow-avro's writer. The writer does not return the output that it was given, so both share it. The
/// lock is never contended, and is taken a few times for each block.
#[derive(Debug, Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The encoder of a file.
pub(super) struct AvroFile {
    writer: Writer<Output, AvroOcfFormat>,
    output: Output,
    schema: SchemaRef,
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
}

impl AvroFile {
    /// Makes the encoder of a file with a schema of [`schema`].
    ///
    /// # Errors
    /// When the schema can't be encoded.
    pub(super) fn new(schema: &Schema, codec: Option<CompressionCodec>) -> io::Result<AvroFile> {
        let builder = WriterBuilder::new(schema.clone()).with_compression(codec);
        let output = Output::default();
        let writer = builder.build::<_, AvroOcfFormat>(output.clone()).map_err(io::Error::other)?;
        Ok(AvroFile {
            writer,
            output,
            schema: Arc::new(schema.clone()),
            gathered: Vec::new(),
            gathered_bytes: 0,
        })
    }

    /// Appends rows of about this many bytes.
    ///
    /// # Errors
    /// When a value can't be written in Avro, or the codec fails.
    pub(super) fn append(&mut self, rows: RecordBatch, bytes: usize) -> io::Result<()> {
        let rows = rows.with_schema(self.schema.clone()).map_err(io::Error::other)?;
        self.gathered.push(rows);
        self.gathered_bytes += bytes;
        match self.gathered_bytes >= BLOCK_BYTES {
            true => self.write_block(),
            false => Ok(()),
        }
    }

    /// Writes the gathered rows as a block, at whose end the file can be cut.
    ///
    /// # Errors
    /// As [`AvroFile::append`].
    pub(super) fn write_block(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let block = concat_batches(&self.schema, &self.gathered).map_err(io::Error::other)?;
        self.gathered.clear();
        self.gathered_bytes = 0;
        self.writer.write(&block).map_err(io::Error::other)
    }

    /// Returns how many bytes of rows the next block takes before it is written.
    pub(super) fn block_room(&self) -> usize {
        BLOCK_BYTES - self.gathered_bytes.min(BLOCK_BYTES - 1)
    }

    /// Returns the size of the gathered rows, before compression.
    pub(super) fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// Returns the size of the output that was not taken.
    pub(super) fn output_bytes(&self) -> usize {
        self.output.lock().len()
    }

    /// Takes the output.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.output.lock())
    }

    /// Ends the file and returns the rest of the output.
    ///
    /// # Errors
    /// As [`AvroFile::append`].
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.write_block()?;
        self.writer.finish().map_err(io::Error::other)?;
        Ok(self.take_output())
    }
}

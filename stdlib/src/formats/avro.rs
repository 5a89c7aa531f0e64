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

/// The name of the record that an event is.
const RECORD: &str = "Event";

/// A block is written when about so much is gathered: what is compressed together.
const BLOCK_BYTES: usize = 64 * 1024;

/// The schema with Avro's own in its metadata, which names the record and has none of Arrow's marks.
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

/// A field whose type leaves no mark of Arrow's in Avro's schema: bytes are bytes, views or not.
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

/// Where arrow-avro's writer writes: it does not hand out a writer that it was given, so this is
/// held by two. Nobody ever waits for the lock, which is taken a few times a block.
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

/// One file that is being encoded.
pub(super) struct AvroFile {
    writer: Writer<Output, AvroOcfFormat>,
    output: Output,
    schema: SchemaRef,
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
}

impl AvroFile {
    /// A file with this schema, which [`schema`] has made.
    ///
    /// # Errors
    /// When the schema is none that can be encoded.
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

    /// Appends rows, which are about so many bytes.
    ///
    /// # Errors
    /// When a value has no place in Avro, or the codec fails.
    pub(super) fn append(&mut self, rows: RecordBatch, bytes: usize) -> io::Result<()> {
        let rows = rows.with_schema(self.schema.clone()).map_err(io::Error::other)?;
        self.gathered.push(rows);
        self.gathered_bytes += bytes;
        match self.gathered_bytes >= BLOCK_BYTES {
            true => self.write_block(),
            false => Ok(()),
        }
    }

    /// Writes a block of what is gathered: a reader can end behind it.
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

    /// How many bytes the next block takes before it is written.
    pub(super) fn block_room(&self) -> usize {
        BLOCK_BYTES - self.gathered_bytes.min(BLOCK_BYTES - 1)
    }

    /// What waits to be written as a block, before it is compressed.
    pub(super) fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// How much has come out and was not taken away.
    pub(super) fn output_bytes(&self) -> usize {
        self.output.lock().len()
    }

    /// Takes away what has come out.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.output.lock())
    }

    /// Ends the file and gives the rest of the output.
    ///
    /// # Errors
    /// As [`AvroFile::append`].
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.write_block()?;
        self.writer.finish().map_err(io::Error::other)?;
        Ok(self.take_output())
    }
}

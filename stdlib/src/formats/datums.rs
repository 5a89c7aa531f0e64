//! Avro data in the binary form (Avro 1.11, "Binary Encoding"), one for each event, by arrow-avro.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, FingerprintStrategy, SCHEMA_METADATA_KEY, SchemaStore};
use arrow_avro::writer::format::{AvroBinaryFormat, AvroSoeFormat};
use arrow_avro::writer::{Encoder, WriterBuilder};
use arrow_schema::{ArrowError, Fields, Schema, SchemaRef};
use serde::Deserialize;

use super::{FormatError, avro, fitting};

/// The mark before a datum, which names its schema: `AvroFrame` in `avro.flow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frame {
    /// No mark.
    None,
    /// A zero and the number of the schema in four bytes.
    Confluent,
    /// A zero and the number of the schema in eight bytes.
    Apicurio,
    /// `C3 01` and the fingerprint of the schema in eight bytes.
    SingleObject,
}

/// The encoder of data of one schema.
#[derive(Debug)]
pub(super) struct Datums {
    encoder: Encoder,
    /// The columns that the encoder takes, in the order of the schema.
    encoded: SchemaRef,
    /// For each of them the column of the events; none if the events lack it, so that it is null.
    sources: Vec<Option<usize>>,
    /// The schema as JSON.
    json: String,
}

impl Datums {
    /// Makes the encoder of events with these columns. Without the path of a file, the schema is that of the columns.
    ///
    /// # Errors
    /// When the schema can't be read, or does not have the columns' types.
    pub(super) fn new(
        columns: &Schema,
        path: Option<&str>,
        frame: Frame,
        id: Option<u64>,
    ) -> Result<Datums, FormatError> {
        let Some(path) = path else {
            let schema = avro::schema(columns)?;
            let json = schema.metadata().get(SCHEMA_METADATA_KEY).cloned().unwrap_or_default();
            let encoder = encoder(schema, frame, id)?;
            let sources = (0..columns.fields().len()).map(Some).collect();
            return Ok(Datums { encoded: encoder.schema(), encoder, sources, json });
        };
        let refused = |why: String| FormatError::SchemaFile { path: path.to_owned(), why };
        let json =
            std::fs::read_to_string(path).map_err(|error| refused(format!("it can't be read: {error}")))?;
        let target = fields_of(&json).map_err(|error| refused(format!("it can't be used: {error}")))?;
        let missing = |name: &str| !target.iter().any(|field| field.name() == name);
        if let Some(field) = columns.fields().iter().find(|field| missing(field.name())) {
            let name = field.name();
            return Err(refused(format!(
                "it has no field `{name}`, which the events have: `unset` it before, or add it to the schema"
            )));
        }
        let mut sources = Vec::new();
        let mut fields = Vec::new();
        for field in &target {
            let source = columns.index_of(field.name()).ok();
            let from = source.map(|index| columns.field(index).data_type());
            fields.push(fitting::fitted_field(field, from).map_err(refused)?);
            sources.push(source);
        }
        let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), json.clone())]);
        let encoder = encoder(Schema::new_with_metadata(fields, metadata), frame, id)?;
        Ok(Datums { encoded: encoder.schema(), encoder, sources, json })
    }

    /// Returns the schema as JSON.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// Appends the datum of each row, and the end of each to `ends`.
    ///
    /// # Errors
    /// When a row does not fit the schema, without any value of it. Nothing is appended then.
    pub(super) fn write(
        &mut self,
        rows: &RecordBatch,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), String> {
        let fields = self.encoded.fields().iter().zip(&self.sources);
        let columns = fields.map(|(field, source)| match source {
            Some(index) => fitting::fitted(field, rows.column(*index)),
            None => Ok(arrow_array::new_null_array(field.data_type(), rows.num_rows())),
        });
        let columns = columns.collect::<Result<Vec<_>, String>>()?;
        // The messages of these errors may quote values.
        let other = |_| "a value does not fit the Avro schema".to_owned();
        let batch = RecordBatch::try_new(self.encoded.clone(), columns).map_err(other)?;
        self.encoder.encode(&batch).map_err(|_| other(ArrowError::DivideByZero))?;
        let encoded = self.encoder.flush();
        let begin = bytes.len();
        bytes.extend_from_slice(encoded.bytes());
        ends.extend(encoded.offsets().iter().skip(1).map(|end| begin + end));
        Ok(())
    }
}

/// Returns the fields that data of an Avro schema have, in Arrow's types.
fn fields_of(json: &str) -> Result<Fields, ArrowError> {
    let schema = AvroSchema::new(json.to_owned());
    let mut store = SchemaStore::new();
    store.register(schema.clone())?;
    let builder = ReaderBuilder::new().with_reader_schema(schema).with_writer_schema_store(store);
    Ok(builder.build_decoder()?.schema().fields().clone())
}

fn encoder(schema: Schema, frame: Frame, id: Option<u64>) -> Result<Encoder, FormatError> {
    let builder = WriterBuilder::new(schema);
    let strategy = match (frame, id) {
        (Frame::None, None) => {
            return Ok(builder.build_encoder::<AvroBinaryFormat>().map_err(ArrowError::from)?);
        }
        (Frame::SingleObject, None) => FingerprintStrategy::Rabin,
        (Frame::Confluent, Some(id)) => FingerprintStrategy::Id(u32::try_from(id).map_err(|_| {
            FormatError::SchemaId("the `id` of a schema in Confluent's registry is at most 4_294_967_295")
        })?),
        (Frame::Apicurio, Some(id)) => FingerprintStrategy::Id64(id),
        (Frame::Confluent | Frame::Apicurio, None) => {
            return Err(FormatError::SchemaId("the `frame` names the schema by its number: `id` gives it"));
        }
        (Frame::None | Frame::SingleObject, Some(_)) => {
            return Err(FormatError::SchemaId(
                "the `id` of a schema is written by the frames `confluent` and `apicurio` only",
            ));
        }
    };
    let builder = builder.with_fingerprint_strategy(strategy);
    Ok(builder.build_encoder::<AvroSoeFormat>().map_err(ArrowError::from)?)
}

//! Encodes batches of events into the bytes of files, for the sinks that write files.
//!
//! A [`Formatting`] is made once from the settings and the schema of the events. It knows which columns are written,
//! and in which types ([`columns`]). [`Formatting::gather`] copies rows of a batch into these columns and expands
//! constants. An [`Encoder`] encodes the rows, as many as its file has room for. Encoding is blocking work that belongs
//! on a blocking thread.
//!
//! This module must not know where the bytes go.

mod avro;
pub(crate) mod codec;
mod columns;
mod compressor;
mod datums;
mod fitting;
pub(crate) mod json;
pub(crate) mod messages;
mod parquet;
pub(crate) mod reading;
mod sequence_file;
mod stream;
pub(crate) mod text;

use std::io;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::{ArrowError, Schema};
use serde::Deserialize;
use thiserror::Error;
use weir_runtime::batch::Batch;

use crate::tools::buffers::Buffers;
use avro::AvroFile;
use codec::{AVRO_BLOCKS, Codec, PARQUET_PAGES, SEQUENCE_FILE_BLOCKS, UnsupportedCodec, WHOLE_FILES};
use columns::{Columns, Style};
use parquet::ParquetFile;
use sequence_file::SequenceFile;
use stream::{Rows, Stream};

/// The approximate size of the rows that are gathered at once.
const GATHERED_BYTES_MAX: usize = 8 << 20;

/// The format of a file: the settings of `Format` in `formats.flow`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// The body of each event and a line end.
    Text,
    /// The bodies, with nothing between them.
    Raw,
    /// A Hadoop SequenceFile with the bodies as values.
    SequenceFile,
    /// One JSON object on each line.
    Json {
        /// The headers that are written besides the fields.
        headers: Vec<String>,
    },
    /// Lines of delimited values.
    Csv {
        /// The text between two values.
        delimiter: String,
        /// Whether a file begins with a line of the columns' names.
        names: bool,
        /// The headers that are written besides the fields.
        headers: Vec<String>,
    },
    /// An Avro container file.
    Avro {
        /// The headers that are written besides the fields.
        headers: Vec<String>,
    },
    /// A Parquet file.
    Parquet {
        /// The most events in a row group.
        row_group: usize,
        /// The headers that are written besides the fields.
        headers: Vec<String>,
    },
}

/// Why events can't be written in a format.
#[derive(Debug, Error)]
pub(crate) enum FormatError {
    /// The format writes bodies, and the events have no body of bytes.
    #[error("`format` writes bodies, and the events have no `body` of bytes")]
    Body,
    /// The settings name a header that the events do not have.
    #[error("`format` names the header `{0}`, which the events do not have")]
    NoHeader(String),
    /// A header without its `@` has the name of a field or of another header.
    #[error("`format` would write two columns called `{0}`: rename one of them before")]
    TwoOfOneName(String),
    /// The events have no field, and the settings name no header.
    #[error("`format` has nothing to write: the events have no fields, and it names no `headers`")]
    Nothing,
    /// The delimiter is not one byte.
    #[error("`delimiter` is \"{0}\": it must be one ASCII character, and no quote or line end")]
    Delimiter(String),
    /// A codec that the format does not have.
    #[error(transparent)]
    Codec(#[from] UnsupportedCodec),
    /// The file with the schema can't be used.
    #[error("its `schema`, \"{path}\": {why}")]
    SchemaFile {
        /// The path of the file.
        path: String,
        /// Why, in words for the user.
        why: String,
    },
    /// The frame and the number of the schema don't fit together.
    #[error("{0}")]
    SchemaId(&'static str),
    /// The format has no counterpart of a type.
    #[error("the events can't be written: {0}")]
    Types(#[from] ArrowError),
}

/// How the events of a sink are encoded.
#[derive(Debug)]
pub(crate) struct Formatting {
    kind: Kind,
    codec: Codec,
    columns: Columns,
    extension: String,
}

#[derive(Debug)]
enum Kind {
    Text,
    Raw,
    SequenceFile { class: Option<&'static str> },
    Json,
    Csv { delimiter: u8, names: bool },
    Avro { schema: Schema, codec: Option<arrow_avro::compression::CompressionCodec> },
    Parquet { row_group: usize, codec: ::parquet::basic::Compression },
}

impl Formatting {
    /// Makes the formatting for events of this schema.
    ///
    /// # Errors
    /// When events of this schema can't be written in the format.
    pub(crate) fn new(format: Format, codec: Codec, schema: &Schema) -> Result<Formatting, FormatError> {
        let fields = |headers: &[String], style| Columns::fields(schema, headers, style);
        let (kind, columns, extension) = match format {
            Format::Text => (Kind::Text, Columns::body(schema)?, ".txt"),
            Format::Raw => (Kind::Raw, Columns::body(schema)?, ".bin"),
            Format::SequenceFile => {
                let class = SEQUENCE_FILE_BLOCKS.of(codec)?;
                (Kind::SequenceFile { class }, Columns::body(schema)?, ".seq")
            }
            Format::Json { headers } => (Kind::Json, fields(&headers, Style::AsTheyAre)?, ".json"),
            Format::Csv { delimiter, names, headers } => {
                let delimiter = single_byte(delimiter)?;
                (Kind::Csv { delimiter, names }, fields(&headers, Style::Cells)?, ".csv")
            }
            Format::Avro { headers } => {
                let columns = fields(&headers, Style::Avro)?;
                let codec = AVRO_BLOCKS.of(codec)?;
                (Kind::Avro { schema: avro::schema(columns.schema())?, codec }, columns, ".avro")
            }
            Format::Parquet { row_group, headers } => {
                let codec = PARQUET_PAGES.of(codec)?;
                (Kind::Parquet { row_group, codec }, fields(&headers, Style::Parquet)?, ".parquet")
            }
        };
        let whole = matches!(kind, Kind::Text | Kind::Raw | Kind::Json | Kind::Csv { .. });
        let suffix = if whole { WHOLE_FILES.of(codec)? } else { "" };
        Ok(Formatting { kind, codec, columns, extension: format!("{extension}{suffix}") })
    }

    /// Returns the end of the files' names.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether a file can be cut behind each of its parts ([`Encoder::end_part`]) and still be read. A Parquet file
    /// can't: its index is at its end.
    pub(crate) fn has_parts(&self) -> bool {
        !matches!(self.kind, Kind::Parquet { .. })
    }

    /// Makes the encoder of a new file.
    ///
    /// # Errors
    /// When the codec can't be set up.
    pub(crate) fn encoder(&self) -> io::Result<Encoder> {
        let stream = |rows| Stream::new(rows, self.codec).map(|stream| Content::Stream(Box::new(stream)));
        let content = match &self.kind {
            Kind::Text => stream(Rows::Text)?,
            Kind::Raw => stream(Rows::Raw)?,
            Kind::Json => stream(Rows::Json)?,
            Kind::Csv { delimiter, names } => stream(Rows::Csv { delimiter: *delimiter, names: *names })?,
            Kind::SequenceFile { class } => Content::SequenceFile(SequenceFile::new(self.codec, *class)?),
            Kind::Avro { schema, codec } => Content::Avro(Box::new(AvroFile::new(schema, *codec)?)),
            Kind::Parquet { row_group, codec } => {
                let schema = self.columns.schema().clone();
                Content::Parquet(Box::new(ParquetFile::new(schema, *codec, *row_group)?))
            }
        };
        Ok(Encoder { content, taken: 0 })
    }

    /// Gathers the rows of these ranges, at least one, for an encoder.
    ///
    /// # Errors
    /// When the batch has another schema than this was made for.
    pub(crate) fn gather(&self, batch: &Batch, ranges: &[Range<u32>]) -> io::Result<Gathered> {
        let gathered = self.columns.gather(batch, ranges).map_err(io::Error::other)?;
        Ok(Gathered { batch: gathered, row_bytes: self.row_bytes(batch) })
    }

    /// Returns how many rows of a batch may be gathered at once. Values that all rows share are repeated in each, so
    /// the number is bounded by memory.
    pub(crate) fn rows_at_once(&self, batch: &Batch) -> usize {
        (GATHERED_BYTES_MAX / self.row_bytes(batch).max(1)).max(1)
    }

    fn row_bytes(&self, batch: &Batch) -> usize {
        usize::try_from(self.columns.row_bytes(batch)).unwrap_or(usize::MAX)
    }
}

fn single_byte(delimiter: String) -> Result<u8, FormatError> {
    match delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err(FormatError::Delimiter(delimiter)),
    }
}

/// Rows in the columns of a format.
pub(crate) struct Gathered {
    batch: RecordBatch,
    /// The approximate size of a row, in bytes.
    row_bytes: usize,
}

/// Encodes one file.
pub(crate) struct Encoder {
    content: Content,
    /// The number of output bytes that were taken.
    taken: u64,
}

enum Content {
    Stream(Box<Stream>),
    SequenceFile(SequenceFile),
    Avro(Box<AvroFile>),
    Parquet(Box<ParquetFile>),
}

/// The last bytes of a file.
pub(crate) struct Encoded {
    pub(crate) rest: Vec<u8>,
    /// The size of the complete file, in bytes.
    pub(crate) size: u64,
    /// In text files: the number of line breaks within bodies, each of which splits a line in two.
    pub(crate) breaks: u64,
}

impl Encoder {
    /// Encodes rows of this range, at least one, until the encoder has enough for one call or the file has about
    /// `size_max` bytes. Returns how many.
    ///
    /// # Errors
    /// When a value can't be written, or the codec fails.
    pub(crate) fn append(
        &mut self,
        rows: &Gathered,
        range: Range<usize>,
        size_max: u64,
    ) -> io::Result<usize> {
        let room = size_max.saturating_sub(self.taken);
        match &mut self.content {
            Content::Stream(stream) => stream.append(rows, range, room),
            Content::SequenceFile(file) => {
                let bodies = rows.batch.column(0).as_binary_view();
                let first = range.start;
                for row in range.clone() {
                    file.append(bodies.value(row))?;
                    if (file.output_bytes() + file.gathered_bytes()) as u64 >= room {
                        return Ok(row + 1 - first);
                    }
                }
                Ok(range.len())
            }
            Content::Avro(file) => {
                let room = file.block_room().min(usize::try_from(room).unwrap_or(usize::MAX));
                let taken = fitting(rows, &range, room);
                file.append(rows.batch.slice(range.start, taken), taken * rows.row_bytes)?;
                Ok(taken)
            }
            Content::Parquet(file) => {
                let room = size_max.saturating_sub(file.size());
                let taken = fitting(rows, &range, usize::try_from(room).unwrap_or(usize::MAX));
                file.append(&rows.batch.slice(range.start, taken))?;
                Ok(taken)
            }
        }
    }

    /// Returns the approximate size of the file so far: codecs hold some of their input back.
    pub(crate) fn size(&self) -> u64 {
        self.taken
            + match &self.content {
                Content::Stream(stream) => stream.output_bytes() as u64,
                Content::SequenceFile(file) => (file.output_bytes() + file.gathered_bytes()) as u64,
                Content::Avro(file) => (file.output_bytes() + file.gathered_bytes()) as u64,
                // Its size includes the bytes that were taken.
                Content::Parquet(file) => return file.size(),
            }
    }

    /// Takes the output, if it has at least `least` bytes. The next output goes into a buffer of `buffers`.
    ///
    /// # Errors
    /// When the codec fails.
    pub(crate) fn take_output(&mut self, least: usize, buffers: &Buffers) -> io::Result<Vec<u8>> {
        let ready = match &self.content {
            Content::Stream(stream) => stream.output_bytes(),
            Content::SequenceFile(file) => file.output_bytes(),
            Content::Avro(file) => file.output_bytes(),
            Content::Parquet(file) => file.output().len(),
        };
        if ready < least {
            return Ok(Vec::new());
        }
        let output = match &mut self.content {
            Content::Stream(stream) => stream.take_output(buffers)?,
            Content::SequenceFile(file) => std::mem::take(file.output()),
            Content::Avro(file) => file.take_output(),
            Content::Parquet(file) => file.take_output(),
        };
        self.taken += output.len() as u64;
        Ok(output)
    }

    /// Ends a part: all rows so far are in the output, and a file that ends there can be read. Returns whether the
    /// format has parts ([`Formatting::has_parts`]).
    ///
    /// # Errors
    /// When the codec fails.
    pub(crate) fn end_part(&mut self) -> io::Result<bool> {
        match &mut self.content {
            Content::Stream(stream) => stream.end_part()?,
            Content::SequenceFile(file) => file.write_block()?,
            Content::Avro(file) => file.write_block()?,
            Content::Parquet(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Ends the file and returns its last bytes.
    ///
    /// # Errors
    /// When the codec fails.
    pub(crate) fn finish(self) -> io::Result<Encoded> {
        let (rest, breaks) = match self.content {
            Content::Stream(stream) => stream.finish()?,
            Content::SequenceFile(file) => (file.finish()?, 0),
            Content::Avro(file) => (file.finish()?, 0),
            Content::Parquet(file) => (file.finish()?, 0),
        };
        Ok(Encoded { size: self.taken + rest.len() as u64, rest, breaks })
    }
}

/// Returns about how many of the rows have a total of `room` bytes; at least one.
fn fitting(rows: &Gathered, range: &Range<usize>, room: usize) -> usize {
    (room / rows.row_bytes.max(1)).clamp(1, range.len())
}

#[cfg(test)]
mod tests;

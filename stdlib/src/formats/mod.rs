//! Formats: from batches of events to the bytes of a file. Every sink that stores uses these.
//!
//! A [`Formatting`] is made once of the settings and the type of the events; it knows which columns
//! are written and as what ([`columns`]). [`Formatting::gather`] makes rows of a batch ready,
//! constants expanded, and an [`Encoder`] takes them, as many as its file has room for. Encoding is
//! blocking work: it belongs on a thread of its own.
//!
//! This module must not know where the bytes go.

mod avro;
pub(crate) mod codec;
mod columns;
mod compressor;
mod json;
mod parquet;
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

/// About how many bytes of rows are gathered at once.
const GATHERED_BYTES_MAX: usize = 8 << 20;

/// What a file holds: the settings of `Format` in `formats.flow`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// The body of each event and a line end.
    Text,
    /// The bodies one behind the other.
    Raw,
    /// A Hadoop SequenceFile with the bodies as values.
    SequenceFile,
    /// One JSON object a line.
    Json {
        /// Headers that are written as well.
        headers: Vec<String>,
    },
    /// Lines of values.
    Csv {
        /// What stands between values.
        delimiter: String,
        /// Whether a file begins with the names.
        names: bool,
        /// Headers that are written as well.
        headers: Vec<String>,
    },
    /// An Avro container file.
    Avro {
        /// Headers that are written as well.
        headers: Vec<String>,
    },
    /// A Parquet file.
    Parquet {
        /// The most events in one row group.
        row_group: usize,
        /// Headers that are written as well.
        headers: Vec<String>,
    },
}

/// Settings of a format that these events can't be written by.
#[derive(Debug, Error)]
pub(crate) enum FormatError {
    /// Lines of text need bytes.
    #[error("`format` writes bodies, and the events have no `body` of bytes")]
    Body,
    /// A header that is asked for and not there.
    #[error("`format` names the header `{0}`, which the events do not have")]
    NoHeader(String),
    /// A header without its `@` has the name of a field, or stands twice.
    #[error("`format` would write two columns called `{0}`: rename one of them before")]
    TwoOfOneName(String),
    /// No field, and no header is asked for.
    #[error("`format` has nothing to write: the events have no fields, and it names no `headers`")]
    Nothing,
    /// Only one byte can stand between the values of a line.
    #[error("`delimiter` is \"{0}\": it must be one ASCII character, and no quote or line end")]
    Delimiter(String),
    /// A codec that the format does not have.
    #[error(transparent)]
    Codec(#[from] UnsupportedCodec),
    /// A type that the format has no counterpart of.
    #[error("the events can't be written: {0}")]
    Types(#[from] ArrowError),
}

/// How the events of a sink are written.
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
    /// # Errors
    /// When events of this type can't be written so.
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

    /// What the names of the files end in.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether a file can be cut behind any of its rows ([`Encoder::end_part`]) and still be read. A Parquet file
    /// has its index at its end.
    pub(crate) fn has_parts(&self) -> bool {
        !matches!(self.kind, Kind::Parquet { .. })
    }

    /// The beginning of a file.
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

    /// Makes the rows of these ranges, of which there is one at least, ready to be encoded.
    ///
    /// # Errors
    /// When the batch is not of the type that this was made for.
    pub(crate) fn gather(&self, batch: &Batch, ranges: &[Range<u32>]) -> io::Result<Gathered> {
        let gathered = self.columns.gather(batch, ranges).map_err(io::Error::other)?;
        Ok(Gathered { batch: gathered, row_bytes: self.row_bytes(batch) })
    }

    /// How many rows are gathered at once: what they share is repeated then, so memory bounds them.
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
    /// About how much one takes up.
    row_bytes: usize,
}

/// Encodes one file.
pub(crate) struct Encoder {
    content: Content,
    /// Bytes of output that were taken away.
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
    /// The size of the whole file.
    pub(crate) size: u64,
    /// Of text: line breaks within bodies, each of which makes two lines of one.
    pub(crate) breaks: u64,
}

impl Encoder {
    /// Appends some of these rows, at least one: until enough is gathered for a turn, or the file
    /// has about `size_max` bytes. Says how many.
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

    /// About how large the file is so far: codecs hold some of their input back.
    pub(crate) fn size(&self) -> u64 {
        self.taken
            + match &self.content {
                Content::Stream(stream) => stream.output_bytes() as u64,
                Content::SequenceFile(file) => (file.output_bytes() + file.gathered_bytes()) as u64,
                Content::Avro(file) => (file.output_bytes() + file.gathered_bytes()) as u64,
                // It counts what was taken away itself.
                Content::Parquet(file) => return file.size(),
            }
    }

    /// Takes the output away, if there are at least `least` bytes of it. What takes its place is of `buffers`.
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

    /// Has all rows so far come out, in a way that a file that ends there can be read. Says whether the format
    /// can do that ([`Formatting::has_parts`]).
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

    /// Ends the file.
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

/// How many of the rows go into so many bytes, about; at least one.
fn fitting(rows: &Gathered, range: &Range<usize>, room: usize) -> usize {
    (room / rows.row_bytes.max(1)).clamp(1, range.len())
}

#[cfg(test)]
mod tests;

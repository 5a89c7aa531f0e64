//! Reads the events of files that are no text: SequenceFiles, Avro container files and Parquet files.
//!
//! A file becomes a stream of *frames*, in the file's order, always the same ones:
//!
//! ```text
//! frame   u64 number of the record in the file, from 0; u32 length of the body; body
//! ```
//!
//! Numbers are big-endian. The source reads this stream as it reads a decompressed text, so that positions, hashes and
//! restarts are those of texts. What a file says of itself is not trusted: blocks, pages, records and counts have limits, and a
//! panic of a reader is an error of the file.

mod avro;
mod blocks;
mod parquet;
mod schema_size;
mod sequence_file;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_schema::{ArrowError, DataType, Field};

use super::json;

/// The length of a frame before its body.
pub(crate) const FRAME_HEAD_BYTES: usize = 12;

/// The most bytes of a block of a SequenceFile or an Avro file, compressed or not.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// The most bytes of the frames of one block.
const FRAMES_BYTES_MAX: usize = 4 * BLOCK_BYTES_MAX;

/// About how many bytes of frames are made at once.
const BATCH_BYTES: usize = 1 << 20;

/// A format whose files are made of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(any(test, feature = "hdfs")), expect(dead_code, reason = "only the source `hdfs` reads them"))]
pub(crate) enum RecordFormat {
    /// Hadoop's SequenceFile.
    SequenceFile,
    /// Avro container files.
    Avro,
    /// Parquet.
    Parquet,
}

/// How files of records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordRules {
    /// The format of the files.
    pub(crate) format: RecordFormat,
    /// The longest body; a file with a longer one can't be read.
    pub(crate) record_bytes_max: usize,
}

/// A file that is read at any place.
pub(crate) trait ReadAt: Debug + Send {
    /// Returns the length of the file in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads into the buffer from `position` on. Returns how many bytes were read; 0 only at the end of the file.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Reads the records of one file, a block of them at a time.
trait Records: Send {
    /// Appends the frames of the next block. Returns whether there was one.
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool>;
}

/// The frames of one block.
struct Frames {
    bytes: Vec<u8>,
    /// The number of the next record.
    number: u64,
    record_bytes_max: usize,
}

impl Frames {
    /// Appends the frame of a body that `write` appends.
    ///
    /// # Errors
    /// When the body is too long, or can't be written.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let begin = self.bytes.len();
        self.bytes.extend(self.number.to_be_bytes());
        self.bytes.extend([0; 4]);
        write(&mut self.bytes)?;
        if self.bytes.len() > FRAMES_BYTES_MAX {
            return Err(damaged("a block with much more records than bytes"));
        }
        let length = self.bytes.len() - begin - FRAME_HEAD_BYTES;
        if length > self.record_bytes_max {
            let most = self.record_bytes_max;
            return Err(damaged(format!(
                "record {} has {length} bytes, and `max_record` is {most}",
                self.number
            )));
        }
        self.bytes[begin + 8..begin + FRAME_HEAD_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
        self.number += 1;
        Ok(())
    }

    /// Appends rows from this one on as JSON objects, at least one, until there are about [`BATCH_BYTES`]. Returns the row
    /// behind the last one.
    ///
    /// # Errors
    /// When a column has a type that JSON can't represent, or a row is too long.
    fn add_rows(&mut self, rows: &RecordBatch, from: usize) -> io::Result<usize> {
        let field = Arc::new(Field::new_struct("", rows.schema().fields().clone(), false));
        let structs = StructArray::from(rows.clone());
        let checks_rows = logical_bytes(&structs) > BLOCK_BYTES_MAX;
        let options = json::foreign_options();
        let mut encoder = arrow_json::writer::make_encoder(&field, &structs, &options).map_err(json_error)?;
        for row in from..rows.num_rows() {
            // Values that are in memory once may be many in the text.
            if checks_rows && logical_bytes(&structs.slice(row, 1)) > self.record_bytes_max {
                let most = self.record_bytes_max;
                return Err(damaged(format!(
                    "record {} is longer than `max_record`, {most} bytes",
                    self.number
                )));
            }
            self.add(|out| {
                encoder.encode(row, out);
                Ok(())
            })?;
            if self.bytes.len() >= BATCH_BYTES {
                return Ok(row + 1);
            }
        }
        Ok(rows.num_rows())
    }
}

/// Rows that are decoded and not all appended.
#[derive(Debug, Default)]
struct PendingRows(Option<(RecordBatch, usize)>);

impl PendingRows {
    fn set(&mut self, rows: RecordBatch) {
        self.0 = (rows.num_rows() > 0).then_some((rows, 0));
    }

    /// Appends some of the rows. Returns whether there were any.
    fn append(&mut self, frames: &mut Frames) -> io::Result<bool> {
        let Some((rows, from)) = self.0.take() else { return Ok(false) };
        let next = frames.add_rows(&rows, from)?;
        self.0 = (next < rows.num_rows()).then_some((rows, next));
        Ok(true)
    }
}

/// The bytes of the texts and bytes that an array refers to, each as often as it is referred to.
fn logical_bytes(array: &dyn Array) -> usize {
    let views =
        |views: &[u128]| views.iter().map(|view| *view as u32 as usize).fold(0, usize::saturating_add);
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view().views()),
        DataType::BinaryView => views(array.as_binary_view().views()),
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|column| logical_bytes(column)).fold(0, usize::saturating_add)
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            ranged(lists.value_offsets(), lists.values())
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            ranged(maps.value_offsets(), maps.entries())
        }
        // Numbers are no longer in JSON than a few times their size.
        _ => array.len().saturating_mul(8),
    }
}

/// The logical bytes of the items between the first and the last offset.
fn ranged(offsets: &[i32], items: &dyn Array) -> usize {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return 0 };
    logical_bytes(&items.slice(*first as usize, (last - first) as usize))
}

/// The stream of a file's frames.
struct FrameStream {
    records: Box<dyn Records>,
    frames: Frames,
    /// How much of `frames` was read.
    read: usize,
}

impl Read for FrameStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.frames.bytes.len() {
            self.frames.bytes.clear();
            self.read = 0;
            let next = catch_unwind(AssertUnwindSafe(|| self.records.next(&mut self.frames)));
            match next.unwrap_or_else(|_| Err(damaged("the reader of its format has failed"))) {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    // The frames that the block already has are those of a part of it.
                    self.frames.bytes.clear();
                    return Err(error);
                }
            }
        }
        let left = &self.frames.bytes[self.read..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

/// Returns the stream of a file's frames.
///
/// # Errors
/// When the file is not of this format, or can't be read.
pub(crate) fn frames(file: Box<dyn ReadAt>, rules: RecordRules) -> io::Result<Box<dyn Read + Send>> {
    let opened = catch_unwind(AssertUnwindSafe(|| match rules.format {
        RecordFormat::SequenceFile => {
            sequence_file::SequenceRecords::open(file).map(|records| Box::new(records) as Box<dyn Records>)
        }
        RecordFormat::Avro => {
            avro::AvroRecords::open(file, rules.record_bytes_max).map(|records| Box::new(records) as _)
        }
        RecordFormat::Parquet => parquet::ParquetRecords::open(file).map(|records| Box::new(records) as _),
    }));
    let records = opened.unwrap_or_else(|_| Err(damaged("the reader of its format has failed")))?;
    let frames = Frames { bytes: Vec::new(), number: 0, record_bytes_max: rules.record_bytes_max };
    Ok(Box::new(FrameStream { records, frames, read: 0 }))
}

/// The error of a file whose content is not what its format demands. It does not pass by itself.
fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}

fn json_error(error: ArrowError) -> io::Error {
    damaged(format!("a column has no form in JSON: {error}"))
}

/// Returns an error of a reader of Arrow as one of the file, and an error of the file system as itself.
fn arrow_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => damaged(error.to_string()),
    }
}

//! Parquet files, by the parquet crate's Arrow writer.
//!
//! The metadata has no Arrow schema, so that every reader sees the same Parquet types. A row group is held in memory
//! until it is full.

use std::io;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// A row group also ends at this many encoded bytes, because it is held in memory.
const ROW_GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The encoder of a file.
pub(super) struct ParquetFile {
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetFile {
    /// Makes the encoder of a file with this schema and row groups of at most `row_group` rows.
    ///
    /// # Errors
    /// When the schema can't be encoded.
    pub(super) fn new(schema: SchemaRef, codec: Compression, row_group: usize) -> io::Result<ParquetFile> {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_row_count(Some(row_group))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            .set_created_by(concat!("weir version ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options);
        Ok(ParquetFile { writer: writer.map_err(io::Error::other)? })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the rows can't be encoded.
    pub(super) fn append(&mut self, rows: &RecordBatch) -> io::Result<()> {
        self.writer.write(rows).map_err(io::Error::other)
    }

    /// Returns the approximate size of the file without its footer, if it ended here. Includes output that was taken.
    pub(super) fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Returns the output that was not taken; the writer holds a little of it back.
    pub(super) fn output(&self) -> &Vec<u8> {
        self.writer.inner()
    }

    /// Takes the output. The writer still counts it.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Ends the file and returns the rest of the output.
    ///
    /// # Errors
    /// When the last row group can't be encoded.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.writer.finish().map_err(io::Error::other)?;
        Ok(self.take_output())
    }
}

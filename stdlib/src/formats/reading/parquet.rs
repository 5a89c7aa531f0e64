//! Parquet files, by the parquet crate, a row group after the other.
//!
//! The crate allocates what the header of a page announces. The headers are looked at before the crate reads them, and pages
//! that are too large are refused.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::{Frames, PendingRows, ReadAt, Records, arrow_error, damaged};

/// The longest footer, with the schema and the statistics.
const FOOTER_BYTES_MAX: u32 = 64 << 20;

/// The most columns, nested ones included.
const COLUMNS_MAX: usize = 4_096;

/// The memory for the pages of all columns, and the limits of one page's share.
const PAGES_BYTES: usize = 512 << 20;
const PAGE_BYTES_LEAST: usize = 2 << 20;
const PAGE_BYTES_MOST: usize = 64 << 20;

/// The most values of a page.
const PAGE_VALUES_MAX: u64 = 16 << 20;

/// The most rows that are decoded at once.
const ROWS: usize = 1_024;

/// How many bytes are read at once for the header of a page.
const HEADER_READ_BYTES: usize = 8 << 10;

/// A file, as the crate reads it.
#[derive(Debug, Clone)]
struct Pages {
    file: Arc<Mutex<Box<dyn ReadAt>>>,
    length: u64,
    /// The largest page, decompressed.
    page_bytes_max: usize,
}

impl Pages {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).read_at(position, buffer)
    }
}

/// Reads from a position on.
#[derive(Debug)]
pub(super) struct Following {
    pages: Pages,
    position: u64,
}

impl Read for Following {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pages.read_at(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pages {
    type T = BufReader<Following>;

    /// Returns a reader of a page's header, after it has checked the size that the header announces.
    fn get_read(&self, start: u64) -> ParquetResult<BufReader<Following>> {
        let mut first = [0; 48];
        let mut head = 0;
        while head < first.len() {
            match self.read_at(start + head as u64, &mut first[head..])? {
                0 => break,
                read => head += read,
            }
        }
        if let Some(Announced { bytes, values }) = announced(&first[..head])
            && (bytes > self.page_bytes_max as u64 || values > PAGE_VALUES_MAX)
        {
            let most = self.page_bytes_max;
            return Err(ParquetError::General(format!(
                "a page of {bytes} bytes and {values} values; at most {most} and {PAGE_VALUES_MAX} are read"
            )));
        }
        Ok(BufReader::with_capacity(HEADER_READ_BYTES, Following { pages: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not all there")));
        }
        let mut bytes = vec![0; length];
        let mut from = Following { pages: self.clone(), position: start };
        from.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What the header of a page announces.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    /// The size, the larger one of that with and without compression.
    bytes: u64,
    /// The number of values; 0 if it is not known.
    values: u64,
}

/// Returns what a page's header announces: in Thrift's compact protocol, the fields 1 (type), 2 (decompressed size), 3
/// (compressed size) and perhaps 4 (checksum), and a structure whose field 1 is the number of values. `None` if the header is
/// another one, which the crate refuses.
fn announced(mut header: &[u8]) -> Option<Announced> {
    let header = &mut header;
    number(header)?;
    let bytes = number(header)?.max(number(header)?);
    let _checksum = number(header);
    let values = match header.split_first() {
        // A field whose type is a structure.
        Some((field, rest)) if field & 0x0f == 0x0c => {
            *header = rest;
            number(header).unwrap_or(0)
        }
        _ => 0,
    };
    Some(Announced { bytes, values })
}

/// Takes the field after the one before, if it is a number: a byte `0x15` and a zig-zag number. A negative number counts as
/// 0, since the crate refuses it.
fn number(header: &mut &[u8]) -> Option<u64> {
    let mut left = header.strip_prefix(&[0x15])?;
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = left.split_first()?;
        left = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    *header = left;
    Some(if number & 1 == 1 { 0 } else { number >> 1 })
}

pub(super) struct ParquetRecords {
    pages: Pages,
    metadata: ArrowReaderMetadata,
    /// The next row group.
    group: usize,
    rows: Option<ParquetRecordBatchReader>,
    pending: PendingRows,
}

impl ParquetRecords {
    /// Reads the footer.
    pub(super) fn open(file: Box<dyn ReadAt>) -> io::Result<ParquetRecords> {
        let length = file.length()?;
        let mut pages = Pages { file: Arc::new(Mutex::new(file)), length, page_bytes_max: PAGE_BYTES_MOST };
        let end =
            length.checked_sub(8).filter(|end| *end >= 4).ok_or_else(|| damaged("it is no Parquet file"))?;
        let end = pages.get_bytes(end, 8).map_err(parquet_error)?;
        let footer = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
        if &end[4..] != b"PAR1" {
            return Err(damaged("it is no Parquet file, or one that is not complete"));
        }
        if footer > FOOTER_BYTES_MAX {
            return Err(damaged(format!("a footer of {footer} bytes")));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&pages, options.clone()).map_err(parquet_error)?;
        let columns = metadata.parquet_schema().num_columns();
        if columns > COLUMNS_MAX {
            return Err(damaged(format!("{columns} columns; at most {COLUMNS_MAX} are read")));
        }
        pages.page_bytes_max = (PAGES_BYTES / columns.max(1)).clamp(PAGE_BYTES_LEAST, PAGE_BYTES_MOST);
        // With views, a value that many rows share is in memory once.
        let fields = metadata.schema().fields().iter().map(|field| viewed(field)).collect::<Vec<_>>();
        let options = options.with_schema(Arc::new(Schema::new(fields)));
        let metadata =
            ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(parquet_error)?;
        Ok(ParquetRecords { pages, metadata, group: 0, rows: None, pending: PendingRows::default() })
    }
}

impl Records for ParquetRecords {
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool> {
        loop {
            if self.pending.append(frames)? {
                return Ok(true);
            }
            if let Some(rows) = self.rows.as_mut().and_then(Iterator::next) {
                self.pending.set(rows.map_err(arrow_error)?);
                continue;
            }
            if self.group == self.metadata.metadata().num_row_groups() {
                return Ok(false);
            }
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(self.pages.clone(), self.metadata.clone());
            let builder = builder.with_row_groups(vec![self.group]).with_batch_size(ROWS);
            self.rows = Some(builder.build().map_err(parquet_error)?);
            self.group += 1;
        }
    }
}

/// The field with views in place of texts and bytes.
fn viewed(field: &Arc<Field>) -> Arc<Field> {
    let viewed = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::List(item) => DataType::List(self::viewed(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(self::viewed).collect()),
        DataType::Map(entries, sorted) => DataType::Map(self::viewed(entries), *sorted),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(viewed))
}

fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => damaged(error.to_string()),
        },
        error => damaged(error.to_string()),
    }
}

//! Parquet files, by the parquet crate, a row group after the other.
//!
//! The crate allocates what the header of a page announces. The headers are looked at before the crate reads them, and pages
//! that are too large are refused.

use std::io::{self, Cursor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::{Frames, PendingRows, ReadAt, Records, damaged};

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

/// The most bytes and values of the pages that are read for one batch of rows, and for each column at least.
const BATCH_PAGES_BYTES_MAX: u64 = 1 << 30;
const BATCH_VALUES_MAX: u64 = 64 << 20;
const COLUMN_VALUES: u64 = 64 << 10;

/// The most rows that are decoded at once, and about how many bytes they have, as the footer says.
const ROWS: u64 = 1_024;
const ROWS_BYTES: u64 = 16 << 20;

/// How many bytes are read at once for the header of a page, and for the page if it is small.
const WINDOW_BYTES: usize = 128 << 10;

/// A file, and what was read of it for the present batch of rows.
#[derive(Debug)]
struct Reading {
    file: Box<dyn ReadAt>,
    /// A part of the file, and the position at which it begins.
    window: (u64, Vec<u8>),
    /// What the pages of the batch have announced.
    bytes: u64,
    values: u64,
    /// The error of the file system: the crate passes on only its text.
    failure: Option<io::Error>,
}

impl Reading {
    /// Reads a range that lies within the file.
    fn range(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let (begin, window) = &self.window;
        let inside = position.checked_sub(*begin).and_then(|from| window.get(usize::try_from(from).ok()?..));
        if let Some(bytes) = inside.and_then(|window| window.get(..length)) {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; length];
        let mut end = 0;
        while end < length {
            match self.file.read_at(position + end as u64, &mut bytes[end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => end += read,
                Err(error) => {
                    let passed_on = io::Error::new(error.kind(), error.to_string());
                    self.failure = Some(error);
                    return Err(passed_on);
                }
            }
        }
        Ok(bytes)
    }
}

/// A file, as the crate reads it.
#[derive(Debug, Clone)]
struct Pages {
    reading: Arc<Mutex<Reading>>,
    length: u64,
    columns: u64,
    /// The largest page, decompressed.
    page_bytes_max: usize,
}

impl Pages {
    fn new(file: Box<dyn ReadAt>, length: u64) -> Pages {
        let reading = Reading { file, window: (0, Vec::new()), bytes: 0, values: 0, failure: None };
        let reading = Arc::new(Mutex::new(reading));
        Pages { reading, length, columns: 1, page_bytes_max: PAGE_BYTES_MOST }
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a batch of rows.
    fn begin_batch(&self) {
        let mut reading = self.lock();
        (reading.bytes, reading.values) = (0, 0);
    }

    /// Returns the error of the file system behind an error of the crate, or that of the file.
    fn error(&self, error: impl ToString) -> io::Error {
        self.lock().failure.take().unwrap_or_else(|| damaged(error.to_string()))
    }

    /// Checks what a page announces.
    fn admit(&self, reading: &mut Reading, page: &Announced) -> Result<(), String> {
        let Announced { bytes, values } = page;
        let most = self.page_bytes_max;
        if *bytes > most as u64 || *values > PAGE_VALUES_MAX {
            return Err(format!(
                "a page of {bytes} bytes and {values} values; at most {most} and {PAGE_VALUES_MAX} are read"
            ));
        }
        reading.bytes = reading.bytes.saturating_add(*bytes);
        reading.values = reading.values.saturating_add(*values);
        let bytes_max = BATCH_PAGES_BYTES_MAX.max(self.columns * PAGE_BYTES_LEAST as u64 * 2);
        let values_max = BATCH_VALUES_MAX.max(self.columns * COLUMN_VALUES);
        match reading.bytes > bytes_max || reading.values > values_max {
            true => {
                Err(format!("rows whose pages have {} bytes and {} values", reading.bytes, reading.values))
            }
            false => Ok(()),
        }
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pages {
    type T = Cursor<Vec<u8>>;

    /// Returns a reader of a page's header, after it has checked what the header announces.
    fn get_read(&self, start: u64) -> ParquetResult<Cursor<Vec<u8>>> {
        let left = self.length.saturating_sub(start);
        let length = usize::try_from(left).map_or(WINDOW_BYTES, |left| left.min(WINDOW_BYTES));
        let mut reading = self.lock();
        let window = reading.range(start, length)?;
        if let Some(page) = announced(&window) {
            self.admit(&mut reading, &page).map_err(ParquetError::General)?;
        }
        reading.window = (start, window.clone());
        Ok(Cursor::new(window))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not all there")));
        }
        Ok(self.lock().range(start, length)?.into())
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
        let mut pages = Pages::new(file, length);
        let end = length.checked_sub(8).filter(|end| *end >= 4);
        let end = end.ok_or_else(|| damaged("it is no Parquet file"))?;
        let end = pages.get_bytes(end, 8).map_err(|error| pages.error(error))?;
        let footer = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
        if &end[4..] != b"PAR1" {
            return Err(damaged("it is no Parquet file, or one that is not complete"));
        }
        if footer > FOOTER_BYTES_MAX {
            return Err(damaged(format!("a footer of {footer} bytes")));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata =
            ArrowReaderMetadata::load(&pages, options.clone()).map_err(|error| pages.error(error))?;
        let columns = metadata.parquet_schema().num_columns();
        if columns > COLUMNS_MAX {
            return Err(damaged(format!("{columns} columns; at most {COLUMNS_MAX} are read")));
        }
        pages.columns = columns as u64;
        pages.page_bytes_max = (PAGES_BYTES / columns.max(1)).clamp(PAGE_BYTES_LEAST, PAGE_BYTES_MOST);
        // With views, a value that many rows share is in memory once.
        let fields = metadata.schema().fields().iter().map(viewed).collect::<Vec<_>>();
        let options = options.with_schema(Arc::new(Schema::new(fields)));
        let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options);
        let metadata = metadata.map_err(|error| pages.error(error))?;
        Ok(ParquetRecords { pages, metadata, group: 0, rows: None, pending: PendingRows::default() })
    }

    /// Begins the next row group. Returns whether there is one.
    fn next_group(&mut self) -> io::Result<bool> {
        let metadata = self.metadata.metadata();
        if self.group == metadata.num_row_groups() {
            return Ok(false);
        }
        let group = metadata.row_group(self.group);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        let row_bytes = (u64::try_from(group.total_byte_size()).unwrap_or(0) / rows).max(1);
        let batch = (ROWS_BYTES / row_bytes).clamp(1, ROWS);
        self.pages.begin_batch();
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.pages.clone(), self.metadata.clone());
        let builder = builder.with_row_groups(vec![self.group]).with_batch_size(batch as usize);
        self.rows = Some(builder.build().map_err(|error| self.pages.error(error))?);
        self.group += 1;
        Ok(true)
    }
}

impl Records for ParquetRecords {
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool> {
        loop {
            if self.pending.append(frames)? {
                return Ok(true);
            }
            self.pages.begin_batch();
            match self.rows.as_mut().and_then(Iterator::next) {
                Some(rows) => self.pending.set(rows.map_err(|error| self.pages.error(error))?),
                None if self.next_group()? => {}
                None => return Ok(false),
            }
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

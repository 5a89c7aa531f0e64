//! Parquet files, by the parquet crate, a row group after the other.
//!
//! The crate allocates what the header of a page announces. The headers are looked at before the crate reads them, and pages
//! that are too large are refused.

use std::io::{self, Cursor, Read};
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

/// The end of the footer: its length and the magic.
const FOOTER_END_BYTES: u64 = 8;

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

/// Reads a page's header, or the end of the footer, once what the header announces is admitted. The crate also asks for readers
/// at pages whose headers it has read before, and then does not use them.
struct HeaderReader {
    pages: Pages,
    start: u64,
    bytes: Option<Cursor<Vec<u8>>>,
}

impl HeaderReader {
    fn admitted(&self) -> io::Result<Vec<u8>> {
        let HeaderReader { pages, start, .. } = self;
        let left = pages.length.saturating_sub(*start);
        let length = usize::try_from(left).map_or(WINDOW_BYTES, |left| left.min(WINDOW_BYTES));
        let mut reading = pages.lock();
        let window = reading.range(*start, length)?;
        if left != FOOTER_END_BYTES {
            let page = announced(&window).ok_or_else(|| damaged("a page's header has an unusual form"))?;
            pages.admit(&mut reading, &page).map_err(damaged)?;
        }
        reading.window = (*start, window.clone());
        Ok(window)
    }
}

impl Read for HeaderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bytes) = &mut self.bytes {
            return bytes.read(buffer);
        }
        let bytes = self.admitted()?;
        self.bytes.insert(Cursor::new(bytes)).read(buffer)
    }
}

impl ChunkReader for Pages {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> ParquetResult<HeaderReader> {
        Ok(HeaderReader { pages: self.clone(), start, bytes: None })
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
    /// The number of values; 0 if the page has none.
    values: u64,
}

/// Returns what a page's header announces, in Thrift's compact protocol. `None` if it has another form than that of the known
/// writers: the crate also takes fields in any order and several times, and values whose types are wrong.
fn announced(mut header: &[u8]) -> Option<Announced> {
    let mut announced = Announced { bytes: 0, values: 0 };
    structure(&mut header, Structure::Header, &mut announced)?;
    Some(announced)
}

/// The structures in a page's header.
#[derive(Debug, Clone, Copy)]
enum Structure {
    Header,
    DataPage,
    IndexPage,
    DictionaryPage,
    DataPageV2,
    Statistics,
}

/// The types of fields.
const BOOLEANS: [u8; 2] = [1, 2];
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;

/// Takes a structure. Its fields must be the specified ones, in the order of their numbers, and in the short form.
fn structure(header: &mut &[u8], kind: Structure, announced: &mut Announced) -> Option<()> {
    use Structure::*;
    let mut field = 0_u8;
    loop {
        let (first, rest) = header.split_first()?;
        *header = rest;
        let (step, value) = (first >> 4, first & 0x0f);
        if value == 0 {
            return Some(());
        }
        if step == 0 {
            return None;
        }
        field = field.checked_add(step)?;
        match (kind, field, value) {
            (Header, 2 | 3, I32) => announced.bytes = announced.bytes.max(number(header)?),
            (DataPage | DictionaryPage | DataPageV2, 1, I32) => {
                announced.values = announced.values.max(number(header)?);
            }
            (Header, 1 | 4, I32)
            | (DataPage, 2..=4, I32)
            | (DictionaryPage, 2, I32)
            | (DataPageV2, 2..=6, I32)
            | (Statistics, 3 | 4 | 9, I64) => {
                number(header)?;
            }
            (Header, 5, STRUCT) => structure(header, DataPage, announced)?,
            (Header, 6, STRUCT) => structure(header, IndexPage, announced)?,
            (Header, 7, STRUCT) => structure(header, DictionaryPage, announced)?,
            (Header, 8, STRUCT) => structure(header, DataPageV2, announced)?,
            (DataPage, 5, STRUCT) | (DataPageV2, 8, STRUCT) => structure(header, Statistics, announced)?,
            (Statistics, 1 | 2 | 5 | 6, BINARY) => {
                let length = usize::try_from(varint(header)?).ok()?;
                *header = header.get(length..)?;
            }
            (DictionaryPage, 3, value) | (DataPageV2, 7, value) | (Statistics, 7 | 8, value)
                if BOOLEANS.contains(&value) => {}
            _ => return None,
        }
    }
}

/// Takes a zig-zag number. A negative number counts as 0, since the crate refuses it.
fn number(header: &mut &[u8]) -> Option<u64> {
    let number = varint(header)?;
    Some(if number & 1 == 1 { 0 } else { number >> 1 })
}

/// Takes a number of at most 10 bytes.
fn varint(header: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = header.split_first()?;
        *header = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
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
        let end = length.checked_sub(FOOTER_END_BYTES).filter(|end| *end >= 4);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a checksum and statistics, as parquet-mr and Arrow's writer in C++ write it.
    const DATA_PAGE: [u8; 34] = [
        0x15, 0x00, 0x15, 0xd0, 0x0f, 0x15, 0xc8, 0x01, 0x15, 0x03, 0x1c, 0x15, 0x14, 0x15, 0x00, 0x15, 0x06,
        0x15, 0x06, 0x1c, 0x36, 0x00, 0x28, 0x01, b'b', 0x18, 0x01, b'a', 0x11, 0x12, 0x00, 0x00, 0x00, 0xff,
    ];
    const DICTIONARY_PAGE: [u8; 15] =
        [0x15, 0x04, 0x15, 0x64, 0x15, 0x64, 0x4c, 0x15, 0x08, 0x15, 0x00, 0x12, 0x00, 0x00, 0xff];
    const DATA_PAGE_V2: [u8; 24] = [
        0x15, 0x06, 0x15, 0x64, 0x15, 0x32, 0x5c, 0x15, 0x14, 0x15, 0x02, 0x15, 0x14, 0x15, 0x00, 0x15, 0x04,
        0x15, 0x00, 0x11, 0x1c, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn headers_of_the_known_writers_announce_their_pages() {
        let announces = |header: &[u8]| announced(header).map(|page| (page.bytes, page.values));
        assert_eq!(announces(&DATA_PAGE), Some((1_000, 10)));
        assert_eq!(announces(&DICTIONARY_PAGE), Some((50, 4)));
        assert_eq!(announces(&DATA_PAGE_V2), Some((50, 10)));
        // An index page, whose structure has no fields.
        assert_eq!(announces(&[0x15, 0x02, 0x15, 0x08, 0x15, 0x08, 0x3c, 0x00, 0x00]), Some((4, 0)));
    }

    #[test]
    fn headers_of_an_unusual_form_are_refused() {
        let rest = &DATA_PAGE[2..];
        let long_form = [&[0x05, 0x02, 0x00], rest].concat();
        let another_type = [&[0x16, 0x00], rest].concat();
        // A number of more than 10 bytes, of which the crate takes the last ones too.
        let long_number = [&[0x15][..], &[0x80; 10], &[0x7f], rest].concat();
        // The size once more, behind the page.
        let twice = [&DATA_PAGE[..32], &[0x05, 0x04, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x00]].concat();
        let unknown_field = [&DATA_PAGE[..32], &[0xf5, 0x00, 0x00]].concat();
        // A text that is longer than the file.
        let mut text = DATA_PAGE;
        text[23] = 0x7f;
        for header in [
            &long_form[..],
            &another_type,
            &long_number,
            &twice,
            &unknown_field,
            &text,
            &DATA_PAGE[..20],
            b"",
        ] {
            assert_eq!(announced(header), None, "{header:?}");
        }
    }
}

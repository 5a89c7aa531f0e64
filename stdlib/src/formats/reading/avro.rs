//! Avro container files (Avro 1.11, "Object Container Files"), by arrow-avro.
//!
//! The container is read here: arrow-avro decompresses blocks without a limit. It gets each block alone, decompressed, in a
//! container of its own, so that the rows in memory are those of one block.

use std::io::{self, Cursor};

use arrow_array::RecordBatch;
use arrow_avro::reader::{Reader, ReaderBuilder};
use arrow_schema::ArrowError;

use super::blocks::{Blocks, Compressed};
use super::schema_size::SchemaSize;
use super::{BLOCK_BYTES_MAX, Frames, PendingRows, ReadAt, Records, arrow_error, damaged};

const MAGIC: [u8; 4] = *b"Obj\x01";

/// The most pairs of metadata.
const METADATA_MAX: i64 = 10_000;

/// The longest schema.
const SCHEMA_BYTES_MAX: usize = 4 << 20;

/// The most rows that are decoded at once.
const ROWS: u64 = 1_024;

/// The most records of a block that have no bytes, as records without fields have none.
const EMPTY_RECORDS_MAX: i64 = 1 << 20;

/// The most bytes that the nulls in the arrays and maps of a block may take.
const NULL_ITEMS_BYTES_MAX: u64 = 1 << 30;

/// A block that is being decoded.
struct Block {
    reader: Reader<Cursor<Vec<u8>>>,
    /// How many batches it has. The reader must not be asked for more: at bytes behind the last record it would search for ever
    /// (arrow-avro 60).
    batches_left: u64,
}

pub(super) struct AvroRecords {
    file: Blocks,
    codec: Compressed,
    /// The header of the containers for single blocks.
    header: Vec<u8>,
    sync: [u8; 16],
    /// The size of the file's schema.
    size: SchemaSize,
    /// The block that is being decoded.
    block: Option<Block>,
    pending: PendingRows,
}

impl AvroRecords {
    /// Reads the header. A record has at most `record_bytes_max` bytes.
    pub(super) fn open(file: Box<dyn ReadAt>, record_bytes_max: usize) -> io::Result<AvroRecords> {
        let mut file = Blocks::new(file);
        if file.array::<4>()? != MAGIC {
            return Err(damaged("it is no Avro container file"));
        }
        let (mut schema, mut codec) = (None, Compressed::Not);
        let mut pairs_left = METADATA_MAX;
        loop {
            let mut pairs = file.zigzag()?;
            if pairs == 0 {
                break;
            }
            if pairs < 0 {
                // The length of the block in bytes follows.
                file.zigzag()?;
                pairs = pairs.checked_neg().unwrap_or(i64::MAX);
            }
            pairs_left = pairs_left.saturating_sub(pairs);
            if pairs_left < 0 {
                return Err(damaged("its header has too many pairs"));
            }
            for _ in 0..pairs {
                let length = file.zigzag()?;
                let key = file.bytes(length)?;
                let length = file.zigzag()?;
                let value = file.bytes(length)?;
                match key.as_slice() {
                    b"avro.schema" => schema = Some(value),
                    b"avro.codec" => codec = codec_named(&value)?,
                    _ => {}
                }
            }
        }
        let sync = file.array()?;
        let schema = schema.ok_or_else(|| damaged("its header has no schema"))?;
        if schema.len() > SCHEMA_BYTES_MAX {
            return Err(damaged(format!("a schema of {} bytes", schema.len())));
        }
        let size = SchemaSize::of(&schema, record_bytes_max)?;
        let header = header(&schema, sync);
        Ok(AvroRecords { file, codec, header, sync, size, block: None, pending: PendingRows::default() })
    }
}

impl AvroRecords {
    /// Reads a block. Returns its rows; `None` at the end of the file.
    fn read_block(&mut self) -> io::Result<Option<Block>> {
        if self.file.at_end()? {
            return Ok(None);
        }
        let (records, length) = (self.file.zigzag()?, self.file.zigzag()?);
        let block = self.codec.decompress(self.file.bytes(length)?)?;
        if self.file.array::<16>()? != self.sync {
            return Err(damaged("a block does not end with the file's sync mark"));
        }
        if records < 0 || records > EMPTY_RECORDS_MAX.max(block.len() as i64) {
            return Err(damaged(format!("a block of {} bytes with {records} records", block.len())));
        }
        if records == 0 && !block.is_empty() {
            return Err(damaged(format!("a block of {} bytes without records", block.len())));
        }
        if self.size.null_item_bytes.saturating_mul(block.len() as u64) > NULL_ITEMS_BYTES_MAX {
            return Err(damaged(format!(
                "a block of {} bytes whose nulls may take too much memory",
                block.len()
            )));
        }
        let mut container = self.header.clone();
        write_zigzag(records, &mut container);
        write_zigzag(block.len() as i64, &mut container);
        container.extend(block);
        container.extend(self.sync);
        let records = records.cast_unsigned();
        let rows = rows_of_batches(records, BLOCK_BYTES_MAX as u64 / self.size.null_bytes.max(1));
        let builder = ReaderBuilder::new().with_utf8_view(true).with_batch_size(rows as usize);
        let reader = builder.build(Cursor::new(container)).map_err(arrow_error)?;
        Ok(Some(Block { reader, batches_left: records / rows }))
    }
}

impl Block {
    fn next(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.batches_left = self.batches_left.checked_sub(1)?;
        self.reader.next()
    }
}

/// Returns the rows of each batch of a block, so that all batches of the block have the same number: at most `rows_max`, and not
/// many more than [`ROWS`] if there is the choice.
fn rows_of_batches(records: u64, rows_max: u64) -> u64 {
    let rows_max = rows_max.max(1);
    if records <= rows_max.min(ROWS) {
        return records.max(1);
    }
    let divides = |rows: &u64| records.is_multiple_of(*rows);
    // A block with a prime number of records is one batch, if that is small enough.
    let few = (ROWS / 8..=ROWS).rev().filter(|rows| *rows <= rows_max).find(divides);
    few.or_else(|| (records <= rows_max).then_some(records))
        .or_else(|| (1..=ROWS.min(rows_max)).rev().find(divides))
        .unwrap_or(1)
}

impl Records for AvroRecords {
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool> {
        loop {
            if self.pending.append(frames)? {
                return Ok(true);
            }
            if let Some(rows) = self.block.as_mut().and_then(Block::next) {
                self.pending.set(rows.map_err(arrow_error)?);
                continue;
            }
            self.block = self.read_block()?;
            if self.block.is_none() {
                return Ok(false);
            }
        }
    }
}

/// The header of a container without compression.
fn header(schema: &[u8], sync: [u8; 16]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    write_zigzag(2, &mut header);
    for (key, value) in [(&b"avro.schema"[..], schema), (b"avro.codec", b"null")] {
        for part in [key, value] {
            write_zigzag(part.len() as i64, &mut header);
            header.extend_from_slice(part);
        }
    }
    write_zigzag(0, &mut header);
    header.extend(sync);
    header
}

fn write_zigzag(value: i64, out: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn codec_named(name: &[u8]) -> io::Result<Compressed> {
    Ok(match name {
        b"null" | b"" => Compressed::Not,
        b"deflate" => Compressed::Deflate,
        b"snappy" => Compressed::Snappy,
        b"zstandard" => Compressed::Zstd,
        b"bzip2" => Compressed::Bzip2,
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(damaged(format!("its blocks are compressed by {name}, which is not supported")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::RecordFormat;
    use super::super::tests::{RECORD_MAX, read};
    use super::*;

    #[test]
    fn a_block_says_how_many_records_its_bytes_are() {
        let schema = br#"{"type":"record","name":"r","fields":[{"name":"n","type":"long"}]}"#;
        // The bytes behind the last record are left out.
        for (records, rows) in [(2, Some(2)), (1, Some(1)), (0, None), (3, None)] {
            let mut file = header(schema, [7; 16]);
            write_zigzag(records, &mut file);
            write_zigzag(2, &mut file);
            file.extend([2, 4]);
            file.extend([7; 16]);
            let found = read(RecordFormat::Avro, &file, RECORD_MAX);
            assert_eq!(found.ok().map(|bodies| bodies.len()), rows, "{records}");
        }
    }

    #[test]
    fn all_batches_of_a_block_have_the_same_number_of_rows() {
        for (records, rows_max, rows) in [
            (0, 10_000, 1),
            (1, 10_000, 1),
            (1_024, 10_000, 1_024),
            (2_048, 10_000, 1_024),
            (5_000, 10_000, 1_000),
            // A prime number.
            (7_919, 10_000, 7_919),
            (7_919, 1_000, 1),
            (6, 4, 3),
        ] {
            assert_eq!(rows_of_batches(records, rows_max), rows, "{records} {rows_max}");
        }
    }
}

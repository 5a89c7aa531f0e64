//! Avro container files (Avro 1.11, "Object Container Files"), by arrow-avro.
//!
//! The container is read here: arrow-avro decompresses blocks without a limit. It gets each block alone, decompressed, in a
//! container of its own, so that the rows in memory are those of one block.

use std::io::{self, Cursor};

use arrow_avro::reader::{Reader, ReaderBuilder};

use super::blocks::{Blocks, Compressed};
use super::schema_size::SchemaSize;
use super::{BLOCK_BYTES_MAX, Frames, PendingRows, ReadAt, Records, arrow_error, damaged};

const MAGIC: [u8; 4] = *b"Obj\x01";

/// The most pairs of metadata.
const METADATA_MAX: i64 = 10_000;

/// The longest schema.
const SCHEMA_BYTES_MAX: usize = 4 << 20;

/// The most rows that are decoded at once.
const ROWS: usize = 1_024;

/// The most records of a block that have no bytes, as records without fields have none.
const EMPTY_RECORDS_MAX: i64 = 1 << 20;

/// The most bytes that the nulls in the arrays and maps of a block may take.
const NULL_ITEMS_BYTES_MAX: u64 = 1 << 30;

type BlockReader = Reader<Cursor<Vec<u8>>>;

pub(super) struct AvroRecords {
    file: Blocks,
    codec: Compressed,
    /// The header of the containers for single blocks.
    header: Vec<u8>,
    sync: [u8; 16],
    /// The size of the file's schema.
    size: SchemaSize,
    /// The block that is being decoded.
    block: Option<BlockReader>,
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
    fn read_block(&mut self) -> io::Result<Option<BlockReader>> {
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
        let rows = (BLOCK_BYTES_MAX as u64 / self.size.null_bytes.max(1)).clamp(1, ROWS as u64);
        let builder = ReaderBuilder::new().with_utf8_view(true).with_batch_size(rows as usize);
        builder.build(Cursor::new(container)).map(Some).map_err(arrow_error)
    }
}

impl Records for AvroRecords {
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool> {
        loop {
            if self.pending.append(frames)? {
                return Ok(true);
            }
            if let Some(rows) = self.block.as_mut().and_then(Iterator::next) {
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

//! Hadoop's SequenceFile, versions 5 and 6, with values of `BytesWritable` or `Text`: without compression, with compressed
//! values, and with compressed blocks. `../sequence_file.rs` shows the layout. Keys are passed over.

use std::io::{self, ErrorKind};

use super::blocks::{Blocks, Compressed, vint};
use super::{BATCH_BYTES, Frames, ReadAt, Records, damaged};

const BYTES: &str = "org.apache.hadoop.io.BytesWritable";
const TEXT: &str = "org.apache.hadoop.io.Text";

/// The length of a sync mark's place, where a record has its length.
const SYNC: i32 = -1;

/// The most pairs of metadata that are passed over.
const METADATA_MAX: u32 = 10_000;

/// The form of values.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// With a length of four bytes.
    Bytes,
    /// With a length in a vint.
    Text,
}

#[derive(Debug)]
pub(super) struct SequenceRecords {
    file: Blocks,
    value: Value,
    codec: Compressed,
    in_blocks: bool,
    sync: [u8; 16],
}

impl SequenceRecords {
    /// Reads the header.
    pub(super) fn open(file: Box<dyn ReadAt>) -> io::Result<SequenceRecords> {
        let mut file = Blocks::new(file);
        let magic = file.array::<4>()?;
        if !matches!(magic, [b'S', b'E', b'Q', 5 | 6]) {
            return Err(damaged("it is no SequenceFile of version 5 or 6"));
        }
        let _key = text(&mut file)?;
        let class = text(&mut file)?;
        let value = match class.as_str() {
            BYTES => Value::Bytes,
            TEXT => Value::Text,
            other => {
                return Err(damaged(format!(
                    "its values are {other}, and only BytesWritable and Text are read"
                )));
            }
        };
        let (compressed, in_blocks) = (file.byte()? != 0, file.byte()? != 0);
        let codec = if compressed { codec(&text(&mut file)?)? } else { Compressed::Not };
        if magic[3] == 6 {
            let pairs = u32::from_be_bytes(file.array()?);
            if pairs > METADATA_MAX {
                return Err(damaged(format!("{pairs} pairs of metadata")));
            }
            for _ in 0..pairs * 2 {
                text(&mut file)?;
            }
        }
        let sync = file.array()?;
        Ok(SequenceRecords { file, value, codec, in_blocks, sync })
    }

    /// Reads a sync mark after its escape.
    fn read_sync(&mut self) -> io::Result<()> {
        match self.file.array::<16>()? == self.sync {
            true => Ok(()),
            false => Err(damaged("a sync mark is wrong")),
        }
    }

    /// Reads records until there are about [`BATCH_BYTES`]. Returns whether there was one.
    fn read_records(&mut self, frames: &mut Frames) -> io::Result<bool> {
        while frames.bytes.len() < BATCH_BYTES && !self.file.at_end()? {
            let length = i32::from_be_bytes(self.file.array()?);
            if length == SYNC {
                self.read_sync()?;
                continue;
            }
            let key = i32::from_be_bytes(self.file.array()?);
            let value = length.checked_sub(key).filter(|_| key >= 0);
            let value = value.ok_or_else(|| damaged("a key is longer than its record"))?;
            self.file.bytes(key.into())?;
            let value = self.codec.decompress(self.file.bytes(value.into())?)?;
            let body = self.value.body(&value)?;
            frames.add(|out| {
                out.extend_from_slice(body);
                Ok(())
            })?;
        }
        Ok(!frames.bytes.is_empty())
    }

    /// Reads a block. Returns whether there was one.
    fn read_block(&mut self, frames: &mut Frames) -> io::Result<bool> {
        if self.file.at_end()? {
            return Ok(false);
        }
        if i32::from_be_bytes(self.file.array()?) != SYNC {
            return Err(damaged("a block does not begin with a sync mark"));
        }
        self.read_sync()?;
        let records = self.file.vint()?;
        let mut buffers = [const { Vec::new() }; 4];
        for buffer in &mut buffers {
            let length = self.file.vint()?;
            *buffer = self.file.bytes(length)?;
        }
        let [_key_lengths, _keys, lengths, values] = buffers;
        let (lengths, values) = (self.codec.decompress(lengths)?, self.codec.decompress(values)?);
        let (mut lengths, mut values) = (lengths.as_slice(), values.as_slice());
        for _ in 0..records {
            let length = vint(&mut lengths).map_err(|_| damaged("a block has fewer lengths than records"))?;
            let split = usize::try_from(length).ok().and_then(|length| values.split_at_checked(length));
            let (value, rest) = split.ok_or_else(|| damaged("a value goes beyond its block"))?;
            values = rest;
            let body = self.value.body(value)?;
            frames.add(|out| {
                out.extend_from_slice(body);
                Ok(())
            })?;
        }
        Ok(true)
    }
}

impl Records for SequenceRecords {
    fn next(&mut self, frames: &mut Frames) -> io::Result<bool> {
        match self.in_blocks {
            true => self.read_block(frames),
            false => self.read_records(frames),
        }
    }
}

impl Value {
    /// Returns the value without its length.
    fn body(self, mut value: &[u8]) -> io::Result<&[u8]> {
        let length = match self {
            Value::Bytes => match value.split_first_chunk::<4>() {
                Some((length, rest)) => {
                    value = rest;
                    Ok(i64::from(u32::from_be_bytes(*length)))
                }
                None => Err(ErrorKind::UnexpectedEof.into()),
            },
            Value::Text => vint(&mut value),
        };
        let length = length.map_err(|_| damaged("a value ends within its length"))?;
        match usize::try_from(length) == Ok(value.len()) {
            true => Ok(value),
            false => Err(damaged(format!("a value of {} bytes says that it has {length}", value.len()))),
        }
    }
}

/// Reads a text: its length as a vint, and UTF-8.
fn text(file: &mut Blocks) -> io::Result<String> {
    let length = file.vint()?;
    String::from_utf8(file.bytes(length)?).map_err(|_| damaged("the header has a text that is no UTF-8"))
}

/// The codec of a class.
fn codec(class: &str) -> io::Result<Compressed> {
    Ok(match class.strip_prefix("org.apache.hadoop.io.compress.").unwrap_or(class) {
        "DefaultCodec" | "DeflateCodec" => Compressed::Zlib,
        "GzipCodec" => Compressed::Gzip,
        "ZStandardCodec" => Compressed::Zstd,
        "BZip2Codec" => Compressed::Bzip2,
        "SnappyCodec" => Compressed::HadoopSnappy,
        "Lz4Codec" => Compressed::HadoopLz4,
        other => return Err(damaged(format!("it is compressed by {other}, which is not supported"))),
    })
}

//! Hadoop's SequenceFile, version 6. Keys are empty (`NullWritable`), values are bodies.
//!
//! ```text
//! file      header, then records or blocks, with sync marks between them
//! header    "SEQ" 06, text key class, text value class, u8 1 if compressed, u8 1 if in blocks,
//!           text codec class if compressed, u32 0 (no metadata), 16 bytes sync
//! sync mark u32 FFFFFFFF, 16 bytes sync
//! record    u32 length of the value, u32 0 (length of the key), value
//! value     u32 length, body                                    (a BytesWritable)
//! block     sync mark, vint records, four buffers, each a vint length and the compressed bytes:
//!           lengths of keys (vints), keys (nothing), lengths of values (vints), values
//! text      vint length, UTF-8
//! ```
//!
//! Numbers are big-endian; a vint is Hadoop's variable-length integer (`WritableUtils.writeVLong`). In blocks gzip,
//! zstd and bzip2 are plain streams. Snappy and lz4 have Hadoop's own framing: pieces of at most 64 KiB, each `u32
//! length, u32 compressed length, compressed bytes`.

use std::io;

use super::codec::Codec;
use super::compressor::Compressor;

const KEY: &str = "org.apache.hadoop.io.NullWritable";
const VALUE: &str = "org.apache.hadoop.io.BytesWritable";

/// The most bytes between two sync marks. A reader of a part of the file begins at a sync mark.
const SYNC_BYTES: usize = 100 * 1024;
/// A block ends at this many bytes of values, as in Hadoop's writer.
const BLOCK_BYTES: usize = 1_000_000;
/// The size of pieces in Hadoop's framing; Hadoop's readers have a buffer of 256 KiB for a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// The encoder of a file.
pub(super) struct SequenceFile {
    codec: Codec,
    sync: [u8; 16],
    output: Vec<u8>,
    /// The bytes of output since the last sync mark.
    since_sync: usize,
    /// Of the next block: the number of values, their lengths, and the values.
    records: u64,
    lengths: Vec<u8>,
    values: Vec<u8>,
}

impl SequenceFile {
    /// Makes the encoder of a file with blocks in this codec, whose class in Hadoop is `class`; of a file of records
    /// without blocks if `class` is none.
    ///
    /// # Errors
    /// When the machine has no random numbers for the sync mark.
    pub(super) fn new(codec: Codec, class: Option<&str>) -> io::Result<SequenceFile> {
        let mut sync = [0; 16];
        getrandom::fill(&mut sync).map_err(|error| io::Error::other(error.to_string()))?;
        let mut output = b"SEQ\x06".to_vec();
        write_text(KEY, &mut output);
        write_text(VALUE, &mut output);
        output.extend([u8::from(class.is_some()); 2]);
        if let Some(class) = class {
            write_text(class, &mut output);
        }
        output.extend(0_u32.to_be_bytes());
        output.extend(sync);
        Ok(SequenceFile {
            codec,
            sync,
            output,
            since_sync: 0,
            records: 0,
            lengths: Vec::new(),
            values: Vec::new(),
        })
    }

    /// Appends a body.
    ///
    /// # Errors
    /// When the body is longer than 2 GiB, which the format can't represent, or the codec fails.
    pub(super) fn append(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).ok().filter(|length| *length < i32::MAX as u32 - 4);
        let length = length.ok_or_else(|| io::Error::other("a body of more than 2 GiB"))?;
        if self.codec == Codec::None {
            if self.since_sync >= SYNC_BYTES {
                self.write_sync();
            }
            self.output.extend((length + 4).to_be_bytes());
            self.output.extend(0_u32.to_be_bytes());
            self.output.extend(length.to_be_bytes());
            self.output.extend_from_slice(body);
            self.since_sync += body.len() + 12;
            return Ok(());
        }
        self.records += 1;
        write_vint(u64::from(length) + 4, &mut self.lengths);
        self.values.extend(length.to_be_bytes());
        self.values.extend_from_slice(body);
        match self.values.len() >= BLOCK_BYTES {
            true => self.write_block(),
            false => Ok(()),
        }
    }

    fn write_sync(&mut self) {
        self.output.extend(u32::MAX.to_be_bytes());
        self.output.extend(self.sync);
        self.since_sync = 0;
    }

    /// Writes the gathered values as a block, at whose end the file can be cut.
    ///
    /// # Errors
    /// When the codec fails.
    pub(super) fn write_block(&mut self) -> io::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        self.write_sync();
        write_vint(self.records, &mut self.output);
        // The length of each key is 0.
        let no_keys = vec![0; self.records as usize];
        for buffer in [&no_keys, &Vec::new(), &self.lengths, &self.values] {
            let compressed = compress(self.codec, buffer)?;
            write_vint(compressed.len() as u64, &mut self.output);
            self.output.extend(compressed);
        }
        self.records = 0;
        self.lengths.clear();
        self.values.clear();
        Ok(())
    }

    /// Returns the size of the gathered values, before compression.
    pub(super) fn gathered_bytes(&self) -> usize {
        self.values.len()
    }

    /// Returns the output that was not taken.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Returns the size of the output that was not taken.
    pub(super) fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Ends the file and returns the rest of the output.
    ///
    /// # Errors
    /// When the codec fails.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.write_block()?;
        Ok(self.output)
    }
}

fn compress(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut framed = Vec::new();
    if matches!(codec, Codec::Snappy | Codec::Lz4) {
        for piece in bytes.chunks(PIECE_BYTES) {
            let compressed = match codec {
                Codec::Snappy => snap::raw::Encoder::new().compress_vec(piece).map_err(io::Error::other)?,
                _ => lz4_flex::block::compress(piece),
            };
            framed.extend((piece.len() as u32).to_be_bytes());
            framed.extend((compressed.len() as u32).to_be_bytes());
            framed.extend(compressed);
        }
        return Ok(framed);
    }
    let mut compressor = Compressor::new(codec)?;
    compressor.write(bytes)?;
    compressor.finish()
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_vint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Writes Hadoop's variable-length integer: one byte up to 127, else the number of bytes and then the bytes.
fn write_vint(value: u64, out: &mut Vec<u8>) {
    if value <= 127 {
        out.push(value as u8);
        return;
    }
    let bytes = value.to_be_bytes();
    let significant = &bytes[value.leading_zeros() as usize / 8..];
    out.push((-112 - significant.len() as i8) as u8);
    out.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_integers_are_written_as_by_hadoop() {
        let written = |value| {
            let mut out = Vec::new();
            write_vint(value, &mut out);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [127]);
        assert_eq!(written(128), [0x8f, 128]);
        assert_eq!(written(255), [0x8f, 255]);
        assert_eq!(written(256), [0x8e, 1, 0]);
        assert_eq!(written(1_000_004), [0x8d, 0x0f, 0x42, 0x44]);
    }

    #[test]
    fn a_plain_file_is_its_header_and_its_records() {
        let mut file = SequenceFile::new(Codec::None, None).unwrap();
        let header = file.output_bytes();
        file.append(b"ab").unwrap();
        let bytes = file.finish().unwrap();
        assert!(bytes.starts_with(b"SEQ\x06\x21org.apache.hadoop.io.NullWritable\x22org.apache"));
        assert_eq!(bytes[header..], [0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']);
    }
}

//! What SequenceFiles and Avro files have in common: a sequence of numbers, texts and compressed blocks.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::{BLOCK_BYTES_MAX, ReadAt, damaged};

/// How many bytes are read at once.
const READ_BYTES: usize = 256 << 10;

/// A file that is read from its beginning.
#[derive(Debug)]
struct Sequential {
    file: Box<dyn ReadAt>,
    position: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Reads numbers, texts and blocks. The end of the file within one of them is the error `UnexpectedEof`.
#[derive(Debug)]
pub(super) struct Blocks(BufReader<Sequential>);

impl Blocks {
    pub(super) fn new(file: Box<dyn ReadAt>) -> Blocks {
        Blocks(BufReader::with_capacity(READ_BYTES, Sequential { file, position: 0 }))
    }

    pub(super) fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.0.fill_buf()?.is_empty())
    }

    pub(super) fn byte(&mut self) -> io::Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads so many bytes, at most [`BLOCK_BYTES_MAX`]. The memory grows with what is there, not with the number.
    pub(super) fn bytes(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let length = size(length)?;
        let mut bytes = Vec::new();
        (&mut self.0).take(length as u64).read_to_end(&mut bytes)?;
        match bytes.len() == length {
            true => Ok(bytes),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads a number as Avro writes it: a zig-zag number in groups of seven bits, the lowest first.
    pub(super) fn zigzag(&mut self) -> io::Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(damaged("a number has more than ten bytes"))
    }

    /// Reads Hadoop's variable-length integer.
    pub(super) fn vint(&mut self) -> io::Result<i64> {
        vint(&mut self.0)
    }
}

/// Reads Hadoop's variable-length integer (`WritableUtils.readVLong`).
pub(super) fn vint(input: &mut impl Read) -> io::Result<i64> {
    let mut first = [0];
    input.read_exact(&mut first)?;
    let first = i8::from_be_bytes(first);
    if first >= -112 {
        return Ok(first.into());
    }
    let (negative, length) =
        if first < -120 { (true, -120 - i32::from(first)) } else { (false, -112 - i32::from(first)) };
    let mut bytes = [0; 8];
    let from = 8_usize.saturating_sub(length.unsigned_abs() as usize);
    input.read_exact(&mut bytes[from..])?;
    let value = i64::from_be_bytes(bytes);
    Ok(if negative { !value } else { value })
}

/// Checks the size of a block.
fn size(length: i64) -> io::Result<usize> {
    let size = usize::try_from(length).ok().filter(|length| *length <= BLOCK_BYTES_MAX);
    size.ok_or_else(|| damaged(format!("a block of {length} bytes; at most {BLOCK_BYTES_MAX} are read")))
}

/// The compression of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compressed {
    Not,
    Gzip,
    Zlib,
    Deflate,
    Zstd,
    Bzip2,
    /// With a CRC-32 behind the block, as in Avro files.
    Snappy,
    /// In Hadoop's framing.
    HadoopSnappy,
    /// In Hadoop's framing.
    HadoopLz4,
}

impl Compressed {
    /// Returns the decompressed block, at most [`BLOCK_BYTES_MAX`].
    ///
    /// # Errors
    /// When the block is damaged or too large.
    pub(super) fn decompress(self, block: Vec<u8>) -> io::Result<Vec<u8>> {
        let input = block.as_slice();
        match self {
            Compressed::Not => Ok(block),
            Compressed::Gzip => limited(MultiGzDecoder::new(input)),
            Compressed::Zlib => limited(ZlibDecoder::new(input)),
            Compressed::Deflate => limited(DeflateDecoder::new(input)),
            Compressed::Zstd => limited(zstd::stream::read::Decoder::with_buffer(input)?),
            Compressed::Bzip2 => limited(MultiBzDecoder::new(input)),
            Compressed::Snappy => {
                let split = block.len().checked_sub(4).and_then(|at| block.split_at_checked(at));
                let (data, sum) = split.ok_or_else(|| damaged("a block without its checksum"))?;
                let plain = snappy(data)?;
                let found = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &plain);
                match (found as u32).to_be_bytes() == sum {
                    true => Ok(plain),
                    false => Err(damaged("a block does not match its checksum")),
                }
            }
            Compressed::HadoopSnappy => hadoop_pieces(input, |piece, _| snappy(piece)),
            Compressed::HadoopLz4 => hadoop_pieces(input, |piece, room| {
                lz4_flex::block::decompress(piece, room).map_err(|error| damaged(error.to_string()))
            }),
        }
    }
}

fn limited(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    decoder
        .take(BLOCK_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| damaged(error.to_string()))?;
    size(plain.len() as i64)?;
    Ok(plain)
}

fn snappy(data: &[u8]) -> io::Result<Vec<u8>> {
    let length = snap::raw::decompress_len(data).map_err(|error| damaged(error.to_string()))?;
    size(length as i64)?;
    snap::raw::Decoder::new().decompress_vec(data).map_err(|error| damaged(error.to_string()))
}

/// Hadoop's framing: parts, each a decompressed length and pieces, each a compressed length and the piece.
fn hadoop_pieces(
    mut input: &[u8],
    decompress: impl Fn(&[u8], usize) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    while !input.is_empty() {
        let part = size(i64::from(take_u32(&mut input)?))?;
        let end = plain.len() + part;
        size(end as i64)?;
        while plain.len() < end {
            let length = take_u32(&mut input)? as usize;
            let (piece, rest) =
                input.split_at_checked(length).ok_or_else(|| damaged("a piece goes beyond its block"))?;
            input = rest;
            let piece = decompress(piece, end - plain.len())?;
            if piece.is_empty() || piece.len() > end - plain.len() {
                return Err(damaged("a piece has another length than its block says"));
            }
            plain.extend(piece);
        }
    }
    Ok(plain)
}

fn take_u32(input: &mut &[u8]) -> io::Result<u32> {
    let (number, rest) =
        input.split_first_chunk::<4>().ok_or_else(|| damaged("a block ends within a number"))?;
    *input = rest;
    Ok(u32::from_be_bytes(*number))
}

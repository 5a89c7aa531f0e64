//! Compression of the columns of a put.
//!
//! A byte before the columns names the method, so a channel's setting can be changed at any time. Columns that do
//! not become smaller are stored uncompressed.

use super::record::BODY_BYTES_MAX;

/// How a channel compresses the columns of its puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// LZ4, in its block format: little work, for disks that are slow.
    Lz4,
    /// Zstandard (RFC 8878) at its fastest level.
    Zstd,
}

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
const ZSTD_LEVEL: i32 = 1;
/// The byte for the method, and the uncompressed length.
const HEADER_BYTES: usize = 5;

/// The columns in a body, and how to decompress them.
pub(super) enum Columns<'a> {
    /// Uncompressed, from this offset to the end of the body.
    Plain(usize),
    Compressed {
        how: Compression,
        length: usize,
        bytes: &'a [u8],
    },
}

impl Compression {
    /// Compresses the columns at the end of the body. They begin after the byte at `begin` that [`begin_columns`] has
    /// added.
    pub(super) fn apply(self, body: &mut Vec<u8>, begin: usize) {
        let columns = &body[begin + 1..];
        let (kind, compressed) = match self {
            Compression::None => return,
            Compression::Lz4 => (LZ4, Some(lz4_flex::block::compress(columns))),
            // It fails only if its buffer is too small, and it allocates a buffer of sufficient size.
            Compression::Zstd => (ZSTD, zstd::bulk::compress(columns, ZSTD_LEVEL).ok()),
        };
        let length = columns.len();
        let smaller = compressed.filter(|compressed| compressed.len() + HEADER_BYTES < length);
        if let (Some(compressed), Ok(length)) = (smaller, u32::try_from(length)) {
            body.truncate(begin);
            body.push(kind);
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(&compressed);
        }
    }
}

/// Appends the byte for the method, before the columns are appended. Returns its offset.
pub(super) fn begin_columns(body: &mut Vec<u8>) -> usize {
    body.push(PLAIN);
    body.len() - 1
}

/// Finds the columns in a body, from `begin` on; `None` if the bytes are invalid.
pub(super) fn read_columns(body: &[u8], begin: usize) -> Option<Columns<'_>> {
    let how = match *body.get(begin)? {
        PLAIN => return Some(Columns::Plain(begin + 1)),
        LZ4 => Compression::Lz4,
        ZSTD => Compression::Zstd,
        _ => return None,
    };
    let header = body.get(begin + 1..begin + HEADER_BYTES)?;
    let length = u32::from_le_bytes(header.try_into().ok()?);
    let possible = u64::from(length) <= BODY_BYTES_MAX;
    possible.then_some(Columns::Compressed {
        how,
        length: length as usize,
        bytes: &body[begin + HEADER_BYTES..],
    })
}

/// Decompresses `bytes`; `None` if they are invalid or do not decompress to `length` bytes.
pub(super) fn decompress(how: Compression, length: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = match how {
        Compression::None => bytes.to_vec(),
        Compression::Lz4 => lz4_flex::block::decompress(bytes, length).ok()?,
        Compression::Zstd => zstd::bulk::decompress(bytes, length).ok()?,
    };
    (plain.len() == length).then_some(plain)
}

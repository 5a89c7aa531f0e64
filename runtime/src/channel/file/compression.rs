//! How the columns of a put are compressed on disk.
//!
//! What stands in front of them says which way was taken, so that a channel can be set to another one at any
//! time. Columns that don't become smaller stay as they are.

use super::record::BODY_BYTES_MAX;

/// How a channel compresses what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
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
/// The byte that says how, and the length of what was compressed.
const HEADER_BYTES: usize = 5;

/// What of a body is columns, and how they have to be undone.
pub(super) enum Columns<'a> {
    /// They stand at the end of the body, from this byte on.
    Plain(usize),
    Compressed {
        how: Compression,
        length: usize,
        bytes: &'a [u8],
    },
}

impl Compression {
    /// Puts the columns, which stand at the end of the body from `begin` on behind room for what is said
    /// of them, into the form in which they are written.
    pub(super) fn apply(self, body: &mut Vec<u8>, begin: usize) {
        let columns = &body[begin + 1..];
        let (kind, compressed) = match self {
            Compression::None => return,
            Compression::Lz4 => (LZ4, Some(lz4_flex::block::compress(columns))),
            // It fails only when it has too little room, and it makes its own.
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

/// Makes room for what is said of columns that follow; they count as plain until they are compressed.
pub(super) fn begin_columns(body: &mut Vec<u8>) -> usize {
    body.push(PLAIN);
    body.len() - 1
}

/// What stands at the end of a body from `begin` on; `None` if it makes no sense.
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

/// Undoes a compression; `None` if these bytes do not come from it, or from more or fewer than that.
pub(super) fn decompress(how: Compression, length: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = match how {
        Compression::None => bytes.to_vec(),
        Compression::Lz4 => lz4_flex::block::decompress(bytes, length).ok()?,
        Compression::Zstd => zstd::bulk::decompress(bytes, length).ok()?,
    };
    (plain.len() == length).then_some(plain)
}

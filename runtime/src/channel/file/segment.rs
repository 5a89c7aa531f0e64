//! Segments: the files of the log.
//!
//! A segment is a preallocated file `NNNNNNNNNNNNNNNN.segment`, its number in hexadecimal, that
//! begins with a header of one or more pages of 4,096 bytes. Numbers are little-endian.
//!
//! ```text
//!   0  8  magic `WEIRSEGM`             56  8  charged bytes put before it since the beginning
//!   8  2  major version, 2             64  8  the segment before it; all ones for the first
//!  10  2  minor version, 0             72  8  where the log ends in the segment before it
//!  12  4  feature bits                 80  4  checksum of the last record there
//!  16 16  UUID of the channel          84  4  length of a wrapped key, 0
//!  32  8  number of the segment        88  8  length of the file
//!  40  8  sequence of the first put    96  4  length of this header, a multiple of 4,096
//!  48  8  events put before it        100  4  length of the schema
//!                                     104  4  CRC-32C of the whole header, this field as zero
//!                                     108  .  the schema of its events as Arrow's JSON, zeros
//! ```
//!
//! The feature bit 1 says that the schema has lists, records, or maps of maps.
//!
//! The magic, the version, the length and the checksum stay where they are in every version.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use super::columns::has_nested;
use super::fields::{Fields, checksum};

/// Groups of records, and headers, begin at multiples of this many bytes, so that no write changes a page that was
/// synced.
pub(super) const PAGE: u64 = 4096;
/// The version of the format that this code writes.
pub(super) const MAJOR_VERSION: u16 = 2;
/// The oldest version that it reads. The next checkpoint converts a directory of an older version.
pub(super) const OLDEST_VERSION: u16 = 1;
/// The feature bit of a schema with lists, records, or maps of maps.
const NESTED: u32 = 1;
const MAGIC: &[u8; 8] = b"WEIRSEGM";
const FIXED: usize = 108;
const CHECKSUM_AT: usize = 104;
/// The longest header.
pub(super) const HEADER_BYTES_MAX: u64 = 1 << 20;
const NO_SEGMENT: u64 = u64::MAX;
const SUFFIX: &str = ".segment";

/// The identity of a channel's directory.
pub(super) type Uuid = [u8; 16];

/// A location in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Location {
    /// The segment's number.
    pub(super) segment: u64,
    /// The offset in its file.
    pub(super) offset: u64,
}

/// Where the log ends in the previous segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Previous {
    /// After the last record.
    pub(super) end: Location,
    /// That record's checksum.
    pub(super) chain: u32,
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) uuid: Uuid,
    pub(super) number: u64,
    pub(super) first_sequence: u64,
    pub(super) events_before: u64,
    pub(super) charged_before: u64,
    pub(super) previous: Option<Previous>,
    pub(super) file_bytes: u64,
    pub(super) schema: SchemaRef,
}

/// Why a header can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It is no header, or was damaged.
    Damaged(&'static str),
    /// It has another version of the format.
    Version(u16),
    /// It uses features that this version does not know.
    Features(u32),
}

/// Returns the name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// Returns the number in a segment's file name; `None` for other files.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let canonical = digits.len() == 16 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| canonical)
}

/// Rounds up to a multiple of a page.
pub(super) fn page_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Returns the schema as the header stores it.
pub(super) fn schema_text(schema: &Schema) -> Vec<u8> {
    serde_json::to_vec(schema).expect("a schema's maps have texts as keys")
}

/// Returns the length of a header with this schema.
pub(super) fn header_bytes(schema: &Schema) -> u64 {
    page_up((FIXED + schema_text(schema).len()) as u64)
}

/// Returns the feature bits of a segment with this schema.
fn features(schema: &Schema) -> u32 {
    if has_nested(schema) { NESTED } else { 0 }
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let schema = schema_text(&self.schema);
        let length = page_up((FIXED + schema.len()) as u64);
        let mut out = Vec::with_capacity(length as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&MAJOR_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&features(&self.schema).to_le_bytes());
        out.extend_from_slice(&self.uuid);
        for number in [self.number, self.first_sequence, self.events_before, self.charged_before] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let (end, chain) = match self.previous {
            Some(Previous { end, chain }) => (end, chain),
            None => (Location { segment: NO_SEGMENT, offset: 0 }, 0),
        };
        out.extend_from_slice(&end.segment.to_le_bytes());
        out.extend_from_slice(&end.offset.to_le_bytes());
        out.extend_from_slice(&chain.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.file_bytes.to_le_bytes());
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&(schema.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&schema);
        out.resize(length as usize, 0);
        let sum = checksum(&[&out]);
        out[CHECKSUM_AT..FIXED].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Returns the length of the header that begins with these bytes.
    pub(super) fn length(begin: &[u8]) -> Result<u64, HeaderFault> {
        let damaged = HeaderFault::Damaged;
        if (begin.len() as u64) < PAGE {
            return Err(damaged("the header is cut off"));
        }
        let mut fields = Fields::new(begin);
        if fields.bytes(8) != Some(MAGIC) {
            return Err(damaged("there is no segment header"));
        }
        let length = begin.get(96..100).and_then(|bytes| Fields::new(bytes).u32()).unwrap_or(0);
        let length = u64::from(length);
        if length == 0 || length % PAGE != 0 || length > HEADER_BYTES_MAX {
            return Err(damaged("the header's length is out of bounds"));
        }
        Ok(length)
    }

    /// Reads a complete header.
    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        let length = SegmentHeader::length(bytes)? as usize;
        let cut_off = HeaderFault::Damaged("the header is cut off");
        let bytes = bytes.get(..length).ok_or(cut_off.clone())?;
        let (before, behind) = (&bytes[..CHECKSUM_AT], &bytes[FIXED..]);
        let stored = Fields::new(&bytes[CHECKSUM_AT..]).u32();
        if stored != Some(checksum(&[before, &[0; 4], behind])) {
            return Err(HeaderFault::Damaged("the header does not have its checksum"));
        }
        let version = Fields::new(&bytes[8..]).u16().unwrap_or(0);
        if !(OLDEST_VERSION..=MAJOR_VERSION).contains(&version) {
            return Err(HeaderFault::Version(version));
        }
        SegmentHeader::fields(bytes).ok_or(HeaderFault::Damaged("the header is invalid"))?
    }

    fn fields(bytes: &[u8]) -> Option<Result<SegmentHeader, HeaderFault>> {
        let mut fields = Fields::new(bytes.get(12..)?);
        let used = fields.u32()?;
        if used & !NESTED != 0 {
            return Some(Err(HeaderFault::Features(used)));
        }
        let uuid = fields.uuid()?;
        let (number, first_sequence) = (fields.u64()?, fields.u64()?);
        let (events_before, charged_before) = (fields.u64()?, fields.u64()?);
        let end = Location { segment: fields.u64()?, offset: fields.u64()? };
        let chain = fields.u32()?;
        let _key = fields.u32()?;
        let file_bytes = fields.u64()?;
        let _length = fields.u32()?;
        let schema_bytes = fields.u32()? as usize;
        let _checksum = fields.u32()?;
        let schema: Schema = serde_json::from_slice(fields.bytes(schema_bytes)?).ok()?;
        if features(&schema) != used {
            return None;
        }
        let previous = (end.segment != NO_SEGMENT).then_some(Previous { end, chain });
        let schema = Arc::new(schema);
        Some(Ok(SegmentHeader {
            uuid,
            number,
            first_sequence,
            events_before,
            charged_before,
            previous,
            file_bytes,
            schema,
        }))
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    fn example() -> SegmentHeader {
        SegmentHeader {
            uuid: *b"a channel's uuid",
            number: 7,
            first_sequence: 100,
            events_before: 1_000,
            charged_before: 50_000,
            previous: Some(Previous { end: Location { segment: 6, offset: 8192 }, chain: 9 }),
            file_bytes: 1 << 20,
            schema: Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)])),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = example().encode();
        assert_eq!(bytes.len() as u64, header_bytes(&example().schema));
        assert_eq!(SegmentHeader::decode(&bytes), Ok(example()));
        let first = SegmentHeader { previous: None, ..example() };
        assert_eq!(SegmentHeader::decode(&first.encode()), Ok(first));
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let bytes = example().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    /// With the checksum of the changed header.
    fn decoded(mut bytes: Vec<u8>) -> Result<SegmentHeader, HeaderFault> {
        bytes[CHECKSUM_AT..FIXED].fill(0);
        let sum = checksum(&[&bytes]);
        bytes[CHECKSUM_AT..FIXED].copy_from_slice(&sum.to_le_bytes());
        SegmentHeader::decode(&bytes)
    }

    #[test]
    fn the_feature_bit_belongs_to_schemas_with_lists_and_records() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
        let nested = Arc::new(Schema::new(vec![Field::new("tags", list, true)]));
        let nested = SegmentHeader { schema: nested, ..example() };
        let (mut plain, mut bytes) = (example().encode(), nested.encode());
        assert_eq!((plain[12], bytes[12]), (0, 1));
        assert_eq!(SegmentHeader::decode(&bytes), Ok(nested));
        (plain[12], bytes[12]) = (1, 0);
        for bytes in [plain, bytes.clone()] {
            assert_eq!(decoded(bytes), Err(HeaderFault::Damaged("the header is invalid")));
        }
        bytes[12] = 3;
        assert_eq!(decoded(bytes), Err(HeaderFault::Features(3)));
    }

    #[test]
    fn another_version_is_distinguished_from_damage() {
        let mut bytes = example().encode();
        bytes[8] = 9;
        assert_eq!(decoded(bytes), Err(HeaderFault::Version(9)));
    }

    #[test]
    fn files_have_canonical_names() {
        assert_eq!(segment_name(255), "00000000000000ff.segment");
        assert_eq!(segment_number("00000000000000ff.segment"), Some(255));
        for other in ["ff.segment", "00000000000000FF.segment", "superblock", "+0000000000000ff.segment"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}

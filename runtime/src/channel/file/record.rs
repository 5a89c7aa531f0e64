//! Records, which the log consists of.
//!
//! Records are written in groups, one sync each. A group begins at a page; its records follow
//! each other at multiples of eight bytes; zeros fill its last page. A record is a header of 64
//! bytes and a body.
//!
//! ```text
//!   0  1  kind: 1 put, 2 acknowledge,          24  8  events put before it since the beginning
//!         3 checkpoint, 4 seal, 5 incarnation   32  8  charged bytes put before it
//!   1  1  1 first of its group, 2 last of it   40  8  charged bytes of this put
//!   2  2  zero                                 48  4  checksum of the header of the record before
//!   4  4  length of the origins in the body    52  4  CRC-32C of the body
//!   8  4  length of the body                   56  4  zero
//!  12  4  events of this put                   60  4  CRC-32C of the channel's UUID, the segment's
//!  16  8  sequence: of this put, else the              number, the offset, and the bytes before
//!         next put's
//! ```
//!
//! The header's checksum covers the body's checksum and that of the record before, so it depends on the
//! complete log up to this record. It also covers the record's location, so a record is not mistaken
//! for one at another offset, in another file or another channel.

use super::fields::{Fields, checksum};
use super::segment::{Location, Uuid};

/// The length of a record's header.
pub(super) const RECORD_HEADER: u64 = 64;
/// Records begin at multiples of this many bytes.
pub(super) const RECORD_ALIGNMENT: u64 = 8;
/// The longest body.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;
/// The most events of a put.
pub(super) const ROWS_MAX: u32 = 1 << 26;
const CHECKSUM_AT: usize = 60;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events were put, or positions without events.
    Put,
    /// Readers have acknowledged puts.
    Acknowledge,
    /// The image of the log up to this record.
    Checkpoint,
    /// The log continues in the next segment, which exists.
    Seal,
    /// Later events are numbered in another incarnation.
    Incarnation,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: Kind,
    pub(super) first_of_group: bool,
    pub(super) last_of_group: bool,
    pub(super) origins_bytes: u32,
    pub(super) body_bytes: u32,
    pub(super) rows: u32,
    pub(super) sequence: u64,
    pub(super) events_before: u64,
    pub(super) charged_before: u64,
    pub(super) charged: u64,
    pub(super) previous: u32,
    pub(super) body_checksum: u32,
}

impl RecordHeader {
    /// Returns the header's bytes and its checksum.
    pub(super) fn encode(&self, uuid: &Uuid, location: Location) -> ([u8; RECORD_HEADER as usize], u32) {
        let mut out = [0; RECORD_HEADER as usize];
        let kind = match self.kind {
            Kind::Put => 1,
            Kind::Acknowledge => 2,
            Kind::Checkpoint => 3,
            Kind::Seal => 4,
            Kind::Incarnation => 5,
        };
        out[0] = kind;
        out[1] = u8::from(self.first_of_group) | (u8::from(self.last_of_group) << 1);
        out[4..8].copy_from_slice(&self.origins_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.rows.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..32].copy_from_slice(&self.events_before.to_le_bytes());
        out[32..40].copy_from_slice(&self.charged_before.to_le_bytes());
        out[40..48].copy_from_slice(&self.charged.to_le_bytes());
        out[48..52].copy_from_slice(&self.previous.to_le_bytes());
        out[52..56].copy_from_slice(&self.body_checksum.to_le_bytes());
        let sum = header_checksum(uuid, location, &out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        (out, sum)
    }

    /// Decodes the header at this location, and returns it with its checksum; `None` if there is none.
    pub(super) fn decode(bytes: &[u8], uuid: &Uuid, location: Location) -> Option<(RecordHeader, u32)> {
        let (summed, stored) = bytes.get(..RECORD_HEADER as usize)?.split_at(CHECKSUM_AT);
        let stored = Fields::new(stored).u32()?;
        if stored != header_checksum(uuid, location, summed) {
            return None;
        }
        let mut fields = Fields::new(summed);
        let kind = match fields.u8()? {
            1 => Kind::Put,
            2 => Kind::Acknowledge,
            3 => Kind::Checkpoint,
            4 => Kind::Seal,
            5 => Kind::Incarnation,
            _ => return None,
        };
        let flags = fields.u8()?;
        let reserved = fields.u16()?;
        let header = RecordHeader {
            kind,
            first_of_group: flags & 1 != 0,
            last_of_group: flags & 2 != 0,
            origins_bytes: fields.u32()?,
            body_bytes: fields.u32()?,
            rows: fields.u32()?,
            sequence: fields.u64()?,
            events_before: fields.u64()?,
            charged_before: fields.u64()?,
            charged: fields.u64()?,
            previous: fields.u32()?,
            body_checksum: fields.u32()?,
        };
        let sane = flags < 4
            && reserved == 0
            && header.origins_bytes <= header.body_bytes
            && u64::from(header.body_bytes) <= BODY_BYTES_MAX
            && header.rows <= ROWS_MAX
            && (header.kind == Kind::Put || (header.rows, header.origins_bytes, header.charged) == (0, 0, 0))
            && header.sequence < u64::MAX;
        sane.then_some((header, stored))
    }

    /// Returns the bytes from this record to the next one of its group.
    pub(super) fn span(&self) -> u64 {
        record_span(u64::from(self.body_bytes))
    }
}

/// Returns the bytes of a record with a body of this length.
pub(super) fn record_span(body_bytes: u64) -> u64 {
    (RECORD_HEADER + body_bytes).next_multiple_of(RECORD_ALIGNMENT)
}

fn header_checksum(uuid: &Uuid, location: Location, summed: &[u8]) -> u32 {
    #[cfg(weir_bug)]
    if put_back!("checksum_over_bodies_only") {
        return checksum(&[&summed[52..56]]);
    }
    checksum(&[uuid, &location.segment.to_le_bytes(), &location.offset.to_le_bytes(), summed])
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = [3; 16];
    const PLACE: Location = Location { segment: 5, offset: 4096 };

    fn example() -> RecordHeader {
        RecordHeader {
            kind: Kind::Put,
            first_of_group: true,
            last_of_group: false,
            origins_bytes: 10,
            body_bytes: 100,
            rows: 3,
            sequence: 77,
            events_before: 1_000,
            charged_before: 40_000,
            charged: 148,
            previous: 0xDEAD_BEEF,
            body_checksum: 0x1234_5678,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_in_its_place_alone() {
        let (bytes, sum) = example().encode(&UUID, PLACE);
        assert_eq!(RecordHeader::decode(&bytes, &UUID, PLACE), Some((example(), sum)));
        assert_eq!(RecordHeader::decode(&bytes, &[4; 16], PLACE), None);
        assert_eq!(RecordHeader::decode(&bytes, &UUID, Location { offset: 8192, ..PLACE }), None);
        assert_eq!(RecordHeader::decode(&bytes[..63], &UUID, PLACE), None);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let (bytes, _) = example().encode(&UUID, PLACE);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, &UUID, PLACE), None, "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(RecordHeader::decode(&[0; 64], &UUID, PLACE), None);
    }
}

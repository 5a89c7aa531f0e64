//! The superblock: where recovery begins, in the file `superblock`.
//!
//! The file has two copies, each in its own page, written one after the other with a sync in between. So at least
//! one copy is intact whenever a crash happens, and both are if none does. The copy with the higher generation is
//! valid.
//!
//! ```text
//!   0  8  magic `WEIRSUPR`             48  8  offset of the checkpoint record there
//!   8  2  major version, 2             56  8  the oldest segment that is needed
//!  10  2  minor version, 0             64  8  1 when the channel was closed cleanly, else 0
//!  12  4  feature bits, 0              72  8  then the segment in which the log ends
//!  16 16  UUID of the channel          80  8  and the offset after its last record
//!  32  8  generation                   88  4  CRC-32C of the bytes before
//!  40  8  segment of the checkpoint    92  .  zeros to the page's end
//! ```

use super::fields::{Fields, checksum};
use super::segment::{HeaderFault, Location, MAJOR_VERSION, OLDEST_VERSION, PAGE, Uuid};

/// The superblock's file.
pub(super) const SUPERBLOCK: &str = "superblock";
/// A new superblock file before it is renamed.
pub(super) const SUPERBLOCK_NEW: &str = "superblock.new";
/// The offsets of the two copies.
pub(super) const COPIES: [u64; 2] = [0, PAGE];
const MAGIC: &[u8; 8] = b"WEIRSUPR";
const CHECKSUM_AT: usize = 88;

/// The location of the log's last checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) uuid: Uuid,
    pub(super) generation: u64,
    pub(super) checkpoint: Location,
    pub(super) oldest: u64,
    /// The end of the log if the channel was closed cleanly.
    pub(super) closed_at: Option<Location>,
}

impl Superblock {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&MAJOR_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.uuid);
        let end = self.closed_at.unwrap_or_default();
        let Location { segment, offset } = self.checkpoint;
        let closed = u64::from(self.closed_at.is_some());
        for number in [self.generation, segment, offset, self.oldest, closed, end.segment, end.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out.resize(PAGE as usize, 0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Superblock, HeaderFault> {
        let damaged = HeaderFault::Damaged;
        let (Some(summed), Some(stored)) = (bytes.get(..CHECKSUM_AT), bytes.get(CHECKSUM_AT..)) else {
            return Err(damaged("it is cut off"));
        };
        if !summed.starts_with(MAGIC) {
            return Err(damaged("there is no superblock"));
        }
        if Fields::new(stored).u32() != Some(checksum(&[summed])) {
            return Err(damaged("it does not have its checksum"));
        }
        let mut fields = Fields::new(&summed[8..]);
        let version = fields.u16().unwrap_or(0);
        if !(OLDEST_VERSION..=MAJOR_VERSION).contains(&version) {
            return Err(HeaderFault::Version(version));
        }
        Superblock::fields(&mut fields).ok_or(damaged("it is invalid"))?
    }

    fn fields(fields: &mut Fields<'_>) -> Option<Result<Superblock, HeaderFault>> {
        let _minor = fields.u16()?;
        let features = fields.u32()?;
        if features != 0 {
            return Some(Err(HeaderFault::Features(features)));
        }
        let (uuid, generation) = (fields.uuid()?, fields.u64()?);
        let checkpoint = Location { segment: fields.u64()?, offset: fields.u64()? };
        let oldest = fields.u64()?;
        let closed = fields.u64()? == 1;
        let end = Location { segment: fields.u64()?, offset: fields.u64()? };
        let closed_at = closed.then_some(end);
        Some(Ok(Superblock { uuid, generation, checkpoint, oldest, closed_at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_any_flipped_bit_is_found() {
        let closed_at = Some(Location { segment: 3, offset: 8192 });
        let checkpoint = Location { segment: 2, offset: 4096 };
        let block = Superblock { uuid: [7; 16], generation: 9, checkpoint, oldest: 1, closed_at };
        let bytes = block.encode();
        assert_eq!(Superblock::decode(&bytes), Ok(block));
        let open = Superblock { closed_at: None, ..block };
        assert_eq!(Superblock::decode(&open.encode()), Ok(open));
        for bit in 0..(CHECKSUM_AT + 4) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}

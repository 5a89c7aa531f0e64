//! The claim of a sink: the events that it has had of a channel and that the channel lacks.
//!
//! A start that is refused because of it writes the file `claim`, so that `weir channel` can show the claim and a
//! repair can accept the loss. The repair renames the file to `accepted`, which exists until the sink has advanced.
//!
//! ```text
//!   0  8  magic `WEIRCLAM`             19 16  that incarnation, or zeros
//!   8  2  version, 2                   35  8  the mark of the sink's ledger
//!  10  8  the highest number that      43  8  the highest mark that the channel
//!         the sink has had                    was told of
//!  18  1  1 if it had it in an         51  .  text reader, text message
//!         incarnation                   .  4  CRC-32C of the bytes before
//!                                       .  .  zeros to the page's end
//! ```
//!
//! In version 1, the reader stands at byte 43.

use std::io;

use super::fields::{Fields, checksum, write_text};
use super::scan::Damage;
use super::segment::page_up;
use super::survey::SurveyError;
use crate::channel::Incarnation;
use crate::environment::storage::{Access, Storage, replace};

/// The file of the claim.
pub(super) const CLAIM: &str = "claim";
/// A new claim, before it is renamed.
const CLAIM_NEW: &str = "claim.new";
/// The claim's name after a repair has accepted it.
const ACCEPTED: &str = "accepted";
const MAGIC: &[u8; 8] = b"WEIRCLAM";
const VERSION: u16 = 2;
/// The longest file.
const CLAIM_BYTES_MAX: u64 = 1 << 16;
/// The longest message.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The claim of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The reader by which the sink reads the channel.
    pub(super) reader: String,
    /// The highest number that the sink has had.
    pub(super) through: u64,
    /// The incarnation of this number.
    pub(super) incarnation: Option<Incarnation>,
    /// The mark of the sink's ledger.
    pub(super) mark: u64,
    /// The highest mark of the ledger that the channel was told of.
    pub(super) kept: u64,
    /// The message of the refused start.
    pub(super) message: String,
}

impl Claim {
    /// Writes the claim into the directory.
    pub(super) fn write<S: Storage>(&self, storage: &S) -> io::Result<()> {
        let bytes = self.encode();
        let write = |file: &S::File| {
            storage.write_at(file, 0, &[&bytes])?;
            storage.sync(file)
        };
        replace(storage, CLAIM_NEW, CLAIM, write).map(drop)
    }

    /// Reads the claim in a directory.
    pub(super) fn read<S: Storage>(storage: &S) -> Result<Option<Claim>, SurveyError> {
        Claim::read_as(CLAIM, storage)
    }

    /// Reads the claim that the last repair has accepted.
    pub(super) fn accepted<S: Storage>(storage: &S) -> Result<Option<Claim>, SurveyError> {
        Claim::read_as(ACCEPTED, storage)
    }

    fn read_as<S: Storage>(name: &str, storage: &S) -> Result<Option<Claim>, SurveyError> {
        let failed = SurveyError::io(format!("reading {name}"));
        let file = match storage.open(name, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(file) => file,
        };
        let length = storage.length(&file).map(|length| length.min(CLAIM_BYTES_MAX));
        let read = length.and_then(|length| {
            let mut bytes = vec![0; length as usize];
            let read = storage.read_at(&file, 0, &mut bytes)?;
            bytes.truncate(read);
            Ok(bytes)
        });
        let damage = || Damage { file: name.to_owned(), offset: 0, what: "it can't be read".to_owned() };
        Claim::decode(&read.map_err(failed)?).ok_or_else(|| damage().into()).map(Some)
    }

    /// Removes the claim when it is no longer valid.
    pub(super) fn remove<S: Storage>(storage: &S) -> io::Result<()> {
        unless_missing(storage.unlink(CLAIM), storage)
    }

    /// Marks the claim as accepted by a repair.
    pub(super) fn accept<S: Storage>(storage: &S) -> io::Result<()> {
        unless_missing(storage.rename(CLAIM, ACCEPTED), storage)
    }

    /// Removes an acceptance when the sink has advanced.
    pub(super) fn remove_accepted<S: Storage>(storage: &S) -> io::Result<()> {
        unless_missing(storage.unlink(ACCEPTED), storage)
    }

    /// Returns the claim as damage, for reports.
    pub(super) fn damage(&self) -> Damage {
        Damage { file: CLAIM.to_owned(), offset: 0, what: self.message.clone() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.through.to_le_bytes());
        out.push(u8::from(self.incarnation.is_some()));
        out.extend_from_slice(&self.incarnation.map_or([0; 16], Incarnation::bytes));
        out.extend_from_slice(&self.mark.to_le_bytes());
        out.extend_from_slice(&self.kept.to_le_bytes());
        write_text(&mut out, &self.reader);
        let mut end = self.message.len().min(MESSAGE_BYTES_MAX);
        while !self.message.is_char_boundary(end) {
            end -= 1;
        }
        write_text(&mut out, &self.message[..end]);
        out.extend_from_slice(&checksum(&[&out]).to_le_bytes());
        out.resize(page_up(out.len() as u64) as usize, 0);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Claim> {
        let mut fields = Fields::new(bytes);
        if fields.bytes(8)? != MAGIC {
            return None;
        }
        let version = fields.u16()?;
        if !(1..=VERSION).contains(&version) {
            return None;
        }
        let through = fields.u64()?;
        let incarnates = fields.u8()? == 1;
        let incarnation = Incarnation::from_bytes(fields.uuid()?);
        let mark = fields.u64()?;
        let kept = if version == 1 { 0 } else { fields.u64()? };
        let (reader, message) = (fields.text()?.to_owned(), fields.text()?.to_owned());
        let summed = bytes.len() - fields.left();
        let stored = fields.u32()?;
        let incarnation = incarnates.then_some(incarnation);
        let claim = Claim { reader, through, incarnation, mark, kept, message };
        (stored == checksum(&[&bytes[..summed]])).then_some(claim)
    }
}

/// Makes a change of a name durable; a missing file is no error.
fn unless_missing<S: Storage>(changed: io::Result<()>, storage: &S) -> io::Result<()> {
    match changed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        changed => changed.and_then(|()| storage.sync_directory()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::storage::SimulatedDisk;

    #[test]
    fn it_is_read_as_it_was_written_and_any_flipped_bit_is_found() {
        let disk = SimulatedDisk::new(1, u64::MAX);
        let claim = Claim {
            reader: "out".to_owned(),
            through: 61_000,
            incarnation: Some(Incarnation::from_bytes([7; 16])),
            mark: 12,
            kept: 13,
            message: "events are missing".to_owned(),
        };
        assert_eq!(Claim::read(&disk).unwrap(), None);
        claim.write(&disk).unwrap();
        assert_eq!(Claim::read(&disk).unwrap(), Some(claim.clone()));
        let without = Claim { incarnation: None, message: "é".repeat(10_000), ..claim.clone() };
        without.write(&disk).unwrap();
        assert_eq!(Claim::read(&disk).unwrap().map(|claim| claim.message.len()), Some(MESSAGE_BYTES_MAX));
        Claim::remove(&disk).unwrap();
        Claim::remove(&disk).unwrap();
        Claim::accept(&disk).unwrap();
        assert_eq!(Claim::accepted(&disk).unwrap(), None, "there was none");
        claim.write(&disk).unwrap();
        Claim::accept(&disk).unwrap();
        assert_eq!(
            (Claim::read(&disk).unwrap(), Claim::accepted(&disk).unwrap()),
            (None, Some(claim.clone()))
        );
        Claim::remove_accepted(&disk).unwrap();
        assert_eq!(Claim::accepted(&disk).unwrap(), None);
        let bytes = claim.encode();
        let summed = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for bit in 0..summed * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Claim::decode(&flipped), None, "bit {bit}");
        }
    }
}

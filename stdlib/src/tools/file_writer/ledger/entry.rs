//! The bytes of the ledger's entries. docs/ledger-format.md describes their meaning.
//!
//! ```text
//! entry      "WEIRLEDG", u16 version 3, u16 kind, u32 instance, u64 number, u64 nonce, i64 latest,
//!            u32 partitions, for each: text name, u64 settled, set arrived, 16 bytes incarnation,
//!            u32 files, for each: text temporary, text complete, u64 length, u64 checksum, u8 state,
//!            i64 believed, u32 instances, for each: u32 drawn, i64 latest, set numbers,
//!            u32 CRC-32C of all bytes before
//! kind       1 step: the changes. 2 whole: the complete state; the entries before it are not needed
//! latest     the latest time in a file's name, in microseconds: later names sort behind it
//! settled    all events of the partition through this position have arrived; 0: none is known to have
//! text       u32 length, UTF-8
//! set        u32 length, positions as a RoaringTreemap in its portable format
//! incarnation which life of a durable channel numbered the partition; zeros if none did
//! came, last  when the sink has read that channel ([`Reads`])
//! temporary, complete   names below the ledger's root
//! checksum   XXH3 (64 bits) of the file's first `length` bytes
//! state      1 complete: the file ends at `length`. 2 open: uncommitted bytes may follow
//! ```
//! believed, numbers   which files were named in this entry or before ([`FileNumbers`]); in a whole entry alone
//!
//! Version 3 lacks `came` and `last`. Version 2 lacks as well what is behind `files`. Version 1 lacks as well `incarnation` and `state`, all of its files are complete, and its names are paths as the
//! agent spelled them, with the root as it was then.
//!
//! Numbers are little-endian. The format is binary because it consists mostly of sets, whose portable format is binary.
//! The set of ten million events takes a few bytes if the positions are dense, and some megabytes if they are not.

use std::io::Read;

use crc_fast::{CrcAlgorithm, checksum};
use roaring::RoaringTreemap;
use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;

use super::file_numbers::{FileNumbers, Numbers};
use crate::tools::arrived::{Known, Reads};

const MAGIC: &[u8; 8] = b"WEIRLEDG";
/// The version that is written.
pub(super) const VERSION: u16 = 4;
/// Magic, version, kind, instance, number, nonce, latest.
const HEADER_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 4;
/// The fault of an entry with a later version.
pub(super) const LATER: &str = "a later version of Weir has written it";

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The changes since the previous entry.
    Step = 1,
    /// The complete state.
    Whole = 2,
}

/// Whether an entry commits a complete file or a part of an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tools::file_writer) enum FileState {
    /// The complete file, which may lack its final name.
    Complete = 1,
    /// The beginning of the file. Uncommitted bytes may follow.
    Open = 2,
}

/// The record of a file in an entry. Names are relative to the ledger's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tools::file_writer) struct FileRecord {
    /// The temporary name.
    pub(in crate::tools::file_writer) temporary: String,
    /// The final name.
    pub(in crate::tools::file_writer) complete: String,
    /// The number of committed bytes.
    pub(in crate::tools::file_writer) length: u64,
    /// XXH3 of these bytes.
    pub(in crate::tools::file_writer) checksum: u64,
    pub(in crate::tools::file_writer) state: FileState,
}

/// The record of a partition in an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PartitionRecord {
    pub(super) partition: Partition,
    pub(super) settled: u64,
    pub(super) arrived: RoaringTreemap,
    /// Of the durable channel that numbered it.
    pub(super) incarnation: Option<Incarnation>,
    /// When the sink has read this durable channel.
    pub(super) reads: Reads,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The version of the format that the entry was read from.
    pub(super) version: u16,
    pub(super) kind: Kind,
    /// The random number of the writer's instance.
    pub(super) instance: u32,
    /// The number in the ledger, from 1.
    pub(super) number: u64,
    /// A random number, so that two entries are never equal.
    pub(super) nonce: u64,
    /// The latest time in the name of a file, in microseconds.
    pub(super) latest: i64,
    pub(super) partitions: Vec<PartitionRecord>,
    pub(super) files: Vec<FileRecord>,
    /// In a whole entry, the files that this entry or an earlier one has named.
    pub(super) numbers: FileNumbers,
}

impl PartitionRecord {
    /// Adds what the record says to what is known, with the number of its entry.
    pub(super) fn add_to(&self, known: &mut Known, number: u64) {
        let PartitionRecord { partition, settled, arrived, incarnation, reads } = self;
        known.add(partition, *settled, arrived, number);
        known.numbered_by(partition, *incarnation);
        known.read_in(partition, *reads);
    }
}

impl Entry {
    /// Adds what the entry says to what is known. Returns how many partitions were dropped because there are too many.
    pub(super) fn add_to(&self, known: &mut Known) -> usize {
        self.partitions.iter().for_each(|record| record.add_to(known, self.number));
        known.forget()
    }

    /// Encodes an entry in the present version.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.kind as u16).to_le_bytes());
        bytes.extend(self.instance.to_le_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.nonce.to_le_bytes());
        bytes.extend(self.latest.to_le_bytes());
        bytes.extend((self.partitions.len() as u32).to_le_bytes());
        for PartitionRecord { partition, settled, arrived, incarnation, reads } in &self.partitions {
            write_text(partition.name(), &mut bytes);
            bytes.extend(settled.to_le_bytes());
            bytes.extend((arrived.serialized_size() as u32).to_le_bytes());
            arrived.serialize_into(&mut bytes).expect("writing into memory does not fail");
            bytes.extend(incarnation.map_or([0; 16], Incarnation::bytes));
            bytes.extend(reads.came.to_le_bytes());
            bytes.extend(reads.last.to_le_bytes());
        }
        bytes.extend((self.files.len() as u32).to_le_bytes());
        for FileRecord { temporary, complete, length, checksum, state } in &self.files {
            write_text(temporary, &mut bytes);
            write_text(complete, &mut bytes);
            bytes.extend(length.to_le_bytes());
            bytes.extend(checksum.to_le_bytes());
            bytes.push(*state as u8);
        }
        bytes.extend(self.numbers.believed().to_le_bytes());
        bytes.extend((self.numbers.instances().len() as u32).to_le_bytes());
        for (drawn, Numbers { latest, numbers }) in self.numbers.instances() {
            bytes.extend(drawn.to_le_bytes());
            bytes.extend(latest.to_le_bytes());
            bytes.extend((numbers.serialized_size() as u32).to_le_bytes());
            numbers.serialize_into(&mut bytes).expect("writing into memory does not fail");
        }
        bytes.extend(crc(&bytes).to_le_bytes());
        bytes
    }

    /// Decodes an entry of any version.
    ///
    /// # Errors
    /// The fault of the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Entry, &'static str> {
        let end = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|end| *end >= HEADER_BYTES);
        let (body, sum) = bytes.split_at(end.ok_or("it is cut off")?);
        if !body.starts_with(MAGIC) {
            return Err("it is no entry of a ledger");
        }
        let version = u16::from_le_bytes([body[8], body[9]]);
        if !(1..=VERSION).contains(&version) {
            return Err(LATER);
        }
        if crc(body).to_le_bytes() != sum {
            return Err("its checksum is wrong");
        }
        let entry = Entry::decode_body(&body[10..], version).ok_or("it makes no sense")?;
        entry.fault().map_or(Ok(entry), Err)
    }

    /// Returns a fault that an entry with a right checksum can have; none if it is valid.
    fn fault(&self) -> Option<&'static str> {
        if self.number == 0 {
            return Some("its number is 0");
        }
        let overlaps =
            |record: &PartitionRecord| record.arrived.min().is_some_and(|min| min <= record.settled);
        if self.partitions.iter().any(overlaps) {
            return Some("a position is settled and is still listed as arrived");
        }
        let number = self.number;
        let is_later = |record: &PartitionRecord| record.reads.came.max(record.reads.last) > number;
        if self.partitions.iter().any(is_later) {
            return Some("a channel was read in a later entry");
        }
        let is_below = |name: &str| self.version == 1 || !(name.is_empty() || name.starts_with('/'));
        let is_right = |file: &FileRecord| {
            file.temporary != file.complete && is_below(&file.temporary) && is_below(&file.complete)
        };
        (!self.files.iter().all(is_right)).then_some("a file's name is not one below the ledger's root")
    }

    fn decode_body(mut bytes: &[u8], version: u16) -> Option<Entry> {
        let from = &mut bytes;
        let kind = match u16::from_le_bytes(read(from)?) {
            1 => Kind::Step,
            2 => Kind::Whole,
            _ => return None,
        };
        let instance = u32::from_le_bytes(read(from)?);
        let number = u64::from_le_bytes(read(from)?);
        let nonce = u64::from_le_bytes(read(from)?);
        let latest = i64::from_le_bytes(read(from)?);
        let mut partitions = Vec::new();
        for _ in 0..u32::from_le_bytes(read(from)?) {
            let partition = Partition::new(read_text(from)?);
            let settled = u64::from_le_bytes(read(from)?);
            let arrived = RoaringTreemap::deserialize_from(read_sized(from)?).ok()?;
            let incarnation = if version == 1 { [0; 16] } else { read(from)? };
            let incarnation = (incarnation != [0; 16]).then(|| Incarnation::from_bytes(incarnation));
            let reads = match version {
                1..=3 => Reads::default(),
                _ => Reads { came: u64::from_le_bytes(read(from)?), last: u64::from_le_bytes(read(from)?) },
            };
            partitions.push(PartitionRecord { partition, settled, arrived, incarnation, reads });
        }
        let mut files = Vec::new();
        for _ in 0..u32::from_le_bytes(read(from)?) {
            files.push(FileRecord {
                temporary: read_text(from)?,
                complete: read_text(from)?,
                length: u64::from_le_bytes(read(from)?),
                checksum: u64::from_le_bytes(read(from)?),
                state: match if version == 1 { [1] } else { read(from)? } {
                    [1] => FileState::Complete,
                    [2] => FileState::Open,
                    _ => return None,
                },
            });
        }
        let numbers = match (version, kind) {
            // All files that were named before have this time or an earlier one in their names.
            (1 | 2, Kind::Whole) => FileNumbers::believing(latest),
            (1 | 2, Kind::Step) => FileNumbers::default(),
            _ => read_numbers(from)?,
        };
        bytes.is_empty().then_some(Entry {
            version,
            kind,
            instance,
            number,
            nonce,
            latest,
            partitions,
            files,
            numbers,
        })
    }
}

fn read_numbers(from: &mut &[u8]) -> Option<FileNumbers> {
    let mut numbers = FileNumbers::believing(i64::from_le_bytes(read(from)?));
    for _ in 0..u32::from_le_bytes(read(from)?) {
        let drawn = u32::from_le_bytes(read(from)?);
        let latest = i64::from_le_bytes(read(from)?);
        let of_instance = RoaringTreemap::deserialize_from(read_sized(from)?).ok()?;
        numbers.add_instance(drawn, latest, of_instance);
    }
    Some(numbers)
}

fn crc(bytes: &[u8]) -> u32 {
    // The algorithm has 32 bits.
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn read<const BYTES: usize>(from: &mut &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_sized<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(read(from)?) as usize;
    from.split_off(..length)
}

fn read_text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(read_sized(from)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Entry {
        let partition = |name: &str, settled, arrived: &[u64]| PartitionRecord {
            partition: Partition::new(name),
            settled,
            arrived: arrived.iter().copied().collect(),
            incarnation: None,
            reads: Reads::default(),
        };
        let file = |name: &str, state| FileRecord {
            temporary: format!("a/.{name}.shop.lake.tmp"),
            complete: format!("a/{name}"),
            length: 1_234,
            checksum: 0xfeed_beef,
            state,
        };
        let incarnation = Some(Incarnation::from_bytes(*b"an incarnation 1"));
        Entry {
            version: VERSION,
            kind: Kind::Step,
            instance: 0x9f3c_51d2,
            number: 17,
            nonce: 0x0123_4567_89ab_cdef,
            latest: 1_767_268_800_000_000,
            partitions: vec![
                PartitionRecord {
                    incarnation,
                    reads: Reads { came: 3, last: 16 },
                    ..partition("buffer", 4, &[7, 8, 9])
                },
                partition("clicks/0", 0, &[1 << 40]),
            ],
            files: vec![file("events-1.txt", FileState::Complete), file("events-2.txt", FileState::Open)],
            numbers: FileNumbers::default(),
        }
    }

    /// Returns a whole entry.
    fn whole() -> Entry {
        let mut numbers = FileNumbers::believing(1_767_268_000_000_000);
        numbers.add_instance(0x9f3c_51d2, 1_767_268_800_000_000, [1, 2, 3, 5].into_iter().collect());
        numbers.add_instance(7, 1_767_268_700_000_000, (1..=1_000).collect());
        Entry { kind: Kind::Whole, numbers, ..example() }
    }

    /// As an entry of an earlier version says it.
    fn without_reads(mut entry: Entry) -> Entry {
        entry.partitions.iter_mut().for_each(|record| record.reads = Reads::default());
        entry
    }

    /// The bytes of version 4: they may never change, or earlier ledgers could not be read.
    #[test]
    fn an_entry_of_version_4_is_read_and_written_as_ever() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/file_writer/ledger/golden/entry-4.ledger");
        if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
            std::fs::write(path, whole().encode()).unwrap();
        }
        let golden = std::fs::read(path).unwrap();
        assert_eq!(Entry::decode(&golden), Ok(whole()));
        assert_eq!(whole().encode(), golden);
    }

    #[test]
    fn an_entry_of_version_3_is_read() {
        let golden = include_bytes!("golden/entry-3.ledger");
        assert_eq!(Entry::decode(golden), Ok(Entry { version: 3, ..without_reads(whole()) }));
    }

    #[test]
    fn an_entry_of_version_2_is_read() {
        let golden = include_bytes!("golden/entry-2.ledger");
        assert_eq!(Entry::decode(golden), Ok(Entry { version: 2, ..without_reads(example()) }));
    }

    #[test]
    fn an_entry_of_version_1_is_read() {
        let mut expected = Entry { version: 1, ..without_reads(example()) };
        expected.partitions.iter_mut().for_each(|record| record.incarnation = None);
        expected.files.truncate(1);
        expected.files[0].temporary = "/lake/a/.events-1.txt.shop.lake.tmp".into();
        expected.files[0].complete = "/lake/a/events-1.txt".into();
        assert_eq!(Entry::decode(include_bytes!("golden/entry-1.ledger")), Ok(expected));
    }

    #[test]
    fn entries_that_no_writer_writes_are_refused() {
        let refused = |change: fn(&mut Entry)| {
            let mut entry = example();
            change(&mut entry);
            Entry::decode(&entry.encode()).unwrap_err()
        };
        assert!(refused(|entry| entry.number = 0).contains("number is 0"));
        assert!(refused(|entry| entry.files[0].temporary = "/etc/passwd".into()).contains("root"));
        assert!(refused(|entry| entry.files[1].complete = String::new()).contains("root"));
        let settled = refused(|entry| entry.partitions[0].settled = 7);
        assert!(settled.contains("settled"), "{settled}");
        assert!(refused(|entry| entry.partitions[0].reads.last = 18).contains("later entry"));
    }

    #[test]
    fn only_a_written_entry_is_read() {
        let empty = Entry { partitions: Vec::new(), files: Vec::new(), ..whole() };
        assert_eq!(Entry::decode(&empty.encode()), Ok(empty));
        assert_eq!(Entry::decode(&example().encode()), Ok(example()));
        let bytes = whole().encode();
        for length in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..length]).is_err(), "{length}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(Entry::decode(&damaged).is_err(), "{place}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &body].concat();
            bytes.extend(crc(&bytes).to_le_bytes());
            let _whatever = Entry::decode(&bytes);
        }
    }
}

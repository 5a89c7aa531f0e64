//! The records of a positions topic. Keys and values are JSON, so that any consumer shows what they say.
//!
//! ```text
//! ["shop.out"]                  {"version":1,"writer":"9f3c…","mark":1}
//! ["shop.out","buffer"]         {"version":1,"settled":900,"mark":7,"incarnation":"01ab…","came":1,"last":7}
//! ["shop.out","buffer",3]       {"version":1,"arrived":[[12,480],[482,900]]}
//! ```
//!
//! The first part of a key is the transactional id, the second a partition of the events' identities, the third a *block*: the
//! positions from `block * BLOCK` on. `arrived` has intervals of positions in the block, both ends included, relative to its
//! first. Positions through `settled` have arrived and are in no block. The topic is compacted, so only the last value of a key
//! counts; blocks that are not needed any more are removed.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;

use crate::tools::arrived::{Arrived, Extent, Known, Reads, Settled};

/// The version of the values.
const VERSION: u32 = 1;

/// The positions of one block. A record has at most half as many intervals, so it stays below 128 KiB.
const BLOCK: u64 = 1 << 14;

/// The incarnation of the durable channel that numbers each partition.
pub(in crate::components::kafka) type Incarnations = BTreeMap<Partition, Incarnation>;

/// A record to be written. A record without a value removes its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::components::kafka) struct PositionRecord {
    pub(in crate::components::kafka) key: String,
    pub(in crate::components::kafka) value: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Writer((String,)),
    Partition(String, String),
    Block(String, String, u64),
}

#[derive(Debug, Serialize, Deserialize)]
struct WriterValue {
    version: u32,
    /// The random name of the agent's run that writes.
    writer: String,
    mark: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PartitionValue {
    version: u32,
    settled: u64,
    /// The number of the commit.
    mark: u64,
    incarnation: Option<Incarnation>,
    came: u64,
    last: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct BlockValue {
    version: u32,
    arrived: Vec<(u64, u64)>,
}

/// The records of one transactional id, as they are read.
#[derive(Debug, Default)]
pub(super) struct Found {
    writer: Option<WriterValue>,
    partitions: BTreeMap<String, PartitionValue>,
    blocks: BTreeMap<(String, u64), BlockValue>,
}

impl Found {
    /// Adds a record. Records of other transactional ids are ignored.
    ///
    /// # Errors
    /// When a record of this id can't be read.
    pub(super) fn add(
        &mut self,
        id: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), serde_json::Error> {
        let Ok(key) = serde_json::from_slice::<Key>(key) else { return Ok(()) };
        match key {
            Key::Writer((of,)) if of == id => self.writer = value.map(serde_json::from_slice).transpose()?,
            Key::Partition(of, partition) if of == id => match value {
                Some(value) => drop(self.partitions.insert(partition, serde_json::from_slice(value)?)),
                None => drop(self.partitions.remove(&partition)),
            },
            Key::Block(of, partition, block) if of == id => match value {
                Some(value) => drop(self.blocks.insert((partition, block), serde_json::from_slice(value)?)),
                None => drop(self.blocks.remove(&(partition, block))),
            },
            _ => {}
        }
        Ok(())
    }

    /// Whether a later version of Weir has written one of the records.
    pub(super) fn is_later(&self) -> bool {
        let writer = self.writer.iter().map(|value| value.version);
        let partitions = self.partitions.values().map(|value| value.version);
        let blocks = self.blocks.values().map(|value| value.version);
        writer.chain(partitions).chain(blocks).any(|version| version > VERSION)
    }

    /// Returns the state that the records say.
    pub(super) fn into_positions(self, id: &str) -> Positions {
        let mut positions = Positions::new(id);
        let partitions = self.partitions.values().map(|value| value.mark);
        positions.mark = self.writer.iter().map(|value| value.mark).chain(partitions).max().unwrap_or(0);
        positions.writer = self.writer.map(|value| value.writer);
        for ((name, block), BlockValue { arrived, .. }) in self.blocks {
            let partition = Partition::new(&*name);
            let mut set = RoaringTreemap::new();
            for (first, last) in arrived {
                let begin = block.saturating_mul(BLOCK);
                set.insert_range(begin.saturating_add(first)..=begin.saturating_add(last));
            }
            positions.known.add(&partition, 0, &set, 0);
            positions.blocks.entry(partition).or_default().insert(block);
        }
        for (name, value) in self.partitions {
            let partition = Partition::new(&*name);
            let PartitionValue { settled, mark, incarnation, came, last, .. } = value;
            positions.known.add(&partition, settled, &RoaringTreemap::new(), mark);
            positions.known.numbered_by(&partition, incarnation);
            positions.known.read_in(&partition, Reads { came, last });
            positions.written.insert(partition);
        }
        positions
    }
}

/// The events that have arrived by transactions of one id, and the records that say so.
#[derive(Debug)]
pub(in crate::components::kafka) struct Positions {
    id: String,
    pub(in crate::components::kafka) known: Known,
    /// The number of the last commit.
    pub(in crate::components::kafka) mark: u64,
    /// The run of an agent that has taken the transactional id last.
    pub(in crate::components::kafka) writer: Option<String>,
    /// The partitions that have a record, and the blocks of each.
    written: BTreeSet<Partition>,
    blocks: BTreeMap<Partition, BTreeSet<u64>>,
    /// The first commit of this run; none before it.
    begun: Option<u64>,
}

impl Positions {
    pub(super) fn new(id: &str) -> Positions {
        Positions {
            id: id.to_owned(),
            known: Known::default(),
            mark: 0,
            writer: None,
            written: BTreeSet::new(),
            blocks: BTreeMap::new(),
            begun: None,
        }
    }

    /// Returns the record by which a run of an agent takes the transactional id.
    pub(in crate::components::kafka) fn writer_record(id: &str, writer: &str, mark: u64) -> PositionRecord {
        let value = WriterValue { version: VERSION, writer: writer.to_owned(), mark };
        record(&Key::Writer((id.to_owned(),)), Some(&value))
    }

    /// Whether these settled positions say more than the records.
    pub(in crate::components::kafka) fn lacks(&self, settled: &Settled) -> bool {
        settled.iter().any(|(partition, through)| self.known.settled_of(partition) < Some(*through))
    }

    /// Adds what the next transaction brings, and returns the records for it.
    pub(in crate::components::kafka) fn advance(
        &mut self,
        arrived: &Arrived,
        settled: &Settled,
        incarnations: &Incarnations,
    ) -> Vec<PositionRecord> {
        let number = self.mark + 1;
        self.mark = number;
        let mut changed: BTreeSet<Partition> = arrived.keys().cloned().collect();
        for (partition, positions) in arrived {
            self.known.add(partition, 0, positions, number);
        }
        for (partition, through) in settled {
            if self.known.settled_of(partition) < Some(*through) {
                self.known.add(partition, *through, &RoaringTreemap::new(), number);
                changed.insert(partition.clone());
            }
        }
        self.note_reads(incarnations, &mut changed);
        let mut records = self.forget();
        for partition in &changed {
            let Some(extent) = self.known.extent(partition) else { continue };
            records.push(header(&self.id, partition, extent, number));
            self.written.insert(partition.clone());
            let blocks = self.blocks.entry(partition.clone()).or_default();
            records.extend(block_records(&self.id, partition, extent, arrived.get(partition), blocks));
        }
        if records.is_empty() {
            // Nothing says that there was a commit of this number.
            self.mark = number - 1;
        }
        records
    }

    /// Notes which durable channels are read, and in which incarnation they number their events.
    fn note_reads(&mut self, incarnations: &Incarnations, changed: &mut BTreeSet<Partition>) {
        let read: BTreeSet<&Partition> = incarnations.keys().collect();
        for (partition, incarnation) in incarnations {
            let reads = self.known.reads_of(partition).filter(|reads| reads.came > 0);
            let came = match reads {
                None => self.begun.unwrap_or(self.mark),
                Some(reads) if self.begun.is_none() && self.known.another_came_after(reads.last, &read) => {
                    self.mark
                }
                Some(reads) => reads.came,
            };
            self.known.numbered_by(partition, Some(*incarnation));
            self.known.read_in(partition, Reads { came, last: self.mark });
            if self.begun.is_none() && self.known.reads_of(partition).is_some() {
                changed.insert(partition.clone());
            }
        }
        self.begun.get_or_insert(self.mark);
    }

    /// Removes the records of partitions that are forgotten since there are too many.
    fn forget(&mut self) -> Vec<PositionRecord> {
        if self.known.forget() == 0 {
            return Vec::new();
        }
        let kept: BTreeSet<Partition> =
            self.known.extents().map(|(partition, _)| partition.clone()).collect();
        let forgotten: Vec<Partition> =
            self.written.iter().filter(|partition| !kept.contains(*partition)).cloned().collect();
        let mut records = Vec::new();
        for partition in forgotten {
            for block in self.blocks.remove(&partition).unwrap_or_default() {
                records.push(removal(&self.id, &partition, Some(block)));
            }
            records.push(removal(&self.id, &partition, None));
            self.written.remove(&partition);
        }
        records
    }

    /// Notes that these durable channels are read from now on, and that the next commit is beyond `mark`. Returns the records.
    pub(in crate::components::kafka) fn adopt(
        &mut self,
        channels: &BTreeSet<Partition>,
        mark: u64,
    ) -> Vec<PositionRecord> {
        self.mark = self.mark.max(mark) + 1;
        for partition in channels {
            self.known.adopt(partition, self.mark);
            self.known.read_in(partition, Reads { came: self.mark, last: self.mark });
            self.written.insert(partition.clone());
        }
        let adopted = self.known.extents().filter(|(partition, _)| channels.contains(*partition));
        adopted.map(|(partition, extent)| header(&self.id, partition, extent, self.mark)).collect()
    }
}

fn record(key: &Key, value: Option<&impl Serialize>) -> PositionRecord {
    PositionRecord { key: json(key), value: value.map(json) }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are always JSON")
}

fn removal(id: &str, partition: &Partition, block: Option<u64>) -> PositionRecord {
    let (id, name) = (id.to_owned(), partition.name().to_owned());
    let key = match block {
        Some(block) => Key::Block(id, name, block),
        None => Key::Partition(id, name),
    };
    record(&key, None::<&PartitionValue>)
}

fn header(id: &str, partition: &Partition, extent: &Extent, mark: u64) -> PositionRecord {
    let Extent { settled, incarnation, reads: Reads { came, last }, .. } = *extent;
    let value = PartitionValue { version: VERSION, settled, mark, incarnation, came, last };
    record(&Key::Partition(id.to_owned(), partition.name().to_owned()), Some(&value))
}

/// Returns the records of the blocks that a transaction changes, and removes those of blocks that are settled.
fn block_records(
    id: &str,
    partition: &Partition,
    extent: &Extent,
    arrived: Option<&RoaringTreemap>,
    blocks: &mut BTreeSet<u64>,
) -> Vec<PositionRecord> {
    let mut records = Vec::new();
    let first_kept = extent.settled.saturating_add(1) / BLOCK;
    while let Some(block) = blocks.first().copied().filter(|block| *block < first_kept) {
        blocks.remove(&block);
        records.push(removal(id, partition, Some(block)));
    }
    let Some(arrived) = arrived else { return records };
    let mut next = arrived.iter();
    next.advance_to(first_kept.saturating_mul(BLOCK));
    while let Some(position) = next.next() {
        let block = position / BLOCK;
        let value = BlockValue { version: VERSION, arrived: intervals(&extent.arrived, block) };
        let key = Key::Block(id.to_owned(), partition.name().to_owned(), block);
        records.push(record(&key, Some(&value)));
        blocks.insert(block);
        next.advance_to((block + 1).saturating_mul(BLOCK));
    }
    records
}

/// Returns the intervals of the positions in a block, relative to its first.
fn intervals(positions: &RoaringTreemap, block: u64) -> Vec<(u64, u64)> {
    let begin = block * BLOCK;
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut positions = positions.iter();
    positions.advance_to(begin);
    for position in positions.take_while(|position| position / BLOCK == block) {
        let position = position - begin;
        match found.last_mut() {
            Some((_, last)) if *last + 1 == position => *last = position,
            _ => found.push((position, position)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "shop.out";

    fn set(positions: impl IntoIterator<Item = u64>) -> RoaringTreemap {
        positions.into_iter().collect()
    }

    /// A compacted topic.
    #[derive(Default)]
    struct Topic(BTreeMap<String, String>);

    impl Topic {
        fn write(&mut self, records: Vec<PositionRecord>) {
            for PositionRecord { key, value } in records {
                match value {
                    Some(value) => drop(self.0.insert(key, value)),
                    None => drop(self.0.remove(&key)),
                }
            }
        }

        fn read(&self) -> Positions {
            let mut found = Found::default();
            for (key, value) in &self.0 {
                found.add(ID, key.as_bytes(), Some(value.as_bytes())).unwrap();
            }
            assert!(!found.is_later());
            found.into_positions(ID)
        }
    }

    #[test]
    fn what_was_committed_is_known_after_a_restart() {
        let mut topic = Topic::default();
        let (buffer, other) = (Partition::new("buffer"), Partition::new("a \"file\", "));
        let incarnations = Incarnations::from([(buffer.clone(), Incarnation::from_bytes([7; 16]))]);
        let mut positions = topic.read();
        let first =
            Arrived::from([(buffer.clone(), set(1..=40_000)), (other.clone(), set([3, 5, 6, 90_000]))]);
        topic.write(positions.advance(&first, &Settled::new(), &incarnations));
        assert_eq!(
            topic.read().known.extents().collect::<Vec<_>>(),
            positions.known.extents().collect::<Vec<_>>()
        );
        let second = Arrived::from([(buffer.clone(), set(40_001..=40_500))]);
        let records = positions.advance(&second, &Settled::from([(buffer.clone(), 35_000)]), &incarnations);
        assert_eq!(records.len(), 4, "the partition, a changed block, two that are settled: {records:?}");
        topic.write(records);
        let read = topic.read();
        assert_eq!((read.mark, positions.mark), (2, 2));
        assert_eq!(read.known.settled()[&buffer], 35_000);
        assert!(read.known.overlaps(&Arrived::from([(buffer.clone(), set([40_500]))])));
        assert!(
            !read.known.overlaps(&Arrived::from([(buffer.clone(), set([40_501])), (other, set([4, 7]))]))
        );
        assert_eq!(read.known.reached()[&buffer].through, 40_500);
    }

    #[test]
    fn a_record_stays_small_however_the_positions_are_scattered() {
        let mut positions = Positions::new(ID);
        let arrived = Arrived::from([(Partition::new("buffer"), set((0..1_000_000).map(|n| 2 * n + 1)))]);
        let records = positions.advance(&arrived, &Settled::new(), &Incarnations::new());
        let largest = records.iter().filter_map(|record| Some(record.value.as_ref()?.len())).max();
        assert!(largest < Some(128 << 10), "{largest:?}");
    }

    #[test]
    fn records_of_others_and_damaged_ones_are_told_apart() {
        let mut found = Found::default();
        for key in ["", "{}", "[\"other\"]", "[\"other\",\"buffer\"]", "[\"shop.out\",1]", "[]"] {
            found.add(ID, key.as_bytes(), Some(b"nonsense")).unwrap();
        }
        assert!(found.add(ID, b"[\"shop.out\",\"buffer\"]", Some(b"nonsense")).is_err());
        let later = br#"{"version":2,"writer":"x","mark":4}"#;
        found.add(ID, b"[\"shop.out\"]", Some(later)).unwrap();
        assert!(found.is_later());
    }

    #[test]
    fn a_channel_that_takes_the_place_of_another_is_known_to_have_come_after_it() {
        let (one, other) = (Partition::new("one"), Partition::new("other"));
        let mut topic = Topic::default();
        for (channel, position) in [(&one, 1), (&other, 1), (&one, 2)] {
            let mut positions = topic.read();
            let incarnations = Incarnations::from([(channel.clone(), Incarnation::from_bytes([1; 16]))]);
            let arrived = Arrived::from([(channel.clone(), set([position]))]);
            topic.write(positions.advance(&arrived, &Settled::new(), &incarnations));
        }
        let reached = topic.read().known.reached();
        assert!(reached[&one].came > reached[&other].read);
    }
}

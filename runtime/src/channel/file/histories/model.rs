//! The expected behaviour of a channel, as plain sets of positions.
//!
//! Each source puts its positions 0, 1, 2 … in order, one event for each. A position is *committed*
//! when the channel has reported to its source that it is on disk, or at a restart that it is
//! stored. From then on, every reader must get it, in order, until the reader has acknowledged it.
//! After a clean shutdown, or once the acknowledgement is on disk, it must not be redelivered.

use std::collections::{BTreeMap, BTreeSet};

pub(super) const SOURCES: usize = 2;
pub(super) const SCOPES: [&str; SOURCES] = ["a", "b"];
/// Two required readers and an optional one.
pub(super) const READERS: [&str; 3] = ["one", "two", "watch"];
pub(super) const REQUIRED: usize = 2;

/// An event: its source and its position there.
pub(super) type Event = (usize, u64);

#[derive(Default)]
pub(super) struct ReaderModel {
    pub(super) acknowledged: BTreeSet<Event>,
    /// Acknowledgements that are certainly on disk.
    pub(super) written: BTreeSet<Event>,
    /// Acknowledged in this run of the process.
    lately: BTreeSet<Event>,
    /// The end of the positions leased in this run, to check the order.
    frontier: [u64; SOURCES],
    /// Rolled back and not leased since, by sequence.
    pub(super) returned: BTreeMap<u64, Vec<Event>>,
    last_sequence: Option<u64>,
}

#[derive(Default)]
pub(super) struct Model {
    /// The next position of each source.
    pub(super) next: [u64; SOURCES],
    /// All positions below are committed.
    pub(super) committed: [u64; SOURCES],
    pub(super) readers: [ReaderModel; READERS.len()],
}

impl ReaderModel {
    pub(super) fn acknowledge(&mut self, events: Vec<Event>) {
        self.acknowledged.extend(events.iter().copied());
        self.lately.extend(events);
    }
}

impl Model {
    /// Records that the source was told that positions are on disk.
    pub(super) fn commit(&mut self, source: usize, through: u64) {
        self.committed[source] = self.committed[source].max(through);
    }

    /// Records a restart of the process, after which the channel reports the stored positions.
    pub(super) fn restart(&mut self, stored: [u64; SOURCES]) {
        for source in 0..SOURCES {
            let (stored, committed) = (stored[source], self.committed[source]);
            assert!(stored >= committed, "source {source}: {committed} were committed, {stored} are stored");
            assert!(
                stored <= self.next[source],
                "source {source}: {stored} are stored of {}",
                self.next[source]
            );
            self.committed[source] = stored;
            self.next[source] = stored;
        }
        for reader in &mut self.readers {
            reader.frontier = [0; SOURCES];
            reader.lately.clear();
            reader.returned.clear();
            reader.last_sequence = None;
        }
    }

    /// Records a clean shutdown: all acknowledgements are on disk.
    pub(super) fn closed(&mut self) {
        for reader in &mut self.readers {
            reader.written.append(&mut reader.lately);
        }
    }

    /// Records that a reader has leased these events, and checks them.
    pub(super) fn leased(&mut self, reader: usize, sequence: u64, events: &[Event]) {
        let required = reader < REQUIRED;
        let next = self.next;
        let reader = &mut self.readers[reader];
        if !required {
            // Events that no required reader needs may be deleted before an optional reader takes them.
            reader.returned = reader.returned.split_off(&sequence);
        }
        if let Some((&first, _)) = reader.returned.first_key_value() {
            assert_eq!(sequence, first, "what was rolled back comes first");
            let before = reader.returned.remove(&sequence);
            assert_eq!(before.as_deref(), Some(events), "the same events are redelivered");
            return;
        }
        assert!(reader.last_sequence.is_none_or(|last| last < sequence), "the order of the puts holds");
        reader.last_sequence = Some(sequence);
        for &(source, position) in events {
            assert!(position < next[source], "{position} of source {source} was never put");
            let frontier = reader.frontier[source];
            assert!(position >= frontier, "{position} of source {source} comes after {frontier}");
            if required {
                let skipped =
                    (frontier..position).find(|skipped| !reader.acknowledged.contains(&(source, *skipped)));
                assert_eq!(skipped, None, "source {source} skips a position");
            }
            assert!(
                !reader.written.contains(&(source, position)),
                "{position} of source {source} is redelivered"
            );
            reader.frontier[source] = position + 1;
        }
    }

    /// Checks, after everything was taken, that every required reader has had all committed events.
    pub(super) fn check_all_delivered(&self) {
        for (reader, name) in self.readers.iter().zip(READERS).take(REQUIRED) {
            for source in 0..SOURCES {
                let lost: Vec<u64> = (0..self.committed[source])
                    .filter(|position| !reader.acknowledged.contains(&(source, *position)))
                    .collect();
                assert!(lost.is_empty(), "reader {name} never got {lost:?} of source {source}");
            }
        }
    }

    /// Returns the fewest and the most events that the channel may hold.
    pub(super) fn held(&self) -> (usize, usize) {
        let events = |upto: [u64; SOURCES], have: &dyn Fn(&ReaderModel) -> &BTreeSet<Event>| {
            let all =
                (0..SOURCES).flat_map(|source| (0..upto[source]).map(move |position| (source, position)));
            all.filter(|event| !self.readers[..REQUIRED].iter().all(|reader| have(reader).contains(event)))
                .count()
        };
        (events(self.committed, &|reader| &reader.acknowledged), events(self.next, &|reader| &reader.written))
    }
}

//! The files that the ledger has ever named, with which complete files are compared.
//!
//! The name of a file has the instance of the sink that wrote it, and its number within that instance. Of each instance
//! the ledger keeps the set of these numbers, which takes a few bytes since hardly any number is missing. Of very many
//! instances the oldest are dropped, and all files whose names are not later than theirs count as named.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use super::entry::Entry;
use crate::tools::file_writer::names::{Named, file_name};

/// The numbers of this many instances are kept.
const INSTANCES_MAX: usize = 256;

/// The files that were named.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tools::file_writer) struct FileNumbers {
    /// Files whose names have this time or an earlier one count as named, in microseconds.
    believed: i64,
    /// The files of each instance, by its random number.
    instances: BTreeMap<u32, Numbers>,
}

/// The files of an instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    /// The latest time in their names, in microseconds.
    pub(super) latest: i64,
    /// The numbers of the files.
    pub(super) numbers: RoaringTreemap,
}

impl Default for FileNumbers {
    fn default() -> FileNumbers {
        FileNumbers::believing(i64::MIN)
    }
}

impl FileNumbers {
    /// Returns all files whose names have this time or an earlier one.
    pub(super) fn believing(believed: i64) -> FileNumbers {
        FileNumbers { believed, instances: BTreeMap::new() }
    }

    pub(super) fn believed(&self) -> i64 {
        self.believed
    }

    pub(super) fn instances(&self) -> &BTreeMap<u32, Numbers> {
        &self.instances
    }

    /// Whether a file was named.
    pub(in crate::tools::file_writer) fn know(&self, file: &Named) -> bool {
        let listed = self.instances.get(&file.drawn);
        #[cfg(weir_bug)]
        if weir_runtime::put_back!("files_known_by_their_time") {
            return self.instances.values().any(|numbers| file.begun <= numbers.latest);
        }
        file.begun <= self.believed || listed.is_some_and(|listed| listed.numbers.contains(file.number))
    }

    /// Adds files of an instance.
    pub(super) fn add_instance(&mut self, drawn: u32, latest: i64, numbers: RoaringTreemap) {
        let unknown = || Numbers { latest: i64::MIN, numbers: RoaringTreemap::new() };
        let known = self.instances.entry(drawn).or_insert_with(unknown);
        known.latest = known.latest.max(latest);
        known.numbers |= numbers;
    }

    /// Adds a file.
    pub(in crate::tools::file_writer) fn add(&mut self, file: &Named) {
        self.add_instance(file.drawn, file.begun, RoaringTreemap::from_iter([file.number]));
        self.forget();
    }

    /// Adds the files that an entry names, and the files that earlier entries have named according to it.
    pub(super) fn learn(&mut self, entry: &Entry) {
        self.believed = self.believed.max(entry.numbers.believed);
        for (drawn, Numbers { latest, numbers }) in &entry.numbers.instances {
            self.add_instance(*drawn, *latest, numbers.clone());
        }
        entry
            .files
            .iter()
            .filter_map(|file| Named::of(file_name(&file.complete)))
            .for_each(|file| self.add(&file));
        self.forget();
    }

    fn forget(&mut self) {
        while self.instances.len() > INSTANCES_MAX {
            let oldest = self.instances.iter().min_by_key(|(_, numbers)| numbers.latest);
            let Some((drawn, latest)) = oldest.map(|(drawn, numbers)| (*drawn, numbers.latest)) else {
                return;
            };
            self.instances.remove(&drawn);
            self.believed = self.believed.max(latest);
        }
    }

    /// Returns a copy that takes less memory.
    pub(super) fn optimized(&self) -> FileNumbers {
        let mut all = self.clone();
        all.instances.values_mut().for_each(|numbers| {
            numbers.numbers.optimize();
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_instance_and_number_and_not_by_its_time() {
        let mut numbers = FileNumbers::believing(1_000_000);
        let file = |begun, drawn, number| Named { begun, drawn, number };
        numbers.add(&file(5_000_000, 7, 1));
        numbers.add(&file(5_000_000, 7, 3));
        assert!(numbers.know(&file(5_000_000, 7, 3)));
        assert!(!numbers.know(&file(5_000_000, 7, 2)), "a file that was begun in the same second");
        assert!(!numbers.know(&file(4_000_000, 8, 1)), "a file of another instance, whose clock is behind");
        assert!(numbers.know(&file(1_000_000, 8, 1)), "a file of a ledger that kept no numbers");
    }

    #[test]
    fn of_very_many_instances_the_oldest_are_known_by_their_time() {
        let mut numbers = FileNumbers::default();
        let instances = 0..INSTANCES_MAX as u32 + 10;
        for drawn in instances.clone() {
            numbers.add(&Named { begun: i64::from(drawn), drawn, number: 1 });
        }
        assert_eq!((numbers.instances.len(), numbers.believed), (INSTANCES_MAX, 9));
        for drawn in instances {
            let later = Named { begun: i64::from(drawn), drawn, number: 2 };
            assert!(numbers.know(&Named { number: 1, ..later }));
            assert_eq!(numbers.know(&later), drawn < 10);
        }
    }
}

//! Checks of numbered records that arrived in files.

use std::collections::BTreeMap;

use weir_tests::{FedRecord, Scene, Session, lines_of, visible_files};

/// Returns the records of the files of text below a path on HDFS, file by file.
pub(crate) fn records(session: &Session, path: &str, scene: &Scene) -> Vec<Vec<FedRecord>> {
    let (folder, _) = session.hdfs().get(path, scene);
    let files = visible_files(&folder);
    let read = |file| lines_of(&[file]).iter().map(|line| record(line)).collect();
    files.into_iter().map(read).collect()
}

/// Returns the record with this body.
pub(crate) fn record(body: &[u8]) -> FedRecord {
    FedRecord::of(body).unwrap_or_else(|| panic!("no record: {}", String::from_utf8_lossy(body)))
}

/// Counts how often each record is there.
///
/// # Panics
///
/// When a record is missing, or was not sent. `sent` is the number of records of each partition.
pub(crate) fn count_each(
    files: &[Vec<FedRecord>],
    sent: &BTreeMap<i32, usize>,
) -> BTreeMap<FedRecord, usize> {
    let mut counts = BTreeMap::new();
    for record in files.iter().flatten() {
        *counts.entry(*record).or_default() += 1;
    }
    let all = sent
        .iter()
        .flat_map(|(partition, count)| (0..*count).map(|number| FedRecord { partition: *partition, number }));
    let missing: Vec<FedRecord> = all.filter(|record| !counts.contains_key(record)).collect();
    assert!(missing.is_empty(), "{} records are missing, first {:?}", missing.len(), missing[0]);
    assert_eq!(counts.len(), sent.values().sum::<usize>(), "records that were not sent");
    counts
}

/// Asserts that each record is in one file, and that each partition's records are in order: within a file, and from one
/// file to the next.
pub(crate) fn assert_once_in_order(name: &str, files: &[Vec<FedRecord>], sent: &BTreeMap<i32, usize>) {
    let counts = count_each(files, sent);
    let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(repeated.is_empty(), "{name} has records more than once: {repeated:?}");
    for partition in sent.keys() {
        let mut ranges = Vec::new();
        for file in files {
            let numbers: Vec<usize> = file
                .iter()
                .filter(|record| record.partition == *partition)
                .map(|record| record.number)
                .collect();
            assert!(numbers.is_sorted(), "{name}: a file has partition {partition} out of order");
            ranges.extend(numbers.first().zip(numbers.last()).map(|(first, last)| (*first, *last)));
        }
        ranges.sort_unstable();
        let overlap = ranges.windows(2).find(|pair| pair[0].1 >= pair[1].0);
        assert_eq!(overlap, None, "{name}: files with partition {partition} overlap");
    }
}

//! Two topics with agents between, and the records that have arrived in the second one.

use std::collections::BTreeMap;
use std::process;
use std::time::Duration;

use weir_tests::{CommittedRecords, FedRecord, Kafka, Session, Weir, print_line};

use crate::fed::record;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;

/// Two topics, and what has arrived in the second one.
pub(crate) struct Pipe {
    pub(crate) name: &'static str,
    pub(crate) kafka: Kafka,
    pub(crate) from: String,
    to: String,
    arrived: CommittedRecords,
}

impl Pipe {
    pub(crate) fn new(name: &'static str, session: &Session) -> Pipe {
        let kafka = session.kafka();
        let topic = |place: &str| format!("{name}-{place}-{}", process::id());
        let (from, to) = (topic("from"), topic("to"));
        kafka.create_topic(&from, PARTITIONS);
        kafka.create_topic(&to, PARTITIONS);
        let arrived = kafka.committed_records(&to);
        Pipe { name, kafka, from, to, arrived }
    }

    /// The settings of an agent between the topics.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("brokers", self.kafka.brokers()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("group", self.to.clone()),
        ]
    }

    /// Waits until all records have arrived, and checks that each is there once, in the order of its partition.
    pub(crate) fn finish(mut self, mut runs: Vec<Weir>, sent: &BTreeMap<i32, usize>) {
        // The step drops the records with these numbers.
        let is_kept = |number: &usize| number % 10_000 != 7;
        let kept: usize = sent.values().map(|count| (0..*count).filter(is_kept).count()).sum();
        let arrived = &mut self.arrived;
        runs[0].await_event("all records", PATIENCE, |_| (arrived.read() >= kept).then_some(()));
        for mut run in runs {
            run.await_start(PATIENCE);
            run.terminate().assert_success();
        }
        self.arrived.read_to_end();
        let mut found: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for body in self.arrived.partitions().flat_map(|(_, bodies)| bodies) {
            let FedRecord { partition, number } = record(body);
            found.entry(partition).or_default().push(number);
        }
        for (partition, numbers) in found {
            let expected: Vec<usize> = (0..sent[&partition]).filter(is_kept).collect();
            let wrong = numbers.iter().zip(&expected).position(|(found, expected)| found != expected);
            assert_eq!(wrong, None, "partition {partition}: the first record that is not the next one");
            assert_eq!(numbers.len(), expected.len(), "records of partition {partition}");
        }
        let group = self.kafka.progress(&self.to, &self.from);
        print_line(self.name, format!("{kept} records, offsets through {}", group.committed()));
    }
}

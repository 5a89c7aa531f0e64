//! Reads and writes Kafka with librdkafka.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::Feed;
use crate::servers::{run, tool};
use crate::waiting::wait_until;

/// The time limit of a request to the broker. It only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one broker.
#[derive(Debug, Clone)]
pub struct Kafka {
    bootstrap: String,
    /// The folder of the servers.
    servers: PathBuf,
}

impl Kafka {
    pub(crate) fn new(bootstrap: &str, servers: &Path) -> Kafka {
        Kafka { bootstrap: bootstrap.to_owned(), servers: servers.to_owned() }
    }

    /// Returns the broker's address as a value for `--set brokers=…`.
    pub fn brokers(&self) -> String {
        format!("[\"{}\"]", self.bootstrap)
    }

    /// Creates a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// Creates a topic with these settings, such as `max.message.bytes`, and waits until the broker has it.
    pub fn create_topic_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = expect("an admin client", self.config().create());
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("tokio: {error}"));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = expect("making a topic", runtime.block_on(admin.create_topics([&new], &options)));
        for result in made {
            result.unwrap_or_else(|(name, code)| panic!("making topic {name}: {code}"));
        }
        // The controller has made it; the broker may not know it yet.
        wait_until(&format!("topic {topic}"), PATIENCE, || {
            (self.partitions(topic) == partitions).then_some(())
        });
    }

    /// Deletes a topic, and waits until it is gone.
    pub fn delete_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = expect("an admin client", self.config().create());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("tokio: {error}"));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = expect("deleting a topic", runtime.block_on(admin.delete_topics(&[topic], &options)));
        for result in deleted {
            result.unwrap_or_else(|(name, code)| panic!("deleting topic {name}: {code}"));
        }
        wait_until("the end of the topic", PATIENCE, || {
            (!self.topics().iter().any(|name| name == topic)).then_some(())
        });
    }

    /// Deletes all records of a topic, as its retention would. Returns the offset at the end of each partition.
    pub fn delete_records(&self, topic: &str) -> Vec<i64> {
        let ends = self.ends(topic);
        let mut before = TopicPartitionList::new();
        for (partition, end) in (0..).zip(&ends) {
            expect("a list", before.add_partition_offset(topic, partition, Offset::Offset(*end)));
        }
        let admin: AdminClient<DefaultClientContext> = expect("an admin client", self.config().create());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("tokio: {error}"));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = expect("deleting records", runtime.block_on(admin.delete_records(&before, &options)));
        deleted.elements().iter().for_each(|element| expect("deleting records", element.error()));
        ends
    }

    /// Returns the offset at the end of each partition of a topic; none if the topic does not exist.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let client: BaseConsumer = expect("a client", self.config().create());
        self.watermarks(&client, topic).into_iter().map(|(_, high)| high).collect()
    }

    /// Writes each line as one record, round robin over all partitions. Returns when the broker has all records.
    pub fn produce(&self, topic: &str, lines: &[String]) {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("compression.type", "lz4").set("linger.ms", "5");
        let producer: BaseProducer = expect("a producer", config.create());
        let partitions = self.partitions(topic);
        for (line, partition) in lines.iter().zip((0..partitions).cycle()) {
            let mut record: BaseRecord<'_, (), String> =
                BaseRecord::to(topic).partition(partition).payload(line);
            while let Err((error, unsent)) = producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full, "writing to {topic}");
                producer.poll(Duration::from_millis(10));
                record = unsent;
            }
        }
        expect("writing", producer.flush(PATIENCE));
    }

    /// Starts to write numbered records into a topic, so many in a second.
    pub fn feed(&self, topic: &str, rate: usize) -> Feed {
        Feed::start(&self.config(), topic, self.partitions(topic), rate)
    }

    /// Reads all records that are in a topic now, in no particular order.
    pub fn consume(&self, topic: &str) -> Vec<Vec<u8>> {
        let consumer: BaseConsumer =
            expect("a consumer", self.config().set("group.id", "weir-tests").create());
        let mut left = 0;
        let mut wanted = TopicPartitionList::new();
        for (partition, (low, high)) in (0..).zip(self.watermarks(&consumer, topic)) {
            left += high - low;
            expect("assigning", wanted.add_partition_offset(topic, partition, Offset::Offset(low)));
        }
        expect("assigning", consumer.assign(&wanted));
        let mut bodies = Vec::new();
        while left > 0 {
            let Some(record) = consumer.poll(PATIENCE) else {
                panic!("{topic}: {left} records are missing after {} s", PATIENCE.as_secs());
            };
            let record = expect("reading", record);
            bodies.push(record.payload().unwrap_or_default().to_vec());
            left -= 1;
        }
        bodies
    }

    /// Returns a reader of the committed records of a topic, from its beginning.
    pub fn committed_records(&self, topic: &str) -> CommittedRecords {
        let mut config = self.config();
        config.set("group.id", "weir-tests").set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true").set("auto.offset.reset", "error");
        let consumer: BaseConsumer = expect("a consumer", config.create());
        let partitions = self.partitions(topic);
        assert!(partitions > 0, "{topic} does not exist");
        let mut wanted = TopicPartitionList::new();
        for partition in 0..partitions {
            expect("assigning", wanted.add_partition_offset(topic, partition, Offset::Offset(0)));
        }
        expect("assigning", consumer.assign(&wanted));
        CommittedRecords {
            consumer,
            partitions: (0..partitions).map(|number| (number, Vec::new())).collect(),
        }
    }

    /// Reads all records that are in a topic now with Kafka's own client, each as a JSON object (see
    /// `tests/services/README.md`).
    pub fn records(&self, topic: &str) -> Vec<Value> {
        let printed = run(tool(&self.servers).args(["records", topic]))
            .unwrap_or_else(|why| panic!("services records {topic}: {why}"));
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("it printed: {line}"));
        printed.lines().map(parse).collect()
    }

    /// Returns a reader of a consumer group's progress in a topic. It does not join the group.
    pub fn progress(&self, group: &str, topic: &str) -> Progress {
        let consumer = expect("a client", self.config().set("group.id", group).create());
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            asked.add_partition(topic, partition);
        }
        Progress { consumer, asked }
    }

    fn watermarks(&self, consumer: &BaseConsumer, topic: &str) -> Vec<(i64, i64)> {
        let partitions = 0..self.partitions(topic);
        partitions
            .map(|p| expect("asking for offsets", consumer.fetch_watermarks(topic, p, PATIENCE)))
            .collect()
    }

    /// Returns the consumer groups: their names, each with the names and the assigned partitions of its members, as the broker knows
    /// them.
    pub fn groups(&self) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
        let client: BaseConsumer = expect("a client", self.config().create());
        let found = expect("asking for groups", client.fetch_group_list(None, PATIENCE));
        let group = |group: &GroupInfo| {
            let members = group
                .members()
                .iter()
                .map(|member| (member.id().to_owned(), member.assignment().unwrap_or_default().to_vec()));
            (group.name().to_owned(), members.collect())
        };
        found.groups().iter().map(group).collect()
    }

    /// Writes one record of these bytes into the first partition.
    pub fn produce_bytes(&self, topic: &str, body: &[u8]) {
        let producer: BaseProducer = expect("a producer", self.config().create());
        let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).partition(0).payload(body);
        if let Err((error, _)) = producer.send(record) {
            panic!("writing to {topic}: {error}");
        }
        expect("writing", producer.flush(PATIENCE));
    }

    /// Returns the names of all topics.
    pub fn topics(&self) -> Vec<String> {
        let client: BaseConsumer = expect("a client", self.config().create());
        let metadata = expect("asking for metadata", client.fetch_metadata(None, PATIENCE));
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    fn partitions(&self, topic: &str) -> i32 {
        let client: BaseConsumer = expect("a client", self.config().create());
        let metadata = expect("asking for metadata", client.fetch_metadata(Some(topic), PATIENCE));
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(0))
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "3");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config
    }
}

/// Reads the committed records of a topic, those of transactions that were ended without a commit left out.
pub struct CommittedRecords {
    consumer: BaseConsumer,
    /// The bodies of each partition, in the order of their offsets.
    partitions: BTreeMap<i32, Vec<Vec<u8>>>,
}

impl CommittedRecords {
    /// Reads what is there and was not read, without waiting for more. Returns the number of all records.
    pub fn read(&mut self) -> usize {
        while let Some(polled) = self.consumer.poll(Duration::from_millis(50)) {
            add(&mut self.partitions, polled.ok());
        }
        self.count()
    }

    /// Reads until the end of each partition.
    pub fn read_to_end(&mut self) {
        let mut wanted = TopicPartitionList::new();
        let at = |bodies: &Vec<Vec<u8>>| bodies.len();
        let before: Vec<usize> = self.partitions.values().map(at).collect();
        // An end is reported once, so the records are read again from the beginning.
        let position = expect("positions", self.consumer.assignment());
        for element in position.elements() {
            expect(
                "seeking",
                wanted.add_partition_offset(element.topic(), element.partition(), Offset::Offset(0)),
            );
        }
        self.partitions.values_mut().for_each(Vec::clear);
        expect("assigning", self.consumer.assign(&wanted));
        let mut ended = BTreeSet::new();
        let begin = Instant::now();
        while ended.len() < self.partitions.len() {
            assert!(begin.elapsed() < PATIENCE, "a partition has no end: {ended:?}");
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                polled => add(&mut self.partitions, polled.and_then(Result::ok)),
            }
        }
        let after: Vec<usize> = self.partitions.values().map(at).collect();
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
    }

    /// The number of records that were read.
    pub fn count(&self) -> usize {
        self.partitions.values().map(Vec::len).sum()
    }

    /// The bodies of each partition.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &[Vec<u8>])> {
        self.partitions.iter().map(|(number, bodies)| (*number, &**bodies))
    }
}

fn add(partitions: &mut BTreeMap<i32, Vec<Vec<u8>>>, record: Option<BorrowedMessage<'_>>) {
    let Some(record) = record else { return };
    let bodies = partitions.entry(record.partition()).or_default();
    bodies.push(record.payload().unwrap_or_default().to_vec());
}

impl fmt::Debug for CommittedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedRecords").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// Reads the offsets that a consumer group has committed for a topic.
pub struct Progress {
    consumer: BaseConsumer,
    asked: TopicPartitionList,
}

impl Progress {
    /// Returns the number of records that the group has committed in all partitions; 0 while the broker does not answer.
    pub fn committed(&self) -> usize {
        let Ok(answer) = self.consumer.committed_offsets(self.asked.clone(), PATIENCE) else {
            return 0;
        };
        let offsets = answer.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(offset) => usize::try_from(offset).unwrap_or(0),
            _ => 0,
        });
        offsets.sum()
    }
}

impl Progress {
    /// Whether the group has committed an offset of every partition.
    pub fn has_begun(&self) -> bool {
        let answer = self.consumer.committed_offsets(self.asked.clone(), PATIENCE);
        answer.is_ok_and(|answer| {
            answer.elements().iter().all(|element| matches!(element.offset(), Offset::Offset(_)))
        })
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("asked", &self.asked).finish_non_exhaustive()
    }
}

fn expect<T>(action: &str, result: KafkaResult<T>) -> T {
    result.unwrap_or_else(|error| panic!("Kafka, {action}: {error}"))
}

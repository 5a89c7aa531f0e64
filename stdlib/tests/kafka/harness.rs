//! The harness of the tests: topics, records that librdkafka itself writes, and running sources.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};
use tokio::task::JoinHandle;
use weir_plan::{Settings, Template, TemplatePart, Value};
use weir_runtime::batch::Batch;
use weir_runtime::channel::{Channel, Limits, MemoryChannel, Taken};
use weir_runtime::sink::SinkPort;
use weir_runtime::source::SourcePort;
use weir_runtime::{Context, Failure, Meter, SystemClock};

/// The tool that runs the servers.
pub(crate) const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/services/services");

/// The longest time that a test waits for an event.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Locked for reading by tests that share the broker, and for writing by the test that stops it.
static BROKER: RwLock<()> = RwLock::const_new(());

pub(crate) enum Broker {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Broker {
    pub(crate) async fn shared() -> Broker {
        log();
        Broker::Shared { _guard: BROKER.read().await }
    }

    pub(crate) async fn alone() -> Broker {
        log();
        Broker::Alone { _guard: BROKER.write().await }
    }
}

fn log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _set_by_another_test =
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// Returns the broker's address: from `KAFKA_BOOTSTRAP`, or from the servers in `WEIR_SERVICES_DIR`.
pub(crate) fn bootstrap() -> String {
    server_setting("KAFKA_BOOTSTRAP")
}

/// Returns a line of the services' output, such as `KAFKA_TLS`: from the environment, or from the servers in
/// `WEIR_SERVICES_DIR`.
pub(crate) fn server_setting(key: &str) -> String {
    static LINES: OnceLock<String> = OnceLock::new();
    std::env::var(key).unwrap_or_else(|_| {
        let lines = LINES.get_or_init(lines_of_services).lines();
        let value = lines.into_iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("the services have no {key}")).to_owned()
    })
}

fn lines_of_services() -> String {
    assert!(
        std::env::var_os("WEIR_SERVICES_DIR").is_some(),
        "these tests need a Kafka broker: set KAFKA_BOOTSTRAP to its address, or run them through tests/run"
    );
    let output = Command::new(SERVICES).args(["up", "kafka"]).output().unwrap();
    assert!(output.status.success(), "{SERVICES} up kafka: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a name that no other run uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}-{}", since.as_micros(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap()
}

pub(crate) async fn create_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let results = admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
    results[0].as_ref().unwrap();
}

pub(crate) async fn add_partitions(topic: &str, count: usize) {
    let more = NewPartitions::new(topic, count);
    let admin = admin();
    let results = admin.create_partitions([&more], &AdminOptions::new()).await.unwrap();
    results[0].as_ref().unwrap();
    // A producer that the broker tells of too few partitions does not write to the new ones.
    wait_until("the broker tells of the new partitions", || {
        let metadata = admin.inner().fetch_metadata(Some(topic), TIMEOUT).unwrap();
        metadata.topics()[0].partitions().len() == count
    })
    .await;
}

/// Creates a topic with a unique name, and returns the name.
pub(crate) async fn topic(name: &str, partitions: i32) -> String {
    let name = unique(name);
    create_topic(&name, partitions, &[]).await;
    name
}

/// Returns the body of the record with this number.
pub(crate) fn body(number: usize) -> String {
    format!("record {number:>9} of a test that wants to have every one of them back, once or more")
}

/// Writes records, distributed over the partitions, and waits until they are written.
pub(crate) async fn produce(topic: &str, partitions: i32, numbers: std::ops::Range<usize>) {
    let topic = topic.to_string();
    let write = move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap()).set("queue.buffering.max.messages", "0");
        let producer: BaseProducer = config.create().unwrap();
        for number in numbers {
            let (body, key) = (body(number), number.to_string());
            let record = BaseRecord::to(&topic)
                .partition((number % partitions as usize) as i32)
                .key(&key)
                .payload(&body);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    };
    tokio::task::spawn_blocking(write).await.unwrap();
}

/// Returns the offsets that a group has committed, by partition.
pub(crate) async fn committed(group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let (group, topic) = (group.to_string(), topic.to_string());
    let ask = move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap()).set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&topic, 0, partitions - 1);
        let found = consumer.committed_offsets(list, TIMEOUT).unwrap();
        let offsets = found.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        offsets.collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// Commits offsets for a group without members.
pub(crate) async fn commit(group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    consumer.commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("@key", DataType::BinaryView, true),
        Field::new("@offset", DataType::Int64, false),
        Field::new("@partition", DataType::Int64, false),
        Field::new("@timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("@tombstone", DataType::Boolean, false),
        Field::new("@topic", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

pub(crate) fn context(component: &str, schema: SchemaRef) -> Context {
    Context {
        exactly_once: false,
        program: "test".into(),
        component: component.into(),
        schema,
        meter: Arc::default(),
        clock: Arc::new(SystemClock),
        descriptors: weir_runtime::Descriptors::of_process(),
    }
}

pub(crate) fn variant(name: &str) -> Value {
    Value::Variant { name: name.to_string(), settings: BTreeMap::new() }
}

pub(crate) fn template(text: &str) -> Value {
    Value::Template(Template { parts: vec![TemplatePart::Text(text.to_string())] })
}

fn settings(given: Vec<(&str, Value)>, changed: Vec<(&str, Value)>) -> Settings {
    let values = given.into_iter().chain(changed);
    Settings { values: values.map(|(name, value)| (name.to_string(), value)).collect() }
}

pub(crate) fn source_settings(topic: &str, group: &str, changed: Vec<(&str, Value)>) -> Settings {
    let given = vec![
        ("brokers", Value::List(vec![Value::Text(bootstrap())])),
        ("topics", Value::List(vec![Value::Text(topic.to_string())])),
        ("group", Value::Text(group.to_string())),
        ("partitions", variant("group")),
        ("start", variant("oldest")),
        ("batch", Value::Int(1000)),
        ("linger", Value::Duration(Duration::from_millis(50))),
        ("session_timeout", Value::Duration(Duration::from_secs(10))),
        ("protocol", variant("classic")),
        ("prefetch", Value::Size(4 << 20)),
        ("security", variant("plaintext")),
    ];
    settings(given, changed)
}

pub(crate) fn sink_settings(topic: Value, changed: Vec<(&str, Value)>) -> Settings {
    let given = vec![
        ("brokers", Value::List(vec![Value::Text(bootstrap())])),
        ("topic", topic),
        ("key", Value::Null),
        ("partitioner", variant("murmur2")),
        ("format", variant("raw")),
        ("headers", Value::List(Vec::new())),
        ("acks", variant("all")),
        ("delivery", Value::Null),
        ("transaction", transaction(50_000, 200)),
        ("transactional_id", Value::Null),
        ("positions", Value::Text("weir-positions".to_owned())),
        ("compress", variant("lz4")),
        ("linger", Value::Duration(Duration::from_millis(5))),
        ("timeout", Value::Duration(Duration::from_secs(60))),
        ("buffer", Value::Size(64 << 20)),
        ("security", variant("plaintext")),
    ];
    settings(given, changed)
}

/// The setting `transaction`: the most events, and the milliseconds from its begin to its end.
pub(crate) fn transaction(events: i64, age: u64) -> Value {
    let age = Value::Duration(Duration::from_millis(age));
    Value::Record([("events".to_owned(), Value::Int(events)), ("age".to_owned(), age)].into())
}

pub(crate) fn channel(capacity: usize) -> Arc<dyn Channel> {
    Arc::new(MemoryChannel::new(Limits {
        capacity,
        transaction_capacity: capacity,
        byte_capacity: 64 << 20,
        keep_alive: Duration::from_secs(3),
    }))
}

/// A running source with a channel behind it, which the harness reads.
pub(crate) struct RunningSource {
    pub(crate) stop: Box<dyn Fn() + Send + Sync>,
    pub(crate) task: JoinHandle<Result<(), Failure>>,
    received: Arc<Mutex<Received>>,
    acknowledge_limit: watch::Sender<usize>,
    channel: Arc<dyn Channel>,
    meter: Arc<Meter>,
}

#[derive(Default)]
struct Received {
    bodies: BTreeMap<String, usize>,
    /// The number of records that were taken from the channel.
    taken: usize,
    acknowledged: usize,
    /// The offsets by topic and partition, in the order of arrival.
    offsets: BTreeMap<(String, i64), Vec<i64>>,
    /// Whether each record has no value, in the order of arrival.
    tombstones: Vec<bool>,
}

impl RunningSource {
    pub(crate) fn start(settings: &Settings) -> RunningSource {
        RunningSource::start_with(settings, 20_000)
    }

    pub(crate) fn start_with(settings: &Settings, capacity: usize) -> RunningSource {
        let channel = channel(capacity);
        let sink = SinkPort::reading(&*channel);
        RunningSource::run(settings, channel, sink)
    }

    /// Starts a source in front of this channel, which is opened first.
    pub(crate) async fn start_into(settings: &Settings, channel: Arc<dyn Channel>) -> RunningSource {
        let sink = SinkPort::reading(&*channel);
        channel.open().await.unwrap();
        RunningSource::run(settings, channel, sink)
    }

    fn run(settings: &Settings, channel: Arc<dyn Channel>, sink: SinkPort) -> RunningSource {
        let context = context("in", schema());
        let meter = context.meter.clone();
        let mut source = weir_stdlib::kafka::make_source(settings, context).unwrap();
        let received = Arc::<Mutex<Received>>::default();
        let (acknowledge_limit, limit) = watch::channel(usize::MAX);
        tokio::spawn(collect(sink, received.clone(), limit));
        let port = SourcePort::into_channel(channel.clone());
        let stop = port.stop.clone();
        let task = tokio::spawn(async move { source.run(port).await });
        RunningSource {
            stop: Box::new(move || stop.cancel()),
            task,
            received,
            acknowledge_limit,
            channel,
            meter,
        }
    }

    /// Returns whether each record had no value, in the order of arrival.
    pub(crate) fn tombstones(&self) -> Vec<bool> {
        self.received.lock().unwrap().tombstones.clone()
    }

    /// Returns the lag of a partition, if the source has measured it.
    pub(crate) fn lag(&self, partition: &str) -> Option<u64> {
        self.meter.partition_gauges().get("lag_events")?.get(partition).copied()
    }

    /// Switches the acknowledgement of taken records on or off.
    pub(crate) fn acknowledge(&self, enabled: bool) {
        self.acknowledge_first(if enabled { usize::MAX } else { 0 });
    }

    /// Acknowledges taken records until this many are acknowledged. The last batch may exceed the number.
    pub(crate) fn acknowledge_first(&self, records: usize) {
        self.acknowledge_limit.send_replace(records);
    }

    /// Waits until this many records are taken and not acknowledged.
    pub(crate) async fn wait_for_held(&self, count: usize) {
        let enough = || {
            let received = self.received.lock().unwrap();
            received.taken - received.acknowledged >= count
        };
        wait_until(&format!("{count} records that are not acknowledged"), enough).await;
    }

    pub(crate) fn count(&self) -> usize {
        self.received.lock().unwrap().bodies.len()
    }

    pub(crate) fn has_all(&self, numbers: std::ops::Range<usize>) -> bool {
        missing(&self.received.lock().unwrap().bodies, numbers).is_empty()
    }

    pub(crate) fn has_each(&self, numbers: &[usize]) -> bool {
        let received = self.received.lock().unwrap();
        numbers.iter().all(|number| received.bodies.contains_key(&body(*number)))
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        let begin = Instant::now();
        while self.count() < count {
            assert!(begin.elapsed() < TIMEOUT, "{} of {count} records within {TIMEOUT:?}", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the source in an orderly way. Returns how often each body was received.
    pub(crate) async fn stop(self) -> BTreeMap<String, usize> {
        (self.stop)();
        self.acknowledge(true);
        let ended = tokio::time::timeout(TIMEOUT, self.task).await.expect("the source did not stop");
        ended.unwrap().unwrap();
        self.channel.close();
        std::mem::take(&mut self.received.lock().unwrap().bodies)
    }

    /// Drops the source's future, as when the agent has to stop at once.
    pub(crate) fn abort(self) -> BTreeMap<String, usize> {
        self.task.abort();
        self.channel.close();
        std::mem::take(&mut self.received.lock().unwrap().bodies)
    }

    /// Waits for the source to fail.
    pub(crate) async fn failure(self) -> Failure {
        let ended = tokio::time::timeout(TIMEOUT, self.task).await.expect("the source did not fail");
        ended.unwrap().expect_err("the source ended well")
    }

    /// Returns the offsets of each partition, in the order of arrival.
    pub(crate) fn offsets(&self) -> BTreeMap<(String, i64), Vec<i64>> {
        self.received.lock().unwrap().offsets.clone()
    }
}

async fn collect(
    mut port: SinkPort,
    received: Arc<Mutex<Received>>,
    mut acknowledge_limit: watch::Receiver<usize>,
) {
    let mut unacknowledged = VecDeque::new();
    loop {
        let taken = tokio::select! {
            taken = port.take() => Some(taken.unwrap()),
            changed = acknowledge_limit.changed() => {
                if changed.is_err() { return }
                None
            }
        };
        match taken {
            Some(Taken::Events(delivery)) => {
                record(&mut received.lock().unwrap(), &delivery.batch);
                unacknowledged.push_back((delivery.batch.rows(), delivery.acknowledgement));
            }
            Some(Taken::End) => return,
            Some(Taken::Pressure) | None => {}
        }
        let mut received = received.lock().unwrap();
        while received.acknowledged < *acknowledge_limit.borrow() {
            let Some((rows, acknowledgement)) = unacknowledged.pop_front() else { break };
            received.acknowledged += rows;
            acknowledgement.done();
        }
    }
}

fn record(received: &mut Received, batch: &Batch) {
    let column = |name: &str| batch.column(name).unwrap();
    let (topics, partitions, offsets) = (column("@topic"), column("@partition"), column("@offset"));
    received.taken += batch.rows();
    let tombstones = column("@tombstone");
    received
        .tombstones
        .extend((0..batch.rows()).map(|row| tombstones.values().as_boolean().value(tombstones.index(row))));
    for row in 0..batch.rows() {
        let body = String::from_utf8(batch.bodies().unwrap().value(row).to_vec()).unwrap();
        *received.bodies.entry(body).or_default() += 1;
        let topic = topics.values().as_string_view().value(topics.index(row)).to_string();
        let partition = partitions.values().as_primitive::<Int64Type>().value(partitions.index(row));
        let offset = offsets.values().as_primitive::<Int64Type>().value(offsets.index(row));
        received.offsets.entry((topic, partition)).or_default().push(offset);
    }
}

pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the numbers of the records that were not received.
pub(crate) fn missing(bodies: &BTreeMap<String, usize>, numbers: std::ops::Range<usize>) -> Vec<usize> {
    numbers.filter(|number| !bodies.contains_key(&body(*number))).collect()
}

/// Asserts that all these records were received.
pub(crate) fn assert_complete(bodies: &BTreeMap<String, usize>, numbers: std::ops::Range<usize>) {
    let missing = missing(bodies, numbers);
    assert!(missing.is_empty(), "{} records are missing, the first is {}", missing.len(), missing[0]);
}

/// Returns how many bodies are repetitions.
pub(crate) fn repeated(bodies: &BTreeMap<String, usize>) -> usize {
    bodies.values().map(|times| times - 1).sum()
}

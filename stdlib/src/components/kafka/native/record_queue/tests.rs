//! What librdkafka has fetched in advance when a partition is paused, sought or given away.

use std::time::Instant;

use rdkafka::consumer::DefaultConsumerContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::*;

const TOPIC: &str = "logs";
const RECORDS: i64 = 4_000;
const RECORD_BYTES: usize = 1_024;
/// What may be fetched in advance, and how much one fetch asks for.
const PREFETCH_KIB: usize = 64;
const FETCH_BYTES: usize = 16 << 10;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(60);

type Queue = RecordQueue<DefaultConsumerContext>;

/// Makes brokers of this process with a topic of one partition that has records.
fn brokers() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    // A batch is fetched as a whole.
    config.set("batch.num.messages", "16");
    let producer: BaseProducer = config.create().unwrap();
    let body = vec![b'x'; RECORD_BYTES];
    for _record in 0..RECORDS {
        producer.send(BaseRecord::<(), [u8]>::to(TOPIC).partition(0).payload(&body)).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).unwrap();
    cluster
}

fn queue_of(cluster: &MockCluster<'_, DefaultProducerContext>) -> Queue {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "logs")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", PREFETCH_KIB.to_string())
        .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
        .set("fetch.queue.backoff.ms", "20");
    let queue = RecordQueue::new(config.create().unwrap()).unwrap();
    read_from(&queue, 0);
    queue
}

/// Lets the partition be assigned to the consumer, from this record on.
fn read_from(queue: &Queue, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(offset)).unwrap();
    queue.consumer().assign(&list).unwrap();
    queue.take_over(TOPIC, 0);
}

fn partition() -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, 0);
    list
}

/// How many records wait in the queue.
fn waiting(queue: &Queue) -> usize {
    // SAFETY: the queue is alive until it is dropped.
    unsafe { rd_kafka_queue_length(queue.queue.as_ptr()) }
}

/// Waits until records have been fetched in advance.
fn await_prefetched(queue: &Queue) {
    let begin = Instant::now();
    while waiting(queue) == 0 {
        assert!(begin.elapsed() < PATIENCE, "nothing is fetched in advance");
        queue.consumer().poll(Duration::from_millis(1));
    }
}

/// Returns the offset of the next record.
fn next(queue: &mut Queue) -> i64 {
    let begin = Instant::now();
    while !queue.fill(1, Duration::from_millis(100)) {
        assert!(begin.elapsed() < PATIENCE, "no record comes");
        queue.consumer().poll(Duration::ZERO);
    }
    let taken = queue.next().unwrap();
    assert_eq!(taken.error(), None);
    taken.offset()
}

#[test]
fn what_was_fetched_before_a_pause_a_seek_or_another_assignment_is_not_delivered() {
    let cluster = brokers();
    let mut queue = queue_of(&cluster);
    assert_eq!(next(&mut queue), 0);
    await_prefetched(&queue);
    queue.consumer().pause(&partition()).unwrap();
    assert!(waiting(&queue) > 0);
    assert!(!queue.fill(TAKEN_MAX, Duration::from_millis(100)), "the partition is paused");
    assert_eq!(waiting(&queue), 0);
    queue.consumer().resume(&partition()).unwrap();
    assert_eq!(next(&mut queue), 1, "what was dropped is read again");
    // A pause, and then a seek while what was fetched before it is still there.
    await_prefetched(&queue);
    queue.consumer().pause(&partition()).unwrap();
    queue.consumer().seek(TOPIC, 0, Offset::Offset(500), PATIENCE).unwrap();
    assert!(waiting(&queue) > 0);
    queue.consumer().resume(&partition()).unwrap();
    assert_eq!(next(&mut queue), 500);
    // The partition is given away while it is paused, and comes back.
    await_prefetched(&queue);
    queue.consumer().pause(&partition()).unwrap();
    queue.consumer().unassign().unwrap();
    queue.consumer().resume(&partition()).unwrap();
    assert!(!queue.fill(TAKEN_MAX, Duration::from_millis(100)), "nothing is assigned");
    read_from(&queue, 700);
    assert_eq!(next(&mut queue), 700);
    // The same with records that are still in the queue when it is assigned again.
    await_prefetched(&queue);
    queue.consumer().unassign().unwrap();
    read_from(&queue, 2_000);
    assert_eq!(next(&mut queue), 2_000);
}

#[test]
fn outdated_records_count_among_those_that_are_fetched_in_advance() {
    let cluster = brokers();
    let mut queue = queue_of(&cluster);
    assert_eq!(next(&mut queue), 0);
    // One fetch may be on its way when the limit is reached, and one when the partition is paused or sought.
    let most = (PREFETCH_KIB << 10).div_ceil(RECORD_BYTES) + 2 * FETCH_BYTES.div_ceil(RECORD_BYTES);
    for round in 0..50 {
        await_prefetched(&queue);
        queue.consumer().pause(&partition()).unwrap();
        if round % 2 == 0 {
            queue.consumer().seek(TOPIC, 0, Offset::Offset(10 * round), PATIENCE).unwrap();
        } else {
            queue.consumer().unassign().unwrap();
            read_from(&queue, 10 * round);
        }
        queue.consumer().resume(&partition()).unwrap();
        // Long enough for some fetches.
        queue.consumer().poll(Duration::from_millis(20));
        assert!(waiting(&queue) <= most, "{} records wait in round {round}", waiting(&queue));
    }
    assert_eq!(next(&mut queue), 490);
}

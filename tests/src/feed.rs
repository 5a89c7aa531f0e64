//! A producer that writes numbered records into a topic while servers come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// How long a record may wait for the broker.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a feed writes.
const TICK: Duration = Duration::from_millis(20);

/// A thread that writes records at a rate. The records of each partition are numbered from 0: `2-00000017 …`.
#[derive(Debug)]
pub struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<i32, usize>>,
}

/// A record that a feed has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FedRecord {
    /// The partition of the record.
    pub partition: i32,
    /// The number of the record in its partition.
    pub number: usize,
}

impl FedRecord {
    /// Returns the record with this body.
    pub fn of(body: &[u8]) -> Option<FedRecord> {
        let (name, _) = std::str::from_utf8(body).ok()?.split_once(' ')?;
        let (partition, number) = name.split_once('-')?;
        Some(FedRecord { partition: partition.parse().ok()?, number: number.parse().ok()? })
    }
}

impl Feed {
    pub(crate) fn start(config: &ClientConfig, topic: &str, partitions: i32, rate: usize) -> Feed {
        let mut config = config.clone();
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("log_level", "0");
        config.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        let producer: BaseProducer = config.create().unwrap_or_else(|error| panic!("a producer: {error}"));
        let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut counts: BTreeMap<i32, usize> = (0..partitions).map(|partition| (partition, 0)).collect();
            let begin = Instant::now();
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = (begin.elapsed().as_secs_f64() * rate as f64) as usize;
                for number in sent..due {
                    write(&producer, &topic, (number % partitions as usize) as i32, &mut counts);
                }
                sent = due;
                producer.poll(TICK);
                sleep(TICK);
            }
            producer.flush(PATIENCE).unwrap_or_else(|error| panic!("writing to {topic}: {error}"));
            counts
        });
        Feed { stop, thread }
    }

    /// Stops, waits until the broker has all records, and returns how many each partition has.
    ///
    /// # Panics
    ///
    /// When the broker does not take them.
    pub fn end(self) -> BTreeMap<i32, usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the feed writes")
    }
}

fn write(producer: &BaseProducer, topic: &str, partition: i32, counts: &mut BTreeMap<i32, usize>) {
    let count = counts.get_mut(&partition).expect("the partition exists");
    let body = format!("{partition}-{count:08} a record of some length, as topics of events have them");
    let mut record: BaseRecord<'_, (), String> = BaseRecord::to(topic).partition(partition).payload(&body);
    while let Err((error, unsent)) = producer.send(record) {
        let is_full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
        assert!(is_full, "writing to {topic}: {error}");
        producer.poll(TICK);
        record = unsent;
    }
    *count += 1;
}

//! Histories of the real sink in flows that promise `exactly_once`, on simulated brokers ([`brokers`]) and in virtual time.
//!
//! Requests reach the brokers late, also after the sink has given them up or was killed, and answers are lost, so that the outcome of a
//! commit is unknown. Brokers end transactions that take too long, coordinators move, and connections are lost. In half of the
//! histories the sink commits the offsets of a group, whose partition moves away and comes back at any time. At the end each event has
//! to be in the topic once, in order.
//!
//! `WEIR_HISTORIES` sets the number of histories, `WEIR_SEED` the first seed.

mod brokers;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weir_plan::{Settings, Template, Value};
use weir_runtime::batch::{Batch, Identities, Interval, Origins, Partition};
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::sink::{Sink, SinkPort};
use weir_runtime::source::{Handover, Outlet, SourcePort};
use weir_runtime::{Context, Descriptors, SystemClock, seeds_from_environment};

use super::{KafkaSink, make_sink_on};
use crate::components::kafka::shared_group::{Generation, SharedGroup};
use brokers::{Counts, Simulated};

const HISTORIES: u64 = 150;
const EVENTS: u64 = 300;
/// How long faults happen, and how long everything may take after them.
const STORM: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_secs(600);
/// The wait after a failure of the sink.
const RETRY: Duration = Duration::from_millis(100);
/// The beginning of the names of partitions in the sink, and the only partition.
const PREFIX: &str = "buffer/in/";
const TOPIC: &str = "numbers";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]))
}

/// Returns a batch of the events with these numbers. The position of an event is its number plus one.
fn batch(numbers: std::ops::Range<u64>, partition: &str) -> Batch {
    let columns = vec![BinaryViewArray::from_iter_values(numbers.clone().map(|n| n.to_string())).into()];
    let interval =
        Interval { partition: Partition::new(partition), after: numbers.start, through: numbers.end };
    let rows = (numbers.end - numbers.start) as usize;
    let made = Batch::new(schema(), columns, rows, Origins::new(vec![interval])).unwrap();
    let positions = numbers.map(|number| number + 1).collect();
    made.with_identities(Identities::of_one(Partition::new(partition), positions)).unwrap()
}

fn settings() -> Settings {
    let variant = |name: &str| Value::Variant { name: name.to_owned(), settings: Default::default() };
    let transaction = [("events", Value::Int(20)), ("age", Value::Duration(Duration::from_millis(50)))];
    let transaction = transaction.map(|(name, value)| (name.to_owned(), value));
    let topic = Template { parts: vec![weir_plan::TemplatePart::Text("out".to_owned())] };
    let values = [
        ("brokers", Value::List(vec![Value::Text("simulated:1".to_owned())])),
        ("topic", Value::Template(topic)),
        ("key", Value::Null),
        ("partitioner", variant("murmur2")),
        ("format", variant("raw")),
        ("headers", Value::List(Vec::new())),
        ("acks", variant("all")),
        ("delivery", Value::Null),
        ("transaction", Value::Record(transaction.into())),
        ("transactional_id", Value::Text("id".to_owned())),
        ("positions", Value::Text("positions".to_owned())),
        ("compress", variant("none")),
        ("linger", Value::Duration(Duration::ZERO)),
        ("timeout", Value::Duration(Duration::from_secs(30))),
        ("buffer", Value::Size(1 << 20)),
        ("security", variant("plaintext")),
    ];
    Settings { values: values.map(|(name, value)| (name.to_owned(), value)).into() }
}

fn sink(brokers: &Simulated) -> KafkaSink {
    let context = Context {
        exactly_once: true,
        program: "test".into(),
        component: "out".into(),
        schema: schema(),
        meter: Arc::default(),
        clock: Arc::new(SystemClock),
        descriptors: Descriptors::of_process(),
    };
    make_sink_on(Arc::new(brokers.clone()), &settings(), context).unwrap()
}

/// Puts all events, whose partition nobody else reads.
async fn put_all(brokers: &Simulated, outlet: &mut Outlet) {
    let mut next = 0;
    while next < EVENTS {
        let end = (next + brokers.below(15) + 1).min(EVENTS);
        sleep(Duration::from_millis(brokers.below(30))).await;
        outlet.put(batch(next..end, &format!("{PREFIX}{TOPIC}/0"))).await.unwrap();
        next = end;
    }
}

/// Reads the partition as a member of the group, which loses it and gets it back at any time. Ends when everything is committed.
async fn put_as_a_member(brokers: &Simulated, group: &SharedGroup, outlet: &mut Outlet) {
    let run = group.begin_run();
    loop {
        let (number, mut next) = brokers.join().await;
        if next >= EVENTS {
            return;
        }
        let plain = Partition::new(format!("{TOPIC}/0"));
        let name = group.assign(run, &plain, TOPIC, 0, String::new());
        let generation =
            Generation { group: "g".to_owned(), number, member: "member".to_owned(), instance: None };
        group.renew(run, Some(generation));
        let lost = brokers.next_rebalance();
        let reading = async {
            loop {
                sleep(Duration::from_millis(brokers.below(30) + 1)).await;
                if next < EVENTS {
                    let end = (next + brokers.below(15) + 1).min(EVENTS);
                    outlet.put(batch(next..end, &format!("{PREFIX}{name}"))).await.unwrap();
                    next = end;
                } else if brokers.committed() >= EVENTS {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = sleep_until(lost) => brokers.count(|counts| counts.moved += 1),
            () = reading => return,
        }
        // The group goes on without this member before the member knows it.
        if brokers.one_in(2) {
            brokers.begin_generation();
            sleep(Duration::from_millis(brokers.below(50))).await;
            group.revoke([&name].into_iter());
        } else {
            group.revoke([&name].into_iter());
            brokers.begin_generation();
        }
    }
}

/// Runs an agent until all events have arrived.
async fn agent(brokers: &Simulated, is_shared: bool) {
    let mut sink = sink(brokers);
    let group = Arc::new(SharedGroup::new("g", &["simulated:1".to_owned()]));
    if is_shared {
        let handover: Handover = group.clone();
        sink.take_over(&handover, PREFIX).unwrap();
        brokers.shares(&group);
    }
    while let Err(failure) = sink.recover().await {
        assert!(!failure.is_permanent(), "{failure}");
        sleep(RETRY).await;
    }
    let limits = Limits {
        capacity: 100,
        transaction_capacity: 100,
        byte_capacity: 1 << 20,
        keep_alive: Duration::from_secs(3600),
    };
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits));
    let mut port = SinkPort::reading(&*channel);
    let SourcePort { mut outlet, .. } = SourcePort::into_channel(channel.clone());
    let source = async {
        match is_shared {
            true => put_as_a_member(brokers, &group, &mut outlet).await,
            false => put_all(brokers, &mut outlet).await,
        }
        outlet.close();
        channel.close();
    };
    let sinking = async {
        while let Err(failure) = sink.run(&mut port).await {
            assert!(!failure.is_permanent(), "{failure}");
            brokers.count(|counts| counts.failed += 1);
            sleep(RETRY).await;
            port.begin_again();
        }
    };
    tokio::join!(source, sinking);
}

/// Plays a history. Returns what has happened.
async fn play(seed: u64) -> Result<Counts, String> {
    let brokers = Simulated::new(seed);
    let is_shared = seed % 2 == 1;
    let end = Instant::now() + STORM;
    loop {
        let life = Duration::from_millis(500 + brokers.below(4_000));
        let is_stormy = Instant::now() < end;
        if !is_stormy {
            brokers.calm();
        }
        let limit = if is_stormy { life } else { CALM };
        // A kill: requests that are on their way still arrive.
        match timeout(limit, agent(&brokers, is_shared)).await {
            Ok(()) => break,
            Err(_killed) if is_stormy => brokers.count(|counts| counts.killed += 1),
            Err(_elapsed) => return Err(format!("WEIR_SEED={seed}: it does not end")),
        }
    }
    let expected: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    let found = brokers.output();
    match found == expected {
        true => Ok(brokers.counts()),
        false => {
            let place = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            let place = place.unwrap_or(found.len().min(expected.len()));
            let around = &found[place.saturating_sub(2)..(place + 5).min(found.len())];
            Err(format!("WEIR_SEED={seed}: {} events, event {place} is wrong: {around:?}", found.len()))
        }
    }
}

#[test]
fn each_event_arrives_once_whatever_brokers_do() {
    let seeds = seeds_from_environment(HISTORIES);
    let mut all = Counts::default();
    for seed in seeds.clone() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let counts = runtime.block_on(play(seed)).unwrap_or_else(|wrong| panic!("{wrong}"));
        all.add(&counts);
    }
    println!("{all:?}");
    if seeds.end - seeds.start >= HISTORIES {
        assert!(all.each().iter().all(|count| *count >= 5), "too rare: {all:?}");
    }
}

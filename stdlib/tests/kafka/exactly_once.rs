//! The sink in flows that promise `exactly_once`: its transactions, and the topic of positions.

use std::ops::Range;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use weir_plan::{Settings, Value};
use weir_runtime::batch::{Batch, Identities, Partition};
use weir_runtime::channel::Recovered;
use weir_runtime::sink::Sink;
use weir_runtime::{Context, Failure};

use crate::harness::{
    Broker, RunningSource, assert_complete, bootstrap, context, create_topic, repeated, sink_settings,
    source_settings, template, topic, transaction, unique,
};
use crate::sink::{batch, run_on};

const PARTITION: &str = "buffer/in/numbers";

/// Returns a batch of numbered events, whose positions are the numbers, or twice the numbers if they are `scattered`.
fn identified(numbers: Range<usize>, scattered: bool) -> Batch {
    let step = if scattered { 2 } else { 1 };
    let positions = numbers.clone().map(|number| step * (number as u64 + 1)).collect();
    batch(numbers).with_identities(Identities::of_one(Partition::new(PARTITION), positions)).unwrap()
}

/// A sink whose settings name a topic, and a topic of positions.
fn sink(settings: &Settings) -> Box<dyn Sink> {
    let schema = batch(0..1).schema().clone();
    let context = Context { exactly_once: true, ..context("out", schema) };
    weir_stdlib::kafka::make_sink(settings, context).unwrap()
}

fn settings(topic: &str, positions: &str, changed: Vec<(&str, Value)>) -> Settings {
    let mut all = vec![
        ("positions", Value::Text(positions.to_owned())),
        ("transactional_id", Value::Text(format!("of-{positions}"))),
    ];
    all.extend(changed);
    sink_settings(template(topic), all)
}

/// Lets a sink recover and write these batches.
async fn write(sink: &mut dyn Sink, batches: Vec<Batch>) -> Result<Recovered, Failure> {
    let recovered = sink.recover().await?;
    run_on(sink, batches).await.0.map(|()| recovered)
}

/// Reads this many committed records, and checks that there are no more.
async fn assert_each_once(topic: &str, numbers: Range<usize>) {
    let source = RunningSource::start(&source_settings(topic, &unique("group"), vec![]));
    source.wait_for(numbers.len()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let bodies = source.stop().await;
    assert_complete(&bodies, numbers);
    assert_eq!(repeated(&bodies), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_have_arrived_are_left_out_after_a_restart() {
    let _broker = Broker::shared().await;
    let (topic, positions) = (topic("restarts", 3).await, unique("positions"));
    let settings = settings(&topic, &positions, vec![("transaction", transaction(700, 50))]);
    let recovered = write(&mut *sink(&settings), vec![identified(0..1_000, false)]).await.unwrap();
    assert_eq!(recovered, Recovered::default(), "nothing has arrived before");
    let batches = vec![identified(0..1_000, false), identified(1_000..50_000, false)];
    let recovered = write(&mut *sink(&settings), batches).await.unwrap();
    assert_eq!(recovered.reached[&Partition::new(PARTITION)].through, 1_000);
    let recovered = write(&mut *sink(&settings), vec![identified(49_000..51_000, false)]).await.unwrap();
    assert_eq!(recovered.reached[&Partition::new(PARTITION)].through, 50_000);
    assert!(recovered.mark >= 2, "{}", recovered.mark);
    assert_each_once(&topic, 0..51_000).await;
}

/// The mistake of others: positions that are committed beside the records, and not with them.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_committed_without_its_position() {
    let _broker = Broker::shared().await;
    let (topic, positions) = (topic("together", 1).await, unique("positions"));
    // The topic takes no record of many scattered positions.
    create_topic(&positions, 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "2000")]).await;
    let settings = settings(&topic, &positions, vec![]);
    let mut at_work = sink(&settings);
    let failure = write(&mut *at_work, vec![identified(0..5_000, true)]).await.unwrap_err();
    assert!(failure.to_string().contains(&positions), "{failure}");
    drop(at_work);
    // The events come again, in parts that fit.
    let batches = (0..50).map(|part| identified(part * 100..(part + 1) * 100, false)).collect();
    write(&mut *sink(&settings), batches).await.unwrap();
    assert_each_once(&topic, 0..5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_behind_an_open_transaction_of_another_sink_are_waited_for() {
    let _broker = Broker::shared().await;
    let (topic, positions) = (topic("open", 1).await, unique("positions"));
    let settings = settings(&topic, &positions, vec![]);
    let mut at_work = sink(&settings);
    write(&mut *at_work, vec![identified(0..100, false)]).await.unwrap();
    // Its next producer is ready before the other transaction begins.
    at_work.recover().await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("transactional.id", unique("other"));
    let other: BaseProducer = config.create().unwrap();
    let limit = Duration::from_secs(30);
    other.init_transactions(limit).unwrap();
    other.begin_transaction().unwrap();
    other.send(BaseRecord::to(&positions).key("[\"other\"]").payload("{}")).unwrap();
    other.flush(limit).unwrap();
    write(&mut *at_work, vec![identified(100..200, false)]).await.unwrap();
    drop(at_work);
    let end = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.abort_transaction(limit).unwrap();
    };
    let mut second = sink(&settings);
    let (recovered, ()) = tokio::join!(second.recover(), end);
    assert_eq!(recovered.unwrap().reached[&Partition::new(PARTITION)].through, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sink_that_comes_later_goes_on_and_the_one_before_ends() {
    let _broker = Broker::shared().await;
    let (topic, positions) = (topic("fenced", 1).await, unique("positions"));
    let settings = settings(&topic, &positions, vec![]);
    let mut first = sink(&settings);
    write(&mut *first, vec![identified(0..100, false)]).await.unwrap();
    first.recover().await.unwrap();
    let mut second = sink(&settings);
    second.recover().await.unwrap();
    let failure = write(&mut *first, vec![identified(100..200, false)]).await.unwrap_err();
    assert!(!failure.is_permanent(), "the producer may have been too slow: {failure}");
    let failure = write(&mut *first, vec![identified(100..200, false)]).await.unwrap_err();
    assert!(failure.is_permanent(), "{failure}");
    assert!(failure.to_string().contains("another agent writes with the transactional id"), "{failure}");
    write(&mut *second, vec![identified(100..200, false)]).await.unwrap_err();
    // The second one was fenced by the last attempt of the first, and goes on.
    write(&mut *second, vec![identified(100..200, false)]).await.unwrap();
    assert_each_once(&topic, 0..200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_forgets_positions_is_refused() {
    let _broker = Broker::shared().await;
    let topic = topic("forgetful", 1).await;
    let cases = [
        (1, "delete", "cleanup.policy=delete: it would forget what has arrived"),
        (3, "compact", "has 3 partitions; it needs one"),
    ];
    for (partitions, policy, expected) in cases {
        let positions = unique("positions");
        create_topic(&positions, partitions, &[("cleanup.policy", policy)]).await;
        let failure = sink(&settings(&topic, &positions, vec![])).recover().await.unwrap_err();
        assert!(failure.is_permanent(), "{failure}");
        assert!(failure.to_string().contains(expected), "{failure}");
    }
}

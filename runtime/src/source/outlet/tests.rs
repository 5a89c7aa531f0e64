use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema};
use tokio::time::Instant;
use weir_plan::{
    Action, Comparison, EventTypeId, Expression, Leg as PlannedLeg, Operation, Route, Step, Value,
};

use super::*;
use crate::batch::{Identities, Origins, Partition};
use crate::channel::{Channel, Demand, Lease, MemoryChannel, Overflow, Reader, Taken};
use crate::routing::{CompiledLeg, Portion, Target};
use crate::source::{Deliveries, SourcePort, SourceWiring};
use crate::steps::StepTools;

fn limits(transaction_capacity: usize, byte_capacity: u64) -> Limits {
    Limits { capacity: 10, transaction_capacity, byte_capacity, keep_alive: Duration::from_secs(3) }
}

/// Makes an outlet into one channel for each of the limits.
fn outlet(limits: &[Limits]) -> (Outlet, Deliveries, Vec<Box<dyn Reader>>, Arc<Meter>) {
    outlet_into(limits.iter().map(|limits| MemoryChannel::new(*limits)), Arc::default())
}

/// Makes an outlet into channels that share a meter.
fn outlet_into(
    channels: impl Iterator<Item = MemoryChannel>,
    channel_meter: Arc<Meter>,
) -> (Outlet, Deliveries, Vec<Box<dyn Reader>>, Arc<Meter>) {
    let channels: Vec<Arc<dyn Channel>> =
        channels.map(|channel| Arc::new(channel) as Arc<dyn Channel>).collect();
    let readers = channels.iter().map(|channel| channel.reader("sink", Demand::Required)).collect();
    let legs: Vec<Leg> = channels
        .into_iter()
        .map(|channel| {
            Leg::direct(Target {
                name: "buffer".into(),
                channel,
                meter: channel_meter.clone(),
                schema: None,
                optional: false,
                is_reject: false,
                knows_positions: true,
                portion: Portion::WHOLE,
            })
        })
        .collect();
    let meter = Arc::new(Meter::default());
    let wiring = SourceWiring {
        component: "in".into(),
        legs: legs.into(),
        meter: meter.clone(),
        progress: None,
        wants_identities: false,
        numbers_events: false,
        workers: Workers::none(),
        memory: crate::environment::memory::MemoryBudget::default(),
        shutdown: crate::source::ShutdownNotice::new().subscribe(),
    };
    let (port, _) = SourcePort::new(&wiring, CancellationToken::new());
    (port.outlet, port.deliveries, readers, meter)
}

fn batch(bodies: &[&str], through: u64) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let column = BinaryViewArray::from_iter_values(bodies).into();
    let origins = Origins::one(Partition::new("p"), through - bodies.len() as u64, through);
    Batch::new(schema, vec![column], bodies.len(), origins).unwrap()
}

async fn lease(reader: &mut Box<dyn Reader>) -> Lease {
    loop {
        match reader.take().await {
            Taken::Events(lease) => return lease,
            Taken::Pressure => {}
            Taken::End => panic!("a lease was expected"),
        }
    }
}

async fn delivered(deliveries: &mut Deliveries) -> u64 {
    let delivered = deliveries.next().await.unwrap();
    delivered.positions().map(|(_, through)| through.position()).max().unwrap()
}

#[tokio::test]
async fn a_batch_larger_than_a_transaction_is_put_in_parts_and_delivered_as_one() {
    let (mut outlet, mut deliveries, mut readers, _) = outlet(&[limits(3, 10_000)]);
    outlet.put(batch(&["a", "b", "c", "d", "e"], 5)).await.unwrap();
    let first = lease(&mut readers[0]).await;
    let second = lease(&mut readers[0]).await;
    assert_eq!((first.batch.rows(), second.batch.rows()), (2, 3));
    second.acknowledgement.done();
    let early = tokio::time::timeout(Duration::from_millis(1), deliveries.next());
    assert!(early.await.is_err(), "one part is not done");
    first.acknowledgement.done();
    assert_eq!(delivered(&mut deliveries).await, 5);
}

#[tokio::test]
async fn parts_keep_to_the_byte_limit_too() {
    // An event of one byte is charged 17.
    let (mut outlet, _deliveries, mut readers, _) = outlet(&[limits(10, 40)]);
    let putting = tokio::spawn(async move { outlet.put(batch(&["a", "b", "c", "d"], 4)).await });
    for _ in 0..2 {
        let part = lease(&mut readers[0]).await;
        assert_eq!(part.batch.rows(), 2);
        part.acknowledgement.done();
    }
    putting.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_larger_than_a_channel_is_an_error_that_names_it() {
    let (mut outlet, mut deliveries, mut readers, meter) = outlet(&[limits(10, 40)]);
    let body = "x".repeat(25);
    assert_eq!(outlet.event_bytes_max(), 40);
    let error = outlet.put(batch(&["a", &body, "b", &body], 4)).await.unwrap_err();
    let expected = "channel buffer: an event of 41 bytes fits into no transaction, which holds 40";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, PutError::TooLarge { bytes: 41, bound: 40, rows, .. } if rows == [1, 3]));
    assert_eq!(meter.received.read().events, 0, "nothing of the batch is put");
    outlet.put(batch(&["a", "b"], 4)).await.unwrap();
    lease(&mut readers[0]).await.acknowledgement.done();
    assert_eq!(delivered(&mut deliveries).await, 4, "the source goes on in the same run");
}

/// A batch of rows at these positions of two partitions. Its origins go on to `through`.
fn mixed(rows: &[(u32, u64)], through: [u64; 2]) -> Batch {
    let partitions = ["p", "q"].map(Partition::new);
    let intervals = partitions.iter().zip(through).map(|(partition, through)| Interval {
        partition: partition.clone(),
        after: 0,
        through,
    });
    let (of, positions) = rows.iter().copied().unzip();
    let identities = Identities::of_several(partitions.to_vec(), of, positions);
    let batch = batch(&vec!["x"; rows.len()], rows.len() as u64);
    batch.with_origins(Origins::new(intervals.collect())).with_identities(identities).unwrap()
}

#[test]
fn origins_of_parts_follow_from_the_identities_of_their_rows() {
    let whole = mixed(&[(0, 10), (1, 5), (0, 30), (0, 40), (1, 9)], [50, 20]);
    let mut parts = Vec::new();
    split(whole.clone(), limits(2, 10_000), &mut parts);
    let parts = with_origins_of_parts(parts);
    let covered: Vec<Vec<(&str, u64, u64)>> = parts
        .iter()
        .map(|part| {
            let intervals = part.origins().intervals().iter();
            intervals.map(|one| (one.partition.name(), one.after, one.through)).collect()
        })
        .collect();
    let expected = [vec![("p", 0, 10), ("q", 0, 5)], vec![("p", 10, 30)], vec![("p", 30, 50), ("q", 5, 20)]];
    assert_eq!(covered, expected);
    assert_eq!(parts.iter().map(Batch::rows).collect::<Vec<_>>(), [2, 1, 2]);
}

/// Keeps the events with this body.
fn keep_body(body: &str) -> Step {
    let operand =
        |operation| Box::new(Expression { data_type: DataType::BinaryView, nullable: false, operation });
    let operation = Operation::Compare(
        Comparison::Equal,
        operand(Operation::Column("body".into())),
        operand(Operation::Literal(Value::Text(body.into()))),
    );
    let condition = Expression { data_type: DataType::Boolean, nullable: false, operation };
    Step {
        label: "keep if body".into(),
        action: Action::Keep(condition),
        on_failure: None,
        event_type: EventTypeId(0),
    }
}

#[tokio::test]
async fn a_part_that_steps_make_too_large_is_put_in_halves() {
    // A row with a counting identity is charged 17 bytes. After a filter, each row stores its position and is charged
    // 25.
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits(10, 90)));
    let mut reader = channel.reader("sink", Demand::Required);
    let name: Arc<str> = "buffer".into();
    let target = Target {
        name,
        channel,
        meter: Arc::default(),
        schema: None,
        optional: false,
        is_reject: false,
        knows_positions: true,
        portion: Portion::WHOLE,
    };
    let planned = PlannedLeg { steps: vec![keep_body("x")], to: Route::Channel("buffer".into()) };
    let compiled = CompiledLeg::compile(&planned, None, &StepTools::none(), &mut Vec::new()).unwrap();
    let leg = Leg::connect(&compiled, None, &mut |_, _| Some(target.clone())).unwrap();
    let wiring = SourceWiring {
        component: "in".into(),
        legs: [leg].into(),
        meter: Arc::default(),
        progress: None,
        wants_identities: false,
        numbers_events: false,
        workers: Workers::none(),
        memory: crate::environment::memory::MemoryBudget::default(),
        shutdown: crate::source::ShutdownNotice::new().subscribe(),
    };
    let (mut port, _) = SourcePort::new(&wiring, CancellationToken::new());
    let counted = batch(&["x", "x", "x", "x", "y"], 5);
    let counted = counted.with_identities(Identities::counting(Partition::new("p"), 1)).unwrap();
    assert_eq!(counted.charged_bytes(), 85);
    let putting = tokio::spawn(async move { port.outlet.put(counted).await });
    let mut covered = Vec::new();
    for _ in 0..2 {
        let part = lease(&mut reader).await;
        assert_eq!(part.batch.rows(), 2);
        covered.extend(part.batch.origins().intervals().iter().map(|one| (one.after, one.through)));
        part.acknowledgement.done();
    }
    assert_eq!(covered, [(0, 2), (2, 5)]);
    putting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_put_into_several_channels_reserves_space_in_none_while_one_is_full() {
    let (mut outlet, mut deliveries, mut readers, meter) = outlet(&[limits(10, 10_000), limits(10, 10_000)]);
    outlet.put(batch(&["x"; 10], 10)).await.unwrap();
    let (first, second) = (lease(&mut readers[0]).await, lease(&mut readers[1]).await);
    first.acknowledgement.done();
    let began = Instant::now();
    let putting = tokio::spawn(async move { outlet.put(batch(&["y"], 11)).await });
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!putting.is_finished());
    assert_eq!(meter.counters()["put_timeouts"], 2, "after three and after six seconds");
    second.acknowledgement.done();
    putting.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(delivered(&mut deliveries).await, 10);
}

#[tokio::test]
async fn an_empty_batch_makes_progress() {
    let (mut outlet, mut deliveries, _readers, _) = outlet(&[limits(10, 10_000)]);
    let nothing = batch(&["dropped"], 9).slice(0, 0);
    outlet.put(nothing).await.unwrap();
    assert_eq!(delivered(&mut deliveries).await, 9);
}

async fn bodies_left(reader: &mut Box<dyn Reader>, batches: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..batches {
        let lease = lease(reader).await;
        let texts = lease.batch.bodies().unwrap().iter().flatten().map(String::from_utf8_lossy);
        bodies.extend(texts.map(String::from));
        lease.acknowledgement.done();
    }
    bodies
}

/// Makes an outlet into a channel of ten events that drops events when it is full.
fn overflowing(overflow: Overflow) -> (Outlet, Deliveries, Vec<Box<dyn Reader>>, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let channel = MemoryChannel::new(limits(10, 10_000)).with_overflow(overflow);
    let (outlet, deliveries, readers, _) = outlet_into([channel].into_iter(), meter.clone());
    (outlet, deliveries, readers, meter)
}

#[tokio::test]
async fn a_full_channel_drops_the_newest_events_if_it_is_set_to() {
    let (mut outlet, mut deliveries, mut readers, meter) = overflowing(Overflow::DropNewest);
    for (bodies, through) in [(["a"; 6], 6), (["b"; 6], 12)] {
        outlet.put(batch(&bodies, through)).await.unwrap();
    }
    outlet.put(batch(&["c"], 13)).await.unwrap();
    assert_eq!(bodies_left(&mut readers[0], 2).await, ["a", "a", "a", "a", "a", "a", "c"]);
    assert_eq!(delivered(&mut deliveries).await, 13);
    assert_eq!(meter.dropped(), Reading { events: 6, bytes: 6 });
}

#[tokio::test]
async fn a_full_channel_drops_the_oldest_events_if_it_is_set_to() {
    let (mut outlet, mut deliveries, mut readers, meter) = overflowing(Overflow::DropOldest);
    outlet.put(batch(&["a"; 4], 4)).await.unwrap();
    let in_flight = lease(&mut readers[0]).await;
    outlet.put(batch(&["b"; 4], 8)).await.unwrap();
    outlet.put(batch(&["c"; 4], 12)).await.unwrap();
    assert_eq!(meter.dropped(), Reading { events: 4, bytes: 4 }, "leased events are not dropped");
    outlet.put(batch(&["d"; 9], 21)).await.unwrap();
    assert_eq!(meter.dropped(), Reading { events: 13, bytes: 13 }, "it would not fit without the oldest");
    in_flight.acknowledgement.done();
    outlet.put(batch(&["e"; 4], 25)).await.unwrap();
    assert_eq!(bodies_left(&mut readers[0], 2).await, ["c", "c", "c", "c", "e", "e", "e", "e"]);
    assert_eq!(delivered(&mut deliveries).await, 25);
}

#[tokio::test]
async fn an_event_that_can_never_fit_is_an_error_and_not_dropped() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let (mut outlet, _deliveries, mut readers, meter) = overflowing(overflow);
        outlet.put(batch(&["a"], 1)).await.unwrap();
        let error = outlet.put(batch(&["x".repeat(20_000).as_str()], 2)).await.unwrap_err();
        assert!(matches!(error, PutError::TooLarge { .. }), "{error}");
        assert_eq!(meter.dropped(), Reading::default());
        assert_eq!(bodies_left(&mut readers[0], 1).await, ["a"]);
    }
}

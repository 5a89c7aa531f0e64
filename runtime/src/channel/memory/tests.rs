use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema};

use super::*;
use crate::batch::Origins;

fn limits(capacity: usize, transaction_capacity: usize, byte_capacity: u64) -> Limits {
    Limits { capacity, transaction_capacity, byte_capacity, keep_alive: Duration::from_secs(3) }
}

fn batch(bodies: &[&str]) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let column = BinaryViewArray::from_iter_values(bodies).into();
    Batch::new(schema, vec![column], bodies.len(), Origins::default()).unwrap()
}

#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<bool>>>);

impl Outcome {
    fn get(&self) -> Option<bool> {
        *self.0.lock().unwrap()
    }

    fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement::new(1, Box::new(self.clone()))
    }
}

impl Settle for Outcome {
    fn settle(self: Box<Self>, done: bool) {
        *self.0.lock().unwrap() = Some(done);
    }
}

async fn put(channel: &MemoryChannel, bodies: &[&str]) -> Outcome {
    let batch = batch(bodies);
    let outcome = Outcome::default();
    let transaction = channel.reserve(Fill::of(&batch)).await.unwrap();
    let scope = &Scope::of_a_run(["in".into()])[0];
    transaction.commit(scope, batch, outcome.acknowledgement()).unwrap();
    outcome
}

async fn lease(reader: &mut Box<dyn Reader>) -> Lease {
    match reader.take().await {
        Taken::Events(lease) => lease,
        other => panic!("expected a lease, got {other:?}"),
    }
}

fn first_body(lease: &Lease) -> String {
    String::from_utf8(lease.batch.bodies().unwrap().value(0).to_vec()).unwrap()
}

#[tokio::test]
async fn a_put_is_acknowledged_when_every_reader_has_committed() {
    let channel = MemoryChannel::new(limits(10, 10, 10_000));
    let (mut one, mut two) =
        (channel.reader("one", Demand::Required), channel.reader("other", Demand::Required));
    let outcome = put(&channel, &["a"]).await;
    lease(&mut one).await.acknowledgement.done();
    assert_eq!(outcome.get(), None);
    assert_eq!(channel.fill().events, 1);
    lease(&mut two).await.acknowledgement.done();
    assert_eq!(outcome.get(), Some(true));
    assert_eq!(channel.fill(), Fill::default());
}

#[tokio::test]
async fn a_dropped_lease_is_redelivered_before_newer_events() {
    let channel = MemoryChannel::new(limits(10, 10, 10_000));
    let mut reader = channel.reader("sink", Demand::Required);
    for body in ["a", "b", "c"] {
        put(&channel, &[body]).await;
    }
    let (a, b) = (lease(&mut reader).await, lease(&mut reader).await);
    assert_eq!(reader.held().events, 2);
    drop(b);
    drop(a);
    assert_eq!(reader.held().events, 0);
    for body in ["a", "b", "c"] {
        let taken = lease(&mut reader).await;
        assert_eq!(first_body(&taken), body);
        taken.acknowledgement.done();
    }
}

#[tokio::test]
async fn a_full_channel_makes_the_put_wait_until_events_are_acknowledged() {
    let channel = MemoryChannel::new(limits(2, 2, 10_000));
    let mut reader = channel.reader("sink", Demand::Required);
    put(&channel, &["a", "b"]).await;
    let amount = Fill { events: 1, bytes: 17 };
    assert!(channel.try_reserve(amount).is_none());
    let taken = lease(&mut reader).await;
    assert!(channel.try_reserve(amount).is_none(), "leased events still take up space");
    taken.acknowledgement.done();
    assert!(channel.try_reserve(amount).is_some());
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let channel = MemoryChannel::new(limits(100, 100, 40));
    let _reader = channel.reader("sink", Demand::Required);
    put(&channel, &["four"]).await;
    assert!(channel.try_reserve(Fill { events: 1, bytes: 21 }).is_none());
    assert!(channel.try_reserve(Fill { events: 1, bytes: 20 }).is_some());
}

#[tokio::test]
async fn a_put_that_can_never_fit_is_an_error_and_does_not_wait() {
    let channel = MemoryChannel::new(limits(10, 5, 40));
    let error = channel.reserve(Fill { events: 6, bytes: 1 }).await.err().unwrap();
    assert_eq!(error.to_string(), "6 events can never fit into a channel that holds 5");
    let error = channel.reserve(Fill { events: 1, bytes: 41 }).await.err().unwrap();
    assert_eq!(error.to_string(), "41 bytes can never fit into a channel that holds 40");
}

#[tokio::test]
async fn dropping_a_reservation_rolls_the_put_back() {
    let channel = MemoryChannel::new(limits(1, 1, 40));
    let amount = Fill { events: 1, bytes: 17 };
    drop(channel.reserve(amount).await.unwrap());
    assert_eq!(channel.fill(), Fill::default());
    assert!(channel.try_reserve(amount).is_some());
}

#[tokio::test]
async fn a_closed_channel_is_emptied_before_its_readers_end() {
    let channel = MemoryChannel::new(limits(10, 10, 10_000));
    let mut reader = channel.reader("sink", Demand::Required);
    put(&channel, &["a"]).await;
    channel.close();
    assert!(matches!(channel.reserve(Fill { events: 1, bytes: 1 }).await, Err(ReserveError::Closed)));
    let taken = lease(&mut reader).await;
    assert!(matches!(reader.take().await, Taken::End));
    drop(taken);
    let again = lease(&mut reader).await;
    again.acknowledgement.done();
    assert!(matches!(reader.take().await, Taken::End));
}

#[tokio::test]
async fn a_take_waits_for_a_put() {
    let channel = Arc::new(MemoryChannel::new(limits(10, 10, 10_000)));
    let mut reader = channel.reader("sink", Demand::Required);
    let taker = tokio::spawn(async move { first_body(&lease(&mut reader).await) });
    tokio::task::yield_now().await;
    put(&channel, &["late"]).await;
    assert_eq!(taker.await.unwrap(), "late");
}

#[tokio::test]
async fn pressure_is_reported_once_when_the_leases_are_half_of_the_channel() {
    let channel = MemoryChannel::new(limits(4, 4, 10_000));
    let mut reader = channel.reader("sink", Demand::Required);
    put(&channel, &["a", "b"]).await;
    put(&channel, &["c"]).await;
    let held = lease(&mut reader).await;
    assert!(matches!(reader.take().await, Taken::Pressure));
    let more = lease(&mut reader).await;
    more.acknowledgement.done();
    assert!(matches!(reader.take().await, Taken::Pressure), "its leases are still half");
    held.acknowledgement.done();
    channel.close();
    assert!(matches!(reader.take().await, Taken::End));
}

#[tokio::test]
async fn pressure_is_reported_when_a_put_waits_for_leased_events() {
    let channel = Arc::new(MemoryChannel::new(limits(10, 10, 10_000)));
    let mut reader = channel.reader("sink", Demand::Required);
    put(&channel, &["a"]).await;
    let held = lease(&mut reader).await;
    let putter = channel.clone();
    let waiting = tokio::spawn(async move { put(&putter, &["x"; 10]).await });
    assert!(matches!(reader.take().await, Taken::Pressure));
    held.acknowledgement.done();
    assert_eq!(lease(&mut reader).await.batch.rows(), 10);
    waiting.await.unwrap();
}

#[tokio::test]
async fn an_optional_reader_misses_events_whose_space_a_put_needs() {
    let channel = MemoryChannel::new(limits(2, 2, 10_000));
    let (mut required, mut optional) =
        (channel.reader("sink", Demand::Required), channel.reader("watch", Demand::Optional));
    let outcome = put(&channel, &["a", "b"]).await;
    lease(&mut required).await.acknowledgement.done();
    assert_eq!(outcome.get(), Some(true), "the put does not wait for the optional reader");
    assert_eq!(channel.fill().events, 2, "but the events that it may still take are kept");
    put(&channel, &["c"]).await;
    assert_eq!(first_body(&lease(&mut optional).await), "c");
    assert_eq!((optional.take_skipped(), optional.take_skipped()), (2, 0));
}

#[tokio::test]
async fn an_optional_reader_keeps_its_lease_when_the_space_of_the_events_is_reused() {
    let channel = MemoryChannel::new(limits(1, 1, 10_000));
    let (mut required, mut optional) =
        (channel.reader("sink", Demand::Required), channel.reader("watch", Demand::Optional));
    put(&channel, &["a"]).await;
    let kept = lease(&mut optional).await;
    lease(&mut required).await.acknowledgement.done();
    put(&channel, &["b"]).await;
    assert_eq!(first_body(&kept), "a");
    drop(kept);
    assert_eq!(
        optional.take_skipped(),
        1,
        "a lease that is rolled back after its entry was removed counts as missed"
    );
    assert_eq!(first_body(&lease(&mut optional).await), "b");
}

#[tokio::test]
async fn readers_of_one_name_divide_the_events_and_each_has_its_own_leases() {
    let channel = MemoryChannel::new(limits(10, 10, 10_000));
    let mut readers = [channel.reader("both", Demand::Required), channel.reader("both", Demand::Required)];
    let outcomes = [put(&channel, &["a"]).await, put(&channel, &["b"]).await];
    let first = lease(&mut readers[0]).await;
    let second = lease(&mut readers[1]).await;
    assert_eq!((first_body(&first), first_body(&second)), ("a".into(), "b".into()));
    assert_eq!((readers[0].held().events, readers[1].held().events), (1, 1));
    second.acknowledgement.done();
    assert_eq!(outcomes[1].get(), Some(true), "one reader of the two is enough");
    assert_eq!((readers[0].held().events, readers[1].held().events), (1, 0));
    // A lease that one reader rolls back goes to the next reader that takes.
    drop(first);
    let again = lease(&mut readers[1]).await;
    assert_eq!(first_body(&again), "a");
    again.acknowledgement.done();
    assert_eq!(outcomes[0].get(), Some(true));
}

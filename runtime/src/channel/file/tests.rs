//! The channel as an agent sees it, on a real directory.

use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::*;
use crate::batch::{Batch, Origins};
use crate::channel::{CommitError, Lease, Overflow, Scope, Taken};
use crate::routing::{Acknowledgement, Settle};

mod divergence;
mod encryption;
mod golden;
mod outages;
mod removed;
mod spare;
mod tools;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]))
}

fn options(path: &std::path::Path) -> FileChannelOptions {
    let limits = Limits {
        capacity: 10_000,
        transaction_capacity: 1_000,
        byte_capacity: BYTE_CAPACITY_MIN,
        keep_alive: Duration::from_secs(3),
    };
    FileChannelOptions {
        component: "buffer".into(),
        owner: "test/buffer".into(),
        path: path.to_owned(),
        schema: schema(),
        limits,
        overflow: Overflow::Wait,
        compression: Compression::None,
        meter: Arc::default(),
    }
}

struct Open<S: Storage = Directory> {
    channel: FileChannel<S>,
    reader: Box<dyn Reader>,
    scope: Scope,
}

async fn open(options: FileChannelOptions) -> Open {
    opened(FileChannel::new(options).unwrap()).await
}

async fn opened<S: Storage>(channel: FileChannel<S>) -> Open<S> {
    let reader = channel.reader("sink", Demand::Required);
    channel.open().await.unwrap();
    Open { channel, reader, scope: Scope::of_a_run(["in".into()])[0].clone() }
}

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    let bodies = BinaryViewArray::from_iter_values(numbers.clone().map(|number| number.to_string()));
    let origins = Origins::one(Partition::new("p"), numbers.start, numbers.end);
    Batch::new(schema(), vec![bodies.into()], (numbers.end - numbers.start) as usize, origins).unwrap()
}

#[derive(Debug)]
struct Outcome(tokio::sync::mpsc::UnboundedSender<bool>);

impl Settle for Outcome {
    fn settle(self: Box<Self>, done: bool) {
        self.0.send(done).ok();
    }
}

/// Returns the error with which opening a channel is refused; the folder's name is replaced by `DIR`.
async fn refusal<S: Storage>(channel: FileChannel<S>) -> String {
    let _reader = channel.reader("sink", Demand::Required);
    let place = channel.options.path.display().to_string();
    channel.open().await.unwrap_err().to_string().replace(&place, "DIR")
}

/// Does the same for a channel in this folder.
async fn refusal_of(folder: &std::path::Path) -> String {
    refusal(FileChannel::new(options(folder)).unwrap()).await
}

/// Changes the bytes of a file.
fn change(folder: &std::path::Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let name = folder.join(file);
    let mut bytes = std::fs::read(&name).unwrap();
    change(&mut bytes);
    std::fs::write(&name, bytes).unwrap();
}

impl<S: Storage> Open<S> {
    /// Puts numbers. The receiver gets the outcome when they are on disk.
    async fn put(&self, numbers: std::ops::Range<u64>) -> tokio::sync::mpsc::UnboundedReceiver<bool> {
        self.put_batch(batch(numbers)).await
    }

    async fn put_batch(&self, batch: Batch) -> tokio::sync::mpsc::UnboundedReceiver<bool> {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let transaction = self.channel.reserve(Fill::of(&batch)).await.unwrap();
        let acknowledgement = Acknowledgement::new(1, Box::new(Outcome(sender)));
        transaction.commit(&self.scope, batch, acknowledgement).unwrap();
        receiver
    }

    async fn put_durably(&self, numbers: std::ops::Range<u64>) {
        assert_eq!(self.put(numbers).await.recv().await, Some(true));
    }

    async fn lease(&mut self) -> Lease {
        loop {
            match self.reader.take().await {
                Taken::Events(lease) => return lease,
                Taken::Pressure => {}
                Taken::End => panic!("a lease was expected"),
            }
        }
    }
}

fn bodies(lease: &Lease) -> Vec<u64> {
    let bodies = lease.batch.bodies().unwrap().iter().flatten();
    bodies.map(|body| String::from_utf8_lossy(body).parse().unwrap()).collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[tokio::test]
async fn a_put_is_done_when_it_is_on_disk_and_is_redelivered_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    first.put_durably(10..20).await;
    let lease = first.lease().await;
    assert_eq!(bodies(&lease), numbers(0..10));
    lease.acknowledgement.done();
    first.channel.shut().await.unwrap();
    drop(first);
    let mut second = open(options(folder.path())).await;
    assert_eq!(second.channel.fill().events, 10);
    assert_eq!(second.channel.stored("in").unwrap()[&Partition::new("p")], 20);
    let lease = second.lease().await;
    assert_eq!(bodies(&lease), numbers(10..20));
    lease.acknowledgement.done();
    assert_eq!(second.channel.fill().events, 0);
}

#[tokio::test]
async fn many_puts_and_takes_go_through_many_segments() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = open(options(folder.path())).await;
    let mut expected = 0;
    for round in 0..300 {
        let begin = round * 1_000;
        open.put(begin..begin + 1_000).await;
        let lease = open.lease().await;
        assert_eq!(bodies(&lease), numbers(expected..expected + 1_000));
        expected += 1_000;
        lease.acknowledgement.done();
    }
    open.channel.shut().await.unwrap();
    let taken: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(taken <= BYTE_CAPACITY_MIN, "{taken} bytes");
}

#[tokio::test]
async fn a_dropped_lease_is_redelivered_first_even_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = open(options(folder.path())).await;
    for round in 0..5 {
        open.put_durably(round * 10..round * 10 + 10).await;
    }
    let (first, second) = (open.lease().await, open.lease().await);
    drop(second);
    drop(first);
    for round in 0..5 {
        let lease = open.lease().await;
        assert_eq!(bodies(&lease), numbers(round * 10..round * 10 + 10));
        lease.acknowledgement.done();
    }
}

#[tokio::test]
async fn stored_positions_are_not_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = open(options(folder.path())).await;
    open.put_durably(0..10).await;
    open.put_durably(0..10).await;
    open.put_durably(5..15).await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        let lease = open.lease().await;
        taken.extend(bodies(&lease));
        lease.acknowledgement.done();
    }
    assert_eq!(taken, numbers(0..15));
    let batch = batch(20..30);
    let transaction = open.channel.reserve(Fill::of(&batch)).await.unwrap();
    let refused = transaction.commit(&open.scope, batch, Acknowledgement::unobserved()).unwrap_err();
    assert_eq!(refused, CommitError::Gap { partition: "p".into(), stored: 15, after: 20 });
    let next_run = Scope::of_a_run(["in".into()])[0].clone();
    open.scope = next_run;
    open.put_durably(20..30).await;
}

#[tokio::test]
async fn a_full_channel_makes_the_put_wait_until_events_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { capacity: 10, transaction_capacity: 10, ..options(folder.path()).limits };
    let mut open = open(FileChannelOptions { limits, ..options(folder.path()) }).await;
    open.put_durably(0..10).await;
    let amount = Fill { events: 1, bytes: 20 };
    assert!(open.channel.try_reserve(amount).is_none());
    let lease = open.lease().await;
    assert!(open.channel.try_reserve(amount).is_none(), "leased events still take up space");
    let ((), reserved) = tokio::join!(async { lease.acknowledgement.done() }, open.channel.reserve(amount));
    drop(reserved.unwrap());
    assert_eq!(open.channel.fill().events, 0);
}

#[tokio::test]
async fn a_closed_channel_is_emptied_before_its_readers_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = open(options(folder.path())).await;
    open.put(0..10).await;
    open.channel.close();
    let amount = Fill { events: 1, bytes: 1 };
    assert!(matches!(open.channel.reserve(amount).await, Err(ReserveError::Closed)));
    let lease = open.lease().await;
    assert!(matches!(open.reader.take().await, Taken::End));
    drop(lease);
    open.lease().await.acknowledgement.done();
    assert!(matches!(open.reader.take().await, Taken::End));
}

#[tokio::test]
async fn a_directory_of_another_pipeline_agent_or_reader_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(options(folder.path())).await;
    held.put_durably(0..10).await;
    let refusal = |options: FileChannelOptions, reader: &'static str| async move {
        let channel = FileChannel::new(options).unwrap();
        let _reader = channel.reader(reader, Demand::Required);
        let place = folder_name(&channel);
        channel.open().await.unwrap_err().to_string().replace(&place, "DIR")
    };
    let mine = || options(folder.path());
    let in_use = refusal(mine(), "sink").await;
    let process = format!("DIR is in use by `test/buffer`, process {}, boot ", std::process::id());
    assert!(in_use.starts_with(&process), "{in_use}");
    drop(held);
    let other = refusal(FileChannelOptions { owner: "other/buffer".into(), ..mine() }, "sink").await;
    assert!(other.starts_with("DIR belongs to `test/buffer`, and this is `other/buffer`"), "{other}");
    let vanished = refusal(mine(), "another").await;
    assert!(vanished.contains("keeps 10 events for the reader `sink`"), "{vanished}");
    assert!(vanished.ends_with("run `weir channel forget-reader DIR sink`"), "{vanished}");
    let narrower = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8View, false)]));
    let schema = refusal(FileChannelOptions { schema: narrower, ..mine() }, "sink").await;
    assert!(schema.contains("they have `body`, which is no longer there"), "{schema}");
}

fn folder_name(channel: &FileChannel) -> String {
    channel.options.path.display().to_string()
}

#[tokio::test]
async fn events_of_an_earlier_type_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    drop(first);
    let wider = Schema::new(vec![
        Field::new("@host", DataType::Utf8View, true),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let mut second = open(FileChannelOptions { schema: Arc::new(wider), ..options(folder.path()) }).await;
    let lease = second.lease().await;
    assert_eq!(bodies(&lease), numbers(0..10));
    assert_eq!(lease.batch.column("@host").unwrap().values().null_count(), 1);
}

#[tokio::test]
async fn an_optional_reader_never_blocks_puts() {
    let folder = tempfile::tempdir().unwrap();
    let channel = FileChannel::new(options(folder.path())).unwrap();
    let reader = channel.reader("sink", Demand::Required);
    let mut optional = channel.reader("watch", Demand::Optional);
    channel.open().await.unwrap();
    let scope = Scope::of_a_run(["in".into()])[0].clone();
    let mut open = Open { channel, reader, scope };
    let mut begin = 0;
    // Many times the channel's capacity.
    for _ in 0..3_000 {
        open.put(begin..begin + 1_000).await;
        open.lease().await.acknowledgement.done();
        begin += 1_000;
    }
    let Taken::Events(lease) = optional.take().await else { panic!("events were expected") };
    let first = bodies(&lease)[0];
    assert!(first > 0, "the first events are gone");
    assert_eq!(optional.take_skipped() as u64, first);
}

#[tokio::test]
async fn a_damaged_segment_stops_the_channel_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { capacity: 1 << 20, ..options(folder.path()).limits };
    let options = || FileChannelOptions { limits, ..options(folder.path()) };
    let open_one = open(options()).await;
    for round in 0..100 {
        open_one.put_durably(round * 1_000..round * 1_000 + 1_000).await;
    }
    drop(open_one);
    let name = folder.path().join(segment::segment_name(0));
    let mut bytes = std::fs::read(&name).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&name, bytes).unwrap();
    let mut open = open(options()).await;
    let channel = &open.channel;
    let failure = tokio::select! {
        failure = channel.failed() => failure.to_string(),
        _ = async { loop { if let Taken::Events(lease) = open.reader.take().await { lease.acknowledgement.done() } } } => String::new(),
    };
    assert!(failure.contains("0000000000000000.segment, byte "), "{failure}");
}

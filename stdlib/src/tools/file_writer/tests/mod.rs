//! Tests of the writer on a simulated file system.

mod committing;
mod descriptors;
mod failures;
mod holding_back;
mod ledger;
mod markers;
mod rolling;

use std::collections::BTreeMap;

use arrow_array::{BinaryViewArray, StringViewArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tokio::time::Instant;
use weir_plan::{Hole, HoleFormat, Settings, TemplatePart, Value};
use weir_runtime::batch::{Awaited, Batch, Column, Origins, Partition};
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::source::{Deliveries, Outlet, SourcePort};
use weir_runtime::{Clock, Descriptors, Meter};

use super::simulated::Simulated;
use super::*;

/// A sink on a simulated file system, behind a channel that a test feeds.
struct Rig {
    disk: Simulated,
    sink: FileSink<Simulated>,
    port: SinkPort,
    channel: Arc<dyn Channel>,
    outlet: Option<Outlet>,
    deliveries: Deliveries,
    meter: Arc<Meter>,
    sent: u64,
    /// Whether peers wait for the events of the next puts.
    awaited: bool,
    /// Whether some rows are so long that they are written at once.
    has_long_rows: bool,
    clock: Arc<TestClock>,
}

/// A clock that goes on with the virtual time.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> i64 {
        // 2023-11-14T22:13:20Z.
        1_700_000_000_000_000 + self.0.elapsed().as_micros() as i64
    }
}

/// The settings that a test can choose; all others have default values.
#[derive(Clone)]
struct Options {
    size: u64,
    count: Option<i64>,
    age: Duration,
    max_open: i64,
    capacity: usize,
    root: &'static str,
    parquet: bool,
    /// The process's limit of open files.
    descriptors: usize,
    /// How long after the last event a directory gets its marker; none if it gets none.
    done_after: Option<Duration>,
    /// Whether the path ends in the hour of the header `@timestamp`, which is the time of the put.
    hourly: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            size: 1 << 27,
            count: None,
            age: Duration::from_secs(300),
            max_open: 100,
            capacity: 1_000_000,
            root: "/lake",
            parquet: false,
            descriptors: 1_000_000,
            done_after: None,
            hourly: false,
        }
    }
}

fn settings(options: &Options) -> FileSettings {
    let hole = Hole { column: "@place".to_string(), format: HoleFormat::Plain };
    let mut parts = vec![TemplatePart::Text(format!("{}/", options.root)), TemplatePart::Hole(hole)];
    if options.hourly {
        let hour = HoleFormat::Time("%Y-%m-%d-%H".to_string());
        parts.push(TemplatePart::Text("/".to_string()));
        parts.push(TemplatePart::Hole(Hole { column: "@timestamp".to_string(), format: hour }));
    }
    let roll = [
        ("size", Value::Size(options.size)),
        ("age", Value::Duration(options.age)),
        ("count", options.count.map_or(Value::Null, Value::Int)),
    ];
    let variant = |name: &str| Value::Variant { name: name.to_string(), settings: BTreeMap::new() };
    let parquet = [("row_group", Value::Int(1_000)), ("headers", Value::List(Vec::new()))];
    let parquet = parquet.map(|(name, value)| (name.to_string(), value)).into();
    let format = match options.parquet {
        true => Value::Variant { name: "parquet".to_string(), settings: parquet },
        false => variant("text"),
    };
    let marker = |after| {
        let settings = [("name", Value::Text("_SUCCESS".to_string())), ("after", Value::Duration(after))];
        let settings = settings.map(|(name, value)| (name.to_string(), value)).into();
        Value::Variant { name: "marker".to_string(), settings }
    };
    let values = [
        ("done", options.done_after.map_or(variant("never"), marker)),
        ("path", Value::Template(Template { parts })),
        ("prefix", Value::Text("events".to_string())),
        ("format", format),
        ("compress", variant("none")),
        ("roll", Value::Record(roll.map(|(name, value)| (name.to_string(), value)).into())),
        ("zone", Value::Text("UTC".to_string())),
        ("in_use", variant("dot")),
        ("max_open", Value::Int(options.max_open)),
    ];
    Settings { values: values.map(|(name, value)| (name.to_string(), value)).into() }.read().unwrap()
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("@place", DataType::Utf8View, false),
        Field::new("@timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("body", DataType::BinaryView, false),
    ])
}

impl Rig {
    fn new(options: &Options) -> Rig {
        Rig::on(Simulated::default(), options)
    }

    fn on(disk: Simulated, options: &Options) -> Rig {
        Rig::promising(disk, options, false)
    }

    /// Makes a sink with or without the promise `exactly_once`.
    fn promising(disk: Simulated, options: &Options, exactly_once: bool) -> Rig {
        let meter = Arc::<Meter>::default();
        let clock = Arc::new(TestClock(Instant::now()));
        let context = Context {
            exactly_once,
            program: "shop".into(),
            component: "lake".into(),
            schema: Arc::new(schema()),
            meter: meter.clone(),
            clock: clock.clone(),
            descriptors: Descriptors::with_limit(options.descriptors),
        };
        let sink = FileSink::new(settings(options), disk.clone(), "", context).unwrap();
        let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
            capacity: options.capacity,
            transaction_capacity: options.capacity,
            byte_capacity: 1 << 30,
            keep_alive: Duration::from_secs(3600),
        }));
        let port = SinkPort::reading(&*channel);
        let SourcePort { outlet, deliveries, .. } = SourcePort::into_channel(channel.clone());
        Rig {
            disk,
            sink,
            port,
            channel,
            outlet: Some(outlet),
            deliveries,
            meter,
            sent: 0,
            awaited: false,
            has_long_rows: false,
            clock,
        }
    }

    /// Puts a batch with an event for each place. The bodies are consecutive numbers.
    async fn put(&mut self, places: &[&str]) {
        self.put_long(places, 0).await;
    }

    /// Puts such a batch with zeros before the numbers, so that no body is shorter than `length`.
    async fn put_long(&mut self, places: &[&str], length: usize) {
        let numbers = self.sent..self.sent + places.len() as u64;
        let origins = Origins::one(Partition::new("p"), numbers.start, numbers.end);
        self.sent = numbers.end;
        let body = |number: u64| {
            let digits = number.to_string();
            "0".repeat(length.saturating_sub(digits.len())) + &digits
        };
        let bodies = BinaryViewArray::from_iter_values(numbers.map(body));
        let places_column = Column::Array(Arc::new(StringViewArray::from_iter_values(places)));
        let time = Column::constant_time(self.clock.now());
        let columns = vec![places_column, time, bodies.into()];
        let batch = Batch::new(Arc::new(schema()), columns, places.len(), origins).unwrap();
        let batch = batch.with_awaited(self.waiting());
        self.outlet.as_mut().unwrap().put(batch).await.unwrap();
    }

    /// Returns how long peers wait for events that are put now.
    fn waiting(&self) -> Option<Awaited> {
        let since = Instant::now();
        self.awaited.then(|| Awaited { since, until: since + Duration::from_secs(30) })
    }

    /// Closes the channel for puts.
    fn end(&mut self) {
        self.outlet = None;
        self.channel.close();
    }

    async fn run(&mut self) -> Result<(), Failure> {
        self.sink.run(&mut self.port).await
    }

    /// Runs the sink and drops the run after this time.
    async fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        timeout(time, self.sink.run(&mut self.port)).await.unwrap_or(Ok(()))
    }

    /// Returns the number of acknowledged events.
    fn acknowledged(&self) -> u64 {
        self.sent - self.channel.fill().events as u64
    }

    /// Returns the number of bytes in all files, complete or not.
    fn written(&self) -> usize {
        self.disk.paths().iter().map(|path| self.disk.bytes(path).len()).sum()
    }

    fn counter(&self, name: &str) -> u64 {
        self.meter.counters().get(name).copied().unwrap_or_default()
    }
}

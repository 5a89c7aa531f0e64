//! Runs the source on a temporary directory, with a channel behind it.

mod bad_input;
mod closed;
mod complete;
mod compressed;
mod copies;
mod encodings;
mod ends;
mod follow;
mod gone;
mod growing;
mod in_memory;
mod odd_bytes;
mod replaced;
mod restart;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_plan::Value;
use weir_runtime::batch::Column;
use weir_runtime::channel::{
    Channel, FileChannel, FileChannelOptions, Limits, MemoryChannel, Overflow, Taken,
};
use weir_runtime::sink::{Delivery, SinkPort};
use weir_runtime::{Clock, SystemClock};

use super::*;
pub(super) use compressed::gzip;

/// The timeout for every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running source, and the channel behind it.
struct Harness {
    environment: Environment,
    stop: CancellationToken,
    channel: Arc<dyn Channel>,
    sink: SinkPort,
    meter: Arc<Meter>,
    running: JoinHandle<Result<(), Failure>>,
}

/// The environment of a source: its directory and settings, which outlive its runs.
struct Environment {
    folder: TempDir,
    settings: Settings,
    durable: bool,
    clock: Arc<dyn Clock>,
    descriptors: Descriptors,
    /// The `byte_capacity` of a channel in memory.
    channel_bytes: u64,
    file_system: Arc<dyn FileSystem>,
}

fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    Value::Variant { name: name.into(), settings }
}

fn follow(start: &str) -> Value {
    variant("follow", &[("start", variant(start, &[]))])
}

fn complete(after: Value) -> Value {
    variant("complete", &[("after", after)])
}

fn keep() -> Value {
    complete(variant("keep", &[]))
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@file", DataType::Utf8View, false),
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@offset", DataType::Int64, false),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

impl Environment {
    fn new(mode: Value) -> Environment {
        let folder = TempDir::new().unwrap();
        let glob = folder.path().join("**/*.log*").to_string_lossy().into_owned();
        let values = BTreeMap::from([
            ("paths", Value::List(vec![Value::Text(glob)])),
            ("mode", mode),
            ("max_line", Value::Size(1 << 20)),
            ("long_lines", variant("truncate", &[])),
            ("encoding", variant("utf8", &[])),
            ("decompress", Value::Bool(true)),
            ("poll", Value::Duration(Duration::from_millis(10))),
            ("batch", Value::Int(100)),
        ]);
        let settings =
            Settings { values: values.into_iter().map(|(name, value)| (name.to_string(), value)).collect() };
        Environment {
            folder,
            settings,
            durable: false,
            clock: Arc::new(SystemClock),
            descriptors: Descriptors::of_process(),
            channel_bytes: 1 << 26,
            file_system: Arc::new(LocalFileSystem),
        }
    }

    /// Adds a environment.
    fn with(mut self, name: &str, value: Value) -> Environment {
        self.settings.values.insert(name.into(), value);
        self
    }

    /// Adds a file of positions.
    fn with_positions(self) -> Environment {
        let path = self.path("state/positions.json");
        self.with("positions", Value::Text(path.to_string_lossy().into_owned()))
    }

    /// Uses a file channel instead of a channel in memory.
    fn with_durable_channel(mut self) -> Environment {
        self.durable = true;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn channel(&self) -> Arc<dyn Channel> {
        let limits = Limits {
            capacity: 100_000,
            transaction_capacity: 10_000,
            byte_capacity: 1 << 30,
            keep_alive: Duration::from_secs(3),
        };
        if !self.durable {
            return Arc::new(MemoryChannel::new(Limits { byte_capacity: self.channel_bytes, ..limits }));
        }
        let options = FileChannelOptions {
            component: "buffer".into(),
            owner: "test/buffer".into(),
            path: self.path("channel"),
            schema: schema(),
            limits,
            overflow: Overflow::Wait,
            compression: Default::default(),
            meter: Arc::default(),
        };
        Arc::new(FileChannel::new(options).unwrap())
    }

    fn source(&self, meter: &Arc<Meter>) -> Result<Box<dyn Source>, Failure> {
        let context = Context {
            exactly_once: false,
            program: "test".into(),
            component: "logs".into(),
            schema: schema(),
            meter: meter.clone(),
            clock: self.clock.clone(),
            descriptors: self.descriptors.clone(),
        };
        make_in(self.file_system.clone(), &self.settings, context)
    }

    async fn begin(self) -> Harness {
        self.begin_behind(|_| ()).await
    }

    /// Starts the source after the channel was prepared.
    async fn begin_behind(self, prepare: impl FnOnce(&dyn Channel)) -> Harness {
        let meter = Arc::new(Meter::default());
        let mut source = self.source(&meter).unwrap();
        let channel = self.channel();
        let sink = SinkPort::reading(channel.as_ref());
        channel.open().await.unwrap();
        prepare(&*channel);
        let port = SourcePort::into_channel(channel.clone());
        let stop = port.stop.clone();
        let running = tokio::spawn(async move { source.run(port).await });
        Harness { environment: self, stop, channel, sink, meter, running }
    }
}

impl std::ops::Deref for Harness {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.environment
    }
}

/// Waits for a future, and panics after [`PATIENCE`].
async fn within_patience<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, coming).await;
    came.unwrap_or_else(|_elapsed| panic!("not within {PATIENCE:?}: {what}"))
}

impl Harness {
    async fn take(&mut self) -> Delivery {
        match within_patience("events", self.sink.take()).await.unwrap() {
            Taken::Events(delivery) => delivery,
            other => panic!("events were expected, not {other:?}"),
        }
    }

    /// Takes and acknowledges at least `count` events.
    async fn events(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        while events.len() < count {
            let delivery = self.take().await;
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            events.extend(bodies.map(<[u8]>::to_vec));
            delivery.acknowledgement.done();
        }
        events
    }

    /// Takes and acknowledges at least `count` events, and returns them as text.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let events = self.events(count).await;
        events.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    }

    /// Waits until a counter of the source has reached `count`.
    async fn counted(&self, counter: &str, count: u64) {
        let counted = async {
            while self.meter.counters().get(counter).copied().unwrap_or_default() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within_patience(counter, counted).await;
    }

    /// Stops the source, and delivers the events that it has put.
    async fn end(mut self) -> Environment {
        self.stop.cancel();
        loop {
            tokio::select! {
                ran = &mut self.running => {
                    ran.unwrap().unwrap();
                    break;
                }
                taken = self.sink.take() => match taken.unwrap() {
                    Taken::Events(delivery) => delivery.acknowledgement.done(),
                    other => panic!("events were expected, not {other:?}"),
                }
            }
        }
        self.channel.close();
        self.channel.shut().await.unwrap();
        self.environment
    }

    /// Aborts the source, as a crash would.
    async fn crash(self) -> Environment {
        self.running.abort();
        // The result is an error, since the task was aborted.
        let _aborted = self.running.await;
        if self.environment.durable {
            // Everything acknowledged is on disk already; this ends the channel's thread.
            self.channel.shut().await.unwrap();
        }
        self.environment
    }
}

use std::collections::BTreeMap;
use std::fs;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_plan::Value;
use weir_runtime::SystemClock;
use weir_runtime::channel::{Channel, Limits, MemoryChannel, Taken};
use weir_runtime::sink::{Delivery, SinkPort};

use super::*;

/// A source that runs over a folder of its own, and the channel behind it.
struct Trial {
    folder: TempDir,
    stop: CancellationToken,
    sink: SinkPort,
    meter: Arc<Meter>,
    running: JoinHandle<Result<(), Failure>>,
}

fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    Value::Variant { name: name.into(), settings }
}

fn settings(folder: &Path, after: Value) -> Settings {
    let glob = folder.join("**/*.log").to_string_lossy().into_owned();
    let values = BTreeMap::from([
        ("paths", Value::List(vec![Value::Text(glob)])),
        ("mode", variant("complete", &[("after", after)])),
        ("max_line", Value::Size(1 << 20)),
        ("long_lines", variant("truncate", &[])),
        ("poll", Value::Duration(Duration::from_millis(10))),
        ("batch", Value::Int(100)),
    ]);
    Settings { values: values.into_iter().map(|(name, value)| (name.to_string(), value)).collect() }
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

impl Trial {
    /// Begins with these files there.
    fn begin(after: Value, files: &[(&str, &str)]) -> Trial {
        let folder = TempDir::new().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let meter = Arc::new(Meter::default());
        let context = Context {
            exactly_once: false,
            program: "test".into(),
            component: "logs".into(),
            schema: schema(),
            meter: meter.clone(),
            clock: Arc::new(SystemClock),
        };
        let mut source = make(&settings(folder.path(), after), context).unwrap();
        let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
            capacity: 100_000,
            transaction_capacity: 10_000,
            byte_capacity: 1 << 26,
            keep_alive: Duration::from_secs(3),
        }));
        let sink = SinkPort::reading(channel.as_ref());
        let port = SourcePort::into_channel(channel);
        let stop = port.stop.clone();
        let running = tokio::spawn(async move { source.run(port).await });
        Trial { folder, stop, sink, meter, running }
    }

    async fn take(&mut self) -> Delivery {
        match self.sink.take().await.unwrap() {
            Taken::Events(delivery) => delivery,
            other => panic!("events were expected, not {other:?}"),
        }
    }

    /// Takes and acknowledges this many lines.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let delivery = self.take().await;
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            lines.extend(bodies.map(|body| String::from_utf8_lossy(body).into_owned()));
            delivery.acknowledgement.done();
        }
        lines
    }

    /// Waits until the source says that it has counted this much.
    async fn counted(&self, counter: &str, count: u64) {
        while self.meter.counters().get(counter).copied().unwrap_or_default() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(self) -> TempDir {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test]
async fn every_line_of_every_matching_file_is_read() {
    let mut trial = Trial::begin(
        variant("keep", &[]),
        &[("a.log", "1\n2\n"), ("deep/b.log", "3\r\n4"), ("c.txt", "no\n")],
    );
    let mut lines = trial.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    fs::write(trial.path("later.log"), "5\n").unwrap();
    assert_eq!(trial.lines(1).await, ["5"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_is_put_away_only_when_all_its_lines_are_delivered() {
    let content: String = (0..250).map(|number| format!("{number}\n")).collect();
    let mut trial = Trial::begin(variant("delete", &[]), &[("a.log", &content)]);
    let first = trial.take().await;
    trial.lines(150).await;
    trial.counted("files_read", 1).await;
    assert!(trial.path("a.log").exists(), "its first lines are not delivered");
    first.acknowledgement.done();
    trial.counted("files_delivered", 1).await;
    assert!(!trial.path("a.log").exists());
    trial.end().await;
}

#[tokio::test]
async fn a_delivered_file_gets_its_suffix_and_is_not_read_again() {
    let after = variant("rename", &[("suffix", Value::Text(".done.log".into()))]);
    let mut trial = Trial::begin(after, &[("a.log", "1\n"), ("empty.log", "")]);
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.counted("files_delivered", 2).await;
    fs::write(trial.path("b.log"), "2\n").unwrap();
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.counted("files_delivered", 3).await;
    let folder = trial.end().await;
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.log.done.log", "b.log.done.log", "empty.log.done.log"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_never_overwritten() {
    let after = variant("rename", &[("suffix", Value::Text(".done".into()))]);
    let mut trial = Trial::begin(after, &[("a.log", "1\n"), ("a.log.done", "earlier\n")]);
    trial.lines(1).await;
    trial.counted("files_not_put_away", 1).await;
    assert_eq!(fs::read_to_string(trial.path("a.log.done")).unwrap(), "earlier\n");
    trial.end().await;
}

#[tokio::test]
async fn a_renamed_file_is_not_read_again() {
    let mut trial = Trial::begin(variant("keep", &[]), &[("a.log", "1\n")]);
    trial.lines(1).await;
    fs::rename(trial.path("a.log"), trial.path("a.1.log")).unwrap();
    fs::write(trial.path("a.log"), "2\n").unwrap();
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn what_was_not_delivered_before_a_stop_is_not_put_away() {
    let mut trial = Trial::begin(variant("delete", &[]), &[("a.log", "1\n")]);
    let held = trial.take().await;
    trial.counted("files_read", 1).await;
    trial.stop.cancel();
    drop(held);
    let again = trial.take().await;
    assert!(trial.path("a.log").exists());
    again.acknowledgement.done();
    let folder = trial.end().await;
    assert!(!folder.path().join("a.log").exists());
}

#[tokio::test]
async fn offsets_and_names_are_in_the_headers() {
    let mut trial = Trial::begin(variant("keep", &[]), &[("a.log", "first\nsecond\n")]);
    let delivery = trial.take().await;
    let offset = delivery.batch.column("@offset").unwrap();
    assert_eq!(format!("{:?}", offset.values()), "PrimitiveArray<Int64>\n[\n  0,\n  6,\n]");
    let Column::Constant(_) = delivery.batch.column("@file").unwrap() else { panic!("stored once") };
    delivery.acknowledgement.done();
    trial.end().await;
}

#[test]
fn what_is_not_carried_out_is_refused_when_the_source_is_made() {
    let refusal = |name: &str, value: Value| {
        let mut settings = settings(Path::new("/nowhere"), variant("keep", &[]));
        settings.values.insert(name.to_string(), value);
        let context = Context {
            exactly_once: false,
            program: "test".into(),
            component: "logs".into(),
            schema: schema(),
            meter: Arc::default(),
            clock: Arc::new(SystemClock),
        };
        make(&settings, context).map_or_else(|failure| failure.to_string(), |_source| "made".to_string())
    };
    assert_eq!(refusal("decompress", Value::Bool(false)), "made");
    assert_eq!(
        refusal("decompress", Value::Bool(true)),
        "`decompress: true` is not carried out by this version of Weir; leave it out"
    );
    assert_eq!(
        refusal("mode", variant("follow", &[("start", variant("end", &[]))])),
        "`mode: follow` is not carried out by this version of Weir; write `mode: complete`"
    );
}

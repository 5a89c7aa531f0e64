//! A plan that moves generated events to HDFS, and its run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tokio::task::JoinHandle;
use weir_plan::{
    Component, Delivery, EventType, EventTypeId, Flow, Hole, HoleFormat, Leg, Origin, PLAN_VERSION, Path,
    Plan, Route, Settings, Template, TemplatePart, Value,
};
use weir_runtime::SystemClock;
use weir_runtime::agent::{Agent, ComponentReport, Ending, Report, Stop};

use crate::cluster::Cluster;

pub(crate) enum Compress {
    None,
    Gzip,
    Zstd,
}

pub(crate) struct Roll {
    pub(crate) size: u64,
    pub(crate) age: Duration,
    pub(crate) count: Option<i64>,
}

impl Default for Roll {
    fn default() -> Roll {
        Roll { size: 128 << 20, age: Duration::from_secs(300), count: None }
    }
}

/// `generate` → `memory` → `hdfs`.
pub(crate) struct Pipeline {
    url: String,
    root: String,
    events: i64,
    rate: Option<f64>,
    every: Duration,
    compress: Compress,
    roll: Roll,
}

/// A running pipeline.
pub(crate) struct Running {
    stop: Stop,
    agent: JoinHandle<(Report, Ending)>,
}

/// The result of a run.
pub(crate) struct Ended {
    report: Report,
    ending: Ending,
}

impl Pipeline {
    pub(crate) fn new(cluster: &Cluster) -> Pipeline {
        Pipeline {
            url: cluster.url.clone(),
            root: cluster.path(""),
            events: 0,
            rate: None,
            every: Duration::from_millis(1),
            compress: Compress::Gzip,
            roll: Roll::default(),
        }
    }

    pub(crate) fn url(self, url: &str) -> Pipeline {
        Pipeline { url: url.to_string(), ..self }
    }

    pub(crate) fn events(self, events: i64) -> Pipeline {
        Pipeline { events, ..self }
    }

    /// Sets the rate, in events per second.
    pub(crate) fn rate(self, rate: f64) -> Pipeline {
        Pipeline { rate: Some(rate), ..self }
    }

    /// Sets the difference between the times of two events.
    pub(crate) fn every(self, every: Duration) -> Pipeline {
        Pipeline { every, ..self }
    }

    pub(crate) fn compress(self, compress: Compress) -> Pipeline {
        Pipeline { compress, ..self }
    }

    pub(crate) fn roll(self, roll: Roll) -> Pipeline {
        Pipeline { roll, ..self }
    }

    pub(crate) fn start(self) -> Running {
        let agent = Agent::build(&self.plan(), &weir_stdlib::registry(), Arc::new(SystemClock)).unwrap();
        let stop = Stop::default();
        let agent = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(60)));
        Running { stop, agent }
    }

    pub(crate) async fn run(self) -> Ended {
        self.start().end().await
    }

    fn plan(&self) -> Plan {
        let component = |name: &str, kind: &str, settings: Settings| Component {
            name: name.to_string(),
            kind: kind.to_string(),
            settings,
            event_type: EventTypeId(0),
            implicit: false,
            derived: Default::default(),
        };
        let path = |from: Origin, to: Route| Path { from, leg: Leg { steps: Vec::new(), to } };
        let (buffer, lake) = ("buffer".to_string(), "lake".to_string());
        Plan {
            version: PLAN_VERSION,
            program: "test".to_string(),
            sources: vec![component("made", "generate", self.source())],
            channels: vec![component("buffer", "memory", channel())],
            sinks: vec![component("lake", "hdfs", self.sink())],
            event_types: vec![EventType::new(schema())],
            functions: Vec::new(),
            agent: weir_plan::Settings::default(),
            worst_case: None,
            flows: vec![Flow {
                name: "main".to_string(),
                delivers: Delivery::AtLeastOnce,
                order: weir_plan::Order::None,
                paths: vec![
                    path(Origin::Source("made".to_string()), Route::Channel(buffer.clone())),
                    path(Origin::Channel(buffer), Route::Sink(lake)),
                ],
            }],
        }
    }

    fn source(&self) -> Settings {
        let size = [("size".to_string(), Value::Size(100))].into();
        settings([
            ("content", Value::Variant { name: "numbered".to_string(), settings: size }),
            ("count", Value::Int(self.events)),
            ("rate", self.rate.map_or(Value::Null, Value::EventRate)),
            ("seed", Value::Int(0)),
            ("start", Value::Text("2026-01-01T00:00:00Z".to_string())),
            ("every", Value::Duration(self.every)),
            ("batch", Value::Int(4_096)),
        ])
    }

    fn sink(&self) -> Settings {
        let Roll { size, age, count } = self.roll;
        let hour =
            Hole { column: "@timestamp".to_string(), format: HoleFormat::Time("%Y-%m-%d/%H".to_string()) };
        let path = Template { parts: vec![TemplatePart::Text(self.root.clone()), TemplatePart::Hole(hour)] };
        let compress = match self.compress {
            Compress::None => "none",
            Compress::Gzip => "gzip",
            Compress::Zstd => "zstd",
        };
        let roll = [
            ("size", Value::Size(size)),
            ("age", Value::Duration(age)),
            ("count", count.map_or(Value::Null, Value::Int)),
        ];
        settings([
            ("url", Value::Text(self.url.clone())),
            ("path", Value::Template(path)),
            ("prefix", Value::Text("events".to_string())),
            ("format", variant("text")),
            ("compress", variant(compress)),
            ("roll", Value::Record(roll.map(|(name, value)| (name.to_string(), value)).into())),
            ("zone", Value::Text("UTC".to_string())),
            ("in_use", variant("dot")),
            ("security", variant("plaintext")),
            ("max_open", Value::Int(50)),
            ("user", Value::Null),
            ("config", Value::Null),
        ])
    }
}

fn settings<const N: usize>(values: [(&str, Value); N]) -> Settings {
    Settings { values: values.map(|(name, value)| (name.to_string(), value)).into() }
}

fn channel() -> Settings {
    settings([
        ("capacity", Value::Int(100_000_000)),
        ("transaction_capacity", Value::Int(10_000)),
        ("byte_capacity", Value::Size(1 << 30)),
        ("keep_alive", Value::Duration(Duration::from_secs(3))),
        ("overflow", variant("wait")),
    ])
}

fn schema() -> Schema {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Schema::new(vec![
        Field::new("@sequence", DataType::Int64, false),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ])
}

impl Running {
    /// Waits until the source has ended and all events are delivered.
    pub(crate) async fn end(self) -> Ended {
        let (report, ending) = self.agent.await.unwrap();
        Ended { report, ending }
    }

    /// Stops the agent at once.
    pub(crate) async fn stop_now(self) -> Ended {
        self.stop.now.cancel();
        self.end().await
    }
}

impl Ended {
    /// Asserts that the run has delivered all events, and returns the sink's report.
    pub(crate) fn complete(self) -> SinkReport {
        assert!(matches!(self.ending, Ending::Complete), "{:?}", self.ending);
        self.sink()
    }

    /// Returns the sink's report.
    pub(crate) fn sink(self) -> SinkReport {
        let sink = self.report.components.into_iter().find(|component| &*component.name == "lake");
        SinkReport(sink.unwrap())
    }
}

/// The report of the sink.
pub(crate) struct SinkReport(ComponentReport);

impl SinkReport {
    pub(crate) fn restarts(&self) -> u64 {
        self.0.restarts
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.0.delivered.events
    }

    /// Returns the note that begins with this key.
    pub(crate) fn note(&self, key: &str) -> String {
        self.0.notes.iter().find(|note| note.starts_with(key)).cloned().unwrap_or_default()
    }
}

fn variant(name: &str) -> Value {
    Value::Variant { name: name.to_string(), settings: BTreeMap::new() }
}

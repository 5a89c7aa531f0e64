//! Tests of the metrics over HTTP, and of waiting for an idle agent.

use std::net::SocketAddr;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::batch::{Batch, Origins};
use crate::channel::{Demand, Limits, MemoryChannel, Reader, Scope, Taken};
use crate::routing::Acknowledgement;

struct Scene {
    metrics: Metrics,
    channel: Arc<MemoryChannel>,
    reader: Box<dyn Reader>,
    source: Arc<Meter>,
    sink: Arc<Meter>,
}

fn scene() -> Scene {
    let limits = Limits {
        capacity: 1_000,
        transaction_capacity: 100,
        byte_capacity: 1 << 20,
        keep_alive: Duration::from_secs(3),
    };
    let channel = Arc::new(MemoryChannel::new(limits));
    let reader = channel.reader("out", Demand::Required);
    let meter = || -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        meter.enter(Phase::Running);
        meter
    };
    let (source, buffer, sink) = (meter(), meter(), meter());
    source.finish_discovery();
    let measured = |role, name: &str, meter: &Arc<Meter>, channel| MeasuredComponent {
        role,
        name: name.into(),
        kind: "some".to_owned(),
        flows: vec!["main".to_owned()],
        meter: meter.clone(),
        optional: false,
        channel,
    };
    let components = vec![
        measured(Role::Source, "in", &source, None),
        measured(Role::Channel, "buffer", &buffer, Some(channel.clone() as Arc<dyn Channel>)),
        measured(Role::Sink, "out \"1\"", &sink, None),
    ];
    let metrics = Metrics::new("program".into(), components);
    metrics.enter(Stage::Running);
    Scene { metrics, channel, reader, source, sink }
}

fn batch(rows: usize) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let bodies = BinaryViewArray::from_iter_values((0..rows).map(|_| "0123456789"));
    Batch::new(schema, vec![bodies.into()], rows, Origins::default()).unwrap()
}

impl Scene {
    async fn put(&self, rows: usize) {
        let batch = batch(rows);
        let transaction = self.channel.reserve(Fill::of(&batch)).await.unwrap();
        let scope = &Scope::of_a_run(["in".into()])[0];
        transaction.commit(scope, batch, Acknowledgement::unobserved()).unwrap();
        let meter = &self.metrics.components()[1].meter;
        meter.age.put(rows, Instant::now());
        self.source.touch(Instant::now());
    }

    async fn serve(&self) -> SocketAddr {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run(self.metrics.clone(), Duration::ZERO));
        address
    }
}

/// Sends bytes, and reads until the server closes the connection.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read the complete request, and reset the connection.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn measures_are_text_for_prometheus_and_json() {
    let scene = scene();
    scene.put(30).await;
    scene.source.received.add(40, 400);
    scene.source.processed.add(30, 300);
    scene.source.drop_events("keep if a", 10, 100);
    scene.sink.commit.record(Duration::from_millis(2));
    scene.sink.count("files_closed_early", 3);
    scene.sink.gauge("xxh3").set(u64::MAX);
    scene.source.set_partition_gauge("lag_events", [("logs/0".to_owned(), 7)].into());
    let address = scene.serve().await;
    let text = get(address, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; "), "{text}");
    let of = |component: &str, role: &str| {
        format!("program=\"program\",component=\"{component}\",kind=\"some\",role=\"{role}\",flow=\"main\"")
    };
    let (source, channel, sink) = (of("in", "source"), of("buffer", "channel"), of("out \\\"1\\\"", "sink"));
    for line in [
        "# TYPE weir_received_events counter".to_owned(),
        format!("weir_received_events_total{{{source}}} 40"),
        format!("weir_received_bytes_total{{{source}}} 400"),
        format!("weir_processed_events_total{{{source}}} 30"),
        format!("weir_dropped_events_total{{{source},step=\"keep if a\"}} 10"),
        format!("weir_component_lag_events{{{source},partition=\"logs/0\"}} 7"),
        format!("weir_channel_events{{{channel}}} 30.0"),
        format!("weir_channel_events_max{{{channel}}} 1000.0"),
        format!("weir_commit_seconds_bucket{{le=\"0.001\",{sink}}} 0"),
        format!("weir_commit_seconds_bucket{{le=\"0.0025\",{sink}}} 1"),
        format!("weir_commit_seconds_bucket{{le=\"+Inf\",{sink}}} 1"),
        format!("weir_component_state{{{sink},state=\"running\"}} 1"),
        format!("weir_component_files_closed_early_total{{{sink}}} 3"),
        format!("weir_component_xxh3{{{sink}}} {}", u64::MAX),
        format!("weir_descriptors_max{{program=\"program\"}} {:?}", Descriptors::of_process().limit() as f64),
        "# EOF".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains(&format!("weir_processed_events_total{{{channel}")), "a channel has no steps");
    let json = get(address, "/metrics.json").await;
    let json: Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(json["descriptors"]["open"].as_u64() > Some(0), "{json}");
    assert_eq!((&json["program"], &json["stage"]), (&"program".into(), &"running".into()));
    let channel = &json["components"][1];
    assert_eq!((&channel["role"], &channel["channel"]["events"]), (&"channel".into(), &30.into()));
    assert_eq!(json["components"][0]["dropped_by_step"]["keep if a"]["bytes"], 100);
}

#[tokio::test]
async fn health_and_readiness_name_the_components_that_fail() {
    let scene = scene();
    let address = scene.serve().await;
    let body = async |path: &str| {
        let answer = get(address, path).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), body.to_owned())
    };
    let said = |status: &str, text: &str| (status.to_owned(), format!("{text}\n"));
    assert_eq!(body("/ready").await, said("200", "ready"));
    assert_eq!(body("/health").await, said("200", "healthy"));
    scene.sink.report_trouble("brokers", Cause::Refused, "no way there");
    let in_trouble = "sink out \"1\" is in trouble for 0 s (refused): no way there";
    assert_eq!(body("/ready").await, said("503", in_trouble));
    assert_eq!(body("/health").await, said("200", "healthy"));
    let metrics = get(address, "/metrics").await;
    for line in [r#"role="sink",flow="main",state="degraded"} 1"#, r#"cause="refused"} 1"#] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    assert!(scene.sink.resolve_trouble("brokers").is_some());
    // A file that is set aside holds up no other file.
    scene.source.report_trouble("a.log", Cause::SetAside, "a.log is set aside");
    let remark = "ready\nsource in is in trouble for 0 s (set aside): a.log is set aside";
    assert_eq!(body("/ready").await, said("200", remark));
    scene.source.resolve_trouble("a.log");
    assert_eq!(body("/ready").await, said("200", "ready"));
    scene.source.failed("gone".to_owned(), None);
    assert_eq!(body("/health").await, said("503", "source in has failed for good: gone"));
    scene.metrics.enter(Stage::Stopping);
    let both = "the agent is stopping\nsource in has failed for good: gone";
    assert_eq!(body("/ready").await, said("503", both));
}

#[tokio::test]
async fn wrong_requests_are_answered_and_their_connections_closed() {
    let scene = scene();
    let address = scene.serve().await;
    let status = async |request: &[u8]| exchange(address, request).await.get(9..12).map(str::to_owned);
    assert_eq!(status(b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").await.unwrap(), "405");
    assert_eq!(status(b"GET /etc/passwd HTTP/1.1\r\n\r\n").await.unwrap(), "404");
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP\r\n\r\n").await.unwrap(), "400");
    let mut huge = b"GET /metrics HTTP/1.1\r\nCookie: ".to_vec();
    huge.resize(1 << 20, b'x');
    assert!(matches!(status(&huge).await.as_deref(), None | Some("431")), "{:?}", status(&huge).await);
    let head = exchange(address, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn slow_requests_do_not_delay_other_clients() {
    let scene = scene();
    let address = scene.serve().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HT").await.unwrap();
        slow.push(stream);
    }
    assert!(get(address, "/health").await.ends_with("healthy\n"));
    // Each connection was closed, some after an answer.
    for mut stream in slow {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[test]
fn a_port_in_use_is_an_error() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Server::bind(first.address().unwrap()).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_idle_when_no_event_has_moved_for_the_time() {
    let begin = Instant::now();
    let scene = scene();
    let quiet = Duration::from_secs(5);
    scene.metrics.idle(quiet).await;
    assert_eq!(begin.elapsed().as_secs(), 5, "from the start on");
    let mover = scene.source.clone();
    tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            mover.touch(Instant::now());
        }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.metrics.idle(quiet).await;
    assert_eq!(begin.elapsed().as_secs(), 5 + 30 + 5);
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_events_that_no_sink_has_taken_is_not_idle() {
    let mut scene = scene();
    let quiet = Duration::from_secs(1);
    scene.put(1).await;
    let long = Duration::from_secs(3600);
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_err());
    let Taken::Events(lease) = scene.reader.take().await else { panic!("there is an event") };
    // The sink holds the event, as in an open file, which it commits at the end.
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_ok());
    drop(lease);
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_err(), "it was given back");
    let Taken::Events(lease) = scene.reader.take().await else { panic!("there is an event") };
    lease.acknowledgement.done();
    scene.sink.failed("no".to_owned(), Some(Instant::now() + long));
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_err(), "the sink will try again");
}

#[tokio::test]
async fn silent_connections_do_not_delay_an_answer() {
    let scene = scene();
    let address = scene.serve().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
    }
    tokio::time::pause();
    let begun = Instant::now();
    let answer = get(address, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_idle_only_after_the_discovery_of_each_source() {
    let (begin, quiet) = (Instant::now(), Duration::from_secs(1));
    let scene = scene();
    scene.source.begin_run();
    let source = scene.source.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(100)).await;
        source.finish_discovery();
        tokio::time::sleep(Duration::from_millis(500)).await;
        source.finish_discovery();
    });
    scene.metrics.idle(quiet).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(101), "the second call changes nothing");
    scene.source.begin_run();
    let long = Duration::from_secs(3600);
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_err(), "it has begun again");
    scene.source.enter(Phase::Ended);
    assert!(
        tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_ok(),
        "nothing comes from it any more"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_source_has_buffered_events_is_not_idle() {
    let scene = scene();
    let quiet = Duration::from_secs(1);
    scene.source.set_buffered(1);
    let long = Duration::from_secs(3600);
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_err());
    scene.source.set_buffered(0);
    assert!(tokio::time::timeout(long, scene.metrics.idle(quiet)).await.is_ok());
}

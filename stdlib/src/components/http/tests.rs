//! Runs the source with real sockets on the loopback, and a memory channel behind it.

mod quiet;
mod refused;

use std::collections::BTreeMap;
use std::io::Write;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_plan::Value;
use weir_runtime::batch::Column;
use weir_runtime::{Descriptors, Meter, Purpose};

use super::*;
use crate::tests::harness::tls::TestCertificate;
use crate::tests::harness::{SourceHarness, context, variant, with_changes};

/// A running source, and the address on which it listens.
struct RunningSource {
    address: String,
    harness: SourceHarness,
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let pair = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8View, false),
        Field::new("value", DataType::Utf8View, false),
    ]));
    let map = DataType::Map(Arc::new(Field::new("entries", pair, false)), false);
    Arc::new(Schema::new(vec![
        Field::new("@client", DataType::FixedSizeBinary(16), false),
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@path", DataType::Utf8View, false),
        Field::new("@timestamp", time, false),
        Field::new("headers", map, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

impl RunningSource {
    async fn start(changes: &[(&str, Value)]) -> RunningSource {
        RunningSource::within(1 << 26, Descriptors::of_process(), changes).await
    }

    /// Starts a source in front of a channel of `byte_capacity` bytes, with these descriptors.
    async fn within(
        byte_capacity: u64,
        descriptors: Descriptors,
        changes: &[(&str, Value)],
    ) -> RunningSource {
        RunningSource::start_with(descriptors, changes, |source, meter| {
            SourceHarness::within(source, meter, 100, byte_capacity)
        })
        .await
    }

    async fn start_with(
        descriptors: Descriptors,
        changes: &[(&str, Value)],
        harness: impl FnOnce(Box<dyn Source>, Arc<Meter>) -> SourceHarness,
    ) -> RunningSource {
        let settings = [
            ("bind", Value::Text("127.0.0.1:0".into())),
            ("path", Value::Text("/events".into())),
            ("health", Value::Null),
            ("format", variant("lines", &[("encoding", variant("utf8", &[]))])),
            ("max_body", Value::Size(10_000)),
            ("batch", Value::Int(100)),
            ("linger", Value::Duration(Duration::from_millis(1))),
            ("timeout", Value::Duration(Duration::from_secs(30))),
            ("max_requests", Value::Int(10)),
            ("max_bodies", Value::Null),
            ("security", variant("plaintext", &[])),
            ("authentication", variant("none", &[])),
        ];
        let meter = Arc::new(Meter::default());
        let context = Context { descriptors, ..context("web", schema(), &meter) };
        let source = make(&with_changes(&settings, changes), context).unwrap();
        let harness = harness(source, meter);
        RunningSource { address: harness.address().await, harness }
    }

    /// Sends a request, and returns the connection on which its answer comes.
    async fn send(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head =
            format!("{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses the request may not read all of it.
        let _unread = stream.write_all(body).await;
        stream
    }

    async fn post(&self, body: &[u8]) -> TcpStream {
        self.send("POST /events HTTP/1.1", body).await
    }

    /// Sends a request, and returns the status and the text of its answer.
    async fn refused(&self, head: &str, body: &[u8]) -> (u16, String) {
        answer_of(self.send(head, body).await).await
    }

    async fn bodies(&mut self) -> Vec<String> {
        let delivery = self.harness.take().await;
        let bodies = delivery.batch.bodies().unwrap().iter().flatten();
        let bodies = bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect();
        delivery.acknowledgement.done();
        bodies
    }

    /// Waits until a counter has reached `count`.
    async fn counted(&self, counter: &str, count: u64) {
        while self.harness.meter.counters().get(counter).copied().unwrap_or_default() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) {
        self.harness.stop.cancel();
        self.harness.running.await.unwrap().unwrap();
    }
}

async fn answer_of(mut stream: impl AsyncRead + Unpin) -> (u16, String) {
    let mut answer = Vec::new();
    // A connection may be reset after the answer was received.
    let _ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
}

#[tokio::test]
async fn a_request_is_answered_when_its_events_are_delivered_and_not_before() {
    let mut source = RunningSource::start(&[]).await;
    let stream = source.post(b"one\ntwo\n").await;
    let delivery = source.harness.take().await;
    assert_eq!(delivery.batch.rows(), 2);
    assert!(stream.try_read(&mut [0; 1]).is_err(), "nothing is delivered yet");
    delivery.acknowledgement.done();
    assert_eq!(answer_of(stream).await.0, 200);
    source.end().await;
}

#[tokio::test]
async fn events_have_the_address_of_their_client_and_the_headers_of_their_request() {
    let mut source = RunningSource::start(&[]).await;
    let head = "POST /events HTTP/1.1\r\nX-Team: payments\r\nCookie: secret";
    let stream = source.send(head, b"one").await;
    let delivery = source.harness.take().await;
    let shown = format!("{:?}", delivery.batch.column("headers").unwrap().values());
    assert!(shown.contains("x-team") && shown.contains("payments"), "{shown}");
    assert!(!shown.contains("cookie"), "{shown}");
    let client = delivery.batch.column("@client").unwrap().values().to_data();
    assert_eq!(client.buffers()[0].as_slice()[10..], [0xff, 0xff, 127, 0, 0, 1]);
    delivery.acknowledgement.done();
    assert_eq!(answer_of(stream).await.0, 200);
    source.end().await;
}

#[tokio::test]
async fn requests_share_batches() {
    let mut source = RunningSource::start(&[("linger", Value::Duration(Duration::from_millis(200)))]).await;
    let mut streams = Vec::new();
    for number in 0..5 {
        streams.push(source.post(format!("{number}\n").as_bytes()).await);
    }
    let mut bodies = Vec::new();
    while bodies.len() < 5 {
        bodies.extend(source.bodies().await);
    }
    for stream in streams {
        assert_eq!(answer_of(stream).await.0, 200);
    }
    source.end().await;
}

#[tokio::test]
async fn compressed_bodies_are_decompressed_within_the_bound() {
    let mut source = RunningSource::start(&[]).await;
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let head = "POST /events HTTP/1.1\r\ncontent-encoding: gzip";
    let deflate = |zlib: bool| {
        let level = flate2::Compression::fast();
        if zlib {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(b"packed\n").unwrap();
            return encoder.finish().unwrap();
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(b"packed\n").unwrap();
        encoder.finish().unwrap()
    };
    for (encoding, body) in [
        ("gzip", gzip(b"packed\n")),
        ("GZIP", gzip(b"packed\n")),
        ("X-Gzip", gzip(b"packed\n")),
        ("zstd", zstd::encode_all(&b"packed\n"[..], 1).unwrap()),
        ("br", b"\x0b\x03\x80packed\n\x03".to_vec()),
        ("Deflate", deflate(true)),
        ("deflate", deflate(false)),
        ("Identity", b"packed\n".to_vec()),
    ] {
        let stream =
            source.send(&format!("POST /events HTTP/1.1\r\ncontent-encoding: {encoding}"), &body).await;
        assert_eq!(source.bodies().await, ["packed"], "{encoding}");
        assert_eq!(answer_of(stream).await.0, 200);
    }
    assert_eq!(source.refused(head, &gzip(&[b'x'; 1_000_000])).await.0, 413);
    assert_eq!(source.refused(head, b"not packed").await.0, 400);
    let head = "POST /events HTTP/1.1\r\ncontent-encoding: br";
    assert_eq!(source.refused(head, b"\x0b\x03\x80pack").await.0, 400);
    source.end().await;
}

#[tokio::test]
async fn bodies_in_other_encodings_are_decoded() {
    let utf16 = variant("lines", &[("encoding", variant("utf16le", &[]))]);
    let mut source = RunningSource::start(&[("format", utf16), ("max_body", Value::Size(1 << 20))]).await;
    let body: Vec<u8> = "\u{feff}one\r\nzwölf\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let stream = source.send("POST /events HTTP/1.1", &body).await;
    assert_eq!(source.bodies().await, ["one", "zwölf"]);
    assert_eq!(answer_of(stream).await.0, 200);
    // A body is decoded piece by piece; characters of two units are cut.
    let long = format!("x{}", "𝄞".repeat(50_000));
    let body: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let stream = source.send("POST /events HTTP/1.1", &body).await;
    assert_eq!(source.bodies().await, [long]);
    assert_eq!(answer_of(stream).await.0, 200);
    source.end().await;
}

#[tokio::test]
async fn a_load_balancer_learns_whether_the_source_takes_requests() {
    let authentication = variant(
        "bearer",
        &[("token", Value::Secret(weir_plan::SecretReference::Environment("PATH".into())))],
    );
    let source = RunningSource::start(&[
        ("health", Value::Text("/health".into())),
        ("authentication", authentication),
    ])
    .await;
    let (status, answer) = source.refused("GET /health HTTP/1.1", b"").await;
    assert!(status == 200 && answer.contains("the source takes requests"), "{answer}");
    assert_eq!(source.refused("HEAD /health HTTP/1.1", b"").await.0, 200);
    assert_eq!(source.refused("POST /health HTTP/1.1", b"x").await.0, 401);
    assert_eq!(source.harness.meter.counters()["requests"], 1);
    source.end().await;
}

#[tokio::test]
async fn only_clients_with_the_right_credentials_may_send() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "s3cret\n").unwrap();
    let secret = Value::Secret(weir_plan::SecretReference::File(file.to_string_lossy().into_owned()));
    let bearer = variant("bearer", &[("token", secret.clone())]);
    let basic = variant("basic", &[("user", Value::Text("ann".into())), ("password", secret)]);
    // "ann:s3cret" in base64.
    for (authentication, right, wrong) in
        [(bearer, "Bearer s3cret", "Bearer s3cre"), (basic, "basic YW5uOnMzY3JldA==", "Basic YW5uOnM=")]
    {
        let mut source = RunningSource::start(&[("authentication", authentication)]).await;
        for header in ["x-none: 1".to_string(), format!("authorization: {wrong}")] {
            let (status, answer) = source.refused(&format!("POST /events HTTP/1.1\r\n{header}"), b"1").await;
            assert_eq!(status, 401);
            assert!(answer.contains("www-authenticate: "), "{answer}");
        }
        let stream = source.send(&format!("POST /events HTTP/1.1\r\nauthorization: {right}"), b"1").await;
        assert_eq!(source.bodies().await, ["1"]);
        assert_eq!(answer_of(stream).await.0, 200);
        source.end().await;
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_stops_the_source() {
    let missing = weir_plan::SecretReference::File("/nowhere/secret".into());
    let authentication = variant("bearer", &[("token", Value::Secret(missing))]);
    let settings: Authentication = Settings { values: BTreeMap::from([("a".into(), authentication)]) }
        .read::<BTreeMap<String, Authentication>>()
        .unwrap()
        .remove("a")
        .unwrap();
    let error = settings.credentials().err().unwrap();
    assert_eq!(error.to_string(), "the secret /nowhere/secret can't be read");
}

#[tokio::test]
async fn a_request_that_is_not_committed_in_time_is_answered_with_503_and_retry_after() {
    let mut source = RunningSource::start(&[("timeout", Value::Duration(Duration::from_millis(50)))]).await;
    let held = source.post(b"held\n").await;
    let delivery = source.harness.take().await;
    let (status, answer) = answer_of(held).await;
    assert_eq!(status, 503);
    assert!(answer.contains("retry-after: 1"), "{answer}");
    delivery.acknowledgement.done();
    source.end().await;
}

#[tokio::test]
async fn a_body_that_takes_longer_than_the_timeout_is_answered_with_408() {
    let source = RunningSource::start(&[("timeout", Value::Duration(Duration::from_millis(50)))]).await;
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    let head = "POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 100\r\n\r\nslow";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer_of(stream).await.0, 408);
    source.end().await;
}

#[tokio::test]
async fn an_invalid_request_does_not_disturb_other_clients() {
    let mut source = RunningSource::start(&[]).await;
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    stream.write_all(b"\0\xff nonsense\r\n\r\n").await.unwrap();
    assert_eq!(answer_of(stream).await.0, 400);
    let mut endless = TcpStream::connect(&source.address).await.unwrap();
    endless.write_all(b"POST /events HTTP/1.1\r\n").await.unwrap();
    let header = [b"x: ".to_vec(), vec![b'x'; 100_000], b"\r\n".to_vec()].concat();
    let _unread = endless.write_all(&header).await;
    assert_eq!(answer_of(endless).await.0, 431);
    let stream = source.post(b"right\n").await;
    assert_eq!(source.bodies().await, ["right"]);
    assert_eq!(answer_of(stream).await.0, 200);
    source.end().await;
}

/// The sink commits when the channel is drained, the channel is drained when the source has closed its outlet,
/// and the client is answered when the sink has committed.
#[tokio::test]
async fn a_stop_waits_for_requests_that_a_sink_commits_when_it_ends() {
    let mut source = RunningSource::start(&[]).await;
    let stream = source.post(b"one\n").await;
    let delivery = source.harness.take().await;
    source.harness.stop.cancel();
    source.harness.drained().await;
    delivery.acknowledgement.done();
    assert_eq!(answer_of(stream).await.0, 200);
    source.harness.running.await.unwrap().unwrap();
    assert_eq!(source.harness.meter.counters()["requests"], 1);
}

#[tokio::test]
async fn incomplete_requests_delay_a_stop_by_a_second_at_most() {
    let source = RunningSource::start(&[]).await;
    let head = "POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n";
    let mut half_head = TcpStream::connect(&source.address).await.unwrap();
    half_head.write_all(head.as_bytes()).await.unwrap();
    let mut half_body = TcpStream::connect(&source.address).await.unwrap();
    half_body.write_all(format!("{head}\r\nhalf").as_bytes()).await.unwrap();
    let _silent = TcpStream::connect(&source.address).await.unwrap();
    source.counted("requests", 1).await;
    tokio::time::pause();
    let begun = Instant::now();
    source.harness.stop.cancel();
    source.harness.running.await.unwrap().unwrap();
    assert!(begun.elapsed() < 2 * STOP_GRACE, "{:?}", begun.elapsed());
    let (status, answer) = answer_of(half_body).await;
    assert_eq!(status, 503);
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(half_head.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
}

#[tokio::test]
async fn a_batch_has_the_time_until_which_its_clients_wait() {
    let mut source = RunningSource::start(&[]).await;
    let stream = source.post(b"one\n").await;
    let delivery = source.harness.take().await;
    let awaited = delivery.batch.awaited().expect("a client waits");
    assert_eq!(awaited.until - awaited.since, Duration::from_secs(30));
    delivery.acknowledgement.done();
    assert_eq!(answer_of(stream).await.0, 200);
    source.end().await;
}

#[tokio::test]
async fn a_request_larger_than_a_transaction_is_refused_and_later_requests_are_taken() {
    let mut source = RunningSource::within(8_000, Descriptors::of_process(), &[]).await;
    let (one_event, many_events) =
        (vec![b'x'; 9_000], format!("{}\n", "x".repeat(60)).repeat(100).into_bytes());
    for body in [one_event, many_events] {
        assert_eq!(source.refused("POST /events HTTP/1.1", &body).await.0, 413);
    }
    for body in [vec![b'x'; 6_000], b"x\n".repeat(50)] {
        let stream = source.post(&body).await;
        let delivery = source.harness.take().await;
        assert!(delivery.batch.charged_bytes() <= 8_000);
        delivery.acknowledgement.done();
        assert_eq!(answer_of(stream).await.0, 200);
    }
    source.end().await;
}

#[tokio::test]
async fn headers_of_a_request_are_stored_once_for_all_its_events() {
    let mut source = RunningSource::start(&[("linger", Value::Duration(Duration::from_millis(500)))]).await;
    let body = b"x\n".repeat(50);
    let mut streams = Vec::new();
    for letter in ["a", "b"] {
        let head = format!("POST /events HTTP/1.1\r\nx-{}: {}", letter.repeat(20_000), letter.repeat(20_000));
        streams.push(source.send(&head, &body).await);
    }
    // The headers would take four megabytes if each event had them, so both requests can't share a batch either.
    for stream in streams {
        let delivery = source.harness.take().await;
        assert_eq!(delivery.batch.rows(), 50);
        assert!(matches!(delivery.batch.column("headers"), Some(Column::Constant(_))));
        let charged = delivery.batch.charged_bytes();
        assert!((40_000..60_000).contains(&charged), "{charged}");
        delivery.acknowledgement.done();
        assert_eq!(answer_of(stream).await.0, 200);
    }
    source.end().await;
}

#[tokio::test]
async fn quiet_connections_are_evicted_when_descriptors_run_out() {
    let descriptors = Descriptors::with_limit(20);
    let connections_max = descriptors.of_component("web".into()).share(Purpose::Connection);
    let mut source = RunningSource::within(1 << 20, descriptors, &[]).await;
    let mut silent = Vec::new();
    for number in 0..connections_max + 5 {
        let mut stream = TcpStream::connect(&source.address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"POST /events HTTP/1.1\r\n").await.unwrap();
        }
        silent.push(stream);
    }
    tokio::time::pause();
    let begun = Instant::now();
    let stream = source.post(b"one\n").await;
    assert_eq!(source.bodies().await, ["one"]);
    assert_eq!(answer_of(stream).await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(source.harness.meter.counters()["connections_dismissed"] > 0);
    assert_eq!(source.harness.meter.counters().get("connections_refused"), None);
    source.end().await;
}

#[tokio::test]
async fn requests_can_be_encrypted() {
    let server = TestCertificate::new();
    let mut source = RunningSource::start(&[("security", server.security(None))]).await;
    assert!(source.harness.meter.gauges().contains_key("certificate_ends_timestamp_seconds"));
    let plain = source.post(b"not encrypted\n").await;
    let mut unanswered = Vec::new();
    let _reset = { plain }.read_to_end(&mut unanswered).await;
    assert!(!unanswered.starts_with(b"HTTP"), "{unanswered:?}");
    let stream = TcpStream::connect(&source.address).await.unwrap();
    let mut client = server.connect(stream, None).await.unwrap();
    let request =
        b"POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 7\r\n\r\nsecret\n";
    client.write_all(request).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.bodies().await, ["secret"]);
    assert_eq!(answer_of(client).await.0, 200);
    source.end().await;
}

//! Runs the source with real sockets on the loopback, and a memory channel behind it.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use weir_plan::Value;

use super::*;
use crate::tests::harness::tls::TestCertificate;
use crate::tests::harness::{SourceHarness, context, variant, with_changes};

/// A running source, and the address on which it listens.
struct RunningSource {
    address: String,
    harness: SourceHarness,
}

/// The most connections.
const CONNECTIONS: i64 = 10;

fn udp(receivers: i64) -> Value {
    variant("udp", &[("receive_buffer", Value::Size(1 << 20)), ("receivers", Value::Int(receivers))])
}

fn tcp() -> Value {
    tcp_with(variant("plaintext", &[]))
}

fn tcp_with(security: Value) -> Value {
    let settings =
        [("security", security), ("max_connections", Value::Int(CONNECTIONS)), ("idle", Value::Null)];
    variant("tcp", &settings)
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@client", DataType::FixedSizeBinary(16), false),
        Field::new("@facility", DataType::Int64, true),
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@sender", DataType::Utf8View, true),
        Field::new("@severity", DataType::Int64, true),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

fn source(transport: Value, zone: &str, meter: &Arc<Meter>) -> Result<Box<dyn Source>, Failure> {
    let settings = [
        ("bind", Value::Text("127.0.0.1:0".into())),
        ("transport", transport),
        ("max_message", Value::Size(480)),
        ("zone", Value::Text(zone.into())),
        ("batch", Value::Int(100)),
        ("linger", Value::Duration(Duration::from_millis(1))),
    ];
    make(&with_changes(&settings, &[]), context("logs", schema(), meter))
}

impl RunningSource {
    async fn start(transport: Value) -> RunningSource {
        let meter = Arc::new(Meter::default());
        let source = source(transport, "Europe/Berlin", &meter).unwrap();
        let harness = SourceHarness::start(source, meter, 1_000);
        RunningSource { address: harness.address().await, harness }
    }

    async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let delivery = self.harness.take().await;
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            found.extend(bodies.map(|body| String::from_utf8_lossy(body).into_owned()));
            delivery.acknowledgement.done();
        }
        found
    }

    async fn end(self) {
        self.harness.stop.cancel();
        self.harness.running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn each_datagram_is_a_message() {
    let mut source = RunningSource::start(udp(1)).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let messages = ["<34>1 2003-10-11T22:14:15Z web-1 su - - - one", "<13>two\n", "three\0"];
    for message in messages.iter().chain([&"", &"\n"]) {
        client.send_to(message.as_bytes(), &source.address).await.unwrap();
    }
    assert_eq!(source.bodies(3).await, [messages[0], "<13>two", "three"]);
    client.send_to(&[b'x'; 2_000], &source.address).await.unwrap();
    assert_eq!(source.bodies(1).await, ["x".repeat(480)]);
    assert_eq!(source.harness.meter.counters()["long_messages"], 1);
    source.end().await;
}

#[tokio::test]
async fn several_receivers_share_an_address() {
    let mut source = RunningSource::start(udp(4)).await;
    let mut expected = Vec::new();
    for client in 0..20 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for number in 0..5 {
            let message = format!("<1>{number} of {client}");
            socket.send_to(message.as_bytes(), &source.address).await.unwrap();
            expected.push(message);
        }
    }
    let mut found = source.bodies(100).await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    source.end().await;
}

#[tokio::test]
async fn the_header_of_a_message_is_in_the_events_columns() {
    let mut source = RunningSource::start(tcp()).await;
    let mut client = TcpStream::connect(&source.address).await.unwrap();
    client.write_all(b"<165>1 2003-08-24T05:14:15.000003-07:00 web-1 app - - - x\nno form\n").await.unwrap();
    let delivery = source.harness.take().await;
    let shown = |name: &str| format!("{:?}", delivery.batch.column(name).unwrap().values());
    assert!(shown("@facility").contains("20,\n  null"), "{}", shown("@facility"));
    assert!(shown("@severity").contains("5,\n  null"), "{}", shown("@severity"));
    assert!(shown("@sender").contains("\"web-1\",\n  null"), "{}", shown("@sender"));
    assert!(shown("@timestamp").contains("2003-08-24T12:14:15.000003"), "{}", shown("@timestamp"));
    delivery.acknowledgement.done();
    source.end().await;
}

#[tokio::test]
async fn messages_on_a_connection_are_counted_or_terminated() {
    let mut source = RunningSource::start(tcp()).await;
    let mut client = TcpStream::connect(&source.address).await.unwrap();
    for piece in [&b"11 <1>one\ntwo"[..], b"\n<2>thr", b"ee\n5", b" <3>4", b"<5>last"] {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
    let bodies = source.bodies(4).await;
    assert_eq!(bodies, ["<1>one\ntwo\n", "<2>three", "<3>4<", "5>last"]);
    source.end().await;
}

#[tokio::test]
async fn messages_that_were_read_before_a_stop_are_still_put() {
    let mut source = RunningSource::start(tcp()).await;
    let mut client = TcpStream::connect(&source.address).await.unwrap();
    // One read takes all messages, which are more than the channel and the gatherer's queue hold.
    let messages: Vec<String> = (1_000..5_000).map(|number| format!("<1>{number}")).collect();
    client.write_all(format!("{}\n", messages.join("\n")).as_bytes()).await.unwrap();
    let first = source.harness.take().await;
    source.harness.stop.cancel();
    let rows = first.batch.rows();
    first.acknowledgement.done();
    assert_eq!(source.bodies(messages.len() - rows).await, messages[rows..]);
    source.end().await;
}

#[tokio::test]
async fn connections_can_be_encrypted() {
    let server = TestCertificate::new();
    let mut source = RunningSource::start(tcp_with(server.security(None))).await;
    // A client without TLS is refused, and other clients go on.
    let mut plain = TcpStream::connect(&source.address).await.unwrap();
    plain.write_all(b"<1>not encrypted\n").await.unwrap();
    let stream = TcpStream::connect(&source.address).await.unwrap();
    let mut client = server.connect(stream, None).await.unwrap();
    // A counted message, as RFC 5425 demands.
    client.write_all(b"9 <1>secret").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.bodies(1).await, ["<1>secret"]);
    source.end().await;
}

#[tokio::test]
async fn an_endless_message_is_truncated_and_not_kept_in_memory() {
    let mut source = RunningSource::start(tcp()).await;
    let mut client = TcpStream::connect(&source.address).await.unwrap();
    client.write_all(&[b'x'; 300_000]).await.unwrap();
    client.write_all(b"\nnext\n").await.unwrap();
    assert_eq!(source.bodies(2).await, ["x".repeat(480), "next".to_string()]);
    source.end().await;
}

#[tokio::test]
async fn an_incomplete_message_does_not_delay_a_stop_and_is_counted() {
    let mut source = RunningSource::start(tcp()).await;
    let mut client = TcpStream::connect(&source.address).await.unwrap();
    client.write_all(b"<1>whole\n<2>hal").await.unwrap();
    assert_eq!(source.bodies(1).await, ["<1>whole"]);
    let meter = source.harness.meter.clone();
    source.end().await;
    assert_eq!(meter.counters()["unfinished_messages"], 1);
}

#[tokio::test]
async fn a_connection_with_an_incomplete_message_is_evicted_for_a_new_one() {
    let mut source = RunningSource::start(tcp()).await;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(&source.address).await.unwrap();
        client.write_all(b"<1>half").await.unwrap();
        crowd.push(client);
    }
    while source.harness.meter.counters().get("connections") != Some(&10) {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(2)).await;
    tokio::time::resume();
    let mut other = TcpStream::connect(&source.address).await.unwrap();
    other.write_all(b"<2>whole\n").await.unwrap();
    assert_eq!(source.bodies(1).await, ["<2>whole"]);
    let counters = source.harness.meter.counters();
    assert_eq!((counters["connections_dismissed"], counters["unfinished_messages"]), (1, 1));
    source.end().await;
}

#[test]
fn an_unknown_time_zone_is_refused() {
    let refused = source(tcp(), "Mars/Olympus", &Arc::default()).err().unwrap();
    assert!(refused.is_permanent());
    assert!(refused.to_string().starts_with("there is no time zone `Mars/Olympus`"), "{refused}");
}

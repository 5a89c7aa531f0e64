//! The source with real sockets on the loopback, and a memory channel behind it.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_plan::Value;
use weir_runtime::SystemClock;
use weir_runtime::channel::{Channel, Limits, MemoryChannel, Taken};
use weir_runtime::sink::{Delivery, SinkPort};

use super::*;

struct Trial {
    address: String,
    stop: CancellationToken,
    sink: SinkPort,
    meter: Arc<Meter>,
    running: JoinHandle<Result<(), Failure>>,
}

fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    Value::Variant { name: name.into(), settings }
}

fn tcp() -> Value {
    let settings =
        [("security", variant("plaintext", &[])), ("max_connections", Value::Int(10)), ("idle", Value::Null)];
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
    let values: BTreeMap<String, Value> = [
        ("bind", Value::Text("127.0.0.1:0".into())),
        ("transport", transport),
        ("max_message", Value::Size(480)),
        ("zone", Value::Text(zone.into())),
        ("batch", Value::Int(100)),
        ("linger", Value::Duration(Duration::from_millis(1))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    let context = Context {
        exactly_once: false,
        program: "test".into(),
        component: "logs".into(),
        schema: schema(),
        meter: meter.clone(),
        clock: Arc::new(SystemClock),
    };
    make(&Settings { values }, context)
}

impl Trial {
    async fn begin(transport: Value) -> Trial {
        let meter = Arc::new(Meter::default());
        let mut source = source(transport, "Europe/Berlin", &meter).unwrap();
        let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
            capacity: 1_000,
            transaction_capacity: 1_000,
            byte_capacity: 1 << 24,
            keep_alive: Duration::from_secs(3),
        }));
        let sink = SinkPort::reading(channel.as_ref());
        let port = SourcePort::into_channel(channel);
        let stop = port.stop.clone();
        let running = tokio::spawn(async move { source.run(port).await });
        let address = loop {
            if let Some(address) = meter.notes().get("listens on") {
                break address.clone();
            }
            tokio::task::yield_now().await;
        };
        Trial { address, stop, sink, meter, running }
    }

    async fn take(&mut self) -> Delivery {
        match self.sink.take().await.unwrap() {
            Taken::Events(delivery) => delivery,
            other => panic!("events were expected, not {other:?}"),
        }
    }

    async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let delivery = self.take().await;
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            found.extend(bodies.map(|body| String::from_utf8_lossy(body).into_owned()));
            delivery.acknowledgement.done();
        }
        found
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn each_datagram_is_a_message() {
    let mut trial = Trial::begin(variant("udp", &[])).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let messages = ["<34>1 2003-10-11T22:14:15Z web-1 su - - - one", "<13>two\n", "three\0"];
    for message in messages.iter().chain([&"", &"\n"]) {
        client.send_to(message.as_bytes(), &trial.address).await.unwrap();
    }
    assert_eq!(trial.bodies(3).await, [messages[0], "<13>two", "three"]);
    client.send_to(&[b'x'; 2_000], &trial.address).await.unwrap();
    assert_eq!(trial.bodies(1).await, ["x".repeat(480)]);
    assert_eq!(trial.meter.counters()["long_messages"], 1);
    trial.end().await;
}

#[tokio::test]
async fn what_a_message_says_of_itself_is_in_its_headers() {
    let mut trial = Trial::begin(tcp()).await;
    let mut client = TcpStream::connect(&trial.address).await.unwrap();
    client.write_all(b"<165>1 2003-08-24T05:14:15.000003-07:00 web-1 app - - - x\nno form\n").await.unwrap();
    let delivery = trial.take().await;
    let shown = |name: &str| format!("{:?}", delivery.batch.column(name).unwrap().values());
    assert!(shown("@facility").contains("20,\n  null"), "{}", shown("@facility"));
    assert!(shown("@severity").contains("5,\n  null"), "{}", shown("@severity"));
    assert!(shown("@sender").contains("\"web-1\",\n  null"), "{}", shown("@sender"));
    assert!(shown("@timestamp").contains("2003-08-24T12:14:15.000003"), "{}", shown("@timestamp"));
    delivery.acknowledgement.done();
    trial.end().await;
}

#[tokio::test]
async fn messages_are_counted_or_ended_on_a_connection() {
    let mut trial = Trial::begin(tcp()).await;
    let mut client = TcpStream::connect(&trial.address).await.unwrap();
    for piece in [&b"11 <1>one\ntwo"[..], b"\n<2>thr", b"ee\n5", b" <3>4", b"<5>last"] {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
    let bodies = trial.bodies(4).await;
    assert_eq!(bodies, ["<1>one\ntwo\n", "<2>three", "<3>4<", "5>last"]);
    trial.end().await;
}

#[tokio::test]
async fn an_endless_message_is_cut_and_never_kept() {
    let mut trial = Trial::begin(tcp()).await;
    let mut client = TcpStream::connect(&trial.address).await.unwrap();
    client.write_all(&[b'x'; 300_000]).await.unwrap();
    client.write_all(b"\nnext\n").await.unwrap();
    assert_eq!(trial.bodies(2).await, ["x".repeat(480), "next".to_string()]);
    trial.end().await;
}

#[test]
fn a_zone_that_there_is_not_is_refused() {
    let refused = source(tcp(), "Mars/Olympus", &Arc::default()).err().unwrap();
    assert!(refused.is_permanent());
    assert!(refused.to_string().starts_with("there is no time zone `Mars/Olympus`"), "{refused}");
}

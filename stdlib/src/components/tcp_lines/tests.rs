//! Runs the source with real sockets on the loopback, and a memory channel behind it.

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_plan::Value;
use weir_runtime::Meter;
use weir_runtime::channel::Taken;

use super::*;
use crate::tests::harness::tls::TestCertificate;
use crate::tests::harness::{SourceHarness, context, variant, with_changes};

/// A running source, and the address on which it listens.
struct RunningSource {
    address: String,
    harness: SourceHarness,
}

fn settings() -> [(&'static str, Value); 9] {
    [
        ("bind", Value::Text("127.0.0.1:0".into())),
        ("max_line", Value::Size(64)),
        ("long_lines", variant("truncate", &[])),
        ("encoding", variant("utf8", &[])),
        ("ack", Value::Bool(false)),
        ("max_connections", Value::Int(100)),
        ("batch", Value::Int(10)),
        ("linger", Value::Duration(Duration::from_millis(5))),
        ("security", variant("plaintext", &[])),
    ]
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@client", DataType::FixedSizeBinary(16), false),
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

impl RunningSource {
    async fn start(changes: &[(&str, Value)]) -> RunningSource {
        let meter = Arc::new(Meter::default());
        let source = make(&with_changes(&settings(), changes), context("lines", schema(), &meter)).unwrap();
        let harness = SourceHarness::start(source, meter, 1_000);
        RunningSource { address: harness.address().await, harness }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Takes and acknowledges this many lines.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let delivery = self.harness.take().await;
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            lines.extend(bodies.map(|body| String::from_utf8_lossy(body).into_owned()));
            delivery.acknowledgement.done();
        }
        lines
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

#[tokio::test]
async fn lines_are_events_however_they_are_split_into_packets() {
    let mut source = RunningSource::start(&[]).await;
    let mut client = source.connect().await;
    for piece in [&b"one\r\ntw"[..], b"o", b"\n\n", b"th\xffree"] {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(source.lines(4).await, ["one", "two", "", "th\u{fffd}ree"]);
    source.end().await;
}

#[tokio::test]
async fn lines_in_other_encodings_are_decoded_however_they_are_split() {
    let mut source = RunningSource::start(&[("encoding", variant("utf16be", &[]))]).await;
    let text: Vec<u8> =
        "\u{feff}eins\r\nzwölf\n\u{a0a}\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for piece in [1, 3, 100] {
        let mut client = source.connect().await;
        client.set_nodelay(true).unwrap();
        for piece in text.chunks(piece) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.write_all(b"\xd8").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(source.lines(4).await, ["eins", "zwölf", "\u{a0a}", "\u{fffd}"]);
    }
    source.counted("malformed_reads", 3).await;
    source.end().await;
}

#[tokio::test]
async fn a_byte_order_mark_at_the_beginning_of_a_connection_belongs_to_no_line() {
    let mut source = RunningSource::start(&[]).await;
    let mut client = source.connect().await;
    for piece in [&b"\xef"[..], b"\xbb", b"\xbfone\n\xef\xbb\xbftwo\n"] {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(source.lines(2).await, ["one", "\u{feff}two"]);
    source.end().await;
}

#[tokio::test]
async fn a_line_is_answered_when_it_is_delivered_and_not_before() {
    let mut source = RunningSource::start(&[("ack", Value::Bool(true))]).await;
    let mut client = source.connect().await;
    client.write_all(b"1\n").await.unwrap();
    let delivery = source.harness.take().await;
    let mut answer = [0; 3];
    assert!(client.try_read(&mut answer).is_err(), "nothing is delivered yet");
    delivery.acknowledgement.done();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"OK\n");
    source.end().await;
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_still_gets_its_answers() {
    let mut source = RunningSource::start(&[("ack", Value::Bool(true))]).await;
    let mut client = source.connect().await;
    client.write_all(b"1\n2\n3").await.unwrap();
    client.shutdown().await.unwrap();
    source.lines(3).await;
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "OK\nOK\nOK\n");
    source.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_does_not_delay_a_stop() {
    let changes = [("ack", Value::Bool(true)), ("batch", Value::Int(1_000))];
    let RunningSource { address, harness } = RunningSource::start(&changes).await;
    let SourceHarness { stop, mut sink, running, .. } = harness;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    let mut client = socket.connect(address.parse().unwrap()).await.unwrap();
    let delivered = tokio::spawn(async move {
        while let Taken::Events(delivery) = sink.take().await.unwrap() {
            assert!(delivery.batch.awaited().is_some());
            delivery.acknowledgement.done();
        }
    });
    tokio::time::pause();
    // Virtual time passes when no task can continue: the buffers of both sides are full of answers and lines.
    let write = async { while client.write_all(&[b'\n'; 10_000]).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(1), write).await.is_err());
    let begun = Instant::now();
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(begun.elapsed() < 2 * STOP_GRACE, "{:?}", begun.elapsed());
    delivered.await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_its_answers_late_gets_all_of_them() {
    const LINES: usize = 300_000;
    let changes = [("ack", Value::Bool(true)), ("batch", Value::Int(1_000))];
    let mut source = RunningSource::start(&changes).await;
    let (mut answers, mut lines) = source.connect().await.into_split();
    let write = tokio::spawn(async move { lines.write_all(&[b'\n'; LINES]).await.unwrap() });
    source.lines(LINES).await;
    write.await.unwrap();
    let mut taken = vec![0; LINES * 3];
    answers.read_exact(&mut taken).await.unwrap();
    assert!(taken.chunks(3).all(|answer| answer == b"OK\n"));
    source.end().await;
}

#[tokio::test]
async fn an_endless_line_is_truncated_and_not_kept_in_memory() {
    let mut source = RunningSource::start(&[]).await;
    let mut client = source.connect().await;
    for _ in 0..100 {
        client.write_all(&[b'x'; 10_000]).await.unwrap();
    }
    client.write_all(b"\nnext\n").await.unwrap();
    assert_eq!(source.lines(2).await, ["x".repeat(64), "next".to_string()]);
    source.counted("long_lines", 1).await;
    source.end().await;
}

#[tokio::test]
async fn a_line_larger_than_a_transaction_is_too_long() {
    let meter = Arc::new(Meter::default());
    let settings = with_changes(&settings(), &[("max_line", Value::Size(1 << 20))]);
    let source = make(&settings, context("lines", schema(), &meter)).unwrap();
    let harness = SourceHarness::within(source, meter, 1_000, 10_000);
    let mut source = RunningSource { address: harness.address().await, harness };
    let mut client = source.connect().await;
    client.write_all(&[[b'x'; 20_000].as_slice(), b"\nnext\n"].concat()).await.unwrap();
    let lines = source.lines(2).await;
    assert!((8_000..10_000).contains(&lines[0].len()), "{}", lines[0].len());
    assert_eq!(lines[1], "next");
    source.counted("long_lines", 1).await;
    source.end().await;
}

#[tokio::test]
async fn only_the_line_that_steps_make_too_large_is_left_out() {
    let meter = Arc::new(Meter::default());
    let changes = [("max_line", Value::Size(10_000)), ("ack", Value::Bool(true))];
    let source = make(&with_changes(&settings(), &changes), context("lines", schema(), &meter)).unwrap();
    let harness = SourceHarness::behind_widening_steps(source, meter, 3_000);
    let mut source = RunningSource { address: harness.address().await, harness };
    let mut client = source.connect().await;
    client.write_all(&[b"one\n".as_slice(), &[b'x'; 5_000], b"\ntwo\n"].concat()).await.unwrap();
    assert_eq!(source.lines(2).await, ["one", "two"]);
    let mut answers = [0; 6];
    client.read_exact(&mut answers).await.unwrap();
    assert_eq!(&answers, b"OK\nOK\n");
    client.write_all(b"three\n").await.unwrap();
    assert_eq!(source.lines(1).await, ["three"]);
    client.shutdown().await.unwrap();
    let mut last = String::new();
    client.read_to_string(&mut last).await.unwrap();
    assert_eq!(last, "OK\n", "a line that is left out is not answered");
    source.counted("events_too_large", 1).await;
    source.end().await;
}

#[tokio::test]
async fn an_endless_line_is_left_out_with_long_lines_skip() {
    let mut source = RunningSource::start(&[("long_lines", variant("skip", &[]))]).await;
    let mut client = source.connect().await;
    client.write_all(&[b'x'; 200_000]).await.unwrap();
    client.write_all(b"\nnext\n").await.unwrap();
    assert_eq!(source.lines(1).await, ["next"]);
    source.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_another_ends() {
    let changes = [("max_connections", Value::Int(1)), ("ack", Value::Bool(true))];
    let mut source = RunningSource::start(&changes).await;
    let mut first = source.connect().await;
    first.write_all(b"1\n").await.unwrap();
    // The first client is not evicted while it waits for its answer.
    let delivery = source.harness.take().await;
    let mut second = source.connect().await;
    assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
    source.counted("connections_refused", 1).await;
    delivery.acknowledgement.done();
    first.read_exact(&mut [0; 3]).await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
    drop(first);
    // The slot becomes free a moment later. A served connection stays open, so a connection that ends was refused.
    let third = loop {
        let mut third = source.connect().await;
        if third.write_all(b"3\n").await.is_err() {
            continue;
        }
        let mut closed = [0; 1];
        tokio::select! {
            lines = source.lines(1) => {
                assert_eq!(lines, ["3"]);
                break third;
            }
            _refused = third.read(&mut closed) => {}
        }
    };
    drop(third);
    source.end().await;
}

/// Connects, and sends a complete line and then `text`, which may be the beginning of another line.
async fn send_line_and(source: &mut RunningSource, text: &str) -> TcpStream {
    let mut client = source.connect().await;
    client.write_all(format!("whole\n{text}").as_bytes()).await.unwrap();
    assert_eq!(source.lines(1).await, ["whole"]);
    client
}

/// Each way in which a connection ends in the middle of a line.
#[tokio::test]
async fn incomplete_lines_are_counted() {
    let mut source = RunningSource::start(&[("idle", Value::Duration(Duration::from_secs(10)))]).await;
    // A last line needs no end.
    send_line_and(&mut source, "the last").await.shutdown().await.unwrap();
    assert_eq!(source.lines(1).await, ["the last"]);

    let reset = send_line_and(&mut source, "broken off").await;
    reset.set_zero_linger().unwrap();
    drop(reset);
    source.counted("unfinished_lines", 1).await;

    let mut silent = send_line_and(&mut source, "silent").await;
    tokio::time::pause();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "it is closed");
    tokio::time::resume();
    source.counted("unfinished_lines", 2).await;

    let _stopped = send_line_and(&mut source, "still there at the stop").await;
    let meter = source.harness.meter.clone();
    source.end().await;
    assert_eq!(meter.counters()["unfinished_lines"], 3);
}

#[tokio::test]
async fn an_incomplete_line_of_an_evicted_client_is_counted() {
    let mut source = RunningSource::start(&[("max_connections", Value::Int(1))]).await;
    let mut quiet = send_line_and(&mut source, "quiet").await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(2)).await;
    tokio::time::resume();
    let _other = send_line_and(&mut source, "").await;
    assert_eq!(quiet.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is evicted");
    let counters = source.harness.meter.counters();
    assert_eq!((counters["connections_dismissed"], counters["unfinished_lines"]), (1, 1));
    source.end().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let source = RunningSource::start(&[("idle", Value::Duration(Duration::from_millis(20)))]).await;
    let mut client = source.connect().await;
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    source.counted("connections_idle", 1).await;
    source.end().await;
}

#[tokio::test]
async fn many_clients_share_batches_and_keep_their_order() {
    let mut source = RunningSource::start(&[("batch", Value::Int(500))]).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(source.connect().await);
    }
    for number in 0..20 {
        for (client, stream) in clients.iter_mut().enumerate() {
            stream.write_all(format!("{client} {number}\n").as_bytes()).await.unwrap();
        }
    }
    let mut next = [0; 50];
    for line in source.lines(1_000).await {
        let (client, number) = line.split_once(' ').unwrap();
        let client: usize = client.parse().unwrap();
        assert_eq!(number.parse::<usize>().unwrap(), next[client]);
        next[client] += 1;
    }
    assert_eq!(next, [20; 50]);
    source.end().await;
}

#[tokio::test]
async fn an_address_that_is_in_use_is_an_error_that_may_pass() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = Value::Text(taken.local_addr().unwrap().to_string());
    let (settings, meter) = (with_changes(&settings(), &[("bind", bind)]), Arc::default());
    let source = make(&settings, context("lines", schema(), &meter)).unwrap();
    let failure = SourceHarness::start(source, meter, 10).running.await.unwrap().unwrap_err();
    assert!(!failure.is_permanent());
    assert!(failure.to_string().starts_with("can't listen on 127.0.0.1:"), "{failure}");
}

#[tokio::test]
async fn connections_can_be_encrypted() {
    let server = TestCertificate::new();
    let mut source = RunningSource::start(&[("security", server.security(None))]).await;
    let mut client = server.connect(source.connect().await, None).await.unwrap();
    client.write_all(b"secret\n").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.lines(1).await, ["secret"]);

    // A client without TLS is refused, and the other client goes on.
    let mut plain = source.connect().await;
    plain.write_all(b"not encrypted\n").await.unwrap();
    source.counted("connections_failed", 1).await;
    client.write_all(b"more\n").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.lines(1).await, ["more"]);
    source.end().await;
}

#[tokio::test]
async fn with_ca_only_clients_with_a_trusted_certificate_are_accepted() {
    let (server, friend, stranger) = (TestCertificate::new(), TestCertificate::new(), TestCertificate::new());
    let mut source = RunningSource::start(&[("security", server.security(Some(&friend)))]).await;
    for (refused, client) in [None, Some(&stranger)].into_iter().enumerate() {
        // A client may learn only at its first read that it was refused.
        if let Ok(mut stream) = server.connect(source.connect().await, client).await {
            let _unheard = stream.write_all(b"not wanted\n").await;
            assert!(stream.read(&mut [0; 1]).await.is_err());
        }
        source.counted("connections_failed", 1 + refused as u64).await;
    }
    let mut client = server.connect(source.connect().await, Some(&friend)).await.unwrap();
    client.write_all(b"wanted\n").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.lines(1).await, ["wanted"]);
    source.end().await;
}

#[tokio::test]
async fn a_client_without_tls_handshake_delays_no_other_client_and_is_closed() {
    let server = TestCertificate::new();
    let mut source =
        RunningSource::start(&[("security", server.security(None)), ("max_connections", Value::Int(2))])
            .await;
    let mut silent = source.connect().await;
    let mut client = server.connect(source.connect().await, None).await.unwrap();
    client.write_all(b"one\n").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(source.lines(1).await, ["one"]);
    tokio::time::pause();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
    tokio::time::resume();
    source.counted("connections_failed", 1).await;
    source.end().await;
}

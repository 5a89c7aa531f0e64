//! Refused requests, and the fate of their bodies.

use super::*;

#[tokio::test]
async fn the_status_shows_why_a_request_is_refused() {
    let source = RunningSource::start(&[("format", variant("json", &[]))]).await;
    assert_eq!(source.refused("POST /other HTTP/1.1", b"1").await.0, 404);
    let (status, answer) = source.refused("GET /events HTTP/1.1", b"").await;
    assert!(status == 405 && answer.contains("allow: post, put"), "{answer}");
    assert_eq!(source.refused("POST /events HTTP/1.1", b"{\"a\":").await.0, 400);
    assert_eq!(source.refused("POST /events HTTP/1.1", &[b' '; 10_001]).await.0, 413);
    let many = format!("[{}0]", "0,".repeat(100));
    assert_eq!(source.refused("POST /events HTTP/1.1", many.as_bytes()).await.0, 413);
    let head = "POST /events HTTP/1.1\r\ncontent-encoding: compress";
    assert_eq!(source.refused(head, b"1").await.0, 415);
    source.end().await;
}

#[tokio::test]
async fn a_body_without_content_length_is_bounded() {
    let source = RunningSource::start(&[]).await;
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    let head =
        "POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"1000\r\n".to_vec(), vec![b'x'; 0x1000], b"\r\n".to_vec()].concat();
    for _ in 0..4 {
        // The server may close the connection before all chunks are sent.
        let _unread = stream.write_all(&chunk).await;
    }
    let _unread = stream.write_all(b"0\r\n\r\n").await;
    assert_eq!(answer_of(stream).await.0, 413);
    source.end().await;
}

#[tokio::test]
async fn a_request_beyond_max_requests_is_answered_with_429() {
    let mut source = RunningSource::start(&[("max_requests", Value::Int(1))]).await;
    let first = source.post(b"first\n").await;
    let delivery = source.harness.take().await;
    let (status, answer) = source.refused("POST /events HTTP/1.1", b"second\n").await;
    assert_eq!(status, 429);
    assert!(answer.contains("retry-after: 1"), "{answer}");
    delivery.acknowledgement.done();
    assert_eq!(answer_of(first).await.0, 200);
    source.end().await;
}

#[tokio::test]
async fn a_request_whose_body_would_exceed_max_bodies_is_answered_with_503() {
    let mut source = RunningSource::start(&[("max_bodies", Value::Size(10_000))]).await;
    let first = source.post(&[b'x'; 6_000]).await;
    let delivery = source.harness.take().await;
    // A request that only announces its body reserves no memory.
    let mut announced = TcpStream::connect(&source.address).await.unwrap();
    announced.write_all(b"POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n").await.unwrap();
    source.counted("requests", 2).await;
    let (status, answer) = source.refused("POST /events HTTP/1.1", &[b'x'; 5_000]).await;
    assert_eq!(status, 503);
    assert!(answer.contains("retry-after: 1"), "{answer}");
    // The decompressed bytes of a compressed body count too.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&[b'x'; 5_000]).unwrap();
    let head = "POST /events HTTP/1.1\r\ncontent-encoding: gzip";
    assert_eq!(source.refused(head, &packed.finish().unwrap()).await.0, 503);
    let small = source.post(&[b'x'; 3_000]).await;
    source.harness.take().await.acknowledgement.done();
    delivery.acknowledgement.done();
    assert_eq!(answer_of(first).await.0, 200);
    assert_eq!(answer_of(small).await.0, 200);
    let again = source.post(&[b'x'; 5_000]).await;
    source.harness.take().await.acknowledgement.done();
    assert_eq!(answer_of(again).await.0, 200);
    drop(announced);
    source.end().await;
}

#[tokio::test]
async fn headers_of_flumes_events_are_bounded_for_each_event() {
    let source = RunningSource::start(&[("format", variant("flume_json", &[]))]).await;
    let headers: Vec<String> = (0..101).map(|number| format!("\"{number}\": \"\"")).collect();
    let body = format!(r#"[{{}}, {{}}, {{"headers": {{{}}}}}]"#, headers.join(","));
    let (status, answer) = source.refused("POST /events HTTP/1.1", body.as_bytes()).await;
    assert_eq!(status, 400);
    assert!(answer.contains("event 2: it has more than 100 headers"), "{answer}");
    source.end().await;
}

#[tokio::test]
async fn a_client_that_reads_no_answer_before_it_has_sent_everything_gets_its_refusal() {
    let source = RunningSource::start(&[]).await;
    let body = vec![b'x'; 8 << 20];
    for (path, chunked, status) in [("/events", false, 413), ("/events", true, 413), ("/other", false, 404)] {
        let mut stream = TcpStream::connect(&source.address).await.unwrap();
        let length = match chunked {
            true => "transfer-encoding: chunked\r\n\r\n800000".to_string(),
            false => format!("content-length: {}\r\n", body.len()),
        };
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{length}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        if chunked {
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        }
        assert_eq!(answer_of(stream).await.0, status);
    }
    source.end().await;
}

/// Sends a part of a request that is refused.
async fn partly_sent_refused(source: &RunningSource) -> TcpStream {
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    let head = "POST /other HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\na part";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_whose_body_is_discarded_keeps_its_slot() {
    let source = RunningSource::start(&[("max_requests", Value::Int(1))]).await;
    let mut refused = Vec::new();
    for _ in 0..CONNECTIONS_PER_REQUEST {
        refused.push(partly_sent_refused(&source).await);
    }
    source.counted("requests_refused", CONNECTIONS_PER_REQUEST as u64).await;
    let mut further = TcpStream::connect(&source.address).await.unwrap();
    further.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let _end = further.read_to_end(&mut Vec::new()).await;
    // On a slow machine one of the connections may be quiet for long enough to be evicted.
    let counters = source.harness.meter.counters();
    let count = |name| counters.get(name).copied().unwrap_or_default();
    assert_eq!(count("connections_refused") + count("connections_dismissed"), 1, "{counters:?}");
    source.end().await;
}

#[tokio::test]
async fn a_body_that_is_discarded_does_not_delay_a_stop() {
    let source = RunningSource::start(&[]).await;
    let _refused = partly_sent_refused(&source).await;
    source.counted("requests_refused", 1).await;
    tokio::time::pause();
    let begun = Instant::now();
    source.harness.stop.cancel();
    source.harness.running.await.unwrap().unwrap();
    assert!(begun.elapsed() < 2 * STOP_GRACE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_the_refusal_instead() {
    let source = RunningSource::start(&[]).await;
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    let head = "POST /other HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer_of(stream).await.0, 404);
    source.end().await;
}

#[tokio::test]
async fn an_event_that_steps_make_too_large_refuses_its_request_alone() {
    let changes = [("linger", Value::Duration(Duration::from_millis(200)))];
    let narrow = |source, meter| SourceHarness::behind_widening_steps(source, meter, 3_000);
    let mut source = RunningSource::start_with(Descriptors::of_process(), &changes, narrow).await;
    let large = [b"with it\n".as_slice(), &[b'x'; 5_000]].concat();
    let [before, refused, behind] =
        [source.post(b"before\n").await, source.post(&large).await, source.post(b"behind\n").await];
    let (status, answer) = answer_of(refused).await;
    assert_eq!(status, 413);
    assert!(answer.contains("fits into no transaction"), "{answer}");
    let mut arrived = Vec::new();
    while arrived.len() < 2 {
        arrived.extend(source.bodies().await);
    }
    arrived.sort();
    assert_eq!(arrived, ["before", "behind"], "nothing of the request that is refused");
    assert_eq!(answer_of(before).await.0, 200);
    assert_eq!(answer_of(behind).await.0, 200);
    assert_eq!(source.harness.meter.counters()["events_too_large"], 2);
    let later = source.post(b"later\n").await;
    assert_eq!(source.bodies().await, ["later"]);
    assert_eq!(answer_of(later).await.0, 200);
    source.end().await;
}

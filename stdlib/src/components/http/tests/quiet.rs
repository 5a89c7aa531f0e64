//! Clients that begin a request and don't continue, while other clients wait for a slot.

use super::*;

const HALF: &[u8] = b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: 9000\r\n\r\nhalf";

/// Connects, and sends a request without the end of its body.
async fn send_half(source: &RunningSource) -> TcpStream {
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    stream.write_all(HALF).await.unwrap();
    stream
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_with_half_a_body_is_evicted_when_descriptors_run_out() {
    let descriptors = Descriptors::with_limit(20);
    let connections_max = descriptors.of_component("web".into()).share(Purpose::Connection);
    let mut source = RunningSource::within(1 << 20, descriptors, &[("max_requests", Value::Int(100))]).await;
    // This request is complete and waits for its answer, so its connection is busy and not quiet.
    let complete = source.post(b"complete\n").await;
    let delivery = source.harness.take().await;
    let mut crowd = Vec::new();
    for _ in 1..connections_max {
        crowd.push(send_half(&source).await);
    }
    source.counted("requests", connections_max as u64).await;
    pass(5).await;
    let other = source.post(b"other\n").await;
    assert_eq!(source.bodies().await, ["other"]);
    assert_eq!(source.harness.meter.counters()["connections_dismissed"], 1);
    // Deliveries are reported in the order of the puts.
    delivery.acknowledgement.done();
    assert_eq!(answer_of(other).await.0, 200);
    assert_eq!(answer_of(complete).await.0, 200);
    let (status, answer) = answer_of(crowd.swap_remove(0)).await;
    assert_eq!(status, 408, "the connection that was quiet for longest: {answer}");
    source.end().await;
}

#[tokio::test]
async fn a_request_with_half_a_body_is_evicted_when_no_request_permit_is_free() {
    let mut source = RunningSource::start(&[("max_requests", Value::Int(2))]).await;
    let crowd = [send_half(&source).await, send_half(&source).await];
    source.counted("requests", 2).await;
    pass(5).await;
    let other = source.post(b"other\n").await;
    assert_eq!(source.bodies().await, ["other"]);
    assert_eq!(answer_of(other).await.0, 200);
    let [first, mut second] = crowd;
    assert_eq!(answer_of(first).await.0, 408);
    let rest = [b"y".repeat(8_995), b"\n".to_vec()].concat();
    second.write_all(&rest).await.unwrap();
    assert_eq!(source.bodies().await[0].len(), 8_999);
    drop(second);
    source.end().await;
}

#[tokio::test]
async fn a_request_with_half_a_body_is_evicted_when_no_memory_for_bodies_is_free() {
    let mut source = RunningSource::start(&[("max_bodies", Value::Size(10_000))]).await;
    let mut large = send_half(&source).await;
    large.write_all(&b"y".repeat(8_000)).await.unwrap();
    source.counted("requests", 1).await;
    pass(5).await;
    let other = source.post(&b"z".repeat(5_000)).await;
    assert_eq!(source.bodies().await[0].len(), 5_000);
    assert_eq!(answer_of(other).await.0, 200);
    assert_eq!(answer_of(large).await.0, 408);
    source.end().await;
}

#[tokio::test]
async fn a_slow_body_is_taken_while_slots_are_free() {
    let mut source = RunningSource::start(&[]).await;
    let mut slow = TcpStream::connect(&source.address).await.unwrap();
    let head = b"POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
    slow.write_all(head).await.unwrap();
    source.counted("requests", 1).await;
    for byte in [b"s", b"l", b"o", b"w", b"\n"] {
        pass(3).await;
        slow.write_all(byte).await.unwrap();
    }
    assert_eq!(source.bodies().await, ["slow"]);
    assert_eq!(answer_of(slow).await.0, 200);
    source.end().await;
}

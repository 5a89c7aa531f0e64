//! Clients that begin a request and do not go on, and others that find all places taken.

use super::*;

const HALF: &[u8] = b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: 9000\r\n\r\nhalf";

async fn half(source: &Listening) -> TcpStream {
    let mut stream = TcpStream::connect(&source.address).await.unwrap();
    stream.write_all(HALF).await.unwrap();
    stream
}

/// Lets so much time pass at once.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn half_bodies_make_room_for_others_when_descriptors_are_used_up() {
    let descriptors = Descriptors::with_limit(20);
    let connections_max = descriptors.of_component("web".into()).share(Purpose::Connection);
    let mut source = Listening::within(1 << 20, descriptors, &[("max_requests", Value::Int(100))]).await;
    // It is complete, and waits for its answer for longer than anybody is quiet.
    let complete = source.post(b"complete\n").await;
    let delivery = source.trial.take().await;
    let mut crowd = Vec::new();
    for _ in 1..connections_max {
        crowd.push(half(&source).await);
    }
    source.counted("requests", connections_max as u64).await;
    pass(5).await;
    let other = source.post(b"other\n").await;
    assert_eq!(source.bodies().await, ["other"]);
    assert_eq!(source.trial.meter.counters()["connections_dismissed"], 1);
    // Deliveries are told in order.
    delivery.acknowledgement.done();
    assert_eq!(answer_of(other).await.0, 200);
    assert_eq!(answer_of(complete).await.0, 200);
    let (status, answer) = answer_of(crowd.swap_remove(0)).await;
    assert_eq!(status, 408, "who was quiet for longest is told: {answer}");
    source.end().await;
}

#[tokio::test]
async fn half_bodies_make_room_among_the_requests_that_are_served_at_once() {
    let mut source = Listening::begin(&[("max_requests", Value::Int(2))]).await;
    let crowd = [half(&source).await, half(&source).await];
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
async fn half_bodies_make_room_for_the_bodies_of_others() {
    let mut source = Listening::begin(&[("max_bodies", Value::Size(10_000))]).await;
    let mut large = half(&source).await;
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
async fn a_slow_body_comes_to_its_end_while_there_is_room() {
    let mut source = Listening::begin(&[]).await;
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

use super::*;
use crate::tools::buffers::Buffers;
use jiff::tz::TimeZone;
use weir_runtime::SystemClock;

fn context(events_max: usize) -> Arc<RunContext> {
    Arc::new(RunContext {
        component: "logs".into(),
        meter: Arc::default(),
        clock: Arc::new(SystemClock),
        buffers: Buffers::default(),
        zone: TimeZone::UTC,
        message_bytes_max: 480,
        events_max,
        idle: None,
    })
}

async fn receiver(context: &Arc<RunContext>, buffer_bytes: usize) -> (Receiver, SocketAddr) {
    let receive_buffer = ReceiveBuffer::new("logs", &context.meter, buffer_bytes);
    let socket = bind("127.0.0.1:0", 1, &receive_buffer).await.unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    (Receiver::new(socket, buffer_bytes, context.clone()), address)
}

fn send(from: &str, to: SocketAddr, messages: impl Iterator<Item = String>) {
    let client = std::net::UdpSocket::bind(from).unwrap();
    for message in messages {
        client.send_to(message.as_bytes(), to).unwrap();
    }
}

/// Returns the client and the messages of each chunk.
fn shown(chunks: impl IntoIterator<Item = Chunk<HeaderReader>>) -> Vec<(String, Vec<String>)> {
    let texts = |chunk: &Chunk<HeaderReader>| {
        let text = |span: &Span| &chunk.buffer[span.begin as usize..][..span.length as usize];
        chunk.spans.iter().map(|span| String::from_utf8_lossy(text(span)).into_owned()).collect()
    };
    chunks.into_iter().map(|chunk| (chunk.client.to_string(), texts(&chunk))).collect()
}

#[tokio::test]
async fn datagrams_that_the_kernel_drops_are_counted() {
    let context = context(100_000);
    let (mut receiver, address) = receiver(&context, 8 << 10).await;
    send("127.0.0.1:0", address, (0..2_000).map(|number| format!("<1>{number}")));
    let mut received = 0;
    receiver.socket.readable().await.unwrap();
    while let Ok(count) = receiver.receive_now() {
        assert!(count <= DATAGRAMS_MAX);
        received += count;
    }
    assert!((1..2_000).contains(&received), "{received} were received");
    // The kernel reports its count with the next datagram.
    send("127.0.0.1:0", address, ["<1>last".to_string()].into_iter());
    receiver.socket.readable().await.unwrap();
    assert_eq!(receiver.receive_now().unwrap(), 1);
    assert_eq!(context.meter.counters()["datagrams_dropped"], 2_000 - received as u64);
    assert_eq!(receiver.pending.messages.len(), received + 1);
}

#[tokio::test]
async fn messages_are_grouped_by_client_and_keep_their_order() {
    let context = context(5);
    let (mut receiver, address) = receiver(&context, 1 << 20).await;
    for round in 0..4 {
        for client in ["127.0.0.2:0", "127.0.0.1:0"] {
            send(client, address, [format!("<1>{round} of {client}")].into_iter());
        }
    }
    receiver.socket.readable().await.unwrap();
    assert_eq!(receiver.receive_now().unwrap(), 5, "no more than a batch has room for");
    let chunks = shown(receiver.pending.take(&context));
    let of =
        |client: &str, rounds: [&str; 2]| rounds.map(|round| format!("<1>{round} of {client}:0")).to_vec();
    assert_eq!(chunks[0], ("127.0.0.1".to_string(), of("127.0.0.1", ["0", "1"])));
    assert_eq!((chunks.len(), chunks[1].1.len()), (2, 3));
    assert_eq!(chunks[1].1[..2], of("127.0.0.2", ["0", "1"]));
    assert_eq!(receiver.receive_now().unwrap(), 3);
}

#[tokio::test]
async fn datagrams_in_the_kernels_buffer_at_a_stop_are_still_taken() {
    let context = context(10);
    let (receiver, address) = receiver(&context, 1 << 20).await;
    send("127.0.0.1:0", address, (0..200).map(|number| format!("<1>{number}")));
    receiver.socket.readable().await.unwrap();
    let (chunks, mut handed_on) = mpsc::channel(1);
    let stop = CancellationToken::new();
    stop.cancel();
    let receiving = tokio::spawn(receiver.receive(chunks, stop));
    let mut found = Vec::new();
    while let Some(chunk) = handed_on.recv().await {
        found.extend(shown([chunk]).remove(0).1);
    }
    receiving.await.unwrap().unwrap();
    assert_eq!(found, (0..200).map(|number| format!("<1>{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_size_of_the_receive_buffer_that_the_system_allows_is_reported() {
    let context = context(10);
    let (receiver, _) = receiver(&context, 1 << 30).await;
    let given = getsockopt(&receiver.socket, RcvBuf).unwrap() / 2;
    assert_eq!(context.meter.notes()["receive buffer"], format!("{} KiB", given >> 10));
}

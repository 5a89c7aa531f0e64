use super::*;
use crate::tools::buffers::Buffers;
use jiff::tz::TimeZone;
use weir_runtime::SystemClock;

fn terms(events_max: usize) -> Arc<Terms> {
    Arc::new(Terms {
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

async fn receiver(terms: &Arc<Terms>, buffer_bytes: usize) -> (Receiver, SocketAddr) {
    let room = Room::new("logs", &terms.meter, buffer_bytes);
    let socket = bind("127.0.0.1:0", 1, &room).await.unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    (Receiver::new(socket, buffer_bytes, terms.clone()), address)
}

fn send(from: &str, to: SocketAddr, messages: impl Iterator<Item = String>) {
    let client = std::net::UdpSocket::bind(from).unwrap();
    for message in messages {
        client.send_to(message.as_bytes(), to).unwrap();
    }
}

fn shown(pieces: impl IntoIterator<Item = Piece<Headers>>) -> Vec<(String, Vec<String>)> {
    let texts = |piece: &Piece<Headers>| {
        let text = |span: &Span| &piece.buffer[span.begin as usize..][..span.length as usize];
        piece.spans.iter().map(|span| String::from_utf8_lossy(text(span)).into_owned()).collect()
    };
    pieces.into_iter().map(|piece| (piece.client.to_string(), texts(&piece))).collect()
}

#[tokio::test]
async fn what_the_kernel_drops_is_counted() {
    let terms = terms(100_000);
    let (mut receiver, address) = receiver(&terms, 8 << 10).await;
    send("127.0.0.1:0", address, (0..2_000).map(|number| format!("<1>{number}")));
    let mut received = 0;
    receiver.socket.readable().await.unwrap();
    while let Ok(count) = receiver.take_now() {
        assert!(count <= DATAGRAMS_MAX);
        received += count;
    }
    assert!((1..2_000).contains(&received), "{received} were received");
    // The kernel says it with the next one.
    send("127.0.0.1:0", address, ["<1>last".to_string()].into_iter());
    receiver.socket.readable().await.unwrap();
    assert_eq!(receiver.take_now().unwrap(), 1);
    assert_eq!(terms.meter.counters()["datagrams_dropped"], 2_000 - received as u64);
    assert_eq!(receiver.gathered.messages.len(), received + 1);
}

#[tokio::test]
async fn each_clients_messages_are_together_and_in_their_order() {
    let terms = terms(5);
    let (mut receiver, address) = receiver(&terms, 1 << 20).await;
    for round in 0..4 {
        for client in ["127.0.0.2:0", "127.0.0.1:0"] {
            send(client, address, [format!("<1>{round} of {client}")].into_iter());
        }
    }
    receiver.socket.readable().await.unwrap();
    assert_eq!(receiver.take_now().unwrap(), 5, "no more than a batch has room for");
    let pieces = shown(receiver.gathered.take(&terms));
    let of =
        |client: &str, rounds: [&str; 2]| rounds.map(|round| format!("<1>{round} of {client}:0")).to_vec();
    assert_eq!(pieces[0], ("127.0.0.1".to_string(), of("127.0.0.1", ["0", "1"])));
    assert_eq!((pieces.len(), pieces[1].1.len()), (2, 3));
    assert_eq!(pieces[1].1[..2], of("127.0.0.2", ["0", "1"]));
    assert_eq!(receiver.take_now().unwrap(), 3);
}

#[tokio::test]
async fn what_the_kernel_has_at_a_stop_is_still_handed_on() {
    let terms = terms(10);
    let (receiver, address) = receiver(&terms, 1 << 20).await;
    send("127.0.0.1:0", address, (0..200).map(|number| format!("<1>{number}")));
    receiver.socket.readable().await.unwrap();
    let (pieces, mut handed_on) = mpsc::channel(1);
    let stop = CancellationToken::new();
    stop.cancel();
    let receiving = tokio::spawn(receiver.receive(pieces, stop));
    let mut found = Vec::new();
    while let Some(piece) = handed_on.recv().await {
        found.extend(shown([piece]).remove(0).1);
    }
    receiving.await.unwrap().unwrap();
    assert_eq!(found, (0..200).map(|number| format!("<1>{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_buffer_that_the_system_does_not_give_is_known() {
    let terms = terms(10);
    let (receiver, _) = receiver(&terms, 1 << 30).await;
    let given = getsockopt(&receiver.socket, RcvBuf).unwrap() / 2;
    assert_eq!(terms.meter.notes()["receive buffer"], format!("{} KiB", given >> 10));
}

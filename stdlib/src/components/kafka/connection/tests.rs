//! The troubles with brokers, and the sums of the time limits by which they become visible.

use rdkafka::statistics::Broker;
use weir_runtime::Trouble;
use weir_runtime::metrics::TROUBLE_LIMIT;

use super::*;

fn connection() -> Connection {
    Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits", &Arc::default())
}

#[test]
fn a_peer_that_is_no_broker_is_told_from_one_that_is_away() {
    let transport = RDKafkaErrorCode::BrokerTransportFailure;
    let silent = "ApiVersionRequest failed: Local: Timed out: probably due to broker version < 0.10";
    let size = "Receive failed: Invalid response size 1213486160 (0..100000000)";
    for (code, reason, cause) in [
        (transport, size, Cause::Protocol),
        (RDKafkaErrorCode::BadMessage, "Protocol parse failure", Cause::Protocol),
        (transport, "Connect failed: Connection refused", Cause::Refused),
        (transport, "Disconnected", Cause::Unreachable),
        (transport, silent, Cause::TimedOut),
    ] {
        assert_eq!(unreachable_cause(code, reason), Some(cause), "{reason}");
    }
}

/// The statistics of a client, at this second of its clock, that has a connection to a broker, and one to the coordinator of its group.
/// Requests to both have waited since the first second.
fn statistics(second: i64, state: &str, is_waiting: bool) -> Statistics {
    let idle = (second - 1) * 1_000_000;
    let broker = |source: &str, nodename: &str, waitresp_cnt| Broker {
        name: nodename.to_owned(),
        source: source.to_owned(),
        nodename: nodename.to_owned(),
        state: state.to_owned(),
        waitresp_cnt,
        rxidle: if is_waiting { idle } else { 0 },
        txidle: idle,
        ..Broker::default()
    };
    let brokers = [broker("learned", "b:9092", i64::from(is_waiting)), broker("logical", "c:9092", 1)];
    let brokers = brokers.into_iter().map(|broker| (broker.nodename.clone(), broker)).collect();
    Statistics { ts: second * 1_000_000, brokers, ..Statistics::default() }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lets_requests_wait_without_a_word_is_a_trouble_since_it_does() {
    let connection = connection();
    // After the eighth second, librdkafka closes the connection, and the broker does not answer on the next one.
    for (second, state, is_waiting, expected) in [
        (2, "UP", true, None),
        (5, "UP", true, Some(4)),
        (8, "UP", true, Some(7)),
        (22, "CONNECT", false, Some(21)),
        (24, "APIVERSION_QUERY", false, Some(23)),
        (25, "UP", false, None),
    ] {
        let condition = connection.meter.condition();
        let before = condition.troubles().get("b:9092").map(|trouble| trouble.began);
        connection.look_for_silent(&statistics(second, state, is_waiting));
        let condition = connection.meter.condition();
        let found = condition.troubles().get("b:9092");
        let shown = found.map(|trouble| (trouble.cause, &*trouble.message));
        let trouble = (Cause::TimedOut, "the broker b:9092 does not answer");
        assert_eq!(shown, expected.map(|_: u64| trouble), "{second}");
        assert_eq!(condition.troubles().len(), usize::from(expected.is_some()));
        if let (Some(found), Some(expected)) = (found, expected) {
            let began = before.unwrap_or(tokio::time::Instant::now() - Duration::from_secs(expected));
            assert_eq!(found.began, began, "{second}");
        }
    }
}

#[test]
fn a_trouble_is_open_as_long_as_one_client_of_the_component_has_it() {
    let writes = connection();
    let reads = writes.of_client("reads");
    let is_open = |subject| writes.meter.condition().troubles().contains_key(subject);
    reads.look_for_silent(&statistics(9, "UP", true));
    // The other client has an answer of the same broker, on its own connection.
    writes.look_for_silent(&statistics(9, "UP", false));
    writes.answered();
    assert!(is_open("b:9092"));
    reads.look_for_silent(&statistics(10, "UP", true));
    writes.look_for_silent(&statistics(10, "UP", true));
    reads.look_for_silent(&statistics(11, "UP", false));
    assert!(is_open("b:9092"));
    writes.look_for_silent(&statistics(11, "UP", false));
    assert!(!is_open("b:9092"));
    assert_eq!(writes.meter.condition().troubles().len(), 0);
    for client in [&writes, &reads] {
        client.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        client.should_probe(Instant::now() + WARN_AFTER);
    }
    writes.answered();
    assert!(is_open(BROKERS));
    // The next client of the channel goes on with the trouble of the one before.
    drop(reads);
    let reads = writes.of_client("reads");
    assert!(reads.should_probe(Instant::now() + PROBE_INTERVAL));
    reads.answered();
    assert!(!is_open(BROKERS));
}

#[test]
fn a_client_that_has_just_been_made_does_not_end_the_trouble_of_a_broker_that_it_does_not_know() {
    let before = connection();
    before.look_for_silent(&statistics(9, "UP", true));
    let next = Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits", &before.meter);
    let is_open = || next.meter.condition().troubles().contains_key("b:9092");
    next.look_for_silent(&Statistics::default());
    assert!(is_open());
    next.look_for_silent(&statistics(2, "CONNECT", false));
    assert!(is_open());
    next.look_for_silent(&statistics(3, "UP", false));
    assert!(!is_open());
}

#[test]
fn brokers_that_do_not_answer_a_new_connection_have_been_away_for_its_time_limit() {
    let connection = connection();
    let text =
        "b:9092/bootstrap: Connection setup timed out in state CONNECT (after 8003ms in state CONNECT)";
    connection.log(RDKafkaLogLevel::Warning, "FAIL", &format!("[thrd:b:9092/bootstrap]: {text}"));
    connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    // It is known at once, and not after another second.
    assert!(!connection.should_probe(Instant::now()));
    let Trouble { cause, message, began, .. } = connection.meter.condition().troubles()[BROKERS].clone();
    assert_eq!(
        (cause, &*message),
        (Cause::TimedOut, &*format!("no broker of b:9092 can be reached: {text}"))
    );
    assert!(began.elapsed() >= CONNECTION_TIMEOUT);
}

#[test]
fn the_time_of_a_connection_that_was_in_use_is_no_wait() {
    for (reason, expected) in [
        ("ApiVersionRequest failed: Local: Timed out (after 4003ms in state APIVERSION_QUERY)", 4003),
        ("timed out (after 5000ms in state CONNECT, 2 identical error(s) suppressed)", 5000),
        ("timed out (after 60000ms in state CONNECT)", 8000),
        ("1 request(s) timed out: disconnect (after 5000ms in state UP)", 0),
        ("timed out (after 99999999999999999999999ms in state CONNECT)", 0),
        ("timed out (after  in state", 0),
    ] {
        assert_eq!(waited(reason), Duration::from_millis(expected), "{reason}");
    }
}

#[test]
fn requests_of_the_polling_thread_that_are_not_answered_are_an_outage() {
    let connection = connection();
    connection.unanswered(Duration::from_secs(1));
    assert!(connection.meter.condition().troubles().is_empty());
    connection.unanswered(Duration::from_secs(5));
    let trouble = connection.meter.condition().troubles()[BROKERS].clone();
    assert_eq!(trouble.cause, Cause::TimedOut);
    assert!(trouble.began.elapsed() >= Duration::from_secs(5));
    connection.answered();
    assert!(connection.meter.condition().troubles().is_empty());
}

/// How long the polling thread waits at most for answers, before it sees what has happened meanwhile: it looks for topics, asks for their
/// identities, and probes the brokers.
const BLOCKED_MAX: Duration = Duration::from_millis(2 * 1000 + 500);

/// librdkafka looks for requests and connections whose time is over each second.
const LIBRDKAFKA_TICK: Duration = Duration::from_secs(1);

/// What is left for the machine and for whoever asks.
const MARGIN: Duration = Duration::from_secs(1);

#[test]
fn each_outage_is_visible_in_time() {
    assert_eq!(2 * POLLING_TIMEOUT + PROBE_TIMEOUT, BLOCKED_MAX);
    let of_silent = [
        // The first statistics after the last word show since when requests wait. One statistics before the silence is long enough,
        // the next ones show it.
        SILENCE + 2 * STATISTICS_INTERVAL + BLOCKED_MAX,
        // A client that waits for nothing asks after the next statistics, and it is known when it did.
        STATISTICS_INTERVAL + SILENCE + STATISTICS_INTERVAL + BLOCKED_MAX,
        // `/ready` counts from the first statistics at the latest.
        STATISTICS_INTERVAL + TROUBLE_LIMIT,
    ];
    // A new connection counts from its begin, and the statistics show it.
    let of_connection = [SILENCE + STATISTICS_INTERVAL + BLOCKED_MAX, TROUBLE_LIMIT + STATISTICS_INTERVAL];
    let of_refused = [WARN_AFTER + BLOCKED_MAX, TROUBLE_LIMIT + BLOCKED_MAX];
    for sum in of_silent.into_iter().chain(of_connection).chain(of_refused) {
        assert!(sum + MARGIN <= VISIBLE_WITHIN, "{sum:?}");
    }
    assert!(FIRST_ANSWER_TIMEOUT < CONNECTION_TIMEOUT);
}

#[test]
fn each_end_of_an_outage_is_visible_in_time() {
    let reconnect_wait = RECONNECT_WAIT_MAX * 6 / 5;
    let probe = PROBE_INTERVAL + PROBE_TIMEOUT;
    // What was sent before comes later.
    let of_stalled = STATISTICS_INTERVAL + BLOCKED_MAX;
    let of_refused = reconnect_wait + probe;
    // A first answer was lost, as everything that was sent before: it is waited for in vain.
    let of_answer = FIRST_ANSWER_TIMEOUT + LIBRDKAFKA_TICK + reconnect_wait + probe;
    // The system sends the first packet of a connection again after 1 s, 3 s and 7 s: the next one is answered, or the connection is given
    // up before.
    let [third, fourth] = [3, 7].map(Duration::from_secs);
    let of_packet = (fourth - third) + probe;
    let of_last_packet = (CONNECTION_TIMEOUT - fourth) + LIBRDKAFKA_TICK + reconnect_wait + probe;
    for sum in [of_stalled, of_refused, of_answer, of_packet, of_last_packet] {
        assert!(sum + MARGIN <= VISIBLE_WITHIN, "{sum:?}");
    }
}

#[test]
fn a_short_outage_causes_no_warning() {
    let connection = connection();
    connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    assert!(!connection.should_probe(Instant::now()));
    assert!(connection.lock().outage.as_ref().is_some_and(|outage| !outage.warned));
    connection.answered();
    assert!(connection.lock().outage.is_none());
}

#[test]
fn an_outage_is_warned_of_once_and_probed_until_it_ends() {
    let connection = connection();
    connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    let later = Instant::now() + WARN_AFTER;
    assert!(!connection.should_probe(later));
    assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
    assert!(connection.should_probe(later + PROBE_INTERVAL));
    assert!(!connection.should_probe(later + PROBE_INTERVAL));
    connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
    assert_eq!(connection.meter.condition().troubles()[BROKERS].cause, Cause::Unreachable);
    connection.error(RDKafkaErrorCode::BrokerTransportFailure, "Connect failed: Connection refused");
    assert!(connection.should_probe(later + 2 * PROBE_INTERVAL));
    assert_eq!(connection.meter.condition().troubles()[BROKERS].cause, Cause::Refused);
    connection.answered();
    assert!(connection.meter.condition().troubles().is_empty());
    assert!(!connection.lost.load(Ordering::Relaxed));
}

#[test]
fn troubles_of_a_client_are_over_when_the_next_one_gets_answers() {
    let before = connection();
    before.error(RDKafkaErrorCode::Authentication, "the token has expired");
    before.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    assert!(!before.should_probe(Instant::now() + WARN_AFTER));
    before.look_for_silent(&statistics(9, "UP", true));
    let meter = before.meter.clone();
    assert_eq!(meter.condition().troubles().len(), 2);
    drop(before);
    let next = Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits", &meter);
    assert!(next.should_probe(Instant::now() + PROBE_INTERVAL));
    let condition = meter.condition();
    let Trouble { cause, message, .. } = &condition.troubles()[BROKERS];
    assert_eq!(*cause, Cause::NotAuthorised);
    assert_eq!(message, "no broker of b:9092 can be reached: the token has expired");
    next.look_for_silent(&statistics(3, "UP", false));
    next.answered();
    assert!(meter.condition().troubles().is_empty());
}

//! Writes generated events into Kafka, and reads them with librdkafka.

use weir_tests::{Scene, Servers, Weir};

const EVENTS: usize = 200_000;
const BYTES: usize = 100;

#[test]
fn every_generated_event_is_in_the_topic_once() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_generated_event_is_in_the_topic_once");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    kafka.create_topic(&topic, 4);
    let settings = [("brokers", kafka.brokers()), ("topic", topic.clone()), ("count", EVENTS.to_string())];
    Weir::run(&scene, "tests/end_to_end/flows/generate_to_kafka.flow", &settings).finish().assert_success();

    let mut numbers: Vec<usize> = kafka.consume(&topic).iter().map(|body| number_of(body)).collect();
    assert_eq!(numbers.len(), EVENTS, "records in {topic}");
    numbers.sort_unstable();
    let wrong = numbers.iter().zip(1..).find(|(number, expected)| **number != *expected);
    assert_eq!(wrong, None, "the first wrong number, and the expected number");
}

/// Returns the sequence number at the beginning of a numbered event's body.
fn number_of(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    assert_eq!(body.len(), BYTES, "the size of: {text}");
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

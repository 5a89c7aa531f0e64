//! Records that the sink `kafka` can never write are rejected, and all others arrive. Kafka's own client and fastavro read
//! the topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{
    Kafka, Scene, Servers, Session, Weir, free_address, lines_of, read_independently, visible_files,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// The largest batch that the topics take, in bytes.
const LARGEST: usize = 100_000;

const AVRO_SCHEMA: &str = r#"{"type": "record", "name": "Event", "fields": [
    {"name": "size", "type": "int"},
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"]},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["good", "small"]}}]}"#;

const PROGRAM: &str = r#"
    schema Event { id: Int, size: Int, kind: Text, note: Text? }
    source lines = files {
      paths: ["INPUT"], poll: 100ms, max_line: 4MiB, mode: complete { after: rename {} }
    }
    channel buffer = memory {}
    channel bad = file { path: "BAD" }
    sink out = kafka {
      brokers:  BROKERS
      topic:    "TOPIC{@suffix}"
      key:      "{id}"
      compress: none
      format:   FORMAT
      headers:  [@number, @length]
      retry:    { first: 50ms, max: 1s, limit: 30 }
    }
    sink dead = files { path: "DEAD", roll: { age: 1s } }
    flow main {
      lines
        -> parse json as Event else reject
        -> set @number = id
        -> set @length = note
        -> set @suffix = if kind == "nowhere" then "!" else ""
        -> buffer
      buffer -> out
      rejects -> bad
      bad -> dead
    }
"#;

/// A text of this length.
fn note(id: usize, length: usize) -> String {
    format!("{id}-{}", "n".repeat(length))
}

struct Agent {
    scene: Scene,
    session: Session,
    topic: String,
    weir: Weir,
    metrics: SocketAddr,
}

impl Agent {
    /// Starts a program that writes these lines into a topic which takes only batches of [`LARGEST`] bytes.
    fn start(name: &str, program: &str, format: &str, lines: &[String]) -> Agent {
        let session = Servers::shared();
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        let kafka = session.kafka();
        let topic = format!("{}-{}", scene.name(), std::process::id());
        kafka.create_topic_with(&topic, 2, &[("max.message.bytes", &LARGEST.to_string())]);
        fs::create_dir(scene.folder().join("input")).expect("the scene is empty");
        fs::write(scene.folder().join("input/lines.log"), lines.join("\n") + "\n").expect("it is there");
        fs::write(scene.folder().join("event.avsc"), AVRO_SCHEMA).expect("the folder is there");
        let replaced = [
            ("INPUT", scene.path("input/*.log")),
            ("BAD", scene.path("bad")),
            ("DEAD", scene.path("dead")),
            ("BROKERS", kafka.brokers()),
            ("TOPIC", topic.clone()),
            ("FORMAT", format.replace("SCHEMA", &scene.path("event.avsc"))),
        ];
        let program =
            replaced.iter().fold(program.to_owned(), |program, (name, value)| program.replace(name, value));
        let flow = scene.path("records.flow");
        fs::write(&flow, program).expect("the folder is there");
        let metrics = free_address();
        let weir = Weir::run_by(&scene, &[], &flow, &[], &["--metrics", &metrics.to_string()]);
        Agent { scene, session, topic, weir, metrics }
    }

    /// Waits until the source's file is delivered, and returns the metrics.
    fn await_delivered(&mut self) -> String {
        let done = self.scene.folder().join("input/lines.log.done");
        self.weir.await_event("all is delivered", PATIENCE, |_| done.exists().then_some(()));
        let mut stream = TcpStream::connect(self.metrics).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the metrics are text");
        answer
    }

    /// Ends the agent, and returns the lines of the rejects.
    fn finish(self) -> (Scene, Kafka, String, Vec<Vec<u8>>) {
        let Agent { scene, session, topic, weir, .. } = self;
        weir.terminate().assert_success();
        let dead = lines_of(&visible_files(&scene.folder().join("dead")));
        (scene, session.kafka(), topic, dead)
    }
}

/// Returns the value of the metric whose line has all these parts.
fn metric(metrics: &str, parts: &[&str]) -> u64 {
    let line = metrics.lines().find(|line| parts.iter().all(|part| line.contains(part)));
    let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    value.unwrap_or_else(|| panic!("no metric with {parts:?} in\n{metrics}"))
}

/// Returns the identities of rejected lines, which are whole events as JSON.
fn identities(dead: &[Vec<u8>]) -> Vec<u64> {
    let event = |line: &Vec<u8>| serde_json::from_slice::<Value>(line).expect("an event is JSON");
    dead.iter().map(|line| event(line)["id"].as_u64().expect("it has a number")).collect()
}

#[test]
fn records_that_can_never_be_written_are_rejected_once_and_all_others_arrive_once() {
    const LINES: usize = 2_000;
    let line = |id: usize| {
        let (size, kind, note) = match id % 100 {
            13 => (1 << 40, "good", json!(note(id, 3))),
            25 => (id, "unknown", json!(null)),
            37 => (id, "nowhere", json!("x")),
            49 if id > 1_900 => (id, "good", json!(note(id, 1_200_000))),
            50 => (id, "small", json!(null)),
            _ => (id, "good", json!(note(id, 3))),
        };
        json!({"id": id, "size": size, "kind": kind, "note": note}).to_string()
    };
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let format = r#"avro { schema: "SCHEMA", frame: confluent, id: 77 }"#;
    let name = "records_that_can_never_be_written_are_rejected_once";
    let mut agent = Agent::start(name, PROGRAM, format, &lines);
    let metrics = agent.await_delivered();
    let rejected = |reason: &str| {
        metric(&metrics, &["weir_rejected_events_total", "step=\"out\"", &format!("reason=\"{reason}\"")])
    };
    // The kind `nowhere` is no symbol of the schema, so these events never get to a topic.
    assert_eq!((rejected("unwritable"), rejected("too_large")), (60, 1));
    let delivered = metric(&metrics, &["weir_delivered_events_total", "component=\"out\""]);
    assert_eq!(delivered, LINES as u64 - 61);

    let (scene, kafka, topic, dead) = agent.finish();
    let is_bad = |id: &usize| [13, 25, 37].contains(&(id % 100)) || *id == 1_949;
    let mut rejected = identities(&dead);
    rejected.sort_unstable();
    let expected: Vec<u64> = (0..LINES).filter(is_bad).map(|id| id as u64).collect();
    assert_eq!(rejected, expected);

    let records = kafka.records(&topic);
    let data = records.iter().map(|record| record["value"].as_str().expect("a value").to_owned());
    let data: Vec<String> = data.map(|datum| without_mark(&datum)).collect();
    let file = scene.folder().join("data");
    fs::write(&file, data.join("\n")).expect("the folder is there");
    fs::copy(scene.folder().join("event.avsc"), scene.folder().join("data.avsc")).expect("it is there");
    let events = read_independently("avro_data", &file);
    let mut seen = BTreeSet::new();
    for (record, event) in records.iter().zip(&events) {
        let id = event["id"].as_u64().expect("a number") as usize;
        assert!(seen.insert(id), "{id} arrived twice");
        let sent: Value = serde_json::from_str(&lines[id]).expect("a line is JSON");
        assert_eq!(*event, sent);
        assert_eq!(record["key"], base64(&id.to_string()), "the key of {id}");
        let mut headers = vec![json!({"name": "number", "value": id.to_string()})];
        if let Some(note) = sent["note"].as_str() {
            headers.push(json!({"name": "length", "value": note}));
        }
        assert_eq!(record["headers"], Value::Array(headers), "the headers of {id}");
    }
    assert_eq!(seen, (0..LINES).filter(|id| !is_bad(id)).collect());
}

/// Asserts that a datum as Base64 begins with the mark of Confluent's registry for the schema 77, and returns the rest.
fn without_mark(datum: &str) -> String {
    let bytes = decoded(datum);
    assert_eq!(&bytes[..5], [0, 0, 0, 0, 77]);
    encoded(&bytes[5..])
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(text: &str) -> String {
    encoded(text.as_bytes())
}

fn encoded(bytes: &[u8]) -> String {
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        let digit = move |at: usize| match at > chunk.len() {
            true => '=',
            false => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
        };
        (0..4).map(digit)
    });
    digits.collect()
}

pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = chunk.iter().fold(0_u32, |bits, digit| {
            bits << 6 | DIGITS.iter().position(|known| known == digit).expect("a digit") as u32
        });
        let bits = bits << (6 * (4 - chunk.len()));
        bytes.extend(&bits.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}

#[test]
fn a_record_that_only_its_topic_refuses_is_found_in_its_batch_and_rejected() {
    const LINES: usize = 600;
    let length = |id: usize| if id % 300 == 150 { LARGEST * 3 / 2 } else { 2_000 };
    let line =
        |id: usize| json!({"id": id, "size": 1, "kind": "good", "note": note(id, length(id))}).to_string();
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let name = "a_record_that_only_its_topic_refuses_is_rejected";
    let mut agent = Agent::start(name, PROGRAM, "json {}", &lines);
    let metrics = agent.await_delivered();
    let rejected = metric(&metrics, &["weir_rejected_events_total", "step=\"out\"", "reason=\"too_large\""]);
    assert_eq!(rejected, 2);
    let (_, kafka, topic, dead) = agent.finish();
    let mut rejected = identities(&dead);
    rejected.sort_unstable();
    assert_eq!(rejected, [150, 450]);
    let mut arrived: BTreeMap<u64, usize> = BTreeMap::new();
    for record in kafka.consume(&topic) {
        let event: Value = serde_json::from_slice(&record).expect("a record is JSON");
        let id = event["id"].as_u64().expect("a number");
        let sent: Value = serde_json::from_str(&lines[id as usize]).expect("a line is JSON");
        assert_eq!(event, sent);
        *arrived.entry(id).or_default() += 1;
    }
    // Batches that were written before another one was refused are written again.
    let expected: Vec<u64> = (0..LINES as u64).filter(|id| id % 300 != 150).collect();
    assert_eq!(arrived.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn events_with_an_invalid_topic_are_rejected() {
    let kind = |id: usize| if id % 10 == 3 { "nowhere" } else { "good" };
    let line = |id: usize| json!({"id": id, "size": 1, "kind": kind(id), "note": "x"}).to_string();
    let lines: Vec<String> = (0..100).map(line).collect();
    let mut agent = Agent::start("events_with_an_invalid_topic_are_rejected", PROGRAM, "json {}", &lines);
    let metrics = agent.await_delivered();
    assert_eq!(
        metric(&metrics, &["weir_rejected_events_total", "step=\"out\"", "reason=\"unwritable\""]),
        10
    );
    assert_eq!(metric(&metrics, &["weir_delivered_events_total", "component=\"out\""]), 90);
    let (_, kafka, topic, dead) = agent.finish();
    assert_eq!(identities(&dead).len(), 10);
    assert_eq!(kafka.consume(&topic).len(), 90);
}

#[test]
fn without_rejects_a_record_that_is_too_large_stops_the_agent() {
    let program = r#"
        source lines = files { paths: ["INPUT"], poll: 100ms, max_line: 4MiB, mode: complete {} }
        sink out = kafka { brokers: BROKERS, topic: "TOPIC", compress: none }
        flow main { lines -> out }
    "#;
    let lines = [note(0, 10), note(1, LARGEST * 3 / 2), note(2, 10)];
    let name = "without_rejects_a_record_that_is_too_large_stops_the_agent";
    let agent = Agent::start(name, program, "", &lines);
    let ending = agent.weir.finish();
    assert!(!ending.status.success());
    for part in
        ["sink out", &agent.topic, "max.message.bytes", "a chain that begins with `rejects` would take it"]
    {
        assert!(ending.log.contains(part), "{part} in {}", ending.log);
    }
}

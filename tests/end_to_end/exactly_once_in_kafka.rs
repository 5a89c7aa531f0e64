//! Pipelines into Kafka that promise `exactly_once`, while Weir and the broker are killed.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use weir_tests::{
    CommittedRecords, Kafka, Scene, Server, Servers, Session, Weir, print_line, visible_files, wait_until,
};

const LINES: usize = 80_000;
const PARTITIONS: i32 = 3;
const KILLS: usize = 6;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const FLOW: &str = "tests/end_to_end/flows/exactly_once_in_kafka.flow";

/// Lines of a file that go through two topics.
struct Chain {
    scene: Scene,
    kafka: Kafka,
    middle: String,
    last: String,
    /// The records of the last topic so far.
    arrived: CommittedRecords,
}

impl Chain {
    fn new(name: &str, session: &Session) -> Chain {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        let kafka = session.kafka();
        let topic = |place: &str| format!("{name}-{place}-{}", std::process::id());
        let (middle, last) = (topic("middle"), topic("last"));
        kafka.create_topic(&middle, PARTITIONS);
        kafka.create_topic(&last, PARTITIONS);
        let mut lines = String::new();
        for number in 0..LINES {
            writeln!(lines, "{number:08} a line of some length, as logs have them").expect("a text grows");
        }
        fs::create_dir_all(scene.folder().join("logs")).expect("the folder is empty");
        fs::write(scene.folder().join("logs/a.log"), lines).expect("the disk has space");
        let arrived = kafka.committed_records(&last);
        Chain { scene, kafka, middle, last, arrived }
    }

    fn run(&self) -> Weir {
        let settings = [
            ("brokers", self.kafka.brokers()),
            ("from", self.scene.path("logs")),
            ("channel", self.scene.path("channel")),
            ("middle", self.middle.clone()),
            ("last", self.last.clone()),
            ("positions", format!("{}-positions", self.last)),
            ("group", self.last.clone()),
        ];
        Weir::run(&self.scene, FLOW, &settings)
    }

    /// Waits until the last topic has this many records.
    fn await_records(&mut self, weir: &mut Weir, count: usize) {
        let arrived = &mut self.arrived;
        weir.await_event(&format!("{count} records"), PATIENCE, |_| (arrived.read() >= count).then_some(()));
    }

    /// Lets the run end, and checks that both topics have each line once, in the order of the partitions.
    fn finish(mut self, mut weir: Weir) {
        self.await_records(&mut weir, LINES);
        weir.await_start(PATIENCE);
        weir.terminate().assert_success();
        let mut middle = self.kafka.committed_records(&self.middle);
        middle.read_to_end();
        self.arrived.read_to_end();
        let mut partition_of = HashMap::new();
        for (partition, bodies) in middle.partitions() {
            let numbers: Vec<usize> = bodies.iter().map(|body| number_of(body)).collect();
            assert!(numbers.is_sorted_by(|one, next| one < next), "{}, partition {partition}", self.middle);
            partition_of.extend(numbers.into_iter().map(|number| (number, partition)));
        }
        assert_eq!(partition_of.len(), LINES, "lines in {}", self.middle);
        let mut found = vec![0_u32; LINES];
        let mut last = HashMap::new();
        for (_, bodies) in self.arrived.partitions() {
            for number in bodies.iter().map(|body| number_of(body)) {
                found[number] += 1;
                let from = partition_of[&number];
                let before = last.insert(from, number);
                assert!(before < Some(number), "{}: {number} came after {before:?}", self.last);
            }
        }
        let wrong: Vec<(usize, u32)> = (0..).zip(found).filter(|(_, count)| *count != 1).take(5).collect();
        assert_eq!(wrong, [], "lines that are not in {} once, with how often they are", self.last);
    }
}

fn number_of(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number: {text}"))
}

#[test]
fn every_line_is_in_both_topics_once_however_often_weir_is_killed() {
    let session = Servers::shared();
    let mut chain = Chain::new("exactly_once_in_kafka", &session);
    for kill in 0..KILLS {
        let mut weir = chain.run();
        // Every third run is killed while it begins.
        if kill % 3 == 2 {
            std::thread::sleep(Duration::from_millis(100 * kill as u64));
        } else {
            let wanted = chain.arrived.count() + LINES / (2 * KILLS);
            chain.await_records(&mut weir, wanted.min(LINES));
        }
        weir.kill();
    }
    let weir = chain.run();
    chain.finish(weir);
}

#[test]
fn every_line_is_in_both_topics_once_although_the_broker_is_killed() {
    let session = Servers::exclusive();
    let mut chain = Chain::new("exactly_once_and_a_dead_broker", &session);
    let mut weir = chain.run();
    chain.await_records(&mut weir, LINES / 4);
    let begin = Instant::now();
    session.kill(Server::Broker).end();
    print_line(chain.scene.name(), format!("the broker was away for {:.1?}", begin.elapsed()));
    chain.finish(weir);
}

#[test]
fn a_second_agent_takes_the_place_of_the_first_which_says_so() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "fenced_by_a_second_agent");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    kafka.create_topic(&topic, 1);
    let settings =
        [("brokers", kafka.brokers()), ("to", topic.clone()), ("positions", format!("{topic}-positions"))];
    let run = || Weir::run(&scene, "tests/end_to_end/flows/fenced.flow", &settings);
    let mut records = kafka.committed_records(&topic);
    let mut first = run();
    first.await_event("records", PATIENCE, |_| (records.read() > 0).then_some(()));
    let mut second = run();
    let ending = first.finish_within(PATIENCE).expect("the first agent ends by itself");
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    let text = "sink records: another agent writes with the transactional id `fenced.records` now";
    assert!(ending.log.contains(text), "{}", ending.log);
    let before = records.read();
    second.await_event("more records", PATIENCE, |_| (records.read() > before).then_some(()));
    second.terminate().assert_success();
    wait_until("the end of the topic", PATIENCE, || {
        records.read_to_end();
        Some(())
    });
}

#[test]
fn an_event_that_the_topic_refuses_stops_the_agent_and_is_not_lost() {
    const LONG: usize = 1_700;
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "refused_by_a_topic");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    kafka.create_topic_with(&topic, 1, &[("max.message.bytes", "20000")]);
    let mut lines = String::new();
    for number in 0..3_000 {
        let rest = if number == LONG { "x".repeat(60_000) } else { "a line".to_owned() };
        writeln!(lines, "{number:08} {rest}").expect("a text grows");
    }
    fs::create_dir_all(scene.folder().join("logs")).expect("the folder is empty");
    fs::write(scene.folder().join("logs/a.log"), lines).expect("the disk has space");
    let settings = [
        ("brokers", kafka.brokers()),
        ("from", scene.path("logs")),
        ("to", scene.path("output")),
        ("topic", topic.clone()),
    ];
    let weir = Weir::run(&scene, "tests/end_to_end/flows/refused_by_a_topic.flow", &settings);
    let ending = weir.finish_within(PATIENCE).expect("the agent ends by itself");
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    assert!(ending.log.contains("this sink rejects no events"), "{}", ending.log);
    let mut records = kafka.committed_records(&topic);
    records.read_to_end();
    let (_, bodies) = records.partitions().next().expect("a partition");
    let numbers: Vec<usize> = bodies.iter().map(|body| number_of(body)).collect();
    let before: Vec<usize> = (0..numbers.len()).collect();
    assert!(numbers == before && numbers.len() <= LONG, "{numbers:?}");
    assert!(visible_files(&scene.folder().join("output/refused")).is_empty());
}

//! Topics that are deleted and made again: offsets of the old one are not taken for those of the new one.

use std::fs;
use std::time::Duration;

use weir_tests::{Account, Kafka, Scene, Servers, Weir, access_log, lines_of, visible_files};

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const OLD: usize = 500;
const NEW: usize = 1_200;

/// Records of a topic into files.
struct Reading<'s> {
    scene: &'s Scene,
    settings: [(&'static str, String); 4],
}

impl Reading<'_> {
    fn run(&self) -> Weir {
        Weir::run(self.scene, "tests/end_to_end/flows/topic_that_is_made_again.flow", &self.settings)
    }

    fn arrived(&self) -> Vec<Vec<u8>> {
        lines_of(&visible_files(&self.scene.folder().join("out/lines")))
    }

    fn await_lines(&self, weir: &mut Weir, count: usize) {
        weir.await_event("lines", PATIENCE, |_| (self.arrived().len() >= count).then_some(()));
    }
}

/// Starts an agent that reads a topic, and waits until it has the lines that are there: the first of `sent`.
fn begin<'s>(scene: &'s Scene, kafka: &Kafka, topic: &str, sent: &[String]) -> (Reading<'s>, Weir) {
    kafka.create_topic(topic, 2);
    kafka.produce(topic, &sent[..OLD]);
    fs::create_dir_all(scene.folder().join("out/lines")).expect("the folder is empty");
    let settings = [
        ("brokers", kafka.brokers()),
        ("topic", topic.to_owned()),
        ("channel", scene.path("channel")),
        ("to", scene.path("out")),
    ];
    let reading = Reading { scene, settings };
    let mut weir = reading.run();
    reading.await_lines(&mut weir, OLD);
    (reading, weir)
}

fn make_again(kafka: &Kafka, topic: &str, lines: &[String]) {
    kafka.delete_topic(topic);
    kafka.create_topic(topic, 2);
    kafka.produce(topic, lines);
}

#[test]
fn a_topic_that_is_made_again_while_it_is_read_is_named_and_read_from_its_start() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "topic_made_again_while_it_is_read");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let sent = access_log(0, OLD + NEW);
    let (reading, mut weir) = begin(&scene, &kafka, &topic, &sent);
    let position = weir.log_end();
    make_again(&kafka, &topic, &sent[OLD..]);
    let named =
        weir.await_line("the topic is named", position, |line| line.contains("deleted and made again"));
    assert!(named.contains(&topic), "{named}");
    reading.await_lines(&mut weir, OLD + NEW);
    weir.terminate().assert_success();
    Account::of(&sent, &reading.arrived()).assert_nothing_lost(scene.name());
}

#[test]
fn a_topic_that_is_made_again_while_no_agent_runs_is_read_from_its_start() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "topic_made_again_while_no_agent_runs");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let sent = access_log(0, OLD + NEW);
    let (reading, weir) = begin(&scene, &kafka, &topic, &sent);
    weir.terminate().assert_success();
    make_again(&kafka, &topic, &sent[OLD..]);
    let mut weir = reading.run();
    reading.await_lines(&mut weir, OLD + NEW);
    weir.terminate().assert_success();
    Account::of(&sent, &reading.arrived()).assert_exact(scene.name());
}

#[test]
fn an_agent_ends_when_the_topic_of_its_channel_is_made_again() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "topic_of_a_channel_made_again");
    fs::create_dir_all(scene.folder().join("out/lines")).expect("the folder is empty");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    fs::create_dir_all(scene.folder().join("logs")).expect("the folder is empty");
    let lines: String = access_log(0, OLD).into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    fs::write(scene.folder().join("logs/a.log"), lines).expect("the disk has space");
    let settings = [
        ("brokers", kafka.brokers()),
        ("from", scene.path("logs")),
        ("to", scene.path("out")),
        ("topic", topic.clone()),
    ];
    let mut weir = Weir::run(&scene, "tests/end_to_end/flows/shared_topic.flow", &settings);
    weir.await_event("lines", PATIENCE, |_| {
        (lines_of(&visible_files(&scene.folder().join("out/lines"))).len() >= OLD).then_some(())
    });
    kafka.delete_topic(&topic);
    kafka.create_topic(&topic, 6);
    let ending = weir.finish_within(PATIENCE).expect("the agent ends by itself");
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    assert!(ending.log.contains("was deleted and made again while the agent used it"), "{}", ending.log);
}

//! Agents that share a channel in a topic.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use weir_tests::{
    Account, Kafka, Scene, Server, Servers, Session, Weir, access_log, lines_of, print_line, visible_files,
};

const LINES: usize = 60_000;
const KILLS: usize = 6;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// One of two agents that run the same program.
struct Agent<'s> {
    scene: &'s Scene,
    name: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl<'s> Agent<'s> {
    fn new(scene: &'s Scene, name: &'static str, kafka: &Kafka, topic: &str) -> Agent<'s> {
        let from = scene.path(&format!("{name}-logs"));
        let lines = scene.folder().join(name).join("lines");
        for folder in [from.as_ref(), lines.as_path()] {
            fs::create_dir_all(folder).expect("the folder is empty");
        }
        let settings = vec![
            ("brokers", kafka.brokers()),
            ("from", from),
            ("to", scene.path(name)),
            ("topic", topic.to_owned()),
        ];
        Agent { scene, name, settings }
    }

    fn run(&self) -> Weir {
        Weir::run(self.scene, "tests/end_to_end/flows/shared_topic.flow", &self.settings)
    }

    fn write(&self, file: &str, lines: &[String]) {
        let path = self.scene.folder().join(format!("{}-logs/{file}.log", self.name));
        fs::write(path, lines.concat_lines()).expect("the disk has space");
    }

    /// The lines that this agent has delivered.
    fn delivered(&self) -> Vec<Vec<u8>> {
        lines_of(&visible_files(&self.scene.folder().join(self.name).join("lines")))
    }
}

trait ConcatLines {
    fn concat_lines(&self) -> String;
}

impl ConcatLines for [String] {
    fn concat_lines(&self) -> String {
        self.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

#[test]
fn an_agent_takes_over_what_another_one_has_put_and_taken() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "agents_that_share_a_topic");
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let (first, second) =
        (Agent::new(&scene, "first", &kafka, &topic), Agent::new(&scene, "second", &kafka, &topic));
    let sent = access_log(0, 2 * LINES);
    first.write("a", &sent[..LINES]);
    let mut one = first.run();
    one.await_event("lines", PATIENCE, |_| (!first.delivered().is_empty()).then_some(()));
    let mut two = second.run();
    two.await_event("half of the partitions", PATIENCE, |weir| {
        weir.log_lines().iter().any(|line| line.contains("takes from 3 of its partitions")).then_some(())
    });
    first.write("b", &sent[LINES..LINES + LINES / 2]);
    two.await_event("lines of the other agent", PATIENCE, |_| (!second.delivered().is_empty()).then_some(()));
    two.kill();
    first.write("c", &sent[LINES + LINES / 2..]);
    one.await_event("all lines", PATIENCE, |_| {
        let arrived: BTreeSet<Vec<u8>> = first.delivered().into_iter().chain(second.delivered()).collect();
        (arrived.len() == sent.len()).then_some(())
    });
    one.terminate().assert_success();
    let arrived: Vec<Vec<u8>> = first.delivered().into_iter().chain(second.delivered()).collect();
    let account = Account::of(&sent, &arrived);
    print_line(scene.name(), format_args!("{} lines came again", account.repeated()));
    account.assert_nothing_lost(scene.name());
}

/// Records of one topic through a channel in another one onto HDFS.
struct Chain {
    scene: Scene,
    kafka: Kafka,
    settings: Vec<(&'static str, String)>,
    directory: String,
    from: String,
    sent: Vec<String>,
}

impl Chain {
    fn new(name: &str, session: &Session) -> Chain {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        let kafka = session.kafka();
        let topic = format!("{name}-{}", std::process::id());
        let (from, directory) = (format!("{topic}-from"), format!("/{topic}"));
        kafka.create_topic(&from, 3);
        let settings = vec![
            ("brokers", kafka.brokers()),
            ("from", from.clone()),
            ("topic", topic),
            ("hdfs", session.hdfs().url().to_owned()),
            ("directory", directory.clone()),
        ];
        Chain { scene, kafka, settings, directory, from, sent: Vec::new() }
    }

    fn send(&mut self, count: usize) {
        let lines = access_log(self.sent.len(), count);
        self.kafka.produce(&self.from, &lines);
        self.sent.extend(lines);
    }

    fn run(&self) -> Weir {
        Weir::run(&self.scene, "tests/end_to_end/flows/exactly_once_through_a_topic.flow", &self.settings)
    }

    /// The number of complete files.
    fn complete(&self, session: &Session) -> usize {
        let files = session.hdfs().files(&format!("{}/lines", self.directory));
        files.iter().filter(|file| !file.is_unfinished()).count()
    }

    fn await_file(&self, weir: &mut Weir, session: &Session, before: usize) {
        weir.await_event("it has completed a file", PATIENCE, |_| {
            (self.complete(session) > before).then_some(())
        });
    }

    /// Lets the run deliver everything, and checks that each line is in one file.
    fn finish(self, weir: Weir, session: &Session) {
        let mut weir = weir;
        let group = self.kafka.progress(&self.settings[2].1, &self.from);
        weir.await_event("all records are in the channel", PATIENCE, |_| {
            (group.committed() >= self.sent.len()).then_some(())
        });
        weir.terminate().assert_success();
        let (lines, _unfinished) = session.hdfs().lines(&format!("{}/lines", self.directory), &self.scene);
        Account::of(&self.sent, &lines).assert_exact(self.scene.name());
    }
}

#[test]
fn every_record_is_on_hdfs_once_however_often_weir_is_killed() {
    let session = Servers::shared();
    let mut chain = Chain::new("exactly_once_through_a_topic", &session);
    for kill in 0..KILLS {
        chain.send(LINES / KILLS);
        let before = chain.complete(&session);
        let mut weir = chain.run();
        // Every third run is killed while it begins.
        if kill % 3 == 2 {
            std::thread::sleep(Duration::from_millis(150 * kill as u64));
        } else {
            chain.await_file(&mut weir, &session, before);
        }
        weir.kill();
    }
    let weir = chain.run();
    chain.finish(weir, &session);
}

#[test]
fn every_record_is_on_hdfs_once_although_the_broker_is_killed() {
    let session = Servers::exclusive();
    let mut chain = Chain::new("exactly_once_through_a_topic_of_a_dead_broker", &session);
    chain.send(LINES / 2);
    let mut weir = chain.run();
    chain.await_file(&mut weir, &session, 0);
    session.kill(Server::Broker).end();
    chain.send(LINES / 2);
    chain.finish(weir, &session);
}

#[test]
fn the_example_brings_the_lines_of_two_machines_onto_hdfs() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "example_of_a_shared_topic");
    let (kafka, hdfs) = (session.kafka(), session.hdfs());
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let directory = format!("/{topic}");
    let sent = access_log(0, LINES);
    for (name, lines) in [("one", &sent[..LINES / 2]), ("two", &sent[LINES / 2..])] {
        let folder = scene.folder().join(name);
        fs::create_dir_all(&folder).expect("the folder is empty");
        fs::write(folder.join("app.log"), lines.concat_lines()).expect("the disk has space");
    }
    let machine = |name: &str| {
        let state = scene.path(&format!("{name}-state"));
        let settings = [
            ("brokers", kafka.brokers()),
            ("logs", scene.path(&format!("{name}/*.log"))),
            ("topic", topic.clone()),
            ("hdfs", hdfs.url().to_owned()),
            ("directory", directory.clone()),
            ("session_timeout", "6s".to_owned()),
        ];
        let options = ["--state-dir", &state, "--until-idle=5s"];
        Weir::run_by(&scene, &[], "examples/shared_topic.flow", &settings, &options)
    };
    let (one, two) = (machine("one"), machine("two"));
    one.finish().assert_success();
    two.finish().assert_success();
    // Each agent ends when its own partitions are empty, and the other one may have put more into them. The last agent has all
    // partitions.
    machine("one").finish().assert_success();
    let (lines, _unfinished) = hdfs.lines(&directory, &scene);
    Account::of(&sent, &lines).assert_nothing_lost(scene.name());
}

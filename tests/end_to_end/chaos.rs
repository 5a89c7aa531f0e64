//! Pipelines from Kafka into HDFS while agents and servers are killed, stalled and started again at random.
//!
//! `WEIR_SEED` plays a storm again, as far as the machine's times allow; `WEIR_CHAOS` is its length in seconds.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, process};

use fastrand::Rng;
use weir_tests::{Scene, Server, Servers, Session, Weir, print_line};

use crate::fed::{assert_once_in_order, count_each, records};
use crate::transfer::SMALL_FILES;

/// The records in a second.
const RATE: usize = 1_500;
const PARTITIONS: i32 = 4;
/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a storm lasts in a test run, in seconds.
const STORM: u64 = 100;

/// An agent that a storm kills and starts again.
struct Agent<'s> {
    scene: &'s Scene,
    flow: &'static str,
    settings: Vec<(&'static str, String)>,
    run: Option<Weir>,
}

impl Agent<'_> {
    fn start(&mut self) {
        self.run = Some(Weir::run(self.scene, self.flow, &self.settings));
    }

    /// Ends the agent, and starts it again after some time.
    fn restart(&mut self, random: &mut Rng) {
        let Some(run) = self.run.take() else { return };
        match random.bool() {
            true => run.kill(),
            false => terminate(run),
        }
        sleep(Duration::from_millis(random.u64(..2_000)));
        self.start();
    }

    /// Lets the agent deliver what is left, and end by itself.
    fn finish(&mut self) {
        if let Some(run) = self.run.take() {
            terminate(run);
        }
        let last = Weir::run_by(self.scene, &[], self.flow, &self.settings, &["--until-idle=10s"]);
        last.finish().assert_success();
    }
}

/// Lets an agent drain. Its status is 3 if it could not deliver everything, since a server was not back yet.
fn terminate(mut run: Weir) {
    // Before an agent has started, a signal ends it as every process.
    run.await_start(PATIENCE);
    let ending = run.terminate();
    assert!(matches!(ending.status.code(), Some(0 | 3)), "{}: {}", ending.status, ending.log);
}

/// Kills and stalls agents and servers at random for some time.
fn storm(session: &Session, agents: &mut [Agent<'_>], random: &mut Rng) {
    let seconds = env::var("WEIR_CHAOS").ok().and_then(|text| text.parse().ok()).unwrap_or(STORM);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut blows: BTreeMap<String, usize> = BTreeMap::new();
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(500..5_000)));
        for run in agents.iter_mut().filter_map(|agent| agent.run.as_mut()) {
            run.assert_runs();
        }
        let agent = random.usize(..agents.len());
        let server = [Server::Broker, Server::NameNode, Server::DataNode][random.usize(..3)];
        let duration = Duration::from_millis(random.u64(..6_000));
        let blow = match random.u8(..10) {
            0..4 => {
                agents[agent].restart(random);
                "an agent ended".to_owned()
            }
            4..7 => {
                let outage = session.kill(server);
                sleep(duration);
                outage.end();
                format!("{server:?} killed")
            }
            7..9 => {
                let stall = session.stall(server);
                sleep(duration);
                stall.end();
                format!("{server:?} stalled")
            }
            _ => {
                // The agent is killed while it can't reach the server, and starts without it.
                let outage = session.kill(server);
                sleep(duration / 2);
                if let Some(run) = agents[agent].run.take() {
                    run.kill();
                }
                agents[agent].start();
                sleep(duration / 2);
                outage.end();
                format!("{server:?} and an agent killed")
            }
        };
        *blows.entry(blow).or_default() += 1;
    }
    print_line(agents[0].scene.name(), format!("{blows:?}"));
}

pub(crate) fn seeded(scene: &Scene) -> Rng {
    let seed = env::var("WEIR_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    print_line(scene.name(), format!("WEIR_SEED={seed}"));
    Rng::with_seed(seed)
}

/// The settings of an agent that reads the topic of a scene.
fn settings(name: &str, session: &Session, scene: &Scene) -> Vec<(&'static str, String)> {
    vec![
        ("brokers", session.kafka().brokers()),
        ("topic", name.to_owned()),
        ("group", name.to_owned()),
        ("hdfs", session.hdfs().url().to_owned()),
        ("directory", format!("/{name}/{}", scene.name())),
    ]
}

#[test]
fn a_storm_neither_loses_nor_repeats_a_record_of_owned_partitions() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "chaos_with_owned_partitions");
    let mut random = seeded(&scene);
    let name = format!("{}-{}", scene.name(), process::id());
    session.kafka().create_topic(&name, PARTITIONS);
    let mut settings = settings(&name, &session, &scene);
    settings.push(("channel", scene.path("channel")));
    let directory = format!("/{name}/{}", scene.name());
    let mut agents =
        [Agent { scene: &scene, flow: "tests/end_to_end/flows/chaos.flow", settings, run: None }];
    let feed = session.kafka().feed(&name, RATE);
    agents[0].start();
    storm(&session, &mut agents, &mut random);
    let sent = feed.end();
    agents[0].finish();
    for sink in ["packed", "plain"] {
        assert_once_in_order(sink, &records(&session, &format!("{directory}/{sink}"), &scene), &sent);
    }
    print_line(scene.name(), format!("{} records", sent.values().sum::<usize>()));
}

#[test]
fn a_storm_loses_no_record_of_two_agents_that_share_the_partitions() {
    let session = Servers::exclusive();
    let scenes = ["chaos_with_a_group", "chaos_with_a_group_2"];
    let scenes = scenes.map(|name| Scene::new(env!("CARGO_TARGET_TMPDIR"), name));
    let mut random = seeded(&scenes[0]);
    let name = format!("{}-{}", scenes[0].name(), process::id());
    session.kafka().create_topic(&name, PARTITIONS);
    let mut agents = scenes.each_ref().map(|scene| {
        let settings = settings(&name, &session, scene);
        Agent { scene, flow: SMALL_FILES, settings, run: None }
    });
    let feed = session.kafka().feed(&name, RATE);
    agents.iter_mut().for_each(Agent::start);
    storm(&session, &mut agents, &mut random);
    let sent = feed.end();
    agents.iter_mut().for_each(Agent::finish);
    let files = records(&session, &format!("/{name}"), &scenes[0]);
    let counts = count_each(&files, &sent);
    let repeated = counts.values().filter(|count| **count > 1).count();
    print_line(scenes[0].name(), format!("{} records, {repeated} repeated", counts.len()));
}

#[test]
fn a_storm_neither_loses_nor_repeats_a_record_that_two_agents_carry_through_a_topic() {
    let session = Servers::exclusive();
    let scenes = ["chaos_through_a_topic_a", "chaos_through_a_topic_b"];
    let scenes = scenes.map(|name| Scene::new(env!("CARGO_TARGET_TMPDIR"), name));
    let mut random = seeded(&scenes[0]);
    let name = format!("chaos_through_a_topic-{}", process::id());
    session.kafka().create_topic(&name, PARTITIONS);
    let mut agents = [("a", "[0, 1]"), ("b", "[2, 3]")].map(|(agent, own)| {
        let scene = &scenes[usize::from(agent == "b")];
        let mut settings = settings(&name, &session, scene);
        settings.retain(|(setting, _)| *setting != "directory");
        settings.extend([
            ("between", format!("{name}-between")),
            ("agent", agent.to_owned()),
            ("own", own.to_owned()),
            ("directory", format!("/{name}")),
        ]);
        Agent { scene, flow: "tests/end_to_end/flows/chaos_through_a_topic.flow", settings, run: None }
    });
    let feed = session.kafka().feed(&name, RATE);
    agents.iter_mut().for_each(Agent::start);
    storm(&session, &mut agents, &mut random);
    let sent = feed.end();
    // What one agent puts may be the other's to take.
    for agent in [0, 1, 0, 1] {
        agents[agent].finish();
    }
    let files = records(&session, &format!("/{name}"), &scenes[0]);
    let counts = count_each(&files, &sent);
    let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(repeated.is_empty(), "records that are there more than once: {repeated:?}");
    print_line(scenes[0].name(), format!("{} records", counts.len()));
}

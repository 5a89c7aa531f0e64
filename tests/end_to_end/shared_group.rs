//! Agents that share the partitions of a group, and write each record once into another topic: the offsets of the group are a part
//! of the transactions.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{Scene, Server, Servers, Weir, print_line};

use crate::chaos::seeded;
use crate::pipe::Pipe;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The records in a second.
const RATE: usize = 2_000;
/// How long agents come and go, in seconds.
const STORM: u64 = 40;
/// The session timeout of the members.
const SESSION: Duration = Duration::from_secs(6);

/// With the protocol `classic`, and with the protocol `consumer`.
const FLOWS: [&str; 2] =
    ["tests/end_to_end/flows/shared_group.flow", "tests/end_to_end/flows/shared_group_by_brokers.flow"];

/// An agent with its own transactional id.
struct Agent {
    scene: Scene,
    flow: &'static str,
    settings: Vec<(&'static str, String)>,
    run: Option<Weir>,
}

/// The runs of agents.
fn runs(agents: [Agent; 2]) -> Vec<Weir> {
    agents.into_iter().filter_map(|agent| agent.run).collect()
}

impl Agent {
    fn start(&mut self) {
        self.run = Some(Weir::run(&self.scene, self.flow, &self.settings));
    }

    /// Waits until the agent reads so many partitions.
    fn await_partitions(&mut self, count: usize) {
        let text = format!("reads {count} of its partitions");
        let run = self.run.as_mut().expect("the agent runs");
        run.await_event(&text, PATIENCE, |weir| {
            weir.log_lines().iter().any(|line| line.contains(&text)).then_some(())
        });
    }
}

/// Makes an agent with its own transactional id.
fn agent(pipe: &Pipe, flow: &'static str, agent: &str) -> Agent {
    let mut settings = pipe.settings();
    settings.push(("agent", agent.to_owned()));
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &format!("{}-{agent}", pipe.name));
    Agent { scene, flow, settings, run: None }
}

#[test]
fn each_record_arrives_once_while_agents_of_its_group_come_and_go() {
    storm("shared_group", FLOWS[0], STORM);
}

#[test]
fn each_record_arrives_once_while_brokers_assign_the_partitions() {
    storm("shared_group_by_brokers", FLOWS[1], STORM / 2);
}

/// Lets agents come and go for so many seconds.
fn storm(name: &'static str, flow: &'static str, seconds: u64) {
    let session = Servers::shared();
    let pipe = Pipe::new(name, &session);
    let mut agents = [agent(&pipe, flow, "a"), agent(&pipe, flow, "b")];
    let mut random = seeded(&agents[0].scene);
    let feed = pipe.kafka.feed(&pipe.from, RATE);
    agents[0].start();
    agents[0].await_partitions(4);
    agents[1].start();
    agents[1].await_partitions(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut blows: BTreeMap<&str, usize> = BTreeMap::new();
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(500..4_000)));
        let agent = &mut agents[random.usize(..2)];
        let Some(mut run) = agent.run.take() else { continue };
        let blow = match random.u8(..5) {
            0..2 => {
                run.kill();
                "killed"
            }
            2..4 => {
                run.await_start(PATIENCE);
                run.terminate().assert_success();
                "ended"
            }
            _ => {
                // The group gives the partitions away, and the agent does not know when it goes on.
                run.stall();
                sleep(SESSION + Duration::from_millis(random.u64(500..3_000)));
                run.resume();
                agent.run = Some(run);
                "stalled"
            }
        };
        *blows.entry(blow).or_default() += 1;
        if agent.run.is_none() {
            sleep(Duration::from_millis(random.u64(..3_000)));
            agent.start();
        }
    }
    let sent = feed.end();
    print_line(pipe.name, format!("{blows:?}"));
    pipe.finish(runs(agents), &sent);
}

#[test]
fn each_record_arrives_once_although_the_broker_of_the_group_is_killed() {
    let session = Servers::exclusive();
    let pipe = Pipe::new("shared_group_and_a_dead_broker", &session);
    let mut agents = [agent(&pipe, FLOWS[0], "a"), agent(&pipe, FLOWS[0], "b")];
    let feed = pipe.kafka.feed(&pipe.from, RATE);
    agents[0].start();
    agents[0].await_partitions(4);
    agents[1].start();
    agents[1].await_partitions(2);
    session.kill(Server::Broker).end();
    sleep(Duration::from_secs(3));
    let sent = feed.end();
    pipe.finish(runs(agents), &sent);
}

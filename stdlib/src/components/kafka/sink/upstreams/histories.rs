//! Histories of agents that share a group and write in transactions: what they know of the group ([`SharedGroup`]) and what goes into
//! their transactions ([`Upstreams`]) is real, their clients and the brokers are simulated ([`brokers`]).
//!
//! Members are told of a rebalance, revoke and get partitions in steps of their own, between any two steps of the others. Requests
//! reach the brokers late, also after the agent has given them up or was killed, and answers are lost, so that the outcome of a
//! transaction is unknown. Brokers end transactions that last too long, and give up members that are silent. At the end each record
//! has to be in the output once, in the order of its partition.
//!
//! `WEIR_HISTORIES` sets the number of histories, `WEIR_SEED` the first seed.

mod agents;
mod brokers;

use weir_runtime::{SeededRandom, seeds_from_environment};

use agents::Agent;
use brokers::Brokers;

const HISTORIES: u64 = 1_000;
const AGENTS: usize = 3;
const PARTITIONS: usize = 4;
/// The steps of a history with faults, and the most steps in which everything arrives after them.
const STEPS: usize = 1_500;
const STEPS_TO_THE_END: usize = 60_000;

/// Every record with such an offset is dropped by a step before the channel.
fn is_dropped(offset: u64) -> bool {
    offset % 7 == 3
}

/// How often something has happened in all histories.
#[derive(Debug, Default)]
struct Counts {
    committed: u64,
    lost: u64,
    refused: u64,
    unknown: u64,
    killed: u64,
    left_out: u64,
}

struct World {
    random: SeededRandom,
    brokers: Brokers,
    agents: Vec<Agent>,
    /// Whether faults may happen.
    is_stormy: bool,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> World {
        let agents = (0..AGENTS).map(Agent::new).collect();
        let (random, brokers) = (SeededRandom::new(seed), Brokers::default());
        World { random, brokers, agents, is_stormy: true, counts: Counts::default() }
    }

    /// Whether a fault happens that has this frequency.
    fn fault(&mut self, one_in: u64) -> bool {
        self.is_stormy && self.random.one_in(one_in)
    }

    fn step(&mut self) {
        if self.is_stormy && self.random.one_in(3) {
            let partition = self.random.below(PARTITIONS as u64) as usize;
            self.brokers.ends[partition] += 1;
        }
        let place = self.random.below(AGENTS as u64) as usize;
        match self.random.below(12) {
            0 => self.deliver_request(),
            1 if self.fault(4) => self.brokers.time_out(place),
            1 => self.rebalance(),
            2 if self.fault(12) => {
                self.counts.killed += 1;
                self.agents[place] = Agent::new(place);
            }
            2 if self.fault(6) => self.agents[place].restart_source(&mut self.brokers),
            2..5 => self.agents[place].poll(&mut self.brokers, &mut self.random),
            5..7 => {
                let renews = !self.is_stormy || !self.random.one_in(3);
                self.agents[place].hear_of_rebalance(&mut self.brokers, renews);
            }
            _ => {
                // An answer may have been lost before.
                let gives_up = self.random.one_in(if self.is_stormy { 15 } else { 60 });
                let agent = &mut self.agents[place];
                agent.run_sink(&mut self.brokers, &mut self.random, gives_up, &mut self.counts);
            }
        }
    }

    /// Lets the brokers handle a request, and the agent get the answer, if it still waits and the answer is not lost.
    fn deliver_request(&mut self) {
        if self.brokers.requests.is_empty() {
            return;
        }
        let any = self.random.below(self.brokers.requests.len() as u64) as usize;
        let request = self.brokers.requests.remove(any);
        let answer = self.brokers.handle(&request);
        let is_lost = self.fault(8);
        let agent = &mut self.agents[request.agent];
        if !is_lost && agent.waits_for(&request) {
            agent.answered(answer, &mut self.brokers, &mut self.counts);
        }
    }

    /// Lets the members join again. A rebalance waits for those that have not done yet what the one before says, unless they are
    /// given up.
    fn rebalance(&mut self) {
        if !self.brokers.wants_rebalance(&self.agents) && !self.fault(10) {
            return;
        }
        let gives_up = self.fault(3);
        if self.agents.iter().any(Agent::is_in_rebalance) && !gives_up {
            return;
        }
        self.brokers.rebalance(&mut self.agents, &mut self.random);
    }

    fn has_all(&self) -> bool {
        let wanted: usize =
            self.brokers.ends.iter().map(|end| (0..*end).filter(|offset| !is_dropped(*offset)).count()).sum();
        self.brokers.output.len() >= wanted
    }

    /// Returns what is wrong with the output.
    fn wrong(&self) -> Option<String> {
        (0..PARTITIONS).find_map(|partition| {
            let found = self.brokers.output.iter().filter(|(of, _)| *of == partition);
            let found: Vec<u64> = found.map(|(_, offset)| *offset).collect();
            let wanted: Vec<u64> =
                (0..self.brokers.ends[partition]).filter(|offset| !is_dropped(*offset)).collect();
            (found != wanted).then(|| format!("partition {partition} has {found:?} instead of {wanted:?}"))
        })
    }
}

/// Plays a history. Returns what has happened.
fn play(seed: u64) -> Result<Counts, String> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.is_stormy = false;
    let mut left = STEPS_TO_THE_END;
    while !world.has_all() && left > 0 {
        world.step();
        left -= 1;
    }
    match world.wrong() {
        Some(wrong) => Err(format!("WEIR_SEED={seed}: {wrong}")),
        None => Ok(world.counts),
    }
}

#[test]
fn each_record_arrives_once_whatever_groups_and_transactions_do() {
    let seeds = seeds_from_environment(HISTORIES);
    let mut all = Counts::default();
    for seed in seeds.clone() {
        let counts = play(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
        all.committed += counts.committed;
        all.lost += counts.lost;
        all.refused += counts.refused;
        all.unknown += counts.unknown;
        all.killed += counts.killed;
        all.left_out += counts.left_out;
    }
    println!("{all:?}");
    if seeds.end - seeds.start >= HISTORIES {
        let happened = [all.committed, all.lost, all.refused, all.unknown, all.killed, all.left_out];
        assert!(happened.iter().all(|count| *count >= 100), "too rare: {all:?}");
    }
}

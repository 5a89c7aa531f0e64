//! Pipelines that divide the events between two sinks, which fail now and then.
//!
//! The pipelines are random: a `failover` or a `balance`, with and without a key, of sinks or of channels; channels in memory
//! or on disk; sinks that write files, or stores that reject lines; and steps that reject lines.

use std::time::Duration;

use weir_runtime::SeededRandom;
use weir_runtime::agent::{Ending, Stop};

use super::setup::{Mode, REJECT, Rejects, Setup, files};
use super::world::{World, simulate};
use super::{HISTORIES, describe_failure, play_often_as, stop_often};

/// The sinks of every fork.
pub(super) const SINKS: [&str; 2] = ["first", "second"];

/// A fork with two branches, each of which ends at a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Forked {
    pub(super) fork: Fork,
    /// Whether the branches end at channels, with a sink behind each.
    pub(super) over_channels: bool,
    /// Whether the sinks are stores, or else write files.
    pub(super) stores: bool,
    /// Whether steps behind a channel are in the branches of the fork, or else before it.
    pub(super) steps_in_branches: bool,
    /// Whether sinks fail only before they have written anything of a batch, so that no line comes twice although the flow
    /// promises only `at_least_once`.
    pub(super) fails_cleanly: bool,
}

/// How a fork divides the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fork {
    Failover,
    Balance,
    /// `balance by` the number of the line's file.
    BalanceBy,
}

impl Forked {
    /// Files keep `exactly_once` if the branch of a line is the same each time that the line comes.
    pub(super) fn keeps_exactly_once(self) -> bool {
        self.fork == Fork::BalanceBy && !self.stores
    }

    /// Returns the declarations of the sinks and of the second channel, and the paths of the flow.
    pub(super) fn sinks_and_paths(self, before: &str, behind: &str, durable: bool) -> (String, String) {
        let fork = match self.fork {
            Fork::Failover => "failover",
            Fork::Balance => "balance",
            Fork::BalanceBy => "balance by capture(body, r\"^(\\d+)\")",
        };
        let [first, second] = SINKS;
        let sinks = SINKS.map(|name| match self.stores {
            true => format!("sink {name} = kafka {{ brokers: [\"{name}:9092\"], topic: \"lines\" }}"),
            false => files(name, &format!("{name}/{{@file}}")),
        });
        let mut declared = sinks.join("\n");
        if self.over_channels {
            declared += match durable {
                true => {
                    "\nchannel other = file { path: \"/other\", transaction_capacity: 100, keep_alive: 1s }"
                }
                false => {
                    "\nchannel other = memory { capacity: 60, transaction_capacity: 40, keep_alive: 1s }"
                }
            };
        }
        let paths = match (self.over_channels, self.steps_in_branches) {
            (true, _) => format!(
                "logs {before}-> {fork} {{ buffer, other }}\n  buffer {behind}-> {first}\n  other {behind}-> {second}"
            ),
            (false, true) if !behind.is_empty() => {
                format!("logs {before}-> buffer -> {fork} {{ {REJECT} -> {first}, {REJECT} -> {second} }}")
            }
            (false, _) => format!("logs {before}-> buffer {behind}-> {fork} {{ {first}, {second} }}"),
        };
        (declared, paths)
    }
}

/// Returns a random pipeline with a fork.
pub(super) fn random_setup(seed: u64, fails_cleanly: bool) -> Setup {
    let mut random = SeededRandom::new(seed ^ 0xF0_4B);
    let forks = [Fork::Failover, Fork::Balance, Fork::BalanceBy];
    let forked = Forked {
        fork: forks[random.below(3) as usize],
        over_channels: random.one_in(2),
        stores: fails_cleanly || random.one_in(2),
        steps_in_branches: random.one_in(2),
        fails_cleanly,
    };
    let rejects = [
        Rejects::None,
        Rejects::Before { durable: true },
        Rejects::Before { durable: false },
        Rejects::Behind,
        if forked.stores { Rejects::BySinks } else { Rejects::None },
    ];
    let modes = [Mode::Follow, Mode::Follow, Mode::Rename, Mode::Delete];
    Setup {
        durable: random.one_in(2),
        // Without positions a source that may repeat lines takes a compressed log for a new one.
        positions: true,
        mode: modes[random.below(4) as usize],
        rejects: rejects[random.below(5) as usize],
        explodes: false,
        meets: false,
        forked: Some(forked),
    }
}

/// Plays a history without stops of the machine and without failures of the source. Then nothing may come twice, whatever the
/// flow promises.
async fn fail_sinks(seed: u64, setup: Setup) -> (World, Result<(), String>) {
    let world = World::new(seed, setup, 3, 60);
    let stop = Stop::default();
    let writing = async {
        world.write(200).await;
        world.complete_lines();
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.calm();
        tokio::time::sleep(Duration::from_secs(20)).await;
        stop.drain.cancel();
    };
    let (ending, ()) = tokio::join!(world.run_agent(&stop), writing);
    let outcome = match ending {
        // Another agent reads the files that the source has set aside until it starts again.
        Some(Ending::Complete) => world.finish().await,
        ending => Err(format!("the agent ended as {ending:?}")),
    };
    (world, outcome)
}

#[test]
fn every_line_arrives_behind_a_fork_however_often_machine_and_sinks_fail() {
    play_often_as(HISTORIES / 10, |seed| {
        let setup = random_setup(seed, false);
        let (world, outcome) = simulate(stop_often(seed, setup, None));
        (world.clone(), seed, outcome.map_err(|what| describe_failure(&world, seed, setup, &what)))
    });
}

#[test]
fn every_line_arrives_once_behind_a_fork_whose_sinks_fail_cleanly() {
    play_often_as(HISTORIES / 10, |seed| {
        let setup = random_setup(seed, true);
        let (world, outcome) = simulate(fail_sinks(seed, setup));
        (world.clone(), seed, outcome.map_err(|what| describe_failure(&world, seed, setup, &what)))
    });
}

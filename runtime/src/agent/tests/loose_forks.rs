//! A `balance` without a key and a `failover` before durable channels: an event that comes again after a crash may take another
//! branch, and none is lost.

use std::collections::BTreeSet;

use super::exactly_once::{crashed, simulate};
use super::*;
use crate::channel::{Compression, FileChannel, FileChannelOptions, Overflow};
use crate::environment::blocking::BlockingExecutor;
use crate::environment::random::SeededRandom;
use crate::environment::storage::{Fault, SimulatedDisk};

const COUNT: u64 = 200;

thread_local! {
    /// The disk of each channel.
    static DISKS: Mutex<BTreeMap<String, SimulatedDisk>> = const { Mutex::new(BTreeMap::new()) };
}

fn disk_of(channel: &str) -> SimulatedDisk {
    DISKS.with(|disks| disks.lock().unwrap()[channel].clone())
}

fn registry() -> Registry {
    super::registry().channel("file", |_, context| {
        let limits = Limits {
            capacity: 40,
            transaction_capacity: 10,
            byte_capacity: 1 << 20,
            keep_alive: Duration::from_millis(100),
        };
        let disk = disk_of(&context.component);
        let options = FileChannelOptions {
            owner: format!("test/{}", context.component),
            component: context.component,
            path: "simulated".into(),
            schema: context.schema,
            limits,
            overflow: Overflow::Wait,
            compression: Compression::None,
            meter: context.meter,
        };
        let channel = FileChannel::on(options, BlockingExecutor::Inline, Box::new(move || Ok(disk.clone())));
        Ok(Arc::new(channel.map_err(Failure::permanent)?))
    })
}

/// numbers → fork { buffer, other }, with sinks that fail a few times
fn forked(fork: fn(Vec<PlannedLeg>) -> Route) -> Plan {
    let mut plan = plan(COUNT as i64, &[("failures", 2)]);
    plan.channels = ["buffer", "other"].map(|name| component(name, "file", &[])).into();
    plan.sinks.push(component("second", "keeper", &[("failures", 1)]));
    let legs = ["buffer", "other"].map(|name| straight(Route::Channel(name.into())));
    plan.flows[0].paths[0].leg.to = fork(legs.into());
    let from = Origin::Channel("other".into());
    plan.flows[0].paths.push(Path { from, leg: straight(Route::Sink("second".into())) });
    plan
}

async fn run_until(plan: &Plan, killed: impl Future<Output = ()>) -> Option<Ending> {
    let agent = Agent::build(plan, &registry(), Arc::new(SystemClock)).unwrap();
    tokio::select! {
        biased;
        () = killed => None,
        (_, ending) = agent.run(Stop::default(), Duration::from_secs(60)) => Some(ending),
    }
}

/// Crashes three agents at calls to one of their disks, and runs a fourth to its end. Returns the number of crashes.
async fn history(plan: &Plan, random: &mut SeededRandom, disks: &[SimulatedDisk; 2]) -> usize {
    let mut crashes = 0;
    for _ in 0..3 {
        let victim = &disks[random.below(2) as usize];
        victim.plan(None, random.below(80), Fault::Crash);
        run_until(plan, crashed(victim)).await;
        crashes += usize::from(victim.has_crashed());
        disks.iter().for_each(SimulatedDisk::reboot);
    }
    let ending = run_until(plan, std::future::pending()).await;
    assert!(matches!(ending, Some(Ending::Complete)), "{ending:?}");
    crashes
}

#[test]
fn no_event_is_lost_when_it_takes_another_branch_after_a_crash() {
    let forks: [fn(Vec<PlannedLeg>) -> Route; 2] =
        [|legs| Route::Balance { by: None, legs }, Route::Failover];
    for fork in forks {
        let plan = forked(fork);
        let mut crashes = 0;
        for seed in 0..150 {
            let mut random = SeededRandom::new(seed);
            let disks = [random.next(), random.next()].map(|seed| SimulatedDisk::new(seed, u64::MAX));
            let named = ["buffer".to_owned(), "other".to_owned()].into_iter().zip(disks.clone());
            DISKS.with(|all| *all.lock().unwrap() = named.collect());
            World::here().kept.lock().unwrap().clear();
            *World::here().delivered.lock().unwrap() = 0;
            simulate(async { crashes += history(&plan, &mut random, &disks).await });
            let kept: BTreeSet<String> = World::here().kept().into_iter().collect();
            let missing: Vec<String> =
                numbers(COUNT).into_iter().filter(|number| !kept.contains(number)).collect();
            assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        }
        assert!(crashes > 100, "{crashes} crashes show little");
    }
}

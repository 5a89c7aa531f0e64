//! Exactly-once delivery under crashes and failures: agents are killed and started again with one store, in one thread,
//! in virtual time and on a simulated disk.

use arrow_array::BooleanArray;

use super::*;
use crate::batch::Identities;
use crate::channel::{Compression, FileChannel, FileChannelOptions, Overflow, Recovered};
use crate::environment::blocking::BlockingExecutor;
use crate::environment::random::SeededRandom;
use crate::environment::storage::{Call, Fault, Machine, Moment, SimulatedDisk};
use crate::sink::Delivery;

/// The data that outlives agents, with the identities of its events.
#[derive(Default)]
struct Store {
    rows: Vec<Row>,
    settled: BTreeMap<Partition, u64>,
    /// The number of events that were delivered although they were stored.
    repeats: usize,
}

struct Row {
    partition: Partition,
    position: u64,
    body: String,
}

#[derive(Clone)]
struct Scene {
    store: Arc<Mutex<Store>>,
    random: Arc<Mutex<SeededRandom>>,
    disk: SimulatedDisk,
}

impl Scene {
    /// Makes the scene of this seed, and sets it for this thread.
    fn set(seed: u64) -> Scene {
        let mut random = SeededRandom::new(seed);
        let disk = SimulatedDisk::new(random.next(), u64::MAX);
        let scene = Scene { store: Arc::default(), random: Arc::new(Mutex::new(random)), disk };
        SCENE.with(|here| *here.lock().unwrap() = Some(scene.clone()));
        scene
    }

    fn one_in(&self, bound: u64) -> bool {
        self.random.lock().unwrap().one_in(bound)
    }
}

thread_local! {
    static SCENE: Mutex<Option<Scene>> = const { Mutex::new(None) };
}

fn scene() -> Scene {
    SCENE.with(|scene| scene.lock().unwrap().clone()).expect("the test has set the scene")
}

/// A source of two partitions of numbers, in batches of one or both, which fails at random.
struct Positions {
    count: u64,
    scene: Scene,
}

fn partitions() -> [Partition; 2] {
    [Partition::new("a"), Partition::new("b")]
}

/// The body of an event, long enough to fill several segments of the log.
fn body(place: usize, number: u64) -> String {
    format!("{}:{number}{}", partitions()[place], " ".repeat(600))
}

impl Positions {
    /// Makes a batch of events of both partitions. Events have even positions; odd positions have no event.
    fn batch(&self, after: [u64; 2], through: [u64; 2]) -> Result<Batch, Failure> {
        let (mut of, mut positions, mut bodies, mut intervals) = (vec![], vec![], vec![], vec![]);
        for place in 0..2 {
            for number in after[place] / 2 + 1..=through[place] / 2 {
                of.push(place as u32);
                positions.push(2 * number);
                bodies.push(body(place, number));
            }
            if after[place] < through[place] {
                let partition = partitions()[place].clone();
                intervals.push(crate::batch::Interval {
                    partition,
                    after: after[place],
                    through: through[place],
                });
            }
        }
        let rows = bodies.len();
        let bodies = BinaryViewArray::from_iter_values(bodies);
        let batch = Batch::new(schema(), vec![bodies.into()], rows, Origins::new(intervals))?;
        Ok(batch.with_identities(Identities::of_several(partitions().to_vec(), of, positions))?)
    }
}

#[async_trait]
impl Source for Positions {
    async fn run(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        assert!(port.wants_identities());
        let mut after =
            partitions().map(|partition| port.given.through(&partition).map_or(0, |given| given.position()));
        while after != [self.count; 2] && !port.stop.is_cancelled() {
            let mut through = after;
            for through in &mut through {
                let more = 2 * self.scene.random.lock().unwrap().below(8);
                *through = (*through + more).min(self.count);
            }
            port.outlet.put(self.batch(after, through)?).await?;
            after = through;
            if self.scene.one_in(40) {
                return Err(Away.into());
            }
        }
        port.outlet.close();
        while port.deliveries.next().await.is_some() {}
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }
}

/// A sink that skips stored events, collects some deliveries, then stores data and identities atomically; it fails at
/// random. Like the writer of a file, it does not check collected events again.
struct Ledger {
    scene: Scene,
}

impl Ledger {
    /// Removes the events that are stored from a delivery.
    fn without_stored(&self, mut delivery: Delivery) -> Delivery {
        let mut store = self.scene.store.lock().unwrap();
        let identities = delivery.batch.identities().expect("each event says which it is");
        let is_stored = |row: usize| {
            let partition = &identities.partitions()[identities.partition_of(row)];
            let position = identities.position_of(row);
            store.settled.get(partition).is_some_and(|through| position <= *through)
                || store.rows.iter().any(|row| (&row.partition, row.position) == (partition, position))
        };
        let missing: BooleanArray = (0..delivery.batch.rows()).map(|row| Some(!is_stored(row))).collect();
        store.repeats += missing.false_count();
        delivery.batch = delivery.batch.filter(&missing).unwrap();
        delivery
    }

    fn store(&self, port: &SinkPort, held: Vec<Delivery>) {
        let mut store = self.scene.store.lock().unwrap();
        for delivery in held {
            let identities = delivery.batch.identities().expect("each event says which it is");
            for (row, body) in delivery.batch.bodies().unwrap().iter().flatten().enumerate() {
                let partition = identities.partitions()[identities.partition_of(row)].clone();
                let position = identities.position_of(row);
                let settled = store.settled.get(&partition).is_some_and(|through| position <= *through);
                assert!(!settled, "what was settled is passed over");
                let body = String::from_utf8_lossy(body).into_owned();
                store.rows.push(Row { partition, position, body });
            }
            delivery.acknowledgement.done();
        }
        for (partition, through) in port.settled() {
            let before = store.settled.entry(partition).or_default();
            *before = through.max(*before);
        }
    }
}

#[async_trait]
impl Sink for Ledger {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held = Vec::new();
        loop {
            match port.take().await? {
                Taken::Events(delivery) => held.push(self.without_stored(delivery)),
                Taken::Pressure => self.store(port, std::mem::take(&mut held)),
                Taken::End => {
                    self.store(port, held);
                    return Ok(());
                }
            }
            if self.scene.one_in(30) {
                return Err(Away.into());
            }
            if self.scene.one_in(4) {
                self.store(port, std::mem::take(&mut held));
            }
        }
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let settled = self.scene.store.lock().unwrap().settled.clone();
        Ok(Recovered { settled, ..Recovered::default() })
    }
}

fn registry() -> Registry {
    super::registry()
        .source("positions", |_, _| Ok(Box::new(Positions { count: COUNT, scene: scene() })))
        .sink("ledger", |_, _| Ok(Box::new(Ledger { scene: scene() })))
        .channel("file", |_, context| {
            let limits = Limits {
                capacity: 10_000,
                transaction_capacity: 1_000,
                byte_capacity: 1 << 20,
                keep_alive: Duration::from_secs(3),
            };
            let options = FileChannelOptions {
                component: context.component,
                owner: "test/buffer".into(),
                path: "simulated".into(),
                schema: context.schema,
                limits,
                overflow: Overflow::Wait,
                compression: scene().random.lock().unwrap().among(&[Compression::None, Compression::Lz4]),
                meter: context.meter,
            };
            let disk = scene().disk;
            let channel =
                FileChannel::on(options, BlockingExecutor::Inline, Box::new(move || Ok(disk.clone())));
            Ok(Arc::new(channel.map_err(Failure::permanent)?))
        })
}

const COUNT: u64 = 400;

/// positions → buffer → store, promising exactly once
fn exact_plan(channel: &str) -> Plan {
    let mut plan = plan(0, &[]);
    plan.sources = vec![component("in", "positions", &[])];
    plan.channels[0].kind = channel.into();
    plan.sinks = vec![component("store", "ledger", &[])];
    plan.flows[0].delivers = Promise::ExactlyOnce;
    plan
}

/// Runs an agent until it ends, or until `killed` is ready.
async fn run_until(channel: &str, killed: impl Future<Output = ()>) -> Option<Ending> {
    let agent = Agent::build(&exact_plan(channel), &registry(), Arc::new(SystemClock)).unwrap();
    tokio::select! {
        biased;
        () = killed => None,
        (_, ending) = agent.run(Stop::default(), Duration::from_secs(30)) => Some(ending),
    }
}

/// Yields to the other tasks this often.
async fn yield_times(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Runs in one thread and in virtual time.
pub(super) fn simulate(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future);
}

/// Checks that each event of each partition is stored once, in order. Returns the number of events that were delivered
/// twice.
fn check_store(scene: &Scene, seed: u64) -> usize {
    let store = scene.store.lock().unwrap();
    for (place, name) in partitions().iter().enumerate() {
        let prefix = format!("{name}:");
        let found = store.rows.iter().map(|row| row.body.as_str()).filter(|body| body.starts_with(&prefix));
        let expected: Vec<String> = (1..=COUNT / 2).map(|number| body(place, number)).collect();
        assert!(found.eq(expected.iter().map(String::as_str)), "seed {seed}, partition {name}");
    }
    store.repeats
}

#[test]
fn every_event_arrives_once_through_memory_when_agents_are_killed_and_components_fail() {
    let mut repeats = 0;
    for seed in 0..300 {
        let scene = Scene::set(seed);
        simulate(async {
            for _ in 0..4 {
                let yields = scene.random.lock().unwrap().below(60);
                run_until("memory", yield_times(yields)).await;
            }
            let ending = run_until("memory", std::future::pending()).await;
            assert!(matches!(ending, Some(Ending::Complete)), "seed {seed}: {ending:?}");
        });
        repeats += check_store(&scene, seed);
    }
    assert!(repeats > 0, "nothing came twice, so that nothing was shown");
}

/// Waits until the machine has crashed.
pub(super) async fn crashed(disk: &SimulatedDisk) {
    while !disk.has_crashed() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Crashes the machine of an agent at this call to its disk, and that of the next agent soon after its start; the third
/// agent runs to its end. Returns whether the first agent made the call.
async fn crash_twice(scene: &Scene, call: u64) -> bool {
    let again = scene.random.lock().unwrap().below(60);
    let mut crashed_at_call = false;
    for skip in [call, again] {
        scene.disk.plan(None, skip, Fault::Crash);
        run_until("file", crashed(&scene.disk)).await;
        crashed_at_call |= skip == call && scene.disk.has_crashed();
        match scene.one_in(4) {
            true => scene.disk.kill(),
            false => scene.disk.reboot(),
        }
    }
    let ending = run_until("file", std::future::pending()).await;
    assert!(matches!(ending, Some(Ending::Complete)), "crash at call {call}: {ending:?}");
    crashed_at_call
}

#[test]
fn every_event_arrives_once_through_a_disk_whatever_call_the_machine_crashes_at() {
    let (mut repeats, mut crashes, mut rolls) = (0, 0, 0);
    for variation in 0..25 {
        for call in 0.. {
            let seed = variation * 10_000 + call;
            let scene = Scene::set(seed);
            let mut crashed = false;
            simulate(async { crashed = crash_twice(&scene, call).await });
            repeats += check_store(&scene, seed);
            let calls = scene.disk.calls().into_iter();
            rolls += calls.filter(|(site, _)| site.call == Call::Create).map(|(_, calls)| calls).sum::<u64>();
            if !crashed {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes > 1_000 && repeats > 1_000, "{crashes} crashes and {repeats} repeats show little");
    assert!(rolls > 3 * crashes, "{rolls} files made: segments were not rolled over");
}

/// Runs an agent until its machine stops at this step; then the agent is killed, or the power is lost.
async fn run_until_it_stops(scene: &Scene, machine: &Machine, step: u64, moment: Moment, power_lost: bool) {
    machine.stop_at(step, moment);
    let stopped = async {
        while !machine.is_down() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    run_until("file", stopped).await;
    machine.stop();
    yield_times(10).await;
    match power_lost {
        true => scene.disk.reboot(),
        false => scene.disk.kill(),
    }
    machine.start();
}

/// The writes of a superblock after which segments are removed, in a run without faults.
fn writes_before_removals(machine: &Machine) -> Vec<u64> {
    let steps = machine.changing_steps();
    let of_superblock = |place: &str| place.ends_with(" superblock");
    let writes = steps.iter().enumerate().filter(|(at, (_, place))| {
        let next = steps[*at..].iter().map(|(_, place)| place.as_str()).find(|place| !of_superblock(place));
        place == "disk Write superblock" && next == Some("disk Unlink .segment")
    });
    writes.map(|(_, (step, _))| *step).collect()
}

#[test]
fn writes_of_a_killed_agent_are_synced_before_they_are_relied_on() {
    let mut tried = 0;
    for seed in [0, 10] {
        let on_a_machine = || {
            let (scene, machine) = (Scene::set(seed), Machine::default());
            scene.disk.attach(&machine, "disk");
            (scene, machine)
        };
        let (_, machine) = on_a_machine();
        simulate(async { drop(run_until("file", std::future::pending()).await) });
        for write in writes_before_removals(&machine) {
            for (second, random) in (0..24).flat_map(|second| (0..4).map(move |random| (second, random))) {
                let (scene, machine) = on_a_machine();
                simulate(async {
                    run_until_it_stops(&scene, &machine, write, Moment::After, false).await;
                    for _ in 0..random {
                        scene.disk.random_below(2);
                    }
                    run_until_it_stops(&scene, &machine, second, Moment::Before, true).await;
                    let ending = run_until("file", std::future::pending()).await;
                    let complete = matches!(ending, Some(Ending::Complete));
                    assert!(complete, "seed {seed}, {write}, {second}, {random}: {ending:?}");
                });
                check_store(&scene, seed);
                tried += 1;
            }
        }
    }
    // The number of removals depends on the order in which tokio wakes tasks, which does not follow from the seed.
    assert!(tried >= 8 * 24 * 4, "{tried} tries show little");
}

#[test]
fn a_channel_can_be_drained_without_its_sources() {
    let mut emptied = 0;
    for seed in 0..20 {
        let scene = Scene::set(seed);
        simulate(async {
            scene.disk.plan(None, 30 + seed, Fault::Crash);
            run_until("file", crashed(&scene.disk)).await;
            scene.disk.reboot();
            let before = scene.store.lock().unwrap().rows.len();
            let agent = Agent::build(&exact_plan("file"), &registry(), Arc::new(SystemClock)).unwrap();
            let (report, ending) = agent.drain_only().run(Stop::default(), Duration::from_secs(30)).await;
            assert!(matches!(ending, Ending::Complete), "seed {seed}: {ending:?}");
            let put = report.components.iter().map(|component| component.received.events).next();
            assert_eq!(put, Some(0), "no source is read");
            emptied += scene.store.lock().unwrap().rows.len() - before;
            run_until("file", std::future::pending()).await;
        });
        check_store(&scene, seed);
    }
    assert!(emptied > 20, "{emptied} events were in the channels");
}

#[tokio::test]
async fn a_promise_that_a_component_can_not_keep_is_refused_before_the_start() {
    let mut plan = plan(10, &[]);
    plan.flows[0].delivers = Promise::ExactlyOnce;
    let Err(error) = Agent::build(&plan, &super::registry(), Arc::new(SystemClock)) else {
        panic!("it was built")
    };
    assert_eq!(
        error.problems,
        [
            "source in: this version can't carry out the promise `exactly_once` with a source of the kind `numbers`",
            "sink store: this version can't carry out the promise `exactly_once` with a sink of the kind `keeper`",
        ]
    );
}

//! Exactly once, whatever stops and fails: agents are killed and started again over one store.

use arrow_array::BooleanArray;

use super::*;
use crate::batch::Identities;
use crate::chance::Chance;
use crate::sink::Delivery;

/// What outlives the agents: data, and which events they are.
#[derive(Default)]
struct Store {
    rows: Vec<(Partition, u64, String)>,
    settled: BTreeMap<Partition, u64>,
    /// Events that came although they were there.
    repeats: usize,
}

#[derive(Clone)]
struct Scene {
    store: Arc<Mutex<Store>>,
    chance: Arc<Mutex<Chance>>,
}

impl Scene {
    fn one_in(&self, bound: u64) -> bool {
        self.chance.lock().unwrap().one_in(bound)
    }
}

thread_local! {
    static SCENE: Mutex<Option<Scene>> = const { Mutex::new(None) };
}

fn scene() -> Scene {
    SCENE.with(|scene| scene.lock().unwrap().clone()).expect("the test has set the scene")
}

/// Two partitions of numbers, each batch from one of them, or from both; fails now and then.
struct Positions {
    count: u64,
    scene: Scene,
}

fn partitions() -> [Partition; 2] {
    [Partition::new("a"), Partition::new("b")]
}

impl Positions {
    /// Events of both partitions, alternating, at even positions; the odd ones are nothing.
    fn batch(&self, after: [u64; 2], through: [u64; 2]) -> Result<Batch, Failure> {
        let (mut of, mut positions, mut bodies, mut intervals) = (vec![], vec![], vec![], vec![]);
        for place in 0..2 {
            for number in after[place] / 2 + 1..=through[place] / 2 {
                of.push(place as u32);
                positions.push(2 * number);
                bodies.push(number.to_string());
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
        let mut after = partitions().map(|partition| port.stored.through(&partition).unwrap_or(0));
        while after != [self.count; 2] && !port.stop.is_cancelled() {
            let mut through = after;
            for through in &mut through {
                let more = 2 * self.scene.chance.lock().unwrap().below(8);
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

/// Passes over what is stored, collects some deliveries, then stores data and identities at once; fails
/// now and then. Like a file, what it collects is not looked through again.
struct Ledger {
    scene: Scene,
}

impl Ledger {
    /// What of a delivery is not stored yet.
    fn lacking(&self, mut delivery: Delivery) -> Delivery {
        let mut store = self.scene.store.lock().unwrap();
        let identities = delivery.batch.identities().expect("each event says which it is");
        let there = |row: usize| {
            let partition = &identities.partitions()[identities.partition_of(row)];
            let position = identities.position_of(row);
            store.settled.get(partition).is_some_and(|through| position <= *through)
                || store.rows.iter().any(|(of, at, _)| (of, *at) == (partition, position))
        };
        let lacking: BooleanArray = (0..delivery.batch.rows()).map(|row| Some(!there(row))).collect();
        store.repeats += lacking.false_count();
        delivery.batch = delivery.batch.filter(&lacking).unwrap();
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
                store.rows.push((partition, position, String::from_utf8_lossy(body).into_owned()));
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
                Taken::Events(delivery) => held.push(self.lacking(delivery)),
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

    async fn recover(&mut self) -> Result<BTreeMap<Partition, u64>, Failure> {
        Ok(self.scene.store.lock().unwrap().settled.clone())
    }
}

fn registry() -> Registry {
    super::registry()
        .source("positions", |_, _| Ok(Box::new(Positions { count: COUNT, scene: scene() })))
        .sink("ledger", |_, _| Ok(Box::new(Ledger { scene: scene() })))
}

const COUNT: u64 = 400;

/// positions → buffer → store, promising exactly once
fn exact_plan() -> Plan {
    let mut plan = plan(0, &[]);
    plan.sources = vec![component("in", "positions", &[])];
    plan.sinks = vec![component("store", "ledger", &[])];
    plan.flows[0].delivers = Promise::ExactlyOnce;
    plan
}

/// Starts agents one after the other; all but the last are killed at some time.
async fn live_through(lives: usize, scene: &Scene) {
    for life in 1..=lives {
        let agent = Agent::build(&exact_plan(), &registry(), Arc::new(SystemClock)).unwrap();
        let running = agent.run(Stop::default(), Duration::from_secs(30));
        if life == lives {
            let (_, ending) = running.await;
            assert!(matches!(ending, Ending::Complete), "{ending:?}");
        } else {
            let turns = scene.chance.lock().unwrap().below(60);
            tokio::select! {
                biased;
                () = turns_pass(turns) => {}
                _ = running => {}
            }
        }
    }
}

/// Lets everything else have so many turns.
async fn turns_pass(turns: u64) {
    for _turn in 0..turns {
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_event_arrives_once_through_memory_whatever_fails() {
    let mut repeats = 0;
    for seed in 0..300 {
        let scene = Scene { store: Arc::default(), chance: Arc::new(Mutex::new(Chance(seed))) };
        SCENE.with(|here| *here.lock().unwrap() = Some(scene.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(live_through(5, &scene));
        let store = scene.store.lock().unwrap();
        repeats += store.repeats;
        for name in ["buffer/in/a", "buffer/in/b"] {
            let rows = store.rows.iter().filter(|(partition, ..)| partition.name() == name);
            let found: Vec<(u64, &str)> = rows.map(|(_, position, body)| (*position, &**body)).collect();
            let numbers = numbers(COUNT / 2);
            let expected = numbers.iter().zip(1..).map(|(body, number)| (2 * number, body.as_str()));
            assert_eq!(found, expected.collect::<Vec<_>>(), "seed {seed}, partition {name}");
        }
    }
    assert!(repeats > 0, "nothing came twice, so that nothing was shown");
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

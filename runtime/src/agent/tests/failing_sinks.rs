//! Sinks that fail at random, behind and before every fork, with steps and sinks that reject events: each event arrives once.

use std::collections::BTreeSet;

use super::rejects::{dead, forget_dead, plan_with, registry_with_dead, reject};
use super::*;
use crate::environment::random::SeededRandom;
use crate::observability::meter::ReasonKind;

const COUNT: u64 = 300;

thread_local! {
    static RANDOM: Arc<Mutex<SeededRandom>> = Arc::new(Mutex::new(SeededRandom::new(0)));
    static STORED: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
}

/// A sink that fails at random, commits several batches at once, and rejects every eleventh number.
struct Shaky {
    name: String,
    random: Arc<Mutex<SeededRandom>>,
    stored: Arc<Mutex<Vec<(String, String)>>>,
}

type Held = Vec<(Vec<String>, crate::routing::Acknowledgement)>;

impl Shaky {
    fn one_in(&self, bound: u64) -> bool {
        self.random.lock().unwrap().one_in(bound)
    }

    fn store(&self, held: Held) {
        for (bodies, acknowledgement) in held {
            let named = bodies.into_iter().map(|body| (body, self.name.clone()));
            self.stored.lock().unwrap().extend(named);
            acknowledgement.done();
        }
    }

    /// Rejects the numbers that can't be written, and returns the others.
    async fn prepare(&self, delivery: crate::sink::Delivery, held: &mut Held) -> Result<(), Failure> {
        let crate::sink::Delivery { batch, mut acknowledgement, rejecter } = delivery;
        let mut bodies = Vec::new();
        for row in 0..batch.rows() {
            let body = String::from_utf8_lossy(batch.bodies().unwrap().value(row)).into_owned();
            if rejecter.has_route() && body.parse::<u64>().unwrap().is_multiple_of(11) {
                let share = acknowledgement.split(1);
                rejecter.reject(row, share, ReasonKind::TooLarge, "too large").await?;
            } else {
                bodies.push(body);
            }
        }
        held.push((bodies, acknowledgement));
        Ok(())
    }
}

#[async_trait]
impl Sink for Shaky {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held = Vec::new();
        loop {
            match port.take().await? {
                Taken::Events(delivery) => self.prepare(delivery, &mut held).await?,
                Taken::Pressure => self.store(std::mem::take(&mut held)),
                Taken::End if self.one_in(3) => return Err(Away.into()),
                Taken::End => {
                    self.store(held);
                    return Ok(());
                }
            }
            if self.one_in(8) {
                return Err(Away.into());
            }
            if self.one_in(3) {
                self.store(std::mem::take(&mut held));
            }
            // Sometimes the channel of a sink is full for as long as a put waits.
            let longest = if self.one_in(25) { 8_000 } else { 40 };
            let pause = self.random.lock().unwrap().below(longest);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// numbers → reject 17 → fork → reject 23 → sinks, which reject multiples of 11
#[derive(Debug, Clone, Copy)]
enum Shape {
    BalanceOfSinks,
    FailoverOfSinks,
    BalanceOfChannels,
    FailoverOfChannels,
}

const SHAPES: [Shape; 4] =
    [Shape::BalanceOfSinks, Shape::FailoverOfSinks, Shape::BalanceOfChannels, Shape::FailoverOfChannels];

fn plan_of(shape: Shape) -> Plan {
    let source = |to| PlannedLeg { steps: vec![reject("17", Some("before"))], to };
    let behind = |to| PlannedLeg { steps: vec![reject("23", Some("behind"))], to };
    let to_buffer = source(Route::Channel("buffer".into()));
    let mut plan = plan_with(COUNT as i64, to_buffer, straight(Route::End), [&[], &[("failures", 2)]]);
    plan.sinks.retain(|sink| sink.name == "dead");
    // Sinks of this kind may reject events.
    plan.sinks.extend(["first", "second"].map(|name| component(name, "kafka", &[])));
    let sinks: Vec<PlannedLeg> = ["first", "second"].map(|name| straight(Route::Sink(name.into()))).into();
    let channels: Vec<PlannedLeg> =
        ["buffer", "other"].map(|name| straight(Route::Channel(name.into()))).into();
    let fork = |legs| match shape {
        Shape::BalanceOfSinks | Shape::BalanceOfChannels => Route::Balance { by: None, legs },
        Shape::FailoverOfSinks | Shape::FailoverOfChannels => Route::Failover(legs),
    };
    match shape {
        Shape::BalanceOfSinks | Shape::FailoverOfSinks => plan.flows[0].paths[1].leg = behind(fork(sinks)),
        Shape::BalanceOfChannels | Shape::FailoverOfChannels => {
            plan.channels[0] = component("buffer", "memory", &[("capacity", 20)]);
            plan.channels.push(component("other", "memory", &[("capacity", 50)]));
            plan.flows[0].paths[0].leg = source(fork(channels));
            plan.flows[0].paths[1].leg = behind(Route::Sink("first".into()));
            let from = Origin::Channel("other".into());
            plan.flows[0].paths.push(Path { from, leg: behind(Route::Sink("second".into())) });
        }
    }
    plan
}

/// Runs the shape with this seed. Returns the number of switches, and how many events each sink has stored.
async fn history(shape: Shape, seed: u64) -> (u64, BTreeMap<String, usize>) {
    RANDOM.with(|random| *random.lock().unwrap() = SeededRandom::new(seed));
    STORED.with(|stored| stored.lock().unwrap().clear());
    forget_dead();
    *World::here().delivered.lock().unwrap() = 0;
    let registry = registry_with_dead().sink("kafka", |_, context| {
        let name = context.component.to_string();
        let (random, stored) = (RANDOM.with(Arc::clone), STORED.with(Arc::clone));
        Ok(Box::new(Shaky { name, random, stored }))
    });
    let agent = Agent::build(&plan_of(shape), &registry, Arc::new(SystemClock)).unwrap();
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(600)).await;
    assert!(matches!(ending, Ending::Complete), "{shape:?}, seed {seed}: {ending:?}");

    let stored = STORED.with(|stored| stored.lock().unwrap().clone());
    let mut numbers: Vec<u64> = stored.iter().map(|(body, _)| body.parse().unwrap()).collect();
    let of_dead = |dead: &String| -> u64 { dead.split([':', ',']).nth(2).unwrap().trim().parse().unwrap() };
    let rejected: Vec<u64> = dead().iter().map(of_dead).collect();
    let expected: BTreeSet<u64> =
        (1..=COUNT).filter(|number| number % 11 == 0 || [17, 23].contains(number)).collect();
    assert_eq!(rejected.len(), expected.len(), "{shape:?}, seed {seed}: {:?}", dead());
    assert_eq!(rejected.into_iter().collect::<BTreeSet<_>>(), expected, "{shape:?}, seed {seed}");
    numbers.sort_unstable();
    let others: Vec<u64> = (1..=COUNT).filter(|number| !expected.contains(number)).collect();
    assert_eq!(numbers, others, "{shape:?}, seed {seed}");
    let of = |name: &str| report.components.iter().find(|component| &*component.name == name).unwrap();
    let sinks = [of("first"), of("second")];
    let delivered: u64 = sinks.iter().map(|sink| sink.delivered.events).sum();
    assert_eq!(delivered, others.len() as u64, "{shape:?}, seed {seed}: rejected events are not delivered");

    let switches = report.components.iter().flat_map(|component| &component.notes);
    let mut by_sink = BTreeMap::new();
    stored.into_iter().for_each(|(_, sink)| *by_sink.entry(sink).or_default() += 1);
    (switches.filter(|note| note.starts_with("failover_takeovers")).count() as u64, by_sink)
}

#[tokio::test(start_paused = true)]
async fn every_event_arrives_once_whatever_fails() {
    for shape in SHAPES {
        let (mut switches, mut by_sink) = (0, BTreeMap::<String, usize>::new());
        for seed in 0..60 {
            let (switched, stored) = history(shape, seed).await;
            switches += switched;
            stored.into_iter().for_each(|(sink, count)| *by_sink.entry(sink).or_default() += count);
        }
        let is_failover = matches!(shape, Shape::FailoverOfSinks | Shape::FailoverOfChannels);
        assert!(!is_failover || switches > 20, "{shape:?}: {switches} histories with a switch show little");
        assert_eq!(by_sink.len(), 2, "{shape:?}: both sinks take part: {by_sink:?}");
    }
}

//! Tests of complete plans with small components: a source of numbers, and a sink that keeps the events.

use std::sync::Mutex;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use weir_plan::{
    Action, Branch, Comparison, Component, Delivery as Promise, EventType, EventTypeId, Expression, Flow,
    Leg as PlannedLeg, Operation, Origin, PLAN_VERSION, Path, Route, Settings, Step, Value,
};

mod condition;
mod ending;
mod exactly_once;
mod failing_sinks;
mod failover;
mod flume;
mod handover;
mod load_balance;
mod loose_forks;
mod optional;
mod recovery;
mod rejects;
mod selection;
mod starting;
mod throttle;

use super::*;
use crate::batch::{Batch, Origins, Partition};
use crate::channel::{Limits, MemoryChannel, Taken};
use crate::environment::clock::SystemClock;
use crate::registry::Context;
use crate::source::SourcePort;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]))
}

/// Puts the numbers from 1 to `count` in batches of ten, then ends.
struct Numbers {
    count: u64,
    delivered: Arc<Mutex<u64>>,
}

#[async_trait]
impl Source for Numbers {
    async fn run(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        let mut after = *self.delivered.lock().unwrap();
        while after < self.count && !port.stop.is_cancelled() {
            let through = (after + 10).min(self.count);
            let bodies = BinaryViewArray::from_iter_values((after + 1..=through).map(|n| n.to_string()));
            let origins = Origins::one(Partition::new("numbers"), after, through);
            let rows = (through - after) as usize;
            port.outlet.put(Batch::new(schema(), vec![bodies.into()], rows, origins)?).await?;
            after = through;
        }
        port.outlet.close();
        while let Some(delivered) = port.deliveries.next().await {
            for (_, through) in delivered.positions() {
                *self.delivered.lock().unwrap() = through.position();
            }
        }
        Ok(())
    }
}

#[derive(Debug, Error)]
#[error("the store is away")]
struct Away;

/// Keeps the bodies, after failing for `failures` batches.
struct Keeper {
    kept: Arc<Mutex<Vec<String>>>,
    failures: usize,
    permanent: bool,
}

#[async_trait]
impl Sink for Keeper {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        loop {
            match port.take().await? {
                Taken::Events(delivery) if self.failures == 0 => {
                    let bodies = delivery.batch.bodies().unwrap().iter().flatten();
                    let bodies = bodies.map(|body| String::from_utf8_lossy(body).into_owned());
                    self.kept.lock().unwrap().extend(bodies);
                    delivery.acknowledgement.done();
                }
                Taken::Events(_) => {
                    self.failures -= 1;
                    return Err(if self.permanent { Failure::permanent(Away) } else { Away.into() });
                }
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }
}

#[derive(Clone, Default)]
struct World {
    delivered: Arc<Mutex<u64>>,
    kept: Arc<Mutex<Vec<String>>>,
}

thread_local! {
    // The registry's functions can't capture state; each test runs on its own thread.
    static WORLD: World = World::default();
}

impl World {
    fn here() -> World {
        WORLD.with(World::clone)
    }

    fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }

    fn delivered(&self) -> u64 {
        *self.delivered.lock().unwrap()
    }
}

fn registry() -> Registry {
    fn number(settings: &Settings, name: &str) -> i64 {
        match settings.values.get(name) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }
    Registry::default()
        .source("numbers", |settings, _| {
            let count = number(settings, "count") as u64;
            Ok(Box::new(Numbers { count, delivered: World::here().delivered }))
        })
        .channel("memory", |settings, _| {
            let capacity = number(settings, "capacity") as usize;
            let limits = Limits {
                capacity,
                transaction_capacity: capacity.min(10),
                byte_capacity: 1 << 20,
                keep_alive: Duration::from_secs(3),
            };
            Ok(Arc::new(MemoryChannel::new(limits)))
        })
        .sink("keeper", |settings, _| {
            let (failures, kept) = (number(settings, "failures") as usize, World::here().kept);
            Ok(Box::new(Keeper { kept, failures, permanent: number(settings, "permanent") > 0 }))
        })
}

fn component(name: &str, kind: &str, settings: &[(&str, i64)]) -> Component {
    let values = settings.iter().map(|(name, value)| (name.to_string(), Value::Int(*value))).collect();
    Component {
        name: name.into(),
        kind: kind.into(),
        settings: Settings { values },
        event_type: EventTypeId(0),
        implicit: false,
        derived: Default::default(),
    }
}

fn straight(to: Route) -> PlannedLeg {
    PlannedLeg { steps: Vec::new(), to }
}

/// numbers → buffer → store
fn plan(count: i64, keeper: &[(&str, i64)]) -> Plan {
    let path = |from, to| Path { from, leg: straight(to) };
    Plan {
        version: PLAN_VERSION,
        program: "test".into(),
        sources: vec![component("in", "numbers", &[("count", count)])],
        channels: vec![component("buffer", "memory", &[("capacity", 100)])],
        sinks: vec![component("store", "keeper", keeper)],
        event_types: vec![EventType::new(schema().as_ref().clone())],
        functions: Vec::new(),
        agent: Settings::default(),
        worst_case: None,
        flows: vec![Flow {
            name: "main".into(),
            delivers: Promise::AtLeastOnce,
            order: Default::default(),
            paths: vec![
                path(Origin::Source("in".into()), Route::Channel("buffer".into())),
                path(Origin::Channel("buffer".into()), Route::Sink("store".into())),
            ],
        }],
    }
}

fn build(plan: &Plan) -> Result<Agent, StartError> {
    Agent::build(plan, &registry(), Arc::new(SystemClock))
}

async fn run(plan: &Plan) -> (Report, Ending) {
    build(plan).unwrap().run(Stop::default(), Duration::from_secs(30)).await
}

fn numbers(through: u64) -> Vec<String> {
    (1..=through).map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn all_events_arrive_in_order_and_are_delivered_to_the_source() {
    let (report, ending) = run(&plan(1234, &[])).await;
    assert!(matches!(ending, Ending::Complete));
    assert_eq!(World::here().kept(), numbers(1234));
    assert_eq!(World::here().delivered(), 1234);
    let delivered: Vec<u64> = report.components.iter().map(|component| component.delivered.events).collect();
    assert_eq!(delivered, [1234, 1234, 1234]);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_failed_sink_are_redelivered() {
    let (report, ending) = run(&plan(200, &[("failures", 3)])).await;
    assert!(matches!(ending, Ending::Complete));
    assert_eq!(World::here().kept(), numbers(200));
    assert_eq!(report.components[2].restarts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_stops_the_agent_and_is_named() {
    let (_, ending) = run(&plan(200, &[("failures", 1), ("permanent", 1)])).await;
    let Ending::Failed { component, failure } = ending else { panic!("{ending:?}") };
    assert_eq!((&*component, failure.to_string().as_str()), ("store", "the store is away"));
    assert_eq!(World::here().delivered(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_the_events_that_were_read() {
    let agent = build(&plan(i64::MAX, &[])).unwrap();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    while World::here().kept().len() < 1000 {
        tokio::task::yield_now().await;
    }
    stop.drain.cancel();
    let (report, ending) = running.await.unwrap();
    assert!(matches!(ending, Ending::Complete));
    let [source, _, sink] = &report.components[..] else { panic!("three components") };
    assert_eq!(source.received.events, sink.delivered.events);
    assert_eq!(World::here().delivered(), sink.delivered.events);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_ends_as_incomplete() {
    let agent = build(&plan(50, &[("failures", i64::MAX)])).unwrap();
    let stop = Stop::default();
    stop.drain.cancel();
    let (_, ending) = agent.run(stop, Duration::from_secs(30)).await;
    assert!(matches!(ending, Ending::Complete), "nothing was taken yet");

    let agent = build(&plan(50, &[("failures", i64::MAX)])).unwrap();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.drain.cancel();
    let (_, ending) = running.await.unwrap();
    assert!(matches!(ending, Ending::Incomplete));
    assert_eq!(World::here().delivered(), 0);
}

fn keep_body(body: &str) -> Step {
    let operand =
        |operation| Box::new(Expression { data_type: DataType::BinaryView, nullable: false, operation });
    let operation = Operation::Compare(
        Comparison::Equal,
        operand(Operation::Column("body".into())),
        operand(Operation::Literal(Value::Text(body.into()))),
    );
    let condition = Expression { data_type: DataType::Boolean, nullable: false, operation };
    Step {
        label: "keep if body".into(),
        action: Action::Keep(condition),
        on_failure: None,
        event_type: EventTypeId(0),
    }
}

fn branch(optional: bool, steps: Vec<Step>, channel: &str) -> Branch {
    Branch { optional, leg: PlannedLeg { steps, to: Route::Channel(channel.into()) } }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_delivered_when_every_required_branch_is() {
    let mut plan = plan(100, &[]);
    plan.channels.push(component("few", "memory", &[("capacity", 10)]));
    plan.sinks.push(component("second", "keeper", &[("failures", 1)]));
    let branches = vec![branch(false, vec![keep_body("7")], "few"), branch(false, Vec::new(), "buffer")];
    plan.flows[0].paths[0].leg.to = Route::Copy(branches);
    plan.flows[0]
        .paths
        .push(Path { from: Origin::Channel("few".into()), leg: straight(Route::Sink("second".into())) });
    let (report, ending) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete));
    let mut kept = World::here().kept();
    kept.sort_by_key(|body| body.parse::<u64>().unwrap());
    let mut expected = numbers(100);
    expected.insert(6, "7".into());
    assert_eq!(kept, expected);
    assert_eq!(World::here().delivered(), 100);
    assert_eq!(report.components[0].dropped.events, 99);
}

#[tokio::test(start_paused = true)]
async fn an_optional_branch_does_not_delay_the_others() {
    let mut plan = plan(100, &[]);
    plan.channels.push(component("extra", "memory", &[("capacity", 10)]));
    plan.sinks.push(component("broken", "keeper", &[("failures", i64::MAX)]));
    plan.flows[0].paths[0].leg.to =
        Route::Copy(vec![branch(false, Vec::new(), "buffer"), branch(true, Vec::new(), "extra")]);
    plan.flows[0]
        .paths
        .push(Path { from: Origin::Channel("extra".into()), leg: straight(Route::Sink("broken".into())) });
    let agent = build(&plan).unwrap();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    while World::here().delivered() < 100 {
        tokio::task::yield_now().await;
    }
    stop.now.cancel();
    let (report, _) = running.await.unwrap();
    assert_eq!(World::here().kept(), numbers(100));
    let extra = report.components.iter().find(|component| &*component.name == "extra").unwrap();
    assert_eq!(extra.notes, ["skipped_events: 90"]);
}

#[tokio::test(start_paused = true)]
async fn an_optional_reader_of_a_channel_does_not_delay_the_others() {
    let mut plan = plan(1_000, &[]);
    plan.sinks.push(component("broken", "keeper", &[("failures", i64::MAX)]));
    let to_sink = |optional, sink: &str| Branch { optional, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![to_sink(false, "store"), to_sink(true, "broken")]);
    let agent = build(&plan).unwrap();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    while World::here().delivered() < 1_000 {
        tokio::task::yield_now().await;
    }
    stop.now.cancel();
    running.await.unwrap();
    assert_eq!(World::here().kept(), numbers(1_000));
}

#[tokio::test]
async fn workers_apply_the_steps_of_sources_and_sinks() {
    let mut plan = plan(1_000, &[]);
    plan.flows[0].paths[0].leg.steps.push(keep_body("7"));
    plan.flows[0].paths[1].leg.steps.push(keep_body("7"));
    let agent = build(&plan).unwrap().with_workers(Workers::new(2).unwrap());
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(World::here().kept(), ["7"]);
    assert_eq!(report.components[0].dropped.events, 999);
}

/// The number of events that each of these components has delivered.
fn delivered_by(report: &Report, names: [&str; 2]) -> [u64; 2] {
    let of = |name| report.components.iter().find(|component| &*component.name == name);
    names.map(|name| of(name).expect("it is in the plan").delivered.events)
}

#[test]
fn a_plan_that_can_not_be_run_is_refused_with_all_problems() {
    let mut plan = plan(1, &[]);
    plan.sources[0].kind = "sorcery".into();
    plan.sinks.push(component("lonely", "keeper", &[]));
    plan.flows[0].delivers = Promise::ExactlyOnce;
    let problems = build(&plan).err().unwrap().problems;
    assert_eq!(
        problems,
        [
            "source in: this agent has no source of the kind `sorcery`",
            "sink lonely: no path leads to it from a channel",
            "sink store: this version can't carry out the promise `exactly_once` with a sink of the kind `keeper`",
        ]
    );
}

#[test]
fn a_component_that_refuses_its_settings_is_named() {
    let refusing = registry().channel("memory", |_: &Settings, _: Context| Err(Failure::permanent("no")));
    let error = Agent::build(&plan(1, &[]), &refusing, Arc::new(SystemClock)).err().unwrap();
    assert!(error.problems.contains(&"channel buffer: no".to_string()), "{error}");
}

/// Puts one event. After a stop, it drops its outlet and waits for its deliveries.
struct Dropping;

#[async_trait]
impl Source for Dropping {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let SourcePort { mut outlet, mut deliveries, stop, .. } = port;
        let bodies = BinaryViewArray::from_iter_values(["only"]);
        let origins = Origins::one(Partition::new("one"), 0, 1);
        outlet.put(Batch::new(schema(), vec![bodies.into()], 1, origins)?).await?;
        stop.cancelled().await;
        drop(outlet);
        while deliveries.next().await.is_some() {}
        Ok(())
    }
}

/// Acknowledges all events only after the last one.
struct Holder;

#[async_trait]
impl Sink for Holder {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held = Vec::new();
        loop {
            match port.take().await? {
                Taken::Events(delivery) => held.push(delivery.acknowledgement),
                Taken::Pressure => {}
                Taken::End => break,
            }
        }
        held.into_iter().for_each(|acknowledgement| acknowledgement.done());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_a_sink_whose_source_has_dropped_its_outlet() {
    let registry = registry()
        .source("numbers", |_, _| Ok(Box::new(Dropping)))
        .sink("keeper", |_, _| Ok(Box::new(Holder)));
    let agent = Agent::build(&plan(1, &[]), &registry, Arc::new(SystemClock)).unwrap();
    let meters = agent.meters();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    while meters["store"].received.read().events == 0 {
        tokio::task::yield_now().await;
    }
    stop.drain.cancel();
    let (report, ending) = running.await.unwrap();
    assert!(matches!(ending, Ending::Complete));
    assert_eq!(report.components[2].delivered.events, 1);
}

/// A header that only some events have is null for the others.
#[tokio::test(start_paused = true)]
async fn events_of_two_types_share_a_channel() {
    let mut plan = plan(10, &[]);
    let tag = Field::new("@tag", DataType::Int64, true);
    let wide = Schema::new(vec![tag, Field::new("body", DataType::BinaryView, false)]);
    plan.event_types.push(EventType::new(wide));
    plan.channels[0].event_type = EventTypeId(1);
    plan.sinks[0].event_type = EventTypeId(1);
    let column = Expression {
        data_type: DataType::Int64,
        nullable: true,
        operation: Operation::Column("@tag".into()),
    };
    let operation = Operation::IsNull(Box::new(column));
    let condition = Expression { data_type: DataType::Boolean, nullable: false, operation };
    let step = Step {
        label: "keep if @tag is null".into(),
        action: Action::Keep(condition),
        on_failure: None,
        event_type: EventTypeId(1),
    };
    plan.flows[0].paths[1].leg.steps.push(step);
    let (report, ending) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(World::here().kept(), numbers(10));
    assert_eq!(report.components[2].dropped.events, 0);
}

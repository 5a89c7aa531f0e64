//! Events that steps reject, before and behind channels.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_schema::TimeUnit;

use super::*;
use crate::environment::clock::Clock;
use crate::sink::Delivery;

thread_local! {
    static DEAD: Arc<Mutex<Vec<String>>> = Arc::default();
}

/// Keeps rejected events as `source, step: body, reason`, after failing for `failures` batches.
struct Dead {
    kept: Arc<Mutex<Vec<String>>>,
    failures: usize,
}

#[async_trait]
impl Sink for Dead {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        loop {
            match port.take().await? {
                Taken::Events(_) if self.failures > 0 => {
                    self.failures -= 1;
                    return Err(Away.into());
                }
                Taken::Events(delivery) => {
                    let Delivery { batch, acknowledgement, .. } = delivery;
                    let text = |name: &str, row| {
                        let column = batch.column(name).unwrap();
                        column.values().as_string_view().value(column.index(row)).to_owned()
                    };
                    let bodies = batch.bodies().unwrap();
                    let shown = (0..batch.rows()).map(|row| {
                        let body = String::from_utf8_lossy(bodies.value(row)).into_owned();
                        let (source, step) = (text("source", row), text("step", row));
                        format!("{source}, {step}: {body}, {}", text("reason", row))
                    });
                    self.kept.lock().unwrap().extend(shown);
                    acknowledgement.done();
                }
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> i64 {
        43_200_000_000
    }
}

pub(super) fn forget_dead() {
    DEAD.with(|kept| kept.lock().unwrap().clear());
}

pub(super) fn dead() -> Vec<String> {
    DEAD.with(|kept| kept.lock().unwrap().clone())
}

fn rejected_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Schema::new(vec![
        Field::new("body", DataType::BinaryView, false),
        text("reason"),
        text("source"),
        text("step"),
        Field::new("time", time, false),
    ])
}

/// `reject if body == "…"`
pub(super) fn reject(body: &str, reason: Option<&str>) -> Step {
    let of = |data_type, operation| Expression { data_type, nullable: false, operation };
    let left = of(DataType::BinaryView, Operation::Column("body".into()));
    let right = of(DataType::BinaryView, Operation::Literal(Value::Text(body.into())));
    let compare = Operation::Compare(Comparison::Equal, Box::new(left), Box::new(right));
    Step {
        label: format!("reject if body == {body}"),
        action: Action::Reject {
            condition: of(DataType::Boolean, compare),
            reason: reason.map(str::to_owned),
        },
        on_failure: None,
        event_type: EventTypeId(0),
    }
}

/// numbers → `source_steps` → buffer → `sink` → store; rejects → bad → dead
pub(super) fn plan_with(
    count: i64,
    source: PlannedLeg,
    sink: PlannedLeg,
    settings: [&[(&str, i64)]; 2],
) -> Plan {
    let mut plan = plan(count, settings[0]);
    plan.event_types.push(EventType::new(rejected_schema()));
    let of_rejects = |component| Component { event_type: EventTypeId(1), ..component };
    plan.channels.push(of_rejects(component("bad", "memory", &[("capacity", 20)])));
    plan.sinks.push(of_rejects(component("dead", "dead", settings[1])));
    let path = |from, to| Path { from, leg: straight(to) };
    plan.flows[0].paths = vec![
        Path { from: Origin::Source("in".into()), leg: source },
        Path { from: Origin::Channel("buffer".into()), leg: sink },
        path(Origin::Rejects("main".into()), Route::Channel("bad".into())),
        path(Origin::Channel("bad".into()), Route::Sink("dead".into())),
    ];
    plan
}

fn to_buffer(steps: Vec<Step>) -> PlannedLeg {
    PlannedLeg { steps, to: Route::Channel("buffer".into()) }
}

fn to_store(steps: Vec<Step>) -> PlannedLeg {
    PlannedLeg { steps, to: Route::Sink("store".into()) }
}

/// The components of the tests, with a sink `dead` that keeps rejected events.
pub(super) fn registry_with_dead() -> Registry {
    registry().sink("dead", |settings, _| {
        let failures = match settings.values.get("failures") {
            Some(Value::Int(failures)) => *failures as usize,
            _ => 0,
        };
        Ok(Box::new(Dead { kept: DEAD.with(Arc::clone), failures }))
    })
}

async fn run(plan: &Plan) -> (Report, Ending, Arc<Meter>) {
    let agent = Agent::build(plan, &registry_with_dead(), Arc::new(Noon)).unwrap();
    let (source, sink) = (agent.meters()["in"].clone(), agent.meters()["store"].clone());
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    (report, ending, if source.steps().is_empty() { sink } else { source })
}

fn others(count: u64, rejected: &[u64]) -> Vec<String> {
    (1..=count).filter(|number| !rejected.contains(number)).map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn events_that_are_rejected_before_a_channel_go_to_the_rejects_and_are_not_delivered() {
    let steps = vec![reject("17", Some("it is odd")), reject("13", None)];
    let plan = plan_with(40, to_buffer(steps), to_store(vec![]), [&[], &[]]);
    let (report, ending, meter) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(World::here().kept(), others(40, &[13, 17]));
    let expected =
        ["in, reject if body == 13: 13, reject if body == 13", "in, reject if body == 17: 17, it is odd"];
    assert_eq!(dead(), expected, "in the order of the events");
    assert_eq!(World::here().delivered(), 40, "the source goes on after them");
    let [source, buffer] = [&report.components[0], &report.components[1]];
    assert_eq!((source.received.events, source.delivered.events), (40, 38), "rejected events do not count");
    assert_eq!((buffer.name.as_ref(), buffer.delivered.events), ("bad", 2));
    let rejected = meter.rejected_by_step();
    assert_eq!(rejected["reject if body == 17"]["condition"].events, 1);
    let steps = meter.steps();
    let counts = steps.iter().map(|step| (step.received, step.passed, step.dropped, step.rejected));
    assert_eq!(counts.collect::<Vec<_>>(), [(40, 39, 0, 1), (39, 38, 0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_rejected_once_for_each_branch_of_a_copy() {
    let branch = |steps, to: &str| Branch {
        optional: false,
        leg: PlannedLeg { steps, to: Route::Channel(to.into()) },
    };
    let copied = Route::Copy(vec![
        branch(vec![reject("3", Some("a"))], "buffer"),
        branch(vec![reject("3", Some("b"))], "buffer"),
    ]);
    let source = PlannedLeg { steps: vec![reject("1", Some("first"))], to: copied };
    let plan = plan_with(4, source, to_store(vec![]), [&[], &[]]);
    let (_, ending, _) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let shown: BTreeSet<String> = dead().into_iter().collect();
    let step = "reject if body ==";
    let expected =
        [format!("in, {step} 1: 1, first"), format!("in, {step} 3: 3, a"), format!("in, {step} 3: 3, b")];
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(dead().len(), 3);
}

/// The store fails for two batches: they are redelivered, and their rejected events are not put again.
#[tokio::test(start_paused = true)]
async fn events_that_are_rejected_behind_a_channel_are_put_once_although_the_sink_fails() {
    let steps = vec![reject("7", Some("no")), reject("3", Some("no")), reject("22", Some("no"))];
    for failures in [0, 2] {
        DEAD.with(|kept| kept.lock().unwrap().clear());
        World::here().kept.lock().unwrap().clear();
        *World::here().delivered.lock().unwrap() = 0;
        let settings: [&[(&str, i64)]; 2] = [&[("failures", failures)], &[("failures", failures)]];
        let plan = plan_with(40, to_buffer(vec![]), to_store(steps.clone()), settings);
        let (report, ending, meter) = run(&plan).await;
        assert!(matches!(ending, Ending::Complete), "{ending:?}");
        // The rejected events wait in a channel in memory, so the others of their batch may come after newer ones.
        let mut kept = World::here().kept();
        kept.sort_by_key(|number| number.parse::<u64>().unwrap());
        assert_eq!(kept, others(40, &[3, 7, 22]));
        let shown = dead();
        let bodies = shown.iter().map(|shown| shown.split([':', ',']).nth(2).unwrap().trim().to_owned());
        assert_eq!(bodies.collect::<BTreeSet<_>>(), BTreeSet::from(["3", "7", "22"].map(str::to_owned)));
        assert_eq!(dead().len(), 3);
        assert_eq!(World::here().delivered(), 40);
        let store = report.components.iter().find(|component| &*component.name == "store").unwrap();
        assert_eq!(store.delivered.events, 37);
        assert_eq!(
            report.components[0].delivered.events, 37,
            "rejected events do not count for the source either"
        );
        assert_eq!(meter.rejected().events, 3);
    }
}

/// All sinks behind a channel read all its events; only one of them reports the rejected events.
#[tokio::test(start_paused = true)]
async fn steps_that_several_sinks_have_in_common_reject_once() {
    let end = |body: &str| {
        let mut step = reject(body, Some("end"));
        step.action = Action::Reject {
            condition: Expression {
                data_type: DataType::Boolean,
                nullable: false,
                operation: Operation::Literal(Value::Bool(true)),
            },
            reason: Some("end".into()),
        };
        PlannedLeg { steps: vec![step], to: Route::End }
    };
    let Action::Reject { condition: is_five, .. } = reject("5", None).action else { panic!("it rejects") };
    let chosen = Route::Match(vec![
        weir_plan::Case { condition: Some(is_five), leg: end("5") },
        weir_plan::Case { condition: None, leg: to_store(vec![reject("6", Some("own"))]) },
    ]);
    let branch = |leg| Branch { optional: false, leg };
    let copied = Route::Copy(vec![
        branch(PlannedLeg { steps: vec![], to: Route::Sink("other".into()) }),
        branch(PlannedLeg { steps: vec![], to: chosen }),
    ]);
    let sink = PlannedLeg { steps: vec![reject("2", Some("common"))], to: copied };
    let mut plan = plan_with(20, to_buffer(vec![]), sink, [&[], &[]]);
    plan.sinks.push(component("other", "keeper", &[]));
    let (_, ending, _) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let mut shown = dead();
    shown.sort();
    let step = "reject if body ==";
    assert_eq!(
        shown,
        [
            format!("in, {step} 2: 2, common"),
            format!("in, {step} 5: 5, end"),
            format!("in, {step} 6: 6, own"),
        ]
    );
    assert_eq!(World::here().kept().len(), 19 + 17);
}

#[tokio::test]
async fn rejects_that_come_back_to_their_channel_are_refused() {
    let mut plan = plan_with(1, to_buffer(vec![]), to_store(vec![reject("1", None)]), [&[], &[]]);
    plan.flows[0].paths[2].leg.to = Route::Channel("buffer".into());
    plan.event_types[1] = plan.event_types[0].clone();
    let registry = registry().sink("dead", |_, _| Err(Failure::permanent("not needed")));
    let error = Agent::build(&plan, &registry, Arc::new(Noon)).err().unwrap().to_string();
    let expected =
        "channel buffer: events that are rejected behind it come back to it; let `rejects` lead elsewhere";
    assert!(error.contains(expected), "{error}");
}

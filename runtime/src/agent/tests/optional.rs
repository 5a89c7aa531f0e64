//! Branches that may fail: whatever fails on them, the others go on, and the agent ends in order.

use super::ending::Stuck;
use super::*;
use crate::channel::HookedChannel;

/// numbers → buffer → store, and the numbers also into a channel `extra` that may fail, before a sink `broken`.
fn with_optional_channel(kind: &str, broken: &[(&str, i64)]) -> Plan {
    let mut plan = plan(1_000, &[]);
    plan.channels.push(component("extra", kind, &[("capacity", 10)]));
    plan.sinks.push(component("broken", "keeper", broken));
    plan.flows[0].paths[0].leg.to =
        Route::Copy(vec![branch(false, Vec::new(), "buffer"), branch(true, Vec::new(), "extra")]);
    plan.flows[0]
        .paths
        .push(Path { from: Origin::Channel("extra".into()), leg: straight(Route::Sink("broken".into())) });
    plan
}

/// numbers → buffer → store, and from the buffer also to a sink `broken` that may fail.
fn with_optional_sink(count: i64, broken: &[(&str, i64)]) -> Plan {
    let mut plan = plan(count, &[]);
    plan.sinks.push(component("broken", "keeper", broken));
    let to_sink = |optional, sink: &str| Branch { optional, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![to_sink(false, "store"), to_sink(true, "broken")]);
    plan
}

/// Runs the plan to its end, and says how the component of this name failed.
async fn failure_in(agent: Agent, name: &str) -> Option<String> {
    let metrics = agent.metrics();
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(World::here().delivered(), 1_000);
    assert!(metrics.unhealthy().is_empty(), "{:?}", metrics.unhealthy());
    report.components.into_iter().find(|component| &*component.name == name)?.failure
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_stops_nobody_else() {
    let broken = [("failures", i64::MAX), ("permanent", 1)];
    for plan in [with_optional_sink(1_000, &broken), with_optional_channel("memory", &broken)] {
        let failure = failure_in(build(&plan).unwrap(), "broken").await;
        assert_eq!(failure.as_deref(), Some("the store is away"));
        assert_eq!(World::here().kept(), numbers(1_000));
        World::here().kept.lock().unwrap().clear();
        *World::here().delivered.lock().unwrap() = 0;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_tried_again_keeps_the_agent_from_nothing() {
    for plan in [
        with_optional_sink(1_000, &[("failures", i64::MAX)]),
        with_optional_channel("memory", &[("failures", i64::MAX)]),
    ] {
        let failure = failure_in(build(&plan).unwrap(), "broken").await;
        assert_eq!(failure.as_deref(), Some("the store is away"));
        *World::here().delivered.lock().unwrap() = 0;
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_fail_and_holds_events_gets_the_time_of_a_drain() {
    // All of them fit into the channel, so that none has to make room.
    let (report, ending) = run(&with_optional_sink(50, &[])).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(delivered_by(&report, ["store", "broken"]), [50, 50]);
}

/// Has a defect.
struct Panics;

#[async_trait]
impl Sink for Panics {
    async fn run(&mut self, _: &mut SinkPort) -> Result<(), Failure> {
        panic!("on purpose")
    }
}

fn build_with(registry: Registry, kind: &str) -> Agent {
    let mut plan = with_optional_sink(1_000, &[]);
    plan.sinks[1].kind = kind.into();
    Agent::build(&plan, &registry, Arc::new(SystemClock)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stands_still_has_no_more_than_the_time_of_a_drain() {
    let agent = build_with(registry().sink("stuck", |_, _| Ok(Box::new(Stuck))), "stuck");
    assert_eq!(failure_in(agent, "broken").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_defect_of_what_may_fail_stops_nobody_else() {
    let agent = build_with(registry().sink("panics", |_, _| Ok(Box::new(Panics))), "panics");
    let failure = failure_in(agent, "broken").await;
    assert!(failure.is_some_and(|failure| failure.contains("panicked")));
}

#[tokio::test(start_paused = true)]
async fn a_defect_of_what_must_not_fail_names_it() {
    let registry = registry().sink("keeper", |_, _| Ok(Box::new(Panics)));
    let agent = Agent::build(&plan(10, &[]), &registry, Arc::new(SystemClock)).unwrap();
    let (_, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    let Ending::Failed { component, .. } = ending else { panic!("{ending:?}") };
    assert_eq!(&*component, "store");
}

fn of_settings(settings: &Settings) -> HookedChannel {
    let Some(Value::Int(capacity)) = settings.values.get("capacity") else { panic!("it has one") };
    let limits = Limits {
        capacity: *capacity as usize,
        transaction_capacity: 10,
        byte_capacity: 1 << 20,
        keep_alive: Duration::from_secs(3),
    };
    HookedChannel::new(Arc::new(MemoryChannel::new(limits)))
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_can_not_be_opened_or_fails_stops_nobody_else() {
    let kinds = || {
        registry()
            .channel("shut", |settings, _| {
                Ok(Arc::new(of_settings(settings).before_open(|| Err(Failure::permanent(Away)))))
            })
            .channel("failing", |settings, _| {
                Ok(Arc::new(of_settings(settings).failing(|| Failure::permanent(Away))))
            })
            .channel("late", |settings, _| {
                Ok(Arc::new(of_settings(settings).before_shut(|| Err(Failure::permanent(Away)))))
            })
    };
    for kind in ["shut", "failing", "late"] {
        let plan = with_optional_channel(kind, &[]);
        let agent = Agent::build(&plan, &kinds(), Arc::new(SystemClock)).unwrap();
        let failure = failure_in(agent, "extra").await;
        assert_eq!(failure.as_deref(), Some("the store is away"), "{kind}");
        *World::here().delivered.lock().unwrap() = 0;
    }
}

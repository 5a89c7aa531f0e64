//! Optional branches: when a component on one fails, the other components go on, and the agent ends in order.

use super::ending::Stuck;
use super::*;
use crate::channel::HookedChannel;

/// numbers → buffer → store, and on an optional branch numbers → extra → broken.
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

/// numbers → buffer → store, and on an optional branch buffer → broken.
fn with_optional_sink(count: i64, broken: &[(&str, i64)]) -> Plan {
    let mut plan = plan(count, &[]);
    plan.sinks.push(component("broken", "keeper", broken));
    let to_sink = |optional, sink: &str| Branch { optional, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![to_sink(false, "store"), to_sink(true, "broken")]);
    plan
}

/// Runs the agent to its end, and returns the failure of the component with this name.
pub(super) async fn failure_in(agent: Agent, name: &str) -> Option<String> {
    let metrics = agent.metrics();
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(World::here().delivered(), 1_000);
    assert!(metrics.unhealthy().is_empty(), "{:?}", metrics.unhealthy());
    report.components.into_iter().find(|component| &*component.name == name)?.failure
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_stops_no_other_component() {
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
async fn the_agent_ends_although_an_optional_sink_is_run_again() {
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
async fn an_optional_sink_with_events_gets_the_drain_limit() {
    // All events fit into the channel, so none is skipped.
    let (report, ending) = run(&with_optional_sink(50, &[])).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(delivered_by(&report, ["store", "broken"]), [50, 50]);
}

/// A sink with a defect.
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
async fn a_stuck_optional_sink_delays_the_end_by_the_drain_limit_at_most() {
    let agent = build_with(registry().sink("stuck", |_, _| Ok(Box::new(Stuck))), "stuck");
    assert_eq!(failure_in(agent, "broken").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_optional_sink_stops_no_other_component() {
    let agent = build_with(registry().sink("panics", |_, _| Ok(Box::new(Panics))), "panics");
    let failure = failure_in(agent, "broken").await;
    assert!(failure.is_some_and(|failure| failure.contains("panicked")));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_required_sink_stops_the_agent_with_its_name() {
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
async fn an_optional_channel_that_can_not_be_opened_or_fails_stops_no_other_component() {
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

//! The channel selectors and sink processors of Flume's user guide, as forks of a plan. The failover sink processor is in
//! `failover.rs`.

use weir_plan::Case;

use super::failover::{Manner, Outcome, SLOW, manners, over_sinks, run_whole};
use super::optional::failure_in;
use super::*;

/// numbers → `to`, and a channel with a sink `keeper` for each of these names
fn into_channels(count: i64, names: &[&str], to: Route) -> Plan {
    let mut plan = plan(count, &[]);
    plan.channels = names.iter().map(|name| component(name, "memory", &[("capacity", 100)])).collect();
    plan.sinks = names.iter().map(|name| component(&format!("of_{name}"), "keeper", &[])).collect();
    let behind = names.iter().map(|name| Path {
        from: Origin::Channel((*name).into()),
        leg: straight(Route::Sink(format!("of_{name}"))),
    });
    let source = Path { from: Origin::Source("in".into()), leg: straight(to) };
    plan.flows[0].paths = std::iter::once(source).chain(behind).collect();
    plan
}

/// The numbers of events that the sinks of these channels have delivered.
async fn delivered(plan: &Plan, names: &[&str]) -> Vec<u64> {
    let (report, ending) = run(plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let of = |name: &&str| {
        let sink = format!("of_{name}");
        report.components.iter().find(|component| *component.name == *sink).unwrap().delivered.events
    };
    names.iter().map(of).collect()
}

fn copy(channels: &[(bool, &str)]) -> Route {
    Route::Copy(channels.iter().map(|(optional, channel)| branch(*optional, Vec::new(), channel)).collect())
}

fn case(body: Option<&str>, to: Route) -> Case {
    let condition = body.map(|body| match keep_body(body).action {
        Action::Keep(condition) => condition,
        _ => unreachable!("it is made with `keep`"),
    });
    Case { condition, leg: straight(to) }
}

#[tokio::test(start_paused = true)]
async fn the_replicating_selector_gives_each_event_to_every_channel() {
    let names = ["c1", "c2", "c3"];
    let plan = into_channels(500, &names, copy(&[(false, "c1"), (false, "c2"), (false, "c3")]));
    assert_eq!(delivered(&plan, &names).await, [500, 500, 500]);
    assert_eq!(World::here().delivered(), 500);
}

/// "Failure to write to c3 is simply ignored."
#[tokio::test(start_paused = true)]
async fn the_replicating_selector_ignores_the_failure_of_an_optional_channel() {
    let mut plan =
        into_channels(1_000, &["c1", "c2", "c3"], copy(&[(false, "c1"), (false, "c2"), (true, "c3")]));
    plan.sinks[2] = component("of_c3", "keeper", &[("failures", i64::MAX), ("permanent", 1)]);
    let failure = failure_in(build(&plan).unwrap(), "of_c3").await;
    assert_eq!(failure.as_deref(), Some("the store is away"));
    assert_eq!(World::here().kept().len(), 2_000, "the required channels have all events");
}

/// "Since c1 and c2 are not marked optional, failure to write to those channels will cause the transaction to fail."
#[tokio::test(start_paused = true)]
async fn the_replicating_selector_fails_the_transaction_if_a_required_channel_fails() {
    let mut plan = into_channels(1_000, &["c1", "c2"], copy(&[(false, "c1"), (false, "c2")]));
    plan.channels[1] = component("c2", "memory", &[("capacity", 20)]);
    plan.sinks[1] = component("of_c2", "keeper", &[("failures", i64::MAX)]);
    let agent = build(&plan).unwrap();
    let meters = agent.meters();
    let stop = Stop::default();
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(30)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let received = ["c1", "c2"].map(|channel| meters[channel].received.read().events);
    assert_eq!(received, [20, 20], "no channel gets an event that the other does not get");
    stop.now.cancel();
    running.await.unwrap();
}

/// "If the value of the header does not match any of the configured ones, the event goes to the default channels."
#[tokio::test(start_paused = true)]
async fn the_multiplexing_selector_takes_the_channels_of_the_value_or_the_default() {
    let names = ["mem1", "file1", "mem2"];
    let route = Route::Match(vec![
        case(Some("7"), Route::Channel("mem1".into())),
        case(Some("8"), copy(&[(false, "mem1"), (false, "file1")])),
        case(None, Route::Channel("mem2".into())),
    ]);
    assert_eq!(delivered(&into_channels(500, &names, route), &names).await, [2, 1, 498]);
    assert_eq!(World::here().delivered(), 500);
}

/// "The selector will attempt to write to the required channels first … the optional channels are attempted, and their
/// failure is ignored."
#[tokio::test(start_paused = true)]
async fn the_multiplexing_selector_ignores_the_failure_of_an_optional_channel_of_a_value() {
    let route = Route::Match(vec![
        case(Some("7"), copy(&[(false, "mem1"), (true, "extra")])),
        case(None, Route::Channel("mem1".into())),
    ]);
    let mut plan = into_channels(1_000, &["mem1", "extra"], route);
    plan.sinks[1] = component("of_extra", "keeper", &[("failures", i64::MAX), ("permanent", 1)]);
    let failure = failure_in(build(&plan).unwrap(), "of_extra").await;
    assert_eq!(failure.as_deref(), Some("the store is away"));
    let mut kept = World::here().kept();
    kept.sort_by_key(|body| body.parse::<u64>().unwrap());
    assert_eq!(kept, numbers(1_000));
}

/// A plan of the load-balancing sink processor over two sinks.
fn load_balance(count: i64) -> Plan {
    let mut plan = over_sinks(count);
    let Route::Failover(legs) = plan.flows[0].paths[1].leg.to.clone() else { panic!("it is a failover") };
    plan.flows[0].paths[1].leg.to = Route::Balance { by: None, legs };
    plan
}

fn shares(outcome: &Outcome) -> [u64; 2] {
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    delivered_by(&outcome.report, ["primary", "backup"])
}

#[tokio::test(start_paused = true)]
async fn the_load_balancing_sink_processor_distributes_the_load() {
    manners(SLOW, SLOW);
    let shares = shares(&run_whole(&load_balance(1_000), 1_000).await);
    assert!(shares.iter().all(|share| *share >= 400), "{shares:?}");
}

/// "If backoff is enabled, the sink processor will blacklist sinks that fail, removing them for selection for a given timeout.
/// When the timeout ends, if the sink is still unresponsive timeout is increased exponentially."
#[tokio::test(start_paused = true)]
async fn the_load_balancing_sink_processor_leaves_out_a_sink_that_fails_for_longer_and_longer() {
    manners(Manner { failures: usize::MAX, ..SLOW }, SLOW);
    let outcome = run_whole(&load_balance(5_000), 5_000).await;
    assert_eq!(shares(&outcome), [0, 5_000]);
    let attempts = outcome.component("primary").restarts;
    assert!((5..30).contains(&attempts), "{attempts} attempts in 25 seconds");
}

#[tokio::test(start_paused = true)]
async fn the_load_balancing_sink_processor_takes_a_sink_back_when_it_works_again() {
    manners(Manner { failures: 3, ..SLOW }, SLOW);
    let shares = shares(&run_whole(&load_balance(2_000), 2_000).await);
    assert!(shares[0] > 500, "{shares:?}");
}

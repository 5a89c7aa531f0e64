//! `balance` without a key: legs that share the batches.

use super::*;

fn balance(legs: Vec<PlannedLeg>) -> Route {
    Route::Balance { by: None, legs }
}

#[tokio::test(start_paused = true)]
async fn events_that_one_sink_of_a_balance_can_not_deliver_go_to_the_other() {
    let mut plan = plan(1_000, &[("failures", i64::MAX)]);
    plan.sinks.push(component("second", "keeper", &[]));
    let legs = ["store", "second"].map(|sink| straight(Route::Sink(sink.into())));
    plan.flows[0].paths[1].leg.to = balance(legs.into());
    let (report, ending) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let mut kept = World::here().kept();
    kept.sort_by_key(|body| body.parse::<u64>().unwrap());
    assert_eq!(kept, numbers(1_000));
    assert_eq!(delivered_by(&report, ["store", "second"]), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn channels_of_a_balance_receive_equal_shares() {
    let mut plan = plan(1_000, &[]);
    plan.channels.push(component("other", "memory", &[("capacity", 100)]));
    plan.sinks.push(component("second", "keeper", &[]));
    let legs = ["buffer", "other"].map(|channel| straight(Route::Channel(channel.into())));
    plan.flows[0].paths[0].leg.to = balance(legs.into());
    plan.flows[0]
        .paths
        .push(Path { from: Origin::Channel("other".into()), leg: straight(Route::Sink("second".into())) });
    let (report, ending) = run(&plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    assert_eq!(delivered_by(&report, ["store", "second"]), [500, 500]);
    assert_eq!(World::here().delivered(), 1_000);
    let mut kept = World::here().kept();
    kept.sort_by_key(|body| body.parse::<u64>().unwrap());
    assert_eq!(kept, numbers(1_000));
}

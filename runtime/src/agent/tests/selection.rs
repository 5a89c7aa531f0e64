//! Routes that choose a leg for each event: `match` and `balance by`.

use weir_plan::Case;

use super::*;

/// The condition of `keep if body == "…"`.
fn body_is(body: &str) -> Expression {
    match keep_body(body).action {
        Action::Keep(condition) => condition,
        _ => unreachable!("it is made with `keep`"),
    }
}

fn body() -> Expression {
    Expression {
        data_type: DataType::BinaryView,
        nullable: false,
        operation: Operation::Column("body".into()),
    }
}

fn case(condition: Option<Expression>, to: Route) -> Case {
    Case { condition, leg: straight(to) }
}

/// Takes the event 7 to the first route, and all others to the second.
fn seven_apart(first: Route, second: Route) -> Route {
    Route::Match(vec![case(Some(body_is("7")), first), case(None, second)])
}

/// numbers → buffer → store, and numbers → other → second
fn two_channels(route: impl Fn(Route, Route) -> Route) -> Plan {
    let mut plan = plan(1_000, &[]);
    plan.channels.push(component("other", "memory", &[("capacity", 100)]));
    plan.sinks.push(component("second", "keeper", &[]));
    plan.flows[0].paths[0].leg.to = route(Route::Channel("buffer".into()), Route::Channel("other".into()));
    plan.flows[0]
        .paths
        .push(Path { from: Origin::Channel("other".into()), leg: straight(Route::Sink("second".into())) });
    plan
}

/// numbers → buffer → store or second
fn two_sinks(route: impl Fn(Route, Route) -> Route) -> Plan {
    let mut plan = plan(1_000, &[]);
    plan.sinks.push(component("second", "keeper", &[]));
    plan.flows[0].paths[1].leg.to = route(Route::Sink("store".into()), Route::Sink("second".into()));
    plan
}

/// Runs the plan, and returns the numbers of events that each sink has delivered. Every event arrives once.
async fn shares(plan: &Plan) -> [u64; 2] {
    let before = World::here().kept().len();
    let (report, ending) = run(plan).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let mut kept = World::here().kept().split_off(before);
    kept.sort_by_key(|body| body.parse::<u64>().unwrap());
    assert_eq!(kept, numbers(1_000));
    assert!(report.components.iter().all(|component| component.dropped.events == 0), "no event is dropped");
    delivered_by(&report, ["store", "second"])
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_the_first_case_that_matches_before_a_channel() {
    assert_eq!(shares(&two_channels(seven_apart)).await, [1, 999]);
    assert_eq!(World::here().delivered(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_the_first_case_that_matches_behind_a_channel() {
    assert_eq!(shares(&two_sinks(seven_apart)).await, [1, 999]);
    assert_eq!(World::here().delivered(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_key_chooses_the_same_leg_before_and_behind_a_channel() {
    let by_body =
        |first, second| Route::Balance { by: Some(body()), legs: vec![straight(first), straight(second)] };
    let before = shares(&two_channels(by_body)).await;
    assert!(before.iter().all(|share| *share > 400), "the shares are about equal: {before:?}");
    *World::here().delivered.lock().unwrap() = 0;
    assert_eq!(shares(&two_sinks(by_body)).await, before);
}

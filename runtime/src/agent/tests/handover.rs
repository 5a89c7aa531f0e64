//! Sources that leave the commits of their positions to the sink behind.

use super::*;
use crate::source::Handover;

/// A source whose partitions may move. It has no events.
struct Moving;

#[async_trait]
impl Source for Moving {
    async fn run(&mut self, _: SourcePort) -> Result<(), Failure> {
        Ok(())
    }

    fn exactly_once_lacks(&self) -> Option<&'static str> {
        Some("its partitions move")
    }

    fn hands_over(&self) -> Option<Handover> {
        Some(Arc::new(7_u64))
    }
}

/// A sink that commits the positions of such sources, if it `takes` them.
struct Committing {
    takes: bool,
}

#[async_trait]
impl Sink for Committing {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        while !matches!(port.take().await?, Taken::End) {}
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    fn take_over(&mut self, handover: &Handover, prefix: &str) -> Result<(), String> {
        assert_eq!(handover.downcast_ref::<u64>(), Some(&7));
        assert_eq!(prefix, "buffer/in/");
        if self.takes { Ok(()) } else { Err("is elsewhere".to_owned()) }
    }
}

/// in → buffer → store, with `exactly_once`.
fn moving() -> Plan {
    let mut plan = plan(0, &[("takes", 1)]);
    plan.flows[0].delivers = Promise::ExactlyOnce;
    plan
}

/// Builds the plan. Returns why it is refused, if it is.
fn refused(plan: &Plan) -> Option<String> {
    let registry = registry().source("numbers", |_, _| Ok(Box::new(Moving))).sink("keeper", |settings, _| {
        let takes = settings.values.get("takes") == Some(&Value::Int(1));
        Ok(Box::new(Committing { takes }))
    });
    Agent::build(plan, &registry, Arc::new(SystemClock)).err().map(|error| error.to_string())
}

fn assert_refused(plan: &Plan, why: &str) {
    let said = refused(plan).expect("it is refused");
    assert!(said.contains("its partitions move; and no sink can commit its positions"), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn the_only_sink_behind_a_volatile_channel_takes_the_commits_over() {
    assert_eq!(refused(&moving()), None);
}

#[test]
fn a_sink_may_refuse_the_commits() {
    let mut plan = moving();
    plan.sinks[0].settings.values.clear();
    assert_refused(&plan, "the sink store is elsewhere");
}

#[test]
fn two_sinks_can_not_commit_the_same_positions() {
    let mut plan = moving();
    plan.sinks.push(component("second", "keeper", &[("takes", 1)]));
    let branch = |sink: &str| Branch { optional: false, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![branch("store"), branch("second")]);
    assert_refused(&plan, "not exactly one sink takes events from the channel buffer");
}

#[test]
fn events_in_several_channels_have_no_common_order() {
    let mut plan = moving();
    plan.channels.push(component("other", "memory", &[("capacity", 10)]));
    plan.flows[0].paths[0].leg.to =
        Route::Copy(vec![branch(false, Vec::new(), "buffer"), branch(false, Vec::new(), "other")]);
    let from = Origin::Channel("other".into());
    plan.flows[0].paths.push(Path { from, leg: straight(Route::Sink("store".into())) });
    assert_refused(&plan, "its events go to several channels");
}

#[test]
fn a_step_must_not_remember_events_that_another_agent_reads() {
    for path in [0, 1] {
        let mut plan = moving();
        let mut step = keep_body("7");
        let by = Expression {
            data_type: DataType::BinaryView,
            nullable: false,
            operation: Operation::Column("body".into()),
        };
        step.action = Action::Dedupe { by, within: Duration::from_secs(60) };
        plan.flows[0].paths[path].leg.steps.push(step);
        assert_refused(&plan, "`dedupe`");
    }
}

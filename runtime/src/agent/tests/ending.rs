//! The end of an agent of which a component has failed.

use super::starting::small_channel;
use super::*;

/// Never ends.
pub(super) struct Stuck;

#[async_trait]
impl Sink for Stuck {
    async fn run(&mut self, _: &mut SinkPort) -> Result<(), Failure> {
        std::future::pending().await
    }
}

/// A sink may learn that its channel has ended, and end, before the channel's failure is reported.
#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_while_the_last_sink_ends_fails_the_agent() {
    fn late(_: &Settings, _: Context) -> Result<Arc<dyn Channel>, Failure> {
        Ok(Arc::new(small_channel().before_shut(|| Err(Failure::permanent(Away)))))
    }
    let registry = registry().channel("memory", late);
    let agent = Agent::build(&plan(50, &[]), &registry, Arc::new(SystemClock)).unwrap();
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    let Ending::Failed { component, failure } = ending else { panic!("{ending:?}") };
    assert_eq!((&*component, failure.to_string().as_str()), ("buffer", "the store is away"));
    assert_eq!(report.components[1].failure.as_deref(), Some("the store is away"));
}

/// Builds an agent of which one sink fails for good at its first event, and another sink never ends.
fn agent_with_a_failing_and_a_stuck_sink() -> Agent {
    let mut plan = plan(i64::MAX, &[("failures", 1), ("permanent", 1)]);
    plan.sinks.push(component("other", "stuck", &[]));
    let to_sink = |sink: &str| Branch { optional: false, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![to_sink("store"), to_sink("other")]);
    let registry = registry().sink("stuck", |_, _| Ok(Box::new(Stuck)));
    Agent::build(&plan, &registry, Arc::new(SystemClock)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failure_shortens_the_drain() {
    const DRAIN: Duration = Duration::from_secs(3_600);
    for told in [false, true] {
        let stop = Stop::default();
        if told {
            stop.drain.cancel();
        }
        let begin = Instant::now();
        let (_, ending) = agent_with_a_failing_and_a_stuck_sink().run(stop, DRAIN).await;
        match told {
            // No event was read, so the sink has not failed: the stuck sink has the complete drain limit.
            true => assert!(matches!(ending, Ending::Incomplete), "{ending:?}"),
            false => assert!(matches!(ending, Ending::Failed { .. }), "{ending:?}"),
        }
        assert_eq!(begin.elapsed() >= DRAIN, told, "{:?}", begin.elapsed());
        assert!(told || begin.elapsed() <= 2 * DRAIN_AFTER_FAILURE, "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_hide_a_failure() {
    let agent = agent_with_a_failing_and_a_stuck_sink();
    let (stop, metrics) = (Stop::default(), agent.metrics());
    let running = tokio::spawn(agent.run(stop.clone(), Duration::from_secs(3_600)));
    while metrics.unhealthy().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.drain.cancel();
    stop.now.cancel();
    let (_, ending) = running.await.unwrap();
    let Ending::Failed { component, .. } = ending else { panic!("{ending:?}") };
    assert_eq!(&*component, "store");
}

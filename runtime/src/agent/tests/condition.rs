//! The metrics of components that fail and are run again.

use super::*;
use crate::failure::Cause;
use crate::observability::meter::Phase;

#[tokio::test(start_paused = true)]
async fn the_metrics_show_which_component_is_in_trouble_and_that_it_works_again() {
    let agent = build(&plan(50, &[("failures", 3)])).unwrap();
    let metrics = agent.metrics();
    let ready = |limit| metrics.readiness(Duration::from_secs(limit));
    assert_eq!(ready(0).reasons.len(), 3, "nothing has started");
    let running = tokio::spawn(agent.run(Stop::default(), Duration::from_secs(30)));
    let store = || metrics.read().components.into_iter().find(|found| &*found.name == "store").unwrap();
    while store().phase != Phase::Degraded {
        tokio::task::yield_now().await;
    }
    let trouble = ["sink store is in trouble for 0 s (failed): the store is away"];
    assert_eq!(
        (ready(0).reasons, ready(1).remarks),
        (trouble.map(str::to_owned).into(), trouble.map(str::to_owned).into())
    );
    assert!(ready(1).reasons.is_empty());
    let (error, wait) = (store().last_error.unwrap(), store().next_try_seconds.unwrap());
    assert!(error.message == "the store is away" && wait > 0.0, "{error:?}, {wait}");
    assert!(metrics.unhealthy().is_empty());
    running.await.unwrap();
    let after = metrics.read();
    let [source, channel, sink] = &after.components[..] else { panic!("three components") };
    assert_eq!((sink.restarts, sink.phase, source.phase), (3, Phase::Ended, Phase::Ended));
    assert_eq!(
        (&source.flows, &channel.flows, &sink.flows),
        (&vec!["main".to_owned()], &sink.flows, &source.flows)
    );
    assert!(sink.troubles.is_empty() && sink.troubles_opened[&Cause::Failed] == 1);
    // The first batch was taken four times.
    assert_eq!((source.processed.events, sink.processed.events, sink.delivered.events), (50, 80, 50));
    assert_eq!(sink.commit.count, source.commit.count);
    assert_eq!(channel.channel.as_ref().unwrap().oldest_seconds, None);
}

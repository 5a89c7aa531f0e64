//! Failures that prevent the start of an agent, and outages for which it waits.

use std::cell::RefCell;
use std::collections::VecDeque;

use rustix::io::Errno;

use super::*;
use crate::channel::{HookedChannel, Recovered};

thread_local! {
    /// The errors of the next attempts to open the channel, or to recover the sink.
    static REFUSALS: RefCell<VecDeque<Errno>> = const { RefCell::new(VecDeque::new()) };
}

fn refuse(errors: &[Errno]) {
    REFUSALS.with_borrow_mut(|refusals| refusals.extend(errors));
}

/// Fails with the next refusal, if there is one.
fn attempt() -> Result<(), Failure> {
    match REFUSALS.with_borrow_mut(VecDeque::pop_front) {
        Some(errno) => Err(Failure::permanent_unless_disk_failure(std::io::Error::from(errno))),
        None => Ok(()),
    }
}

/// A source without events, and a sink that has to recover.
struct Trivial;

#[async_trait]
impl Source for Trivial {
    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn run(&mut self, _: SourcePort) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Sink for Trivial {
    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        attempt().map(|()| Recovered::default())
    }

    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        while !matches!(port.take().await?, Taken::End) {}
        Ok(())
    }
}

/// A channel in memory for 100 events.
pub(super) fn small_channel() -> HookedChannel {
    let limits = Limits {
        capacity: 100,
        transaction_capacity: 10,
        byte_capacity: 1 << 20,
        keep_alive: Duration::from_secs(3),
    };
    HookedChannel::new(Arc::new(MemoryChannel::new(limits)))
}

/// Builds an agent whose channel meets the refusals, and one whose sink does.
fn agents() -> [(Agent, &'static str); 2] {
    fn hooked(_: &Settings, _: Context) -> Result<Arc<dyn Channel>, Failure> {
        Ok(Arc::new(small_channel().before_open(attempt)))
    }
    let build = |plan: &Plan, registry| Agent::build(plan, &registry, Arc::new(SystemClock)).unwrap();
    let of_channel = build(&plan(50, &[]), registry().channel("memory", hooked));
    let mut once = plan(50, &[]);
    once.flows[0].delivers = Promise::ExactlyOnce;
    let trivial = registry().source("numbers", |_, _| Ok(Box::new(Trivial)));
    let of_sink = build(&once, trivial.sink("keeper", |_, _| Ok(Box::new(Trivial))));
    [(of_channel, "channel buffer"), (of_sink, "sink store")]
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_an_outage_to_end() {
    for (agent, component) in agents() {
        refuse(&[Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::MFILE, Errno::IO]);
        let metrics = agent.metrics();
        let running = tokio::spawn(agent.run(Stop::default(), Duration::from_secs(30)));
        let waits = format!("{component} has not started: No space left on device (os error 28)");
        while !metrics.readiness(Duration::ZERO).reasons.contains(&waits) {
            assert!(!running.is_finished());
            tokio::task::yield_now().await;
        }
        assert!(metrics.unhealthy().is_empty());
        let (report, ending) = running.await.unwrap();
        assert!(matches!(ending, Ending::Complete), "{component}: {ending:?}");
        assert!(report.components.iter().all(|component| component.failure.is_none()));
        REFUSALS.with_borrow(|refusals| assert!(refusals.is_empty()));
    }
    assert_eq!(World::here().kept(), numbers(50));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_an_outage() {
    for at_once in [false, true] {
        for (agent, component) in agents() {
            refuse(&[Errno::NOSPC; 1_000]);
            let stop = Stop::default();
            let told = if at_once { stop.now.clone() } else { stop.drain.clone() };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                told.cancel();
            });
            let (_, ending) = agent.run(stop, Duration::from_secs(30)).await;
            assert!(matches!(ending, Ending::Incomplete), "{component}: {ending:?}");
            REFUSALS.with_borrow_mut(VecDeque::clear);
        }
    }
}

/// The operator is present at a start, and can repair the cause.
#[tokio::test(start_paused = true)]
async fn an_error_that_needs_a_repair_ends_the_start() {
    for errno in [Errno::ACCESS, Errno::ROFS, Errno::INVAL] {
        for (agent, component) in agents() {
            refuse(&[errno]);
            let (_, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
            let Ending::NotStarted { component: named, failure } = ending else { panic!("{ending:?}") };
            assert!(component.ends_with(&*named), "{component}: {failure}");
        }
    }
}

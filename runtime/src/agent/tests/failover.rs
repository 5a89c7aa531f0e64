//! `failover` over sinks and over channels: the first that works takes the events.

use super::*;

/// A sink whose store is away for its first batches, and slow afterwards.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner {
    /// The number of batches for which the sink fails.
    pub(super) failures: usize,
    /// Whether a failure is permanent.
    pub(super) permanent: bool,
    /// The time that the sink needs for a batch.
    pub(super) pause: Duration,
    /// Whether the sink delivers no batch before it is told to or the channel has ended, and fails there while it has failures
    /// left.
    pub(super) holds: bool,
    /// Whether a sink that holds batches fails when it takes one.
    pub(super) fails_early: bool,
}

thread_local! {
    static MANNERS: Mutex<BTreeMap<String, Manner>> = const { Mutex::new(BTreeMap::new()) };
    /// The bodies with the sinks that have delivered them, in order.
    static ARRIVED: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
}

struct Shop {
    name: String,
    manner: Manner,
    arrived: Arc<Mutex<Vec<(String, String)>>>,
}

impl Shop {
    fn deliver(&self, deliveries: Vec<crate::sink::Delivery>) {
        for delivery in deliveries {
            let bodies = delivery.batch.bodies().unwrap().iter().flatten();
            let bodies = bodies.map(|body| (String::from_utf8_lossy(body).into_owned(), self.name.clone()));
            self.arrived.lock().unwrap().extend(bodies);
            delivery.acknowledgement.done();
        }
    }

    fn fails(&mut self) -> Result<(), Failure> {
        if self.manner.failures == 0 {
            return Ok(());
        }
        self.manner.failures -= 1;
        Err(if self.manner.permanent { Failure::permanent(Away) } else { Away.into() })
    }
}

#[async_trait]
impl Sink for Shop {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut held = Vec::new();
        loop {
            match port.take().await? {
                Taken::Events(delivery) if self.manner.holds => {
                    if self.manner.fails_early {
                        self.fails()?;
                    }
                    held.push(delivery);
                }
                Taken::Events(delivery) => {
                    tokio::time::sleep(self.manner.pause).await;
                    self.fails()?;
                    self.deliver(vec![delivery]);
                }
                Taken::Pressure => {
                    if !held.is_empty() {
                        self.fails()?;
                    }
                    self.deliver(std::mem::take(&mut held));
                }
                Taken::End => {
                    if !held.is_empty() {
                        self.fails()?;
                    }
                    self.deliver(held);
                    return Ok(());
                }
            }
        }
    }
}

/// The sinks `primary` and `backup` behave like this.
pub(super) fn manners(primary: Manner, backup: Manner) {
    let manners = BTreeMap::from([("primary".to_owned(), primary), ("backup".to_owned(), backup)]);
    MANNERS.with(|all| *all.lock().unwrap() = manners);
    ARRIVED.with(|arrived| arrived.lock().unwrap().clear());
    *World::here().delivered.lock().unwrap() = 0;
}

fn with_shops() -> Registry {
    registry().sink("shop", |_, context| {
        let name = context.component.to_string();
        let manner = MANNERS.with(|manners| manners.lock().unwrap()[&name]);
        Ok(Box::new(Shop { name, manner, arrived: ARRIVED.with(Arc::clone) }))
    })
}

/// numbers → buffer → failover { primary, backup }
pub(super) fn over_sinks(count: i64) -> Plan {
    let mut plan = plan(count, &[]);
    plan.sinks = vec![component("primary", "shop", &[]), component("backup", "shop", &[])];
    let legs = ["primary", "backup"].map(|sink| straight(Route::Sink(sink.into())));
    plan.flows[0].paths[1].leg.to = Route::Failover(legs.into());
    plan
}

/// numbers → failover { buffer, other }, buffer → primary, other → backup
fn over_channels(count: i64) -> Plan {
    let mut plan = over_sinks(count);
    plan.channels[0] = component("buffer", "memory", &[("capacity", 20)]);
    plan.channels.push(component("other", "memory", &[("capacity", 20)]));
    let path = |from, to| Path { from, leg: straight(to) };
    let legs = ["buffer", "other"].map(|channel| straight(Route::Channel(channel.into())));
    plan.flows[0].paths = vec![
        path(Origin::Source("in".into()), Route::Failover(legs.into())),
        path(Origin::Channel("buffer".into()), Route::Sink("primary".into())),
        path(Origin::Channel("other".into()), Route::Sink("backup".into())),
    ];
    plan
}

pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// The sink that has delivered each number, in the order of the numbers.
    by: Vec<String>,
    /// The sinks in the order in which they delivered, each once until another one did.
    turns: Vec<String>,
    pub(super) report: Report,
}

impl Outcome {
    pub(super) fn component(&self, name: &str) -> &ComponentReport {
        self.report.components.iter().find(|component| &*component.name == name).unwrap()
    }

    /// Whether the component has this note or counter.
    fn notes(&self, component: &str, text: &str) -> bool {
        self.component(component).notes.iter().any(|note| note.starts_with(text))
    }
}

/// Runs the plan. Checks that each of `count` events arrives once, and is delivered to the source.
pub(super) async fn run_whole(plan: &Plan, count: u64) -> Outcome {
    let agent = Agent::build(plan, &with_shops(), Arc::new(SystemClock)).unwrap();
    let (report, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    let mut arrived = ARRIVED.with(|arrived| arrived.lock().unwrap().clone());
    let mut turns: Vec<String> = arrived.iter().map(|(_, sink)| sink.clone()).collect();
    turns.dedup();
    arrived.sort_by_key(|(body, _)| body.parse::<u64>().unwrap());
    let (bodies, by): (Vec<String>, Vec<String>) = arrived.into_iter().unzip();
    assert_eq!(bodies, numbers(count), "{ending:?}");
    assert_eq!(World::here().delivered(), count);
    Outcome { ending, by, turns, report }
}

pub(super) const SLOW: Manner = Manner {
    failures: 0,
    permanent: false,
    pause: Duration::from_millis(50),
    holds: false,
    fails_early: false,
};

#[tokio::test(start_paused = true)]
async fn the_first_sink_takes_all_events_while_it_works() {
    manners(SLOW, SLOW);
    let outcome = run_whole(&over_sinks(200), 200).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert_eq!(outcome.turns, ["primary"]);
    assert_eq!(outcome.component("backup").received.events, 0, "a sink that is not needed takes nothing");
}

#[tokio::test(start_paused = true)]
async fn the_next_sink_takes_over_and_the_first_takes_the_events_back_when_it_works_again() {
    manners(Manner { failures: 4, ..SLOW }, SLOW);
    let outcome = run_whole(&over_sinks(5_000), 5_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    // A batch on trial is delivered while the backup goes on.
    assert_eq!(outcome.turns.first().unwrap(), "backup");
    assert_eq!(outcome.turns.last().unwrap(), "primary");
    assert!(outcome.by.iter().filter(|sink| *sink == "backup").count() < 2_500, "the primary has most");
    assert!(outcome.notes("backup", "failover_takeovers: 1"), "{:?}", outcome.component("backup").notes);
    assert!(outcome.notes("primary", "failover_returns: 1"));
    let note = "took over from: primary, last because: the store is away";
    assert!(outcome.notes("backup", note), "the cause is shown");
    assert_eq!(outcome.component("primary").restarts, 4);
}

/// A sink that does not end within the drain limit is stopped, which is no takeover.
#[tokio::test(start_paused = true)]
async fn no_sink_takes_over_when_the_agent_is_stopped() {
    for at_once in [false, true] {
        manners(Manner { pause: Duration::from_secs(600), ..SLOW }, SLOW);
        let agent = Agent::build(&over_sinks(5_000), &with_shops(), Arc::new(SystemClock)).unwrap();
        let stop = Stop::default();
        let (drain, now) = (stop.drain.clone(), stop.now.clone());
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if at_once { now.cancel() } else { drain.cancel() }
        };
        let ((report, ending), ()) = tokio::join!(agent.run(stop, Duration::from_secs(30)), stopping);
        assert!(matches!(ending, Ending::Incomplete), "{ending:?}");
        let notes = report.components.iter().flat_map(|component| &component.notes);
        let switches: Vec<&String> = notes.filter(|note| note.contains("took over")).collect();
        assert!(switches.is_empty(), "{switches:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_is_tried_less_and_less_often() {
    manners(Manner { failures: usize::MAX, ..SLOW }, SLOW);
    let outcome = run_whole(&over_sinks(5_000), 5_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert_eq!(outcome.turns, ["backup"]);
    // The run takes 25 seconds. With a constant wait of 100 ms there would be more than 150 attempts.
    let attempts = outcome.component("primary").restarts;
    assert!((5..30).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn events_wait_while_no_sink_works() {
    manners(Manner { failures: 3, ..SLOW }, Manner { failures: 3, ..SLOW });
    let outcome = run_whole(&over_sinks(300), 300).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_good_is_left_out_until_the_last_one_fails() {
    let broken = Manner { failures: usize::MAX, permanent: true, ..SLOW };
    manners(broken, SLOW);
    let outcome = run_whole(&over_sinks(300), 300).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert_eq!(outcome.component("primary").failure.as_deref(), Some("the store is away"));
    assert_eq!(outcome.turns, ["backup"]);

    manners(broken, broken);
    let agent = Agent::build(&over_sinks(300), &with_shops(), Arc::new(SystemClock)).unwrap();
    let (_, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    assert!(matches!(&ending, Ending::Failed { component, .. } if &**component == "backup"), "{ending:?}");
}

#[tokio::test(start_paused = true)]
async fn events_that_a_sink_can_not_commit_at_the_end_go_to_the_next_one() {
    manners(Manner { failures: usize::MAX, holds: true, ..SLOW }, Manner { holds: true, ..SLOW });
    let outcome = run_whole(&over_sinks(40), 40).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert_eq!(outcome.turns, ["backup"]);
}

/// The first sink has the last batch on trial for longer than the second one needs for its own.
#[tokio::test(start_paused = true)]
async fn a_sink_does_not_end_while_batches_of_another_one_may_come_back() {
    let primary = Manner { failures: usize::MAX, pause: Duration::from_secs(5), ..SLOW };
    for backup in [SLOW, Manner { holds: true, ..SLOW }] {
        manners(primary, backup);
        let outcome = run_whole(&over_sinks(100), 100).await;
        assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
        assert_eq!(outcome.turns, ["backup"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sinks_that_hold_events_commit_them_when_the_channel_needs_space() {
    let holding = Manner { holds: true, ..SLOW };
    manners(Manner { failures: 2, ..holding }, holding);
    let outcome = run_whole(&over_sinks(1_000), 1_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
}

/// The primary would commit its batch on trial only at the end, as a file of an hour.
#[tokio::test(start_paused = true)]
async fn a_sink_on_trial_commits_its_batch_soon() {
    manners(Manner { failures: 1, holds: true, fails_early: true, ..SLOW }, SLOW);
    let mut plan = over_sinks(5_000);
    plan.channels[0] = component("buffer", "memory", &[("capacity", 100_000)]);
    let outcome = run_whole(&plan, 5_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert!(outcome.by.iter().filter(|sink| *sink == "backup").count() < 100, "{:?}", outcome.turns);
    assert!(outcome.notes("primary", "failover_returns: 1"));
}

/// No sink takes over by an attempt that fails.
#[tokio::test(start_paused = true)]
async fn sinks_that_fail_in_turn_take_nothing_over() {
    manners(Manner { failures: 20, ..SLOW }, Manner { failures: 20, ..SLOW });
    let outcome = run_whole(&over_sinks(300), 300).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    let notes = |sink: &str| outcome.component(sink).notes.clone();
    let takeovers = |sink| {
        notes(sink).iter().any(|note| note.starts_with("failover_takeovers: ") && !note.ends_with(": 1"))
    };
    assert!(!takeovers("primary") && !takeovers("backup"), "{:?} {:?}", notes("primary"), notes("backup"));
}

#[tokio::test(start_paused = true)]
async fn puts_go_to_the_next_channel_while_the_first_is_full() {
    // The primary needs a minute for a batch, so its channel is full for a minute.
    manners(Manner { pause: Duration::from_secs(60), ..SLOW }, SLOW);
    let outcome = run_whole(&over_channels(2_000), 2_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    assert!(outcome.by.iter().filter(|sink| *sink == "backup").count() > 1_900, "{:?}", outcome.turns);
    assert!(outcome.notes("other", "failover_takeovers"), "{:?}", outcome.component("other").notes);
    assert!(outcome.notes("other", "took over from: buffer, last because: the channel buffer is full"));
}

#[tokio::test(start_paused = true)]
async fn puts_go_back_to_the_first_channel_when_it_has_space_again() {
    manners(Manner { pause: Duration::from_secs(10), ..Manner::default() }, SLOW);
    let mut plan = over_channels(4_000);
    plan.channels[0] = component("buffer", "memory", &[("capacity", 10)]);
    let outcome = run_whole(&plan, 4_000).await;
    assert!(matches!(outcome.ending, Ending::Complete), "{:?}", outcome.ending);
    let returns = outcome.component("buffer").notes.iter().find(|note| note.starts_with("failover_returns"));
    assert!(returns.is_some(), "{:?}", outcome.component("buffer").notes);
    let first: Vec<&String> = outcome.by.iter().collect();
    assert!(first.iter().skip(1_000).any(|sink| *sink == "primary"), "it takes later events as well");
}

#[tokio::test]
async fn a_failover_that_can_not_keep_its_promise_is_refused() {
    let mut plan = over_channels(1);
    plan.flows[0].delivers = Promise::ExactlyOnce;
    let problems = Agent::build(&plan, &with_shops(), Arc::new(SystemClock)).err().unwrap().problems;
    let expected = "flow main: this version can't carry out `failover` with the promise `exactly_once`";
    assert!(problems.iter().any(|problem| problem == expected), "{problems:?}");
}

#[tokio::test]
async fn branches_that_fork_or_reject_before_a_channel_are_refused() {
    let mut plan = over_channels(1);
    let fork = Route::Copy(vec![branch(false, Vec::new(), "other")]);
    plan.flows[0].paths[0].leg.to =
        Route::Failover(vec![straight(Route::Channel("buffer".into())), straight(fork)]);
    let problems = Agent::build(&plan, &with_shops(), Arc::new(SystemClock)).err().unwrap().problems;
    let expected = "flow main: this version can't carry out a `failover` with another fork within it";
    assert!(problems.iter().any(|problem| problem == expected), "{problems:?}");
}

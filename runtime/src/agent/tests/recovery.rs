//! The positions that a source is given after its sinks have recovered.

use super::*;
use crate::channel::Recovered;

thread_local! {
    static GIVEN: Arc<Mutex<BTreeMap<&'static str, Option<u64>>>> = Arc::default();
}

/// Keeps what it is given of two partitions, and ends.
struct Asking(Arc<Mutex<BTreeMap<&'static str, Option<u64>>>>);

#[async_trait]
impl Source for Asking {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        for partition in ["p", "q"] {
            let given = port.given.through(&Partition::new(partition)).map(|given| given.position());
            self.0.lock().unwrap().insert(partition, given);
        }
        port.outlet.close();
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }
}

/// A sink whose ledger has these positions.
struct Ledgered(Vec<(&'static str, u64)>);

#[async_trait]
impl Sink for Ledgered {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        while !matches!(port.take().await?, Taken::End) {}
        Ok(())
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let named = |(name, through): &(&str, u64)| (Partition::new(format!("buffer/in/{name}")), *through);
        Ok(Recovered { settled: self.0.iter().map(named).collect(), ..Recovered::default() })
    }
}

/// The sink `second` has got no event of the partition `q` yet. If the source did not know `q`, it would give its events other
/// identities, and `store` would store them twice.
#[tokio::test(start_paused = true)]
async fn a_partition_is_known_of_which_only_one_sink_has_events() {
    let mut plan = plan(1, &[]);
    plan.sinks.push(component("second", "keeper", &[]));
    let to_sink = |sink: &str| Branch { optional: false, leg: straight(Route::Sink(sink.into())) };
    plan.flows[0].paths[1].leg.to = Route::Copy(vec![to_sink("store"), to_sink("second")]);
    plan.flows[0].delivers = Promise::ExactlyOnce;
    let registry = registry().source("numbers", |_, _| Ok(Box::new(Asking(GIVEN.with(Arc::clone))))).sink(
        "keeper",
        |_, context| {
            Ok(Box::new(Ledgered(match &*context.component {
                "store" => vec![("p", 7), ("q", 5)],
                _ => vec![("p", 3)],
            })))
        },
    );
    let agent = Agent::build(&plan, &registry, Arc::new(SystemClock)).unwrap();
    let (_, ending) = agent.run(Stop::default(), Duration::from_secs(30)).await;
    assert!(matches!(ending, Ending::Complete), "{ending:?}");
    let given = GIVEN.with(|given| given.lock().unwrap().clone());
    assert_eq!(given, BTreeMap::from([("p", Some(3)), ("q", Some(0))]));
}

//! `throttle`: the events of a batch go on in parts, each of which is delivered, and a stop lets none go on earlier.

use super::*;

/// Puts the numbers after the delivered ones in one batch. A stop ends the put.
struct Bulk(Numbers);

#[async_trait]
impl Source for Bulk {
    async fn run(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        let Numbers { count, delivered } = &self.0;
        let after = *delivered.lock().unwrap();
        let bodies = BinaryViewArray::from_iter_values((after + 1..=*count).map(|n| n.to_string()));
        let origins = Origins::one(Partition::new("numbers"), after, *count);
        let batch = Batch::new(schema(), vec![bodies.into()], (count - after) as usize, origins)?;
        let saved = delivered.clone();
        let stop = port.stop.clone();
        let mut outlet = Some(port.outlet);
        let put = async {
            if let Some(outlet) = &mut outlet {
                tokio::select! {
                    biased;
                    put = outlet.put(batch) => put?,
                    () = stop.cancelled() => {}
                }
            }
            outlet.into_iter().for_each(crate::source::Outlet::close);
            Ok::<(), Failure>(())
        };
        let save = async {
            while let Some(moved) = port.deliveries.next().await {
                for (_, through) in moved.positions() {
                    *saved.lock().unwrap() = through.position();
                }
            }
        };
        tokio::join!(put, save).0
    }
}

fn throttled(path: usize) -> Plan {
    let mut plan = plan(4_096, &[]);
    plan.sources[0].kind = "bulk".into();
    plan.channels[0] = component("buffer", "memory", &[("capacity", 10_000)]);
    let action = Action::Throttle(Value::EventRate(10.0));
    let step = Step { label: "throttle".into(), action, on_failure: None, event_type: EventTypeId(0) };
    plan.flows[0].paths[path].leg.steps.push(step);
    plan
}

/// Runs the plan until it has run for 25 seconds and ended. Returns how long that took.
async fn run_for_25_seconds(plan: &Plan) -> Duration {
    let registry = registry()
        .source("bulk", |settings, _| {
            let Some(Value::Int(count)) = settings.values.get("count") else {
                panic!("the plan has a count")
            };
            let (count, delivered) = (*count as u64, World::here().delivered);
            Ok(Box::new(Bulk(Numbers { count, delivered })))
        })
        .channel("memory", |_, _| {
            let limits = Limits {
                capacity: 10_000,
                transaction_capacity: 10_000,
                byte_capacity: 1 << 20,
                keep_alive: Duration::from_secs(3),
            };
            Ok(Arc::new(MemoryChannel::new(limits)))
        });
    let agent = Agent::build(plan, &registry, Arc::new(SystemClock)).unwrap();
    let (begun, stop) = (Instant::now(), Stop::default());
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        stop.drain.cancel();
    };
    tokio::join!(agent.run(stop.clone(), Duration::from_secs(10)), stopping);
    begun.elapsed()
}

/// Checks that no more events have arrived than the rate allows, and that all that have arrived are delivered.
fn check(runs: u64, took: Duration) {
    let (kept, delivered) = (World::here().kept(), World::here().delivered());
    let most = (took.as_secs_f64() * 10.0) as u64 + 10 * runs;
    assert!(delivered <= most && delivered + 20 * runs >= most, "{delivered} of {most}");
    assert_eq!(kept, numbers(kept.len() as u64), "none comes twice");
    assert!(delivered + 10 >= kept.len() as u64 && delivered <= kept.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn before_a_channel_a_stop_leaves_the_events_that_wait_to_the_source() {
    let plan = throttled(0);
    let first = run_for_25_seconds(&plan).await;
    assert!(first < Duration::from_millis(25_100), "{first:?}: the source gives the put up");
    check(1, first);
    let second = run_for_25_seconds(&plan).await;
    check(2, first + second);
}

#[tokio::test(start_paused = true)]
async fn behind_a_channel_each_restart_begins_after_the_events_that_went_on() {
    let plan = throttled(1);
    let first = run_for_25_seconds(&plan).await;
    // The sink goes on at the rate until the agent's drain limit.
    assert!(first >= Duration::from_secs(35), "{first:?}");
    check(1, first);
    let second = run_for_25_seconds(&plan).await;
    check(2, first + second);
}

#[tokio::test(start_paused = true)]
async fn a_fast_reader_gets_whole_puts_although_another_one_is_slow() {
    let mut plan = throttled(1);
    plan.sinks.push(component("fast", "keeper", &[]));
    let slow = std::mem::replace(&mut plan.flows[0].paths[1].leg, straight(Route::Sink("fast".into())));
    let fast = straight(Route::Sink("fast".into()));
    let both = [slow, fast].map(|leg| Branch { optional: false, leg });
    plan.flows[0].paths[1].leg = straight(Route::Copy(both.into()));
    assert_eq!(portions::portion_into(&plan, "buffer"), Portion::WHOLE);
    assert_eq!(portions::portion_into(&throttled(1), "buffer").events, 10);
    assert_eq!(portions::portion_into(&throttled(0), "buffer"), Portion::WHOLE);
}

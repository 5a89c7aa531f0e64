//! Runs a program in this process, with access to its meters.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use weir_compiler::{Library, Options, SourceFiles, lower, render};
use weir_plan::Plan;
use weir_runtime::agent::{Agent, Ending, Report, Stop};
use weir_runtime::{Meter, SystemClock, Workers};

use crate::rounds::Run;

const DRAIN: Duration = Duration::from_secs(120);

/// The interval of checks whether all events have arrived. It limits the error of a run that has
/// to be stopped.
const LOOK: Duration = Duration::from_millis(5);

struct Text<'t>(&'t str);

impl SourceFiles for Text<'_> {
    fn read(&self, _name: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }
}

/// Compiles a program with the library.
///
/// # Errors
/// When the program has errors; the message contains the diagnostics.
pub(crate) fn compile(text: &str, params: &[(&str, &str)]) -> Result<Plan, Box<dyn Error>> {
    let library = Library::parse(weir_stdlib::library_sources().iter().copied())
        .map_err(|error| render::human(&error.diagnostics, &error.files, false))?;
    let params = params.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let options = Options { params, ..Options::default() };
    let analysis = weir_compiler::analyse(&Text(text), "bench.flow", &library, &options);
    lower(&analysis).ok_or_else(|| render::human(&analysis.diagnostics, &analysis.files, false).into())
}

/// Runs a plan. A plan whose source does not end is stopped when the component, a sink or a source, has got as far as
/// `until` with `events`.
///
/// # Errors
/// When the plan can't be started or does not deliver all events.
pub(crate) fn run(
    plan: &Plan,
    component: &str,
    events: u64,
    until: Until,
) -> Result<(Run, Report), Box<dyn Error>> {
    let agent = Agent::build(plan, &weir_stdlib::registry(), Arc::new(SystemClock))?;
    let agent = agent.with_workers(Workers::one_each_core()?);
    let meter = agent.meters()[component].clone();
    let stop = Stop::default();
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let began = Instant::now();
    let (report, ending) = runtime.block_on(async {
        let watch = tokio::spawn(stop_at(meter.clone(), events, until, stop.clone()));
        let ended = agent.run(stop, DRAIN).await;
        watch.abort();
        ended
    });
    let took = began.elapsed();
    let count = match until {
        Until::Read => meter.received.read(),
        Until::Taken | Until::Delivered => meter.delivered.read(),
    };
    match ending {
        Ending::Complete if count.events >= events => {
            Ok((Run { events: count.events, bytes: count.bytes, took }, report))
        }
        ending => Err(format!("{} of {events} events, {ending:?}", count.events).into()),
    }
}

/// The time at which a source that does not end by itself is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When the source has read all events. The following drain is part of the run.
    Read,
    /// When the sink has taken all events. The following drain is part of the run.
    Taken,
    /// When the sink has delivered all events.
    Delivered,
}

async fn stop_at(meter: Arc<Meter>, events: u64, until: Until, stop: Stop) {
    loop {
        let count = match until {
            Until::Read | Until::Taken => &meter.received,
            Until::Delivered => &meter.delivered,
        };
        if count.read().events >= events {
            stop.drain.cancel();
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

//! Runs programs as a user does, from their text, in one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_compiler::{Library, Options, analyse, lower};
use weir_runtime::Clock;
use weir_runtime::agent::{Agent, Ending, Report, Stop};
use weir_runtime::metrics::Metrics;

/// The time of day in these programs: 2026-01-31T12:00:00Z.
pub(crate) const NOW: i64 = 1_769_860_800_000_000;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> i64 {
        NOW
    }
}

/// Runs a program until its sources have ended, and returns the counts of its components.
pub(crate) async fn run(program: &str) -> Report {
    run_to_stop(program, |_| std::future::pending()).await
}

/// Runs a program until no event moves any more.
pub(crate) async fn run_until_idle(program: &str) -> Report {
    run_to_stop(program, |metrics| async move { metrics.idle(Duration::from_millis(500)).await }).await
}

/// Runs a program until its sources have ended or it is to stop.
async fn run_to_stop<Stopping>(program: &str, stops: impl FnOnce(Metrics) -> Stopping) -> Report
where
    Stopping: Future<Output = ()>,
{
    let library = Library::parse(crate::library_sources().iter().copied()).expect("the library is right");
    let analysis = analyse(&("a.flow", program), "a.flow", &library, &Options::default());
    let plan = lower(&analysis).unwrap_or_else(|| panic!("{program}: {:?}", analysis.diagnostics));
    let agent = Agent::build(&plan, &crate::registry(), Arc::new(FixedClock));
    let agent = agent.unwrap_or_else(|error| panic!("{program}: {:?}", error.problems));
    let (stop, stopping) = (Stop::default(), stops(agent.metrics()));
    let drain = stop.drain.clone();
    let mut running = std::pin::pin!(agent.run(stop, Duration::from_secs(60)));
    let (report, ending) = tokio::select! {
        ended = &mut running => ended,
        () = stopping => {
            drain.cancel();
            running.await
        }
    };
    assert!(matches!(ending, Ending::Complete), "{program}: {ending:?}");
    report
}

/// Runs a chain of steps between `source` and a sink, and returns the JSON objects of the events that pass, with these
/// headers.
pub(crate) async fn passed(source: &str, steps: &str, headers: &str) -> Vec<serde_json::Value> {
    passed_with("", source, steps, headers).await
}

/// Does the same in a program with these items.
pub(crate) async fn passed_with(
    items: &str,
    source: &str,
    steps: &str,
    headers: &str,
) -> Vec<serde_json::Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let out = format!("files {{ path: {path:?}, format: json {{ headers: [{headers}] }} }}");
    run(&format!(
        "{items}source made = {source}\nsink out = {out}\nflow main {{ made -> {steps} -> out }}\n"
    ))
    .await;
    lines(&path).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of all files in a directory, in the order of their names.
pub(crate) fn lines(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

//! `weir run`: runs a program.

mod arguments;
mod log;
mod output;
mod progress;
mod signals;
mod start;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::{info, warn};
use weir_compiler::{Diagnostic, lower};
use weir_plan::Plan;
use weir_runtime::agent::{Agent, ComponentReport, Ending, Problem, Report, Stop};
use weir_runtime::metrics::Server;
use weir_runtime::{Descriptors, SystemClock, Workers};

use crate::MISUSE;
use crate::files::{ProgramFiles, STANDARD_INPUT};
use crate::process::raise_descriptor_limit;
use crate::program::{analyse, library, print_error, print_error_line, rendered};
pub(crate) use arguments::Arguments;
use log::LOG;
pub(crate) use log::LOG_QUIET;

/// Exit status of an agent that was stopped before it had delivered all received events.
const INCOMPLETE: u8 = 3;

/// How long the end of the process waits for threads that are inside a system call.
const THREAD_SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Runs a program until it ends or is stopped. Exit status: 0 all events were delivered, 1 the program has errors or a
/// component failed permanently, 2 misuse, 3 stopped before all events were delivered.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let prepared = match arguments.misuse() {
        Some(misuse) => Err(misuse),
        None => prepare(arguments).and_then(|plan| {
            let unknown = plan.as_ref().and_then(|plan| arguments.unknown_source(plan));
            unknown.map_or(Ok(plan), Err)
        }),
    };
    let mut plan = match prepared {
        Ok(None) => return ExitCode::FAILURE,
        Ok(Some(plan)) => plan,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            return ExitCode::from(MISUSE);
        }
    };
    if let Err(problem) = adapt(&mut plan, arguments) {
        print_error_line(format_args!("weir: {problem}\nweir: {} is not started", plan.program));
        return ExitCode::FAILURE;
    }
    log::start(arguments.log, arguments.colours, arguments.quiet);
    let status = execute(arguments, &plan);
    LOG.flush();
    status
}

/// Gives the plan the name and the state directory of this run.
///
/// # Errors
/// Says why a run of the plan would not do what the program or the arguments say.
fn adapt(plan: &mut Plan, arguments: &Arguments) -> Result<(), String> {
    if let Some(name) = &arguments.name {
        plan.program.clone_from(name);
    }
    if let Some(problem) = without_work(plan, &arguments.path) {
        return Err(problem);
    }
    let state = arguments.state_directory().map_err(|error| format!("--state-dir: {error}"))?;
    if let Some(state) = state {
        weir_stdlib::place_state(plan, &state);
    }
    Ok(())
}

/// Reads or compiles the plan. Returns `None` if the program has errors, after writing them to standard error.
fn prepare(arguments: &Arguments) -> Result<Option<Plan>, String> {
    let (path, library) = (&arguments.path, library()?);
    if path.ends_with(".json") {
        if arguments.params.are_set() {
            return Err(format!(
                "{path}: a compiled plan has fixed values, so --set changes nothing: compile the program with --set"
            ));
        }
        let text = ProgramFiles::read(path)?.text;
        return library.plan_from_json(&text).map(Some).map_err(|error| format!("{path}: {error}"));
    }
    let analysis = analyse(path, &library, &arguments.params)?;
    let refused = analysis.not_carried_out();
    let said: Vec<Diagnostic> = analysis.diagnostics.iter().chain(&refused).cloned().collect();
    print_error(&rendered(&said, &analysis.files, arguments.colours));
    if refused.is_empty() {
        return Ok(lower(&analysis));
    }
    print_error_line(format_args!("weir: {} is not started", analysis.program));
    Ok(None)
}

/// Returns why a run of the plan would do nothing, or nothing that the program says.
fn without_work(plan: &Plan, path: &str) -> Option<String> {
    if plan.flows.is_empty() {
        return Some(format!("{path} has no flow, so nothing would run"));
    }
    let reads_input = plan.sources.iter().find(|source| source.kind == "stdin");
    let source = reads_input.filter(|_| path == STANDARD_INPUT)?;
    Some(format!(
        "{}: the program was read from standard input, so no input is left: give the program as a file",
        source.name
    ))
}

fn execute(arguments: &Arguments, plan: &Plan) -> ExitCode {
    raise_descriptor_limit();
    let agent = match Agent::build(plan, &weir_stdlib::registry(), Arc::new(SystemClock)) {
        Ok(agent) => agent,
        Err(error) => {
            for problem in &error.problems {
                LOG.write_line(format_args!("weir: {problem}"));
            }
            LOG.write_line(format_args!("weir: {} is not started", plan.program));
            return ExitCode::FAILURE;
        }
    };
    let agent = if arguments.drain_only { agent.drain_only() } else { agent };
    let agent = agent.with_new_sources(arguments.new_source.iter().cloned());
    if let Err(error) = Descriptors::of_process().suffice() {
        LOG.write_line(format_args!("weir: {}: {error}", plan.program));
        LOG.write_line(format_args!("weir: {} is not started", plan.program));
        return ExitCode::FAILURE;
    }
    let ended = worker_threads().and_then(|runtime| {
        let agent = agent.with_workers(Workers::one_each_core()?);
        let ended = runtime.block_on(probe_and_run(agent, plan, arguments));
        runtime.shutdown_timeout(THREAD_SHUTDOWN_LIMIT);
        ended
    });
    match ended {
        Ok(Ok((report, ending))) => finish(arguments, &plan.program, &report, &ending),
        Ok(Err(status)) => status,
        Err(error) => {
            LOG.write_line(format_args!("weir: the agent can't start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn worker_threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("weir").build()
}

/// Probes every component and reports all problems, then runs the agent. With `--check-only`, or when a problem prevents
/// the start, returns an exit status instead.
async fn probe_and_run(
    mut agent: Agent,
    plan: &Plan,
    arguments: &Arguments,
) -> std::io::Result<Result<(Report, Ending), ExitCode>> {
    let (server, mut problems) = match arguments.metrics.map(|address| (address, Server::bind(address))) {
        None => (None, Vec::new()),
        Some((_, Ok(server))) => (Some(server), Vec::new()),
        Some((address, Err(error))) => (None, vec![format!("--metrics {address}: {error}")]),
    };
    let found = start::probe(&mut agent, arguments.start_timeout, arguments.check_only).await;
    for problem in found {
        let Problem { component, failure, optional, .. } = &problem;
        if arguments.check_only || problem.prevents_start() || start::waits_for_somebody(&problem) {
            problems.push(problem.to_string());
        } else if *optional {
            warn!(%component, "{failure}; the component is optional, so the others start without it");
        } else {
            warn!(%component, "{failure}; the component tries again until it succeeds");
        }
    }
    for problem in &problems {
        LOG.write_line(format_args!("weir: {problem}"));
    }
    if !problems.is_empty() {
        LOG.write_line(format_args!("weir: {} is not started", plan.program));
        return Ok(Err(ExitCode::FAILURE));
    }
    if arguments.check_only {
        return Ok(Err(ExitCode::SUCCESS));
    }
    run_agent(agent, plan, arguments, server).await.map(Ok)
}

async fn run_agent(
    agent: Agent,
    plan: &Plan,
    arguments: &Arguments,
    server: Option<Server>,
) -> std::io::Result<(Report, Ending)> {
    let (stop, program, metrics) = (Stop::default(), &plan.program, agent.metrics());
    // These tasks end with the run.
    let mut background = JoinSet::new();
    background.spawn(signals::handle(stop.clone())?);
    info!("{program} starts");
    if let Some(server) = server {
        info!("metrics are at http://{}/metrics", server.address()?);
        let serving = server.run(metrics.clone(), arguments.ready_limit);
        background.spawn(async move {
            if let Err(error) = serving.await {
                warn!("the metrics server has failed: {error}; the pipeline goes on without it");
            }
        });
    }
    if let Some(time) = arguments.time {
        let drain = stop.drain.clone();
        background.spawn(async move {
            tokio::time::sleep(time).await;
            info!("stopping after {time:?}, as --for asks");
            drain.cancel();
        });
    }
    if let Some(idle_time) = arguments.until_idle {
        let (drain, metrics) = (stop.drain.clone(), metrics.clone());
        background.spawn(async move {
            metrics.idle(idle_time).await;
            info!("no event has moved for {idle_time:?}: stopping, as --until-idle asks");
            drain.cancel();
        });
    }
    if !arguments.quiet && !arguments.no_progress && progress::can_be_shown(plan) {
        background.spawn(progress::show(metrics));
    }
    let ended = agent.run(stop, arguments.drain).await;
    background.shutdown().await;
    Ok(ended)
}

/// Returns the optional components that failed while the agent did not fail.
fn failed_optional<'report>(report: &'report Report, ending: &Ending) -> Vec<&'report ComponentReport> {
    if matches!(ending, Ending::NotStarted { .. } | Ending::Failed { .. }) {
        return Vec::new();
    }
    report.components.iter().filter(|component| component.failure.is_some()).collect()
}

/// Returns whether no source received an event and no channel delivered one of an earlier run.
fn had_nothing_new(arguments: &Arguments, report: &Report) -> bool {
    !arguments.drain_only
        && report.components.iter().all(|part| part.received.events == 0 && part.delivered.events == 0)
}

/// Prints the table of the run and how it ended, and returns the exit status.
fn finish(arguments: &Arguments, program: &str, report: &Report, ending: &Ending) -> ExitCode {
    let started = !matches!(ending, Ending::NotStarted { .. });
    if !arguments.quiet && started {
        LOG.write_table(report.table(progress::width()));
        let steps = report.steps_table().filter(|_| arguments.steps);
        for table in report.quality_table().into_iter().chain(steps) {
            LOG.write_table(table);
        }
    }
    let failed = failed_optional(report, ending);
    for component in &failed {
        let (name, failure) = (&component.name, component.failure.as_deref().unwrap_or_default());
        LOG.write_line(format_args!("{program}: the optional component {name} has failed: {failure}"));
    }
    match ending {
        Ending::Complete => {
            if !arguments.quiet {
                let except =
                    if failed.is_empty() { "" } else { ", except to the failed optional components" };
                let what = match had_nothing_new(arguments, report) {
                    true => "its sources had nothing new",
                    false => "all received events were delivered",
                };
                LOG.write_line(format_args!("{program} has ended: {what}{except}"));
                for trouble in &report.troubles {
                    LOG.write_line(format_args!("{program}: but {trouble}"));
                }
            }
            ExitCode::SUCCESS
        }
        Ending::Incomplete => {
            LOG.write_line(format_args!(
                "{program} was stopped before all events were delivered: undelivered events are delivered after the next start"
            ));
            for trouble in &report.troubles {
                LOG.write_line(format_args!("{program}: {trouble}"));
            }
            ExitCode::from(INCOMPLETE)
        }
        Ending::NotStarted { component, failure } => {
            LOG.write_line(format_args!("weir: {component}: {failure}"));
            LOG.write_line(format_args!("weir: {program} is not started"));
            ExitCode::FAILURE
        }
        Ending::Failed { component, failure } => {
            LOG.write_line(format_args!("weir: {component}: {failure}"));
            LOG.write_line(format_args!(
                "{program} has failed: undelivered events are delivered after the next start"
            ));
            ExitCode::FAILURE
        }
    }
}

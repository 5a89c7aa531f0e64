//! `weir run`: carries out a program.

mod log;
mod output;
mod progress;
mod signals;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::{info, warn};
use weir_plan::Plan;
use weir_runtime::agent::{Agent, ComponentReport, Ending, Problem, Report, Stop};
use weir_runtime::metrics::Server;
use weir_runtime::{Descriptors, SystemClock, Workers};

use crate::MISUSE;
use crate::files::ProgramFiles;
use crate::process::raise_descriptor_limit;
use crate::program::{Colours, Params, compile, complain, library, shown, tell};
use log::{LOG, LogFormat};

/// Exit status of an agent that was stopped before all it had taken was delivered.
const INCOMPLETE: u8 = 3;

/// How long threads that are in the middle of a system call may keep the process from ending.
const THREADS_END: Duration = Duration::from_secs(2);

/// The arguments of `weir run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program (.flow), a compiled plan (.json), or - for a program on standard input
    #[arg(value_name = "FILE")]
    path: String,
    /// Build everything, try what it needs outside (secrets, certificates, addresses, directories, what was kept) without taking it, and stop before anything runs
    #[arg(long)]
    check_only: bool,
    /// How long channels may empty into sinks after SIGTERM or SIGINT
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain: Duration,
    /// Read from no source: empty the channels into their sinks and end
    #[arg(long)]
    drain_only: bool,
    /// End after so long, as SIGTERM would
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// End when no event has moved for so long (1s) and none waits to be taken
    #[arg(
        long, value_name = "DURATION", value_parser = duration,
        num_args = 0..=1, require_equals = true, default_missing_value = "1s"
    )]
    until_idle: Option<Duration>,
    /// Answer requests for metrics and readiness here, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Show no line on the terminal that says how it gets on
    #[arg(long)]
    no_progress: bool,
    /// Say nothing but what is logged as a warning or an error
    #[arg(long, short)]
    quiet: bool,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value = "auto")]
    log: LogFormat,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// A time as the language writes it, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it as a number with its unit, such as 30s or 5min".to_owned();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => {
            let duration = text.parse::<SignedDuration>().map_err(|_| wrong())?;
            Duration::try_from(duration).map_err(|_| wrong())
        }
    }
}

/// Runs a program until it ends or is told to stop. Exit status: 0 all was delivered, 1 the
/// program has errors or a component failed for good, 2 misuse, 3 stopped before all was
/// delivered.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match prepare(arguments) {
        Ok(None) => ExitCode::FAILURE,
        Ok(Some(plan)) => {
            log::start(arguments.log, arguments.colours, arguments.quiet);
            let status = execute(arguments, &plan);
            LOG.flush();
            status
        }
        Err(error) => {
            tell(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// The plan to be run; none when the program has errors, which are then on standard error.
fn prepare(arguments: &Arguments) -> Result<Option<Plan>, String> {
    let (path, library) = (&arguments.path, library()?);
    if path.ends_with(".json") {
        let text = ProgramFiles::read(path)?.text;
        return library.plan_from_json(&text).map(Some).map_err(|error| format!("{path}: {error}"));
    }
    let compiled = compile(path, &library, &arguments.params)?;
    complain(&shown(&compiled.diagnostics, &compiled.files, arguments.colours));
    Ok(compiled.plan)
}

fn execute(arguments: &Arguments, plan: &Plan) -> ExitCode {
    raise_descriptor_limit();
    let agent = match Agent::build(plan, &weir_stdlib::registry(), Arc::new(SystemClock)) {
        Ok(agent) => agent,
        Err(error) => {
            for problem in &error.problems {
                LOG.tell(format_args!("weir: {problem}"));
            }
            LOG.tell(format_args!("weir: {} is not started", plan.program));
            return ExitCode::FAILURE;
        }
    };
    let agent = if arguments.drain_only { agent.drain_only() } else { agent };
    if let Err(error) = Descriptors::of_process().suffice() {
        LOG.tell(format_args!("weir: {}: {error}", plan.program));
        LOG.tell(format_args!("weir: {} is not started", plan.program));
        return ExitCode::FAILURE;
    }
    let ended = worker_threads().and_then(|runtime| {
        let agent = agent.with_workers(Workers::one_each_core()?);
        let ended = runtime.block_on(probe_and_run(agent, plan, arguments));
        runtime.shutdown_timeout(THREADS_END);
        ended
    });
    match ended {
        Ok(Ok((report, ending))) => finish(arguments, &plan.program, &report, &ending),
        Ok(Err(status)) => status,
        Err(error) => {
            LOG.tell(format_args!("weir: the agent can't start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn worker_threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("weir").build()
}

/// Tries all that the program needs outside, says all that is wrong, and runs it unless it is only to be
/// checked or can't start.
async fn probe_and_run(
    mut agent: Agent,
    plan: &Plan,
    arguments: &Arguments,
) -> std::io::Result<Result<(Report, Ending), ExitCode>> {
    let (server, mut wrong) = match arguments.metrics.map(|address| (address, Server::bind(address))) {
        None => (None, Vec::new()),
        Some((_, Ok(server))) => (Some(server), Vec::new()),
        Some((address, Err(error))) => (None, vec![format!("--metrics {address}: {error}")]),
    };
    for problem in agent.probe().await {
        let Problem { component, failure, optional, .. } = &problem;
        if arguments.check_only || problem.keeps_from_starting() {
            wrong.push(problem.to_string());
        } else if *optional {
            warn!(%component, "{failure}; it is optional, the others start all the same");
        } else {
            warn!(%component, "{failure}; it is tried again until that is put right");
        }
    }
    for problem in &wrong {
        LOG.tell(format_args!("weir: {problem}"));
    }
    if !wrong.is_empty() {
        LOG.tell(format_args!("weir: {} is not started", plan.program));
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
    // They end with the run.
    let mut beside = JoinSet::new();
    beside.spawn(signals::take(stop.clone())?);
    info!("{program} starts");
    if let Some(server) = server {
        info!("metrics are at http://{}/metrics", server.address()?);
        let answering = server.run(metrics.clone());
        beside.spawn(async move {
            if let Err(error) = answering.await {
                warn!("metrics are no longer answered: {error}; events go on");
            }
        });
    }
    if let Some(time) = arguments.time {
        let drain = stop.drain.clone();
        beside.spawn(async move {
            tokio::time::sleep(time).await;
            info!("it has run for {time:?}, as --for says");
            drain.cancel();
        });
    }
    if let Some(quiet) = arguments.until_idle {
        let (drain, metrics) = (stop.drain.clone(), metrics.clone());
        beside.spawn(async move {
            metrics.idle(quiet).await;
            info!("no event has moved for {quiet:?}, as --until-idle asks");
            drain.cancel();
        });
    }
    if !arguments.quiet && !arguments.no_progress && progress::has_place(plan) {
        beside.spawn(progress::show(metrics));
    }
    let ended = agent.run(stop, arguments.drain).await;
    beside.shutdown().await;
    Ok(ended)
}

/// The components that have failed although the agent has not.
fn failed_optional<'report>(report: &'report Report, ending: &Ending) -> Vec<&'report ComponentReport> {
    if matches!(ending, Ending::NotStarted { .. } | Ending::Failed { .. }) {
        return Vec::new();
    }
    report.components.iter().filter(|component| component.failure.is_some()).collect()
}

/// Says what the run did, and how it ended.
fn finish(arguments: &Arguments, program: &str, report: &Report, ending: &Ending) -> ExitCode {
    let started = !matches!(ending, Ending::NotStarted { .. });
    if !arguments.quiet && started {
        LOG.tell(format_args!("\n{}", report.table(progress::width())));
    }
    let failed = failed_optional(report, ending);
    for component in &failed {
        let (name, failure) = (&component.name, component.failure.as_deref().unwrap_or_default());
        LOG.tell(format_args!("{program}: {name} has failed, which it may: {failure}"));
    }
    match ending {
        Ending::Complete => {
            if !arguments.quiet {
                let but = if failed.is_empty() { "" } else { ", but for what these have missed" };
                LOG.tell(format_args!("{program} has ended: everything that it took was delivered{but}"));
            }
            ExitCode::SUCCESS
        }
        Ending::Incomplete => {
            LOG.tell(format_args!(
                "{program} was stopped before everything was delivered: what is missing comes again"
            ));
            ExitCode::from(INCOMPLETE)
        }
        Ending::NotStarted { component, failure } => {
            LOG.tell(format_args!("weir: {component}: {failure}"));
            LOG.tell(format_args!("weir: {program} is not started"));
            ExitCode::FAILURE
        }
        Ending::Failed { component, failure } => {
            LOG.tell(format_args!("weir: {component}: {failure}"));
            LOG.tell(format_args!(
                "{program} has failed: what was not delivered comes again at the next start"
            ));
            ExitCode::FAILURE
        }
    }
}

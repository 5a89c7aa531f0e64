//! `weir run`: carries out a program.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;
use weir_plan::Plan;
use weir_runtime::SystemClock;
use weir_runtime::agent::{Agent, Ending, Report, Stop};

use crate::MISUSE;
use crate::files::ProgramFiles;
use crate::program::{Colours, Params, compile, library, shown};

/// Exit status of an agent that was stopped before all it had taken was delivered.
const INCOMPLETE: u8 = 3;

/// How long threads that are in the middle of a system call may keep the process from ending.
const THREADS_END: Duration = Duration::from_secs(2);

/// What is logged unless `WEIR_LOG` says otherwise: of the libraries only what they call an
/// error, since components report in their own words.
const LOG_DEFAULT: &str = "warn,weir=info,weir_runtime=info,weir_stdlib=info,hdfs_native=error";

/// The arguments of `weir run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program (.flow), a compiled plan (.json), or - for a program on standard input
    #[arg(value_name = "FILE")]
    path: String,
    /// Build everything and stop before anything runs
    #[arg(long)]
    check_only: bool,
    /// How long channels may empty into sinks after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    drain: Duration,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value = "auto")]
    log: LogFormat,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people on a terminal, JSON elsewhere
    Auto,
    /// For people
    Human,
    /// A JSON object each line
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.strip_suffix('s').unwrap_or(text);
    let seconds = text.parse::<f64>().map_err(|_| "write it as a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Runs a program until it ends or is told to stop. Exit status: 0 all was delivered, 1 the
/// program has errors or a component failed for good, 2 misuse, 3 stopped before all was
/// delivered.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match prepare(arguments) {
        Ok(None) => ExitCode::FAILURE,
        Ok(Some(plan)) => execute(arguments, &plan),
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::from(MISUSE)
        }
    }
}

/// The plan to be run; none when the program has errors, which are then on standard error.
fn prepare(arguments: &Arguments) -> Result<Option<Plan>, String> {
    let path = &arguments.path;
    if path.ends_with(".json") {
        let text = ProgramFiles::read(path)?.text;
        return Plan::from_json(&text).map(Some).map_err(|error| format!("{path}: {error}"));
    }
    let library = library()?;
    let compiled = compile(path, &library, &arguments.params)?;
    eprint!("{}", shown(&compiled.diagnostics, &compiled.files, arguments.colours));
    Ok(compiled.plan)
}

fn execute(arguments: &Arguments, plan: &Plan) -> ExitCode {
    start_log(arguments.log, arguments.colours);
    let agent = match Agent::build(plan, &weir_stdlib::registry(), Arc::new(SystemClock)) {
        Ok(agent) => agent,
        Err(error) => {
            for problem in &error.problems {
                eprintln!("weir: {problem}");
            }
            eprintln!("weir: {} is not started", plan.program);
            return ExitCode::FAILURE;
        }
    };
    if arguments.check_only {
        return ExitCode::SUCCESS;
    }
    let ended = worker_threads().and_then(|runtime| {
        let ended = runtime.block_on(run_agent(agent, &plan.program, arguments.drain));
        runtime.shutdown_timeout(THREADS_END);
        ended
    });
    match ended {
        Ok((report, ending)) => finish(&plan.program, &report, &ending),
        Err(error) => {
            eprintln!("weir: the agent can't start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn worker_threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("weir").build()
}

async fn run_agent(agent: Agent, program: &str, drain: Duration) -> std::io::Result<(Report, Ending)> {
    let stop = Stop::default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signals = stop.clone();
    tokio::spawn(async move {
        // The first signal drains, the second stops at once.
        for token in [signals.drain, signals.now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            token.cancel();
        }
    });
    info!("{program} starts");
    Ok(agent.run(stop, drain).await)
}

/// Says what the run did, and how it ended.
fn finish(program: &str, report: &Report, ending: &Ending) -> ExitCode {
    eprintln!("\n{report}");
    match ending {
        Ending::Complete => {
            eprintln!("{program} has ended: everything that it took was delivered");
            ExitCode::SUCCESS
        }
        Ending::Incomplete => {
            eprintln!("{program} was stopped before everything was delivered: what is missing comes again");
            ExitCode::from(INCOMPLETE)
        }
        Ending::Failed { component, failure } => {
            eprintln!("weir: {component}: {failure}");
            eprintln!("{program} has failed: what was not delivered comes again at the next start");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat, colours: Colours) {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if human {
        log.with_ansi(colours.on_standard_error()).init();
    } else {
        log.json().flatten_event(true).init();
    }
}

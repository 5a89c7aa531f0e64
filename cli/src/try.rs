//! `weir try`: shows what the steps of a program make of a sample.

use std::io::{self, BufRead, Read, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_testing::{Attempt, NoSample, TestProgram, Tried, Wanted, attempt, sample};

use crate::MISUSE;
use crate::files::{STANDARD_INPUT, program_path};
use crate::program::{Colours, Params, library, print, print_error_line};
use crate::run::LOG_QUIET;
use crate::test::program;

/// The most bytes of a sample.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;

/// The arguments of `weir try`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A program
    #[arg(value_name = "FILE", value_parser = program_path())]
    path: String,
    /// The source to which the lines come; it may be left out if the program has one
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The number of lines of the sample
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    lines: usize,
    /// Read the first events, at most this many, from the real source instead, without a trace: nothing is committed, acknowledged,
    /// renamed or deleted, and no position is kept
    #[arg(long, value_name = "NUMBER", conflicts_with = "lines")]
    sample: Option<NonZeroUsize>,
    /// How many seconds to wait for the events of `--sample`
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "sample")]
    wait: u32,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The text below the options.
const AFTER_HELP: &str = "\
The sample is read from standard input: each line is the body of an event. Nothing else is read, and nothing is written: sources,
sinks and disks are simulated, as in `weir test`. With `--sample`, the events come from the real source, from the first one that is
there. Sources to which peers send give no sample.";

/// Whether the log is shown: while the source of a sample runs, but not while sources and sinks are simulated.
static IS_SAMPLING: AtomicBool = AtomicBool::new(false);

/// Why nothing is shown.
enum Nothing {
    /// The program has errors, which are written to standard error.
    BrokenProgram,
    /// The source gives no events.
    NoEvents(String),
    Misuse(String),
}

impl From<String> for Nothing {
    fn from(error: String) -> Nothing {
        Nothing::Misuse(error)
    }
}

/// Tries a program. Exit status: 0 shown, 1 the program has errors or the source gives no events, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match shown(arguments) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(Nothing::BrokenProgram) => ExitCode::FAILURE,
        Err(Nothing::NoEvents(error)) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::FAILURE
        }
        Err(Nothing::Misuse(error)) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// Returns what became of the sample.
fn shown(arguments: &Arguments) -> Result<String, Nothing> {
    if arguments.path == STANDARD_INPUT && arguments.sample.is_none() {
        let why = "the sample is read from standard input, so the program has to be a file";
        return Err(Nothing::Misuse(why.to_owned()));
    }
    let library = library()?;
    let Ok(program) = program(&arguments.path, &library, &arguments.params, arguments.colours)? else {
        return Err(Nothing::BrokenProgram);
    };
    let source = match &arguments.source {
        Some(source) => source.clone(),
        None => match program.sources().as_slice() {
            [source] => source.clone(),
            [] => return Err(Nothing::Misuse(format!("{} has no source in a flow", arguments.path))),
            several => {
                let which = if arguments.sample.is_some() { "is read" } else { "gets the lines" };
                let named = several.join(" or --source ");
                return Err(Nothing::Misuse(format!("say which source {which}: --source {named}")));
            }
        },
    };
    let tried = match arguments.sample {
        Some(events) => Tried::Sample(sample_of(&program, &source, events, arguments)?),
        None => Tried::Bodies(lines(arguments.lines)?),
    };
    Ok(text(&attempt(&program, &source, &tried)?))
}

/// Reads the first events of a source. Its warnings go to standard error.
fn sample_of(
    program: &TestProgram<'_>,
    source: &str,
    events: NonZeroUsize,
    arguments: &Arguments,
) -> Result<weir_testing::Sample, Nothing> {
    let log = tracing_subscriber::fmt().with_env_filter(LOG_QUIET).with_target(false).without_time();
    let to = || -> Box<dyn Write> {
        match IS_SAMPLING.load(Ordering::Relaxed) {
            true => Box::new(io::stderr()),
            false => Box::new(io::sink()),
        }
    };
    log.with_writer(to).with_ansi(arguments.colours.on_standard_error()).init();
    IS_SAMPLING.store(true, Ordering::Relaxed);
    let wanted = Wanted { events: events.get(), wait: Duration::from_secs(arguments.wait.into()) };
    let sample = sample(program, source, wanted);
    IS_SAMPLING.store(false, Ordering::Relaxed);
    sample.map_err(|error| match error {
        NoSample::Never(error) => Nothing::Misuse(error),
        NoSample::Failed(error) => Nothing::NoEvents(error),
    })
}

/// Reads the first lines of standard input.
fn lines(count: usize) -> Result<Vec<String>, String> {
    let input = std::io::stdin().lock().take(SAMPLE_BYTES_MAX);
    let read = input.split(b'\n').take(count);
    let read =
        read.map(|line| line.map(|line| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()));
    read.collect::<Result<_, _>>().map_err(|error| format!("can't read the sample: {error}"))
}

fn text(attempt: &Attempt) -> String {
    let mut text: String = attempt.trace.iter().map(|line| format!("{line}\n")).collect();
    for note in &attempt.notes {
        text.push_str(&format!("{note}\n"));
    }
    if attempt.steps.is_empty() {
        return text;
    }
    text.push_str("\nreceived  passed  dropped  rejected     time  step\n");
    for step in &attempt.steps {
        let time = format!("{:.3}ms", step.seconds * 1_000.0);
        text.push_str(&format!(
            "{:8}  {:6}  {:7}  {:8}  {time:>7}  {}\n",
            step.received, step.passed, step.dropped, step.rejected, step.step
        ));
    }
    text
}

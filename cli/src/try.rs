//! `weir try`: shows what the steps of a program make of a sample.

use std::io::{BufRead, Read};
use std::process::ExitCode;

use weir_testing::{Attempt, attempt};

use crate::MISUSE;
use crate::files::{STANDARD_INPUT, program_path};
use crate::program::{Colours, Params, library, print, print_error_line};
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
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The text below the options.
const AFTER_HELP: &str = "\
The sample is read from standard input: each line is the body of an event. Nothing else is read, and nothing is written: sources,
sinks and disks are simulated, as in `weir test`.";

/// Tries a program. Exit status: 0 shown, 1 the program has errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match shown(arguments) {
        Ok(Some(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// Returns what became of the sample; `None` if the program has errors, which are written to standard error.
fn shown(arguments: &Arguments) -> Result<Option<String>, String> {
    if arguments.path == STANDARD_INPUT {
        return Err("the sample is read from standard input, so the program has to be a file".to_owned());
    }
    let library = library()?;
    let Ok(program) = program(&arguments.path, &library, &arguments.params, arguments.colours)? else {
        return Ok(None);
    };
    let source = match &arguments.source {
        Some(source) => source.clone(),
        None => match program.sources().as_slice() {
            [source] => source.clone(),
            [] => return Err(format!("{} has no source in a flow", arguments.path)),
            several => {
                return Err(format!("say which source gets the lines: --source {}", several.join(" or ")));
            }
        },
    };
    let attempt = attempt(&program, &source, &sample(arguments.lines)?)?;
    Ok(Some(text(&attempt)))
}

/// Reads the first lines of standard input.
fn sample(lines: usize) -> Result<Vec<String>, String> {
    let input = std::io::stdin().lock().take(SAMPLE_BYTES_MAX);
    let read = input.split(b'\n').take(lines);
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

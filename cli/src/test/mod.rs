//! `weir test`: runs the tests of programs.

mod coverage;
mod editor;
mod mutants;
mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use weir_compiler::{Analysis, Diagnostic, Library, Severity, analyse, normalized_path, render};
use weir_plan::Value;
use weir_testing::report::BrokenProgram;
use weir_testing::{RunSettings, TestProgram, TestResult, in_threads, run_test, run_with_faults};

use crate::MISUSE;
use crate::files::{ProgramFiles, STANDARD_INPUT, program_path, programs_in};
use crate::program::{Colours, Params, library, print_error, print_error_line, rendered};
use crate::watch::{Snapshot, clear_screen};

/// The arguments of `weir test`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Programs, folders of programs, or - for standard input
    #[arg(default_value = ".", value_name = "FILES|FOLDERS", value_parser = program_path())]
    paths: Vec<String>,
    /// Run only the tests whose title contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The seed from which all that is random follows
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Run each test this often, with the seed and those after it
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    repeat: NonZeroUsize,
    /// The format of the results
    #[arg(long, value_enum, default_value = "human")]
    format: TestFormat,
    /// Show each event after each step
    #[arg(long)]
    trace: bool,
    /// Run each test this often with random faults too: kills of the agent at any call, and sinks that fail; what the flows
    /// promise must hold each time
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    faults: u64,
    /// Show the steps, branches and rejections that no test has reached
    #[arg(long)]
    coverage: bool,
    /// Write the coverage to this file, in the format of LCOV
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
    /// Change each step in small ways, and show the changes that no test notices
    #[arg(long, conflicts_with_all = ["bless", "watch"])]
    mutants: bool,
    /// Run the tests again whenever a file of the programs changes, until the command is stopped
    #[arg(long)]
    watch: bool,
    /// Write the files of expected events from the events that come
    #[arg(long, conflicts_with = "repeat")]
    bless: bool,
    /// The number of tests that run at the same time; without it, one for each core
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
    /// List the tests that pass too
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The text below the options.
const AFTER_HELP: &str = "\
Exit status: 0 all tests have passed; 1 a test has failed, or a program has errors; 2 the command was misused, or there is no
such test. The results are written to standard output.";

/// The format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// For people: each failure with its place in the program
    Human,
    /// A JSON array with an object for each test and each program with errors
    Json,
    /// JUnit's XML, for continuous integration
    Junit,
    /// The Test Anything Protocol, version 14
    Tap,
}

/// A program with its name on the command line.
struct Named<'l> {
    path: String,
    program: TestProgram<'l>,
}

/// Runs tests. Exit status: 0 all have passed, 1 one has failed or a program has errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if arguments.watch {
        watch(arguments);
    }
    match run_once(arguments, &mut BTreeSet::new()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// Runs the tests, and again whenever a file changes. Never returns.
fn watch(arguments: &Arguments) -> ! {
    let mut files = BTreeSet::new();
    loop {
        let mut before = Snapshot::take(&arguments.paths, &files);
        clear_screen();
        if let Err(error) = run_once(arguments, &mut files) {
            print_error_line(format_args!("weir: {error}"));
        }
        before.extend(&arguments.paths, &files);
        before.wait(&arguments.paths, &files);
    }
}

/// Runs the tests once, and returns whether all have passed. Adds the names of the programs' files to `files`.
fn run_once(arguments: &Arguments, files: &mut BTreeSet<String>) -> Result<bool, String> {
    let library = library()?;
    let paths = programs_in(&arguments.paths)?;
    let (mut programs, mut broken) = (Vec::new(), Vec::new());
    for path in paths {
        match program(&path, &library, &arguments.params, arguments.colours)? {
            Ok(program) => programs.push(Named { path: normalized_path(&path), program }),
            Err(program) => broken.push(program),
        }
    }
    for Named { program, .. } in &programs {
        files.extend(program.analysis.program_files().map(str::to_owned));
    }
    let results = run_programs(&programs, arguments);
    let count: usize = results.iter().map(Vec::len).sum();
    if count == 0 && broken.is_empty() {
        return Err(match &arguments.filter {
            Some(filter) => format!("no test has {filter:?} in its title"),
            None => format!("there is no test in {}", arguments.paths.join(", ")),
        });
    }
    output::write(&programs, &results, &broken, arguments);
    coverage::write(&programs, &results, arguments)?;
    let passed = results.iter().flatten().all(|result| result.failure.is_none());
    let noticed = !arguments.mutants || (passed && count > 0 && mutants::write(&programs, arguments));
    Ok(broken.is_empty() && passed && noticed)
}

/// Compiles a program, or returns its errors, which are written to standard error too.
///
/// # Errors
/// When the file can't be read, in words.
pub(crate) fn program<'l>(
    path: &str,
    library: &'l Library,
    params: &Params,
    colours: Colours,
) -> Result<Result<TestProgram<'l>, BrokenProgram>, String> {
    let files = Arc::new(ProgramFiles::read(path)?);
    let options = params.options();
    let analysis = analyse(&*files, &files.name, library, &options);
    let refused = analysis.not_carried_out();
    let errors: Vec<_> = analysis.diagnostics.iter().chain(&refused).cloned().collect();
    let errors: Vec<_> =
        errors.into_iter().filter(|diagnostic| diagnostic.severity() == Severity::Error).collect();
    if !errors.is_empty() || !refused.is_empty() {
        let said = if errors.is_empty() { refused } else { errors };
        print_error(&rendered(&said, &analysis.files, colours));
        let message = said.first().map(|first| first.describe().message).unwrap_or_default();
        let details = render::human(&said, &analysis.files, false);
        return Ok(Err(BrokenProgram { name: normalized_path(path), message, details }));
    }
    let is_vacuous = |found: &&Diagnostic| matches!(found, Diagnostic::ExpectsNothing(_));
    let vacuous: Vec<_> = analysis.diagnostics.iter().filter(is_vacuous).cloned().collect();
    if !vacuous.is_empty() {
        print_error(&rendered(&vacuous, &analysis.files, colours));
    }
    let again = move |params: &BTreeMap<String, Value>| -> Analysis {
        let mut options = options.clone();
        options.constants.extend(params.clone());
        analyse(&*files, &files.name, library, &options)
    };
    Ok(Ok(TestProgram::new(analysis, folder_of(path), weir_stdlib::registry, again)))
}

pub(crate) use editor::for_editor;

/// Returns the folder of a program's file.
fn folder_of(path: &str) -> PathBuf {
    match path {
        STANDARD_INPUT => PathBuf::new(),
        _ => Path::new(path.trim_start_matches("./")).parent().map(Path::to_path_buf).unwrap_or_default(),
    }
}

impl Arguments {
    /// The number of tests that run at the same time.
    fn threads(&self) -> usize {
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }
}

/// Runs the tests of all programs, and returns the results of each.
fn run_programs(programs: &[Named<'_>], arguments: &Arguments) -> Vec<Vec<TestResult>> {
    let is_wanted =
        |title: &str| arguments.filter.as_ref().is_none_or(|filter| title.contains(filter.as_str()));
    let mut jobs = Vec::new();
    for (index, Named { program, .. }) in programs.iter().enumerate() {
        let wanted = program.tests().iter().filter(|test| is_wanted(&test.title));
        jobs.extend(wanted.map(|test| (index, test)));
    }
    let repeat = arguments.repeat.get() as u64;
    let settings = |seed| {
        let (trace, bless) = (arguments.trace, arguments.bless);
        RunSettings { seed, trace, bless, ..RunSettings::default() }
    };
    let done = in_threads(
        &jobs,
        arguments.threads(),
        |(index, test)| {
            let program = &programs[*index].program;
            let mut result = run_test(program, test, settings(arguments.seed));
            for more in 1..repeat {
                if result.failure.is_some() {
                    break;
                }
                let before = result;
                result = run_test(program, test, settings(arguments.seed.wrapping_add(more)));
                result.took += before.took;
                result.reached.extend(before.reached);
            }
            if result.failure.is_none() && arguments.faults > 0 {
                let begun = Instant::now();
                result.failure = run_with_faults(program, test, settings(arguments.seed), arguments.faults);
                result.took += begun.elapsed();
            }
            result
        },
        |(_, test)| TestResult::panicked(&test.title, test.span, arguments.seed),
    );
    let mut results: Vec<Vec<TestResult>> = programs.iter().map(|_| Vec::new()).collect();
    for ((index, _), result) in jobs.iter().zip(done) {
        results[*index].push(result);
    }
    results
}

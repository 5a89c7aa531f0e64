//! `weir check`: reports the errors and warnings of programs without running them.

use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::{Analysis, Diagnostic, Library, Severity, lower, render};

use crate::MISUSE;
use crate::connect;
use crate::files::{STANDARD_INPUT, program_path, programs_in};
use crate::fix::fix;
use crate::program::{
    Colours, Format, Params, analyse, library, print, print_error, print_error_line, rendered,
};
use crate::watch::{Snapshot, clear_screen};

/// The arguments of `weir check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Programs, folders of programs, or - for standard input
    #[arg(required = true, value_name = "FILES|FOLDERS", value_parser = program_path())]
    paths: Vec<String>,
    /// The format of the diagnostics
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Apply the fixes that the diagnostics offer, in the files; a fixed program from standard input is printed
    #[arg(long)]
    fix: bool,
    /// Diagnostics to treat as errors
    #[arg(long, value_enum)]
    deny: Option<Deny>,
    /// Check again whenever a file of the programs changes, until the command is stopped
    #[arg(long, conflicts_with = "fix")]
    watch: bool,
    /// Also let every component ask the servers, topics, directories and files that it needs, without changing them
    #[arg(long)]
    connect: bool,
    /// Show the type of the events at every edge of the graph
    #[arg(short, long)]
    verbose: bool,
    /// Show for every path whether it may lose or repeat events, which order it keeps, and why
    #[arg(long)]
    proofs: bool,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The diagnostics that `--deny` treats as errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Warnings
    Warnings,
}

/// Checks the programs. Exit status: 0 no errors, 1 errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let checked = library().and_then(|library| match arguments.watch {
        true => watch(arguments, &library),
        false => check(arguments, &library),
    });
    match checked {
        Ok(Checked { right: true, .. }) => ExitCode::SUCCESS,
        Ok(Checked { right: false, .. }) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// The result of checking the programs.
struct Checked {
    /// Whether the programs have no errors and no denied warnings.
    right: bool,
    /// The files that were read, imported ones too.
    files: BTreeSet<String>,
}

/// Checks the programs again and again, until a signal ends the process.
///
/// # Errors
/// When a program is on standard input, which can be read only once.
fn watch(arguments: &Arguments, library: &Library) -> Result<Checked, String> {
    if arguments.paths.iter().any(|path| path == STANDARD_INPUT) {
        return Err("standard input can't be watched".to_owned());
    }
    let mut imported = BTreeSet::new();
    loop {
        // The state before the check, so that no change during the check is lost.
        let mut state = Snapshot::take(&arguments.paths, &imported);
        clear_screen();
        match check(arguments, library) {
            Ok(checked) => imported = checked.files,
            Err(error) => print_error_line(format_args!("weir: {error}")),
        }
        state.extend(&arguments.paths, &imported);
        state.wait(&arguments.paths, &imported);
    }
}

/// Checks the programs once.
fn check(arguments: &Arguments, library: &Library) -> Result<Checked, String> {
    if arguments.proofs && matches!(arguments.format, Format::Sarif | Format::Github | Format::Gitlab) {
        return Err("--proofs is shown with --format human, short or json".to_owned());
    }
    let programs = programs_in(&arguments.paths)?;
    let mut checked = Vec::new();
    for program in &programs {
        checked.push(match arguments.fix {
            true => fix(program, library, &arguments.params)?,
            false => analyse(program, library, &arguments.params)?,
        });
    }
    if arguments.fix {
        // A later program may have changed a file that an earlier one imports.
        for (program, analysis) in programs.iter().zip(&mut checked) {
            if program != STANDARD_INPUT && programs.len() > 1 {
                *analysis = analyse(program, library, &arguments.params)?;
            }
        }
    }
    for analysis in &mut checked {
        let warnings = analysis.not_carried_out();
        analysis.diagnostics.extend(warnings);
        let place = |diagnostic: &Diagnostic| diagnostic.describe().labels.first().map(|label| label.span);
        analysis.diagnostics.sort_by_cached_key(place);
    }
    if arguments.connect {
        checked.iter_mut().for_each(connect::check);
    }
    remove_duplicates(&mut checked);
    report(&checked, arguments, library);
    let errors = count(&checked, Severity::Error);
    let denied = if arguments.deny == Some(Deny::Warnings) { count(&checked, Severity::Warning) } else { 0 };
    let names = checked.iter().flat_map(|analysis| analysis.program_files().map(str::to_owned));
    Ok(Checked { right: errors + denied == 0, files: names.collect() })
}

/// Removes repeated diagnostics: a mistake in a file that several programs import is reported for the first one only.
fn remove_duplicates(checked: &mut [Analysis]) {
    let mut reported = HashSet::new();
    for Analysis { diagnostics, files, .. } in checked {
        diagnostics.retain(|diagnostic| {
            let description = diagnostic.describe();
            let labels = description.labels.iter();
            let places =
                labels.map(|label| (files.name(label.span).to_owned(), label.span.start, label.span.end));
            reported.insert((diagnostic.code(), description.message.clone(), places.collect::<Vec<_>>()))
        });
    }
}

/// Writes the diagnostics: those for people to standard error, those for programs to standard output.
fn report(checked: &[Analysis], arguments: &Arguments, library: &Library) {
    let programs = || checked.iter().map(|analysis| (&*analysis.diagnostics, &analysis.files));
    let text: String = match arguments.format {
        Format::Human => {
            programs().map(|(diagnostics, files)| rendered(diagnostics, files, arguments.colours)).collect()
        }
        Format::Short => programs().map(|(diagnostics, files)| render::short(diagnostics, files)).collect(),
        Format::Json if arguments.proofs => {
            let (diagnostics, proofs) = (render::json(programs()), render::proofs_json(checked));
            format!(
                "{{\n\"diagnostics\": {},\n\"proofs\": {}\n}}\n",
                diagnostics.trim_end(),
                proofs.trim_end()
            )
        }
        Format::Json => render::json(programs()),
        Format::Sarif => render::sarif(programs(), library),
        Format::Github => programs().map(|(diagnostics, files)| render::github(diagnostics, files)).collect(),
        Format::Gitlab => render::gitlab(programs()),
    };
    let (errors, warnings) = (count(checked, Severity::Error), count(checked, Severity::Warning));
    // With --fix, the fixed program may go to standard output.
    let output_is_program = arguments.fix && arguments.paths.iter().any(|path| path == STANDARD_INPUT);
    match arguments.format {
        Format::Human => {
            print_error(&text);
            // An error is explained before a warning.
            let all = || checked.iter().flat_map(|analysis| &analysis.diagnostics);
            let error = all().find(|diagnostic| diagnostic.severity() == Severity::Error);
            if let Some(first) = error.or_else(|| all().next()) {
                print_error_line(format_args!(
                    "`weir explain {}` explains it, with a correct program",
                    first.code()
                ));
            }
            print_error_line(format_args!("{}", summary(checked.len(), errors, warnings)));
        }
        _ if output_is_program => print_error(&text),
        _ => print(&text),
    }
    // JSON and SARIF output is one document, so nothing may follow it.
    if arguments.verbose && !output_is_program && matches!(arguments.format, Format::Human | Format::Short) {
        print(&edges(checked));
    }
    if arguments.proofs && !output_is_program && matches!(arguments.format, Format::Human | Format::Short) {
        print(&proofs(checked));
    }
}

fn count(checked: &[Analysis], severity: Severity) -> usize {
    let diagnostics = checked.iter().flat_map(|analysis| &analysis.diagnostics);
    diagnostics.filter(|diagnostic| diagnostic.severity() == severity).count()
}

fn summary(programs: usize, errors: usize, warnings: usize) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let programs = counted(programs, "program");
    match (errors, warnings) {
        (0, 0) => format!("{programs} checked: no errors, no warnings"),
        _ => format!("{programs} checked: {}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// Renders what was derived about the delivery of events in every program.
fn proofs(checked: &[Analysis]) -> String {
    let programs = checked.iter().map(|analysis| match checked.len() {
        1 => render::proofs(analysis, true),
        _ => format!("program {}\n\n{}", analysis.program, render::proofs(analysis, true)),
    });
    programs.collect::<Vec<_>>().join("\n")
}

/// Renders the type of the events at every edge of every program that has no errors.
fn edges(checked: &[Analysis]) -> String {
    let plans = checked.iter().filter_map(lower);
    let programs = plans.map(|plan| match checked.len() {
        1 => plan.edges(),
        _ => format!("program {}\n\n{}", plan.program, plan.edges()),
    });
    programs.collect::<Vec<_>>().join("\n")
}

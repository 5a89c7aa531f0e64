//! `weir check`: what is wrong with programs, without running anything.

use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::Severity;

use crate::MISUSE;
use crate::program::{Format, Params, compile, library, programs_in, rendered};

/// The arguments of `weir check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Programs, folders of programs, or - for standard input
    #[arg(required = true, value_name = "FILES|FOLDERS")]
    paths: Vec<String>,
    /// How diagnostics are shown
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// What counts as an error besides errors
    #[arg(long, value_enum)]
    deny: Option<Deny>,
    /// Show the types of events between the components
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    params: Params,
}

/// What may be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Warnings
    Warnings,
}

/// Checks the programs. Exit status: 0 nothing is wrong, 1 errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match check(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::from(MISUSE)
        }
    }
}

fn check(arguments: &Arguments) -> Result<bool, String> {
    let library = library()?;
    let mut programs = Vec::new();
    for path in &arguments.paths {
        programs.extend(programs_in(path)?);
    }
    let (mut errors, mut warnings) = (0, 0);
    let mut json: Vec<serde_json::Value> = Vec::new();
    for program in &programs {
        let compiled = compile(program, &library, &arguments.params)?;
        for diagnostic in &compiled.diagnostics {
            match diagnostic.severity() {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        let text = rendered(&compiled.diagnostics, &compiled.files, arguments.format);
        match arguments.format {
            Format::Human => eprint!("{text}"),
            Format::Short => print!("{text}"),
            // One array for all programs.
            Format::Json => {
                let shown: Vec<serde_json::Value> =
                    serde_json::from_str(&text).map_err(|error| error.to_string())?;
                json.extend(shown);
            }
        }
        if let (true, Some(plan)) = (arguments.verbose, &compiled.plan) {
            print!("{}", edges(plan));
        }
    }
    match arguments.format {
        Format::Human => eprintln!("{}", summary(programs.len(), errors, warnings)),
        Format::Short => {}
        Format::Json => println!("{:#}", serde_json::Value::from(json)),
    }
    Ok(errors == 0 && (warnings == 0 || arguments.deny != Some(Deny::Warnings)))
}

fn summary(programs: usize, errors: usize, warnings: usize) -> String {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let programs = counted(programs, "program");
    match (errors, warnings) {
        (0, 0) => format!("{programs} checked, nothing is wrong"),
        _ => format!("{programs} checked: {}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// The types of the events that leave sources and come into channels and sinks.
fn edges(plan: &weir_plan::Plan) -> String {
    let groups = [("source", &plan.sources), ("channel", &plan.channels), ("sink", &plan.sinks)];
    let components =
        groups.iter().flat_map(|(role, group)| group.iter().map(move |component| (role, component)));
    let lines = components.map(|(role, component)| {
        format!("{role} {}: {}\n", component.name, plan.event_type(component.event_type))
    });
    lines.collect()
}

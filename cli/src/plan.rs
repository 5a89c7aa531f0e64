//! `weir plan`: shows the plan that a program compiles to.

use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::{lower, render};

use crate::MISUSE;
use crate::files::program_path;
use crate::program::{Colours, Params, analyse, library, print, print_error, print_error_line, rendered};
use crate::state_directory::state_directory;

/// The arguments of `weir plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program, or - for standard input
    #[arg(value_name = "FILE", value_parser = program_path())]
    path: String,
    /// The format of the plan
    #[arg(long, value_enum, default_value = "text")]
    format: PlanFormat,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The format of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// Text for people, and for comparing plans with diff
    Text,
    /// JSON that `weir run` accepts
    Json,
}

/// Shows the plan. Exit status: 0 shown, 1 the program has errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match plan(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

fn plan(arguments: &Arguments) -> Result<bool, String> {
    let library = library()?;
    let analysis = analyse(&arguments.path, &library, &arguments.params)?;
    print_error(&rendered(&analysis.diagnostics, &analysis.files, arguments.colours));
    let Some(mut plan) = lower(&analysis) else { return Ok(false) };
    print(&match arguments.format {
        PlanFormat::Text => {
            match state_directory(None).map_err(|error| error.to_string())? {
                Some(state) => weir_stdlib::place_state(&mut plan, &state),
                None => {
                    let working = std::env::current_dir().map_err(|error| error.to_string())?;
                    weir_stdlib::show_state(&mut plan, &working);
                }
            }
            format!("{plan}\n{}", render::proofs(&analysis, false))
        }
        PlanFormat::Json => serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())? + "\n",
    });
    Ok(true)
}

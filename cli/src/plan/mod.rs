//! `weir plan`: shows the plan that a program compiles to, what its agent reaches and touches, and what changes from another plan.

mod access;
mod diff;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::{Analysis, Library, lower, render};
use weir_plan::Plan;

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
    /// Show what the agent reaches and touches: ports, hosts, files, state, environment variables
    #[arg(long, conflicts_with = "diff")]
    access: bool,
    /// Show what changes from this program, or from this plan in JSON, to FILE; the exit status is 4 if events may be lost,
    /// repeated, reordered or left behind, if something begins again, or if the start is refused
    #[arg(long, value_name = "OLD", value_parser = program_path())]
    diff: Option<String>,
    /// The state directory of the agent, as for `weir run`; with --diff, channels there are looked into
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// The format of the output
    #[arg(long, value_enum, default_value = "text")]
    format: PlanFormat,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// Text for people, and for comparing plans with diff
    Text,
    /// JSON; that of a plan is one that `weir run` accepts
    Json,
    /// With --access: a drop-in for a unit of systemd
    Systemd,
    /// With --access: a network policy of Kubernetes
    Networkpolicy,
    /// With --access: a table of nftables
    Nftables,
}

/// The exit status if a change matters.
const MATTERS: u8 = 4;

/// The ends of the command: the output is shown, a program has errors, or a change matters.
enum Outcome {
    Shown,
    Errors,
    Matters,
}

/// Shows the plan. Exit status: 0 shown, 1 the program has errors, 2 misuse, 4 a change matters.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match plan(arguments) {
        Ok(Outcome::Shown) => ExitCode::SUCCESS,
        Ok(Outcome::Errors) => ExitCode::FAILURE,
        Ok(Outcome::Matters) => ExitCode::from(MATTERS),
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// Compiles a program; its diagnostics go to standard error.
fn compiled(
    path: &str,
    library: &Library,
    arguments: &Arguments,
) -> Result<(Analysis, Option<Plan>), String> {
    let analysis = analyse(path, library, &arguments.params)?;
    print_error(&rendered(&analysis.diagnostics, &analysis.files, arguments.colours));
    let plan = lower(&analysis);
    Ok((analysis, plan))
}

/// Gives the state of a plan the places that a run in this directory and environment would use.
fn place(plan: &mut Plan, arguments: &Arguments) -> Result<(), String> {
    match state_directory(arguments.state_dir.clone()).map_err(|error| error.to_string())? {
        Some(state) => weir_stdlib::place_state(plan, &state),
        None => {
            let working = std::env::current_dir().map_err(|error| error.to_string())?;
            weir_stdlib::show_state(plan, &working);
        }
    }
    Ok(())
}

fn plan(arguments: &Arguments) -> Result<Outcome, String> {
    use PlanFormat::{Json, Text};
    if !arguments.access && !matches!(arguments.format, Text | Json) {
        return Err("this format is one of `weir plan --access`".to_owned());
    }
    let library = library()?;
    let (analysis, plan) = compiled(&arguments.path, &library, arguments)?;
    let Some(mut plan) = plan else { return Ok(Outcome::Errors) };
    if arguments.access {
        access::show(&analysis, &library, arguments)?;
        return Ok(Outcome::Shown);
    }
    if let Some(old) = &arguments.diff {
        return diff::show(old, plan, &library, arguments);
    }
    print(&match arguments.format {
        Json => serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())? + "\n",
        _ => {
            place(&mut plan, arguments)?;
            format!("{plan}\n{}", render::proofs(&analysis, false))
        }
    });
    Ok(Outcome::Shown)
}

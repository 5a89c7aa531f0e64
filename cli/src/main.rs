//! The `weir` command: arguments in, text and exit status out. Everything else is in the crates.

// A command's output is its purpose.
#![allow(clippy::print_stdout)]

mod check;
mod plan;
mod program;
mod run;

use std::process::ExitCode;

use clap::Parser;

/// Moves events: `.flow` programs are checked, then run.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check programs without running them
    Check(check::Arguments),
    /// Show what a program would do, step by step
    Plan(plan::Arguments),
    /// Run a program until it ends or is told to stop
    Run(run::Arguments),
}

/// Exit status of a command that was given something it can't use.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    }
}

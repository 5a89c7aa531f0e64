//! The `weir` command: arguments in, text and exit status out. Everything else is in the crates.

mod channel;
mod check;
mod explain;
mod files;
mod fix;
mod fmt;
mod graph;
mod ledger;
mod plan;
mod process;
mod program;
mod run;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Of many small values that stay between large ones that come and go, the system's own allocator makes holes that it
/// never gives back: 100,000 files at rest took twice as much.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Moves events: `.flow` programs are checked, then run.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What stands below the list of commands.
const AFTER_HELP: &str = "\
Exit status: 0 done, 1 a program has errors or has failed, 2 misuse, 3 stopped before all was delivered.
`weir COMMAND --help` says more about a command; - stands for standard input.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Look at the directory of a file channel, or repair it
    Channel(channel::Arguments),
    /// Check programs without running them
    Check(check::Arguments),
    /// Explain the code of an error or a warning
    Explain(explain::Arguments),
    /// Write programs in their one canonical form
    Fmt(fmt::Arguments),
    /// Draw what a program connects, as text, Mermaid or DOT
    Graph(graph::Arguments),
    /// Look whether the ledger of a sink `files` is whole, or go on with one that is not
    Ledger(ledger::Arguments),
    /// Show what a program would do, step by step
    Plan(plan::Arguments),
    /// Run a program until it ends or is told to stop
    Run(run::Arguments),
}

/// Exit status of a command that was given something it can't use.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::survive_file_size_limit();
    match arguments.command {
        Command::Channel(arguments) => channel::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    }
}

//! The `weir` command: parses arguments, calls the library crates, and prints text. It contains no other logic.

mod allocator;
mod channel;
mod check;
mod connect;
mod explain;
mod files;
mod fix;
mod fmt;
mod graph;
mod ledger;
mod lsp;
mod plan;
mod process;
mod program;
mod run;
mod state_directory;
mod test;
mod r#try;
mod watch;

use std::process::ExitCode;

use clap::Parser;

/// Checks and runs data pipelines that are written as `.flow` programs
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The text below the list of commands.
const AFTER_HELP: &str = "\
Exit status: 0 success; 1 a program has errors or failed; 2 the command was misused; 3 a run was stopped before it had
delivered all events. `weir COMMAND --help` describes a command. In place of a file, - means standard input.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Inspect, verify or repair the directory of a file channel
    Channel(channel::Arguments),
    /// Check programs for errors without running them
    Check(check::Arguments),
    /// Explain the code of an error or a warning
    Explain(explain::Arguments),
    /// Rewrite programs in their canonical form
    Fmt(fmt::Arguments),
    /// Draw the graph of a program as text, Mermaid or DOT
    Graph(graph::Arguments),
    /// Check or repair the ledger of a sink `files` or `hdfs`
    Ledger(ledger::Arguments),
    /// Serve an editor: diagnostics, completion and more by the Language Server Protocol
    Lsp(lsp::Arguments),
    /// Show the plan of a program, step by step, with all defaults filled in
    Plan(plan::Arguments),
    /// Run a program until its sources end or a signal stops it
    Run(run::Arguments),
    /// Run the tests of programs, with simulated sources and sinks and in virtual time
    Test(test::Arguments),
    /// Show what the steps of a program make of the lines of a sample
    Try(r#try::Arguments),
}

/// Exit status of a command with invalid arguments.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    allocator::return_freed_memory_soon();
    let arguments = Arguments::parse();
    process::survive_file_size_limit();
    match arguments.command {
        Command::Channel(arguments) => channel::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Lsp(arguments) => lsp::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Try(arguments) => r#try::run(&arguments),
    }
}

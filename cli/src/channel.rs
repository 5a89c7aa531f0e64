//! `weir channel`: what the directory of a file channel holds, and what can be done for it. An agent that uses it
//! keeps all of these out.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use weir_runtime::Failure;
use weir_runtime::channel::file::{InspectionError, assess_repair, forget_reader, inspect, repair, verify};

use crate::MISUSE;
use crate::program::print;

/// The arguments of `weir channel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what a channel holds: events that wait, its readers, how far its sources are stored
    Inspect(Looking),
    /// Read everything in a channel, and say all that is damaged
    Verify(Looking),
    /// Go on without what is damaged: what can be read is kept, the rest is given up
    Repair {
        /// The channel's directory
        #[arg(value_name = "DIRECTORY")]
        path: PathBuf,
        /// Do it; without this, it is only said what would be given up
        #[arg(long)]
        accept_loss: bool,
    },
    /// Keep events no longer for a reader that has gone for good
    ForgetReader {
        /// The channel's directory
        #[arg(value_name = "DIRECTORY")]
        path: PathBuf,
        /// The sink that read it, as `weir channel inspect` lists it
        #[arg(value_name = "READER")]
        reader: String,
    },
}

/// What is looked at, and how it is shown.
#[derive(Debug, clap::Args)]
struct Looking {
    /// The channel's directory
    #[arg(value_name = "DIRECTORY")]
    path: PathBuf,
    /// How it is shown
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// A JSON object
    Json,
}

/// Exit status: 0 done, 1 the channel is damaged, in use or can't be read, 2 there is no such channel or reader.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match carry_out(&arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let missing = matches!(
                error,
                InspectionError::Directory(_)
                    | InspectionError::NoChannel { .. }
                    | InspectionError::NoReader { .. }
            );
            // With its causes.
            eprintln!("weir: {}", Failure::permanent(error));
            if missing { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// Says whether all is well with the channel.
fn carry_out(command: &Command) -> Result<bool, InspectionError> {
    match command {
        Command::Inspect(Looking { path, format }) => {
            show(&inspect(path)?, *format);
            Ok(true)
        }
        Command::Verify(Looking { path, format }) => {
            let verification = verify(path)?;
            show(&verification, *format);
            Ok(verification.damages.is_empty())
        }
        Command::Repair { path, accept_loss } => {
            let repair = if *accept_loss { repair(path)? } else { assess_repair(path)? };
            print(&repair.to_string());
            let asks = !repair.made && !repair.damages.is_empty();
            if asks {
                let path = path.display();
                eprintln!("weir: nothing was changed: `weir channel repair --accept-loss {path}` does it");
            }
            Ok(!asks)
        }
        Command::ForgetReader { path, reader } => {
            print(&forget_reader(path, reader)?.to_string());
            Ok(true)
        }
    }
}

fn show(found: &(impl Display + Serialize), format: Format) {
    match format {
        Format::Human => print(&found.to_string()),
        Format::Json => {
            let json = serde_json::to_string_pretty(found).expect("these have text for keys");
            print(&format!("{json}\n"));
        }
    }
}

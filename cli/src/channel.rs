//! `weir channel`: inspects, verifies and repairs the directory of a file channel. While an agent uses the directory, its
//! lock makes every subcommand fail.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;
use weir_runtime::Failure;
use weir_runtime::channel::file::{InspectionError, assess_repair, forget_reader, inspect, repair, verify};
use weir_runtime::storage::{InvalidKey, Key, Keys};

use crate::MISUSE;
use crate::program::{print, print_error_line};

/// The arguments of `weir channel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the waiting events of a channel, its readers, and the stored position of each source
    Inspect(Inspect),
    /// Read all files of a channel and list the damage
    Verify(Inspect),
    /// Repair a damaged channel: keep the events that can be read, and give up the others
    Repair {
        /// The channel's directory
        #[arg(value_name = "DIRECTORY")]
        path: PathBuf,
        /// Repair the channel; without this option, only show which events a repair would give up
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        key: KeyFile,
    },
    /// Remove a reader from a channel, so that the channel no longer keeps events for it
    ForgetReader {
        /// The channel's directory
        #[arg(value_name = "DIRECTORY")]
        path: PathBuf,
        /// The name of the sink that read the channel, as `weir channel inspect` lists it
        #[arg(value_name = "READER")]
        reader: String,
        #[command(flatten)]
        key: KeyFile,
    },
}

/// The arguments of the subcommands that only read a channel.
#[derive(Debug, clap::Args)]
struct Inspect {
    /// The channel's directory
    #[arg(value_name = "DIRECTORY")]
    path: PathBuf,
    /// The format of the output
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    key: KeyFile,
}

/// The option that names the key file of an encrypted channel.
#[derive(Debug, clap::Args)]
struct KeyFile {
    /// The file with the key of an encrypted channel, in the same form as for the setting `encrypt`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Why a subcommand failed.
#[derive(Debug, Error)]
enum ChannelError {
    #[error(transparent)]
    Inspection(#[from] InspectionError),
    #[error("reading the key in {}", path.display())]
    Reading { path: PathBuf, source: std::io::Error },
    #[error("the key in {}", path.display())]
    InvalidKey { path: PathBuf, source: InvalidKey },
}

impl KeyFile {
    /// Reads the key file; `None` if the option was not given.
    fn keys(&self) -> Result<Option<Keys>, ChannelError> {
        let Some(path) = self.key_file.clone() else { return Ok(None) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ChannelError::Reading { path, source }),
        };
        let key = Key::parse(&text).map_err(|source| ChannelError::InvalidKey { path, source })?;
        Ok(Some(Keys::only(key)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Human,
    /// A JSON object
    Json,
}

/// Runs a subcommand. Exit status: 0 success; 1 the channel is damaged, in use or can't be read; 2 the channel, the
/// reader or the key does not exist.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match carry_out(&arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let missing = matches!(
                error,
                ChannelError::Reading { .. }
                    | ChannelError::InvalidKey { .. }
                    | ChannelError::Inspection(
                        InspectionError::Directory(_)
                            | InspectionError::NoChannel { .. }
                            | InspectionError::NoReader { .. }
                    )
            );
            // A `Failure` displays the error's causes too.
            print_error_line(format_args!("weir: {}", Failure::permanent(error)));
            if missing { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// Runs a subcommand and prints its result. Returns whether the channel is undamaged or was repaired.
fn carry_out(command: &Command) -> Result<bool, ChannelError> {
    match command {
        Command::Inspect(Inspect { path, format, key }) => {
            show(&inspect(path, key.keys()?.as_ref())?, *format);
            Ok(true)
        }
        Command::Verify(Inspect { path, format, key }) => {
            let verification = verify(path, key.keys()?.as_ref())?;
            show(&verification, *format);
            Ok(verification.damages.is_empty())
        }
        Command::Repair { path, accept_loss, key } => {
            let keys = key.keys()?;
            let keys = keys.as_ref();
            let repair = if *accept_loss { repair(path, keys)? } else { assess_repair(path, keys)? };
            print(&repair.to_string());
            let needs_acceptance = !repair.made && !repair.damages.is_empty();
            if needs_acceptance {
                let path = path.display();
                print_error_line(format_args!(
                    "weir: nothing was changed: to repair the channel, run `weir channel repair --accept-loss {path}`"
                ));
            }
            Ok(!needs_acceptance)
        }
        Command::ForgetReader { path, reader, key } => {
            print(&forget_reader(path, key.keys()?.as_ref(), reader)?.to_string());
            Ok(true)
        }
    }
}

fn show(result: &(impl Display + Serialize), format: Format) {
    match format {
        Format::Human => print(&result.to_string()),
        Format::Json => {
            let json = serde_json::to_string_pretty(result).expect("all maps have text keys");
            print(&format!("{json}\n"));
        }
    }
}

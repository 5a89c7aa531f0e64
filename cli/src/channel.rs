//! `weir channel`: what the directory of a file channel holds, and what can be done for it. An agent that uses it
//! keeps all of these out.

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
use crate::program::{print, tell};

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
        #[command(flatten)]
        key: KeyFile,
    },
    /// Keep events no longer for a reader that has gone for good
    ForgetReader {
        /// The channel's directory
        #[arg(value_name = "DIRECTORY")]
        path: PathBuf,
        /// The sink that read it, as `weir channel inspect` lists it
        #[arg(value_name = "READER")]
        reader: String,
        #[command(flatten)]
        key: KeyFile,
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
    #[command(flatten)]
    key: KeyFile,
}

/// Where the key of an encrypted channel is.
#[derive(Debug, clap::Args)]
struct KeyFile {
    /// The file with the key of an encrypted channel, in the form that `encrypt` takes it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Why nothing came of it.
#[derive(Debug, Error)]
enum ChannelError {
    #[error(transparent)]
    Inspection(#[from] InspectionError),
    #[error("reading the key in {}", path.display())]
    Reading { path: PathBuf, source: std::io::Error },
    #[error("the key in {}", path.display())]
    NoKey { path: PathBuf, source: InvalidKey },
}

impl KeyFile {
    fn keys(&self) -> Result<Option<Keys>, ChannelError> {
        let Some(path) = self.key_file.clone() else { return Ok(None) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ChannelError::Reading { path, source }),
        };
        let key = Key::parse(&text).map_err(|source| ChannelError::NoKey { path, source })?;
        Ok(Some(Keys::only(key)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// A JSON object
    Json,
}

/// Exit status: 0 done, 1 the channel is damaged, in use or can't be read, 2 there is no such channel, reader or key.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match carry_out(&arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let missing = matches!(
                error,
                ChannelError::Reading { .. }
                    | ChannelError::NoKey { .. }
                    | ChannelError::Inspection(
                        InspectionError::Directory(_)
                            | InspectionError::NoChannel { .. }
                            | InspectionError::NoReader { .. }
                    )
            );
            // With its causes.
            tell(format_args!("weir: {}", Failure::permanent(error)));
            if missing { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// Says whether all is well with the channel.
fn carry_out(command: &Command) -> Result<bool, ChannelError> {
    match command {
        Command::Inspect(Looking { path, format, key }) => {
            show(&inspect(path, key.keys()?.as_ref())?, *format);
            Ok(true)
        }
        Command::Verify(Looking { path, format, key }) => {
            let verification = verify(path, key.keys()?.as_ref())?;
            show(&verification, *format);
            Ok(verification.damages.is_empty())
        }
        Command::Repair { path, accept_loss, key } => {
            let keys = key.keys()?;
            let keys = keys.as_ref();
            let repair = if *accept_loss { repair(path, keys)? } else { assess_repair(path, keys)? };
            print(&repair.to_string());
            let asks = !repair.made && !repair.damages.is_empty();
            if asks {
                let path = path.display();
                tell(format_args!(
                    "weir: nothing was changed: `weir channel repair --accept-loss {path}` does it"
                ));
            }
            Ok(!asks)
        }
        Command::ForgetReader { path, reader, key } => {
            print(&forget_reader(path, key.keys()?.as_ref(), reader)?.to_string());
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

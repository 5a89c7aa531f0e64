//! `weir ledger`: whether the ledger of a sink `files` knows its files, and what can be done if it does not.

use std::process::ExitCode;

use thiserror::Error;
use weir_runtime::Failure;
use weir_stdlib::{LedgerRepairError, repair_ledger};

use crate::MISUSE;
use crate::program::{print, tell};

/// The arguments of `weir ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Go on with a ledger that has forgotten complete files, or that can't be read: what lies there stays, and what was
    /// forgotten of it may be written twice
    Repair {
        /// The ledger's directory, `.weir/PROGRAM.SINK` within the sink's
        #[arg(value_name = "DIRECTORY")]
        path: String,
        /// Do it; without this, it is only said what was forgotten
        #[arg(long)]
        accept_repeats: bool,
    },
}

/// Why nothing came of it.
#[derive(Debug, Error)]
enum LedgerError {
    #[error(transparent)]
    Repair(#[from] LedgerRepairError),
    #[error("starting")]
    Runtime(#[from] std::io::Error),
}

/// Exit status: 0 it is whole, or was repaired; 1 it is not, or could not be read or written; 2 there is no ledger.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Repair { path, accept_repeats } = &arguments.command;
    match repair(path, *accept_repeats) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tell(format_args!(
                "weir: nothing was changed: `weir ledger repair --accept-repeats {path}` does it"
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            let missing = matches!(error, LedgerError::Repair(LedgerRepairError::NoLedger(_)));
            // With its causes.
            tell(format_args!("weir: {}", Failure::permanent(error)));
            if missing { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// Says whether all is well with the ledger.
fn repair(path: &str, accept_repeats: bool) -> Result<bool, LedgerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let repair = runtime.block_on(repair_ledger(path, accept_repeats))?;
    print(&repair.to_string());
    Ok(repair.made || repair.is_whole())
}

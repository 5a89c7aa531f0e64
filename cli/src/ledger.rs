//! `weir ledger`: checks that the ledger of a sink `files` has an entry for every complete file, and repairs the ledger.

use std::process::ExitCode;

use thiserror::Error;
use weir_runtime::Failure;
use weir_stdlib::{LedgerRepairError, repair_ledger};

use crate::MISUSE;
use crate::program::{print, print_error_line};

/// The arguments of `weir ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Repair a ledger that can't be read or lacks entries for complete files: the files stay, and the sink may write the
    /// events of the missing entries a second time
    Repair {
        /// The ledger's directory: `.weir/PROGRAM.SINK` in the sink's directory
        #[arg(value_name = "DIRECTORY")]
        path: String,
        /// Repair the ledger; without this option, only show which entries are missing
        #[arg(long)]
        accept_repeats: bool,
    },
}

/// Why a repair failed.
#[derive(Debug, Error)]
enum LedgerError {
    #[error(transparent)]
    Repair(#[from] LedgerRepairError),
    #[error("starting")]
    Runtime(#[from] std::io::Error),
}

/// Repairs a ledger. Exit status: 0 the ledger is complete or was repaired; 1 it is incomplete, or could not be read or
/// written; 2 there is no ledger.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Repair { path, accept_repeats } = &arguments.command;
    match repair(path, *accept_repeats) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            print_error_line(format_args!(
                "weir: nothing was changed: to repair the ledger, run `weir ledger repair --accept-repeats {path}`"
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            let missing = matches!(error, LedgerError::Repair(LedgerRepairError::NoLedger(_)));
            // A `Failure` displays the error's causes too.
            print_error_line(format_args!("weir: {}", Failure::permanent(error)));
            if missing { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// Repairs the ledger and prints the result. Returns whether the ledger is complete or was repaired.
fn repair(path: &str, accept_repeats: bool) -> Result<bool, LedgerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let repair = runtime.block_on(repair_ledger(path, accept_repeats))?;
    print(&repair.to_string());
    Ok(repair.made || repair.is_whole())
}

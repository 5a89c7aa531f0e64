//! `weir ledger`: checks that the ledger of a sink `files` or `hdfs` has an entry for every complete file, and repairs the ledger.

use std::process::ExitCode;

use thiserror::Error;
use weir_runtime::Failure;
use weir_stdlib::{LedgerRepair, LedgerRepairError, repair_ledger};

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
        /// The ledger's directory: `.weir/PROGRAM.SINK` in the sink's directory; on HDFS with the sink's `url` before it
        #[arg(value_name = "DIRECTORY")]
        path: String,
        #[command(flatten)]
        access: Access,
        /// Repair the ledger; without this option, only show which entries are missing
        #[arg(long)]
        accept_repeats: bool,
    },
}

/// How HDFS is accessed: the settings of the sink.
#[derive(Debug, clap::Args)]
struct Access {
    /// A folder with core-site.xml and hdfs-site.xml, as the sink's `config`
    #[arg(long, value_name = "FOLDER")]
    config: Option<String>,
    /// The user of HDFS, as the sink's `user`
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The Kerberos principal, as in the sink's `security`
    #[arg(long, value_name = "NAME", requires = "keytab")]
    principal: Option<String>,
    /// The file with the keys of the principal
    #[arg(long, value_name = "FILE", requires = "principal")]
    keytab: Option<String>,
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
    let Command::Repair { path, access, accept_repeats } = &arguments.command;
    match repair(path, access, *accept_repeats) {
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
fn repair(path: &str, access: &Access, accept_repeats: bool) -> Result<bool, LedgerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let repair = match path.contains("://") {
        true => runtime.block_on(on_hdfs(path, access, accept_repeats))?,
        false => runtime.block_on(repair_ledger(path, accept_repeats))?,
    };
    print(&repair.to_string());
    Ok(repair.made || repair.is_whole())
}

#[cfg(feature = "hdfs")]
async fn on_hdfs(
    path: &str,
    access: &Access,
    accept_repeats: bool,
) -> Result<LedgerRepair, LedgerRepairError> {
    let Access { config, user, principal, keytab } = access;
    let kerberos = principal.clone().zip(keytab.clone());
    let access = weir_stdlib::HdfsAccess { config: config.clone(), user: user.clone(), kerberos };
    weir_stdlib::repair_hdfs_ledger(path, access, accept_repeats).await
}

/// A binary without the sink `hdfs` has no ledgers there.
#[cfg(not(feature = "hdfs"))]
async fn on_hdfs(path: &str, _access: &Access, _accept: bool) -> Result<LedgerRepair, LedgerRepairError> {
    Err(LedgerRepairError::NoLedger(path.to_owned()))
}

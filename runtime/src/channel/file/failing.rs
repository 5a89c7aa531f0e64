//! Why a running channel can't go on, and the consequences for its events.

use thiserror::Error;

use super::FileChannel;
use super::engine::reason;
use super::log::{AppendError, GONE};
use crate::environment::storage::Storage;
use crate::failure::Failure;

/// The fault that keeps a channel from going on.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Its directory is not in its place any more.
    Gone,
    /// Any other fault, as a message.
    Other(String),
}

impl Fault {
    pub(super) fn of(error: &AppendError) -> Fault {
        match error {
            AppendError::Gone => Fault::Gone,
            AppendError::Full { .. } | AppendError::Failed { .. } | AppendError::Defect(_) => {
                Fault::Other(reason(error))
            }
        }
    }
}

/// The log of a channel can't be written or read any more.
#[derive(Debug, Error)]
enum LogFailure {
    #[error(
        "{place}: {reason}; what was put is on disk and comes at the next start, `weir channel verify {place}` says whether it is whole"
    )]
    Broken { place: String, reason: String },
    #[error(
        "{place}: {reason}; what was put and not yet delivered is lost with it, unless the directory that was in use comes back to its place"
    )]
    Gone { place: String, reason: String },
}

impl<S: Storage> FileChannel<S> {
    pub(super) fn failure_of(&self, fault: Fault) -> Failure {
        let place = self.options.path.display().to_string();
        let reason = match fault {
            Fault::Gone => return Failure::data_loss(LogFailure::Gone { place, reason: GONE.to_owned() }),
            Fault::Other(reason) => reason,
        };
        let is_there = self.shared.storage.get().is_none_or(|storage| storage.is_there().unwrap_or(true));
        match is_there {
            true => Failure::permanent(LogFailure::Broken { place, reason }),
            false => Failure::data_loss(LogFailure::Gone { place, reason: format!("{GONE}: {reason}") }),
        }
    }
}

//! Failures of components: what went wrong, and whether trying again can help.

use std::error::Error;
use std::{fmt, io};

/// Whether an error of the system is an outage, which may pass by itself, and so is worth another attempt.
/// Everything else stays until somebody changes something.
pub fn is_outage(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), StorageFull | QuotaExceeded | OutOfMemory | Interrupted | TimedOut | WouldBlock)
        // Not stable as kinds: no descriptor is left in the process (EMFILE), in the system (ENFILE).
        || matches!(error.raw_os_error(), Some(23 | 24))
}

/// Why a component stopped before it was told to.
///
/// Components have error enums of their own, which `?` turns into a failure. By default one is
/// transient: the component is started again after a while, from what is not yet acknowledged.
pub struct Failure {
    permanent: bool,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure that a later attempt may not meet: an outage, a full disk, a timeout.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { permanent: false, error: error.into() }
    }

    /// A failure that every attempt would meet, until somebody changes something: it stops the
    /// agent.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { permanent: true, error: error.into() }
    }

    /// Whether trying again is of no use.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::transient(error)
    }
}

/// The error and its causes, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            // Some libraries repeat the cause in the message of what it caused.
            if !text.contains(&reason) {
                text.push_str(": ");
                text.push_str(&reason);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("permanent", &self.permanent).field("error", &self.error).finish()
    }
}

//! Failures of components: the error, and whether another attempt can succeed.

mod cause;
mod system;
mod waits;

use std::error::Error;
use std::{fmt, io};

pub use cause::Cause;
pub use system::{Remedy, SYSTEM_ERRORS, SystemError, is_disk_failure, is_outage, remedy};
pub(crate) use waits::GrowingWaits;

/// Why a component stopped early.
///
/// Components have their own error enums, which `?` turns into a failure. If the cause is an error of the operating
/// system, the table [`SYSTEM_ERRORS`] says whether another attempt can succeed. Every other error is transient unless
/// its component decides otherwise: after a wait, the component runs again with the events that are not yet
/// acknowledged.
pub struct Failure {
    permanent: bool,
    /// Whether events or positions were lost that no restart brings back.
    data_loss: bool,
    /// The cause that the component knows; without it, the system error decides.
    cause: Option<Cause>,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Makes a failure after which a later attempt may succeed, such as an outage, a full disk or a timeout.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { permanent: false, data_loss: false, cause: None, error: error.into() }
    }

    /// Makes a failure that every attempt would meet until an operator changes something. It stops the agent.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { permanent: true, data_loss: false, cause: None, error: error.into() }
    }

    /// Makes a permanent failure that lost events or positions which were safe before: a restart does not redeliver
    /// all of them.
    pub fn data_loss(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { data_loss: true, ..Failure::permanent(error) }
    }

    /// Makes a permanent failure, unless its cause is an outage of the system. For things that the program names and
    /// that have to exist, such as a secret, a certificate or an address.
    pub fn permanent_unless_outage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let error = error.into();
        let permanent = !system_error(&*error).is_some_and(is_outage);
        Failure { permanent, data_loss: false, cause: None, error }
    }

    /// Makes a permanent failure, unless its cause is an outage or a failed disk. For the files that an agent keeps
    /// on disk, and opens when it starts.
    pub fn permanent_unless_disk_failure(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let error = error.into();
        let permanent =
            !system_error(&*error).is_some_and(|error| is_outage(error) || is_disk_failure(error));
        Failure { permanent, data_loss: false, cause: None, error }
    }

    /// Returns the same failure with the cause that the component knows.
    #[must_use]
    pub fn caused_by(self, cause: Cause) -> Failure {
        Failure { cause: Some(cause), ..self }
    }

    /// The cause: what the component knows, or else what the system error says, or [`Cause::Failed`].
    pub fn cause(&self) -> Cause {
        let of_system = || system_error(&*self.error).and_then(Cause::of_system_error);
        self.cause.or_else(of_system).unwrap_or(Cause::Failed)
    }

    /// Whether an agent that meets the failure during its start ends, instead of waiting. It ends if an operator has to
    /// repair something, since the operator is present at a start. It waits for a failed disk, which may come back.
    pub(crate) fn prevents_start(&self) -> bool {
        let cause = system_error(&*self.error);
        let repair =
            cause.is_some_and(|error| remedy(error) == Some(Remedy::Repair) && !is_disk_failure(error));
        self.permanent || repair
    }

    /// Whether the failure lost events or positions.
    pub(crate) fn is_data_loss(&self) -> bool {
        self.data_loss
    }

    /// Whether no further attempt can succeed.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let permanent = system_error(&error).and_then(remedy) == Some(Remedy::None);
        Failure { permanent, data_loss: false, cause: None, error: Box::new(error) }
    }
}

/// Returns the first error of the operating system among an error and its causes.
fn system_error<'error>(error: &'error (dyn Error + 'static)) -> Option<&'error io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        cause = match error.downcast_ref::<io::Error>() {
            // An `io::Error` that only wraps another error has no kind of its own: its inner error decides.
            Some(found) => match found.get_ref() {
                Some(inner) if remedy(found).is_none() => Some(inner),
                _ => return Some(found),
            },
            None => error.source(),
        };
    }
    None
}

/// A failure to reach or to use a system outside of the agent, and the setting that names the system.
#[derive(Debug)]
pub struct ConnectFailure {
    /// The setting that is wrong, such as `brokers`; none if no single one is.
    pub setting: Option<&'static str>,
    /// The failure.
    pub failure: Failure,
}

/// The error and its causes, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            // Some libraries repeat the cause in their own message.
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

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("writing {path}")]
    struct WriteError {
        path: &'static str,
        source: Box<dyn Error + Send + Sync>,
    }

    fn writing(source: impl Into<Box<dyn Error + Send + Sync>>) -> WriteError {
        WriteError { path: "out", source: source.into() }
    }

    #[test]
    fn the_table_decides_by_the_system_error_that_is_the_cause() {
        for (number, retried, permanent_unless_outage) in
            [(Errno::MFILE, true, false), (Errno::IO, true, true), (Errno::INVAL, false, true)]
        {
            let error = || io::Error::from(number);
            let wrapped = || writing(io::Error::other(writing(error())));
            assert_eq!(Failure::from(writing(error())).is_permanent(), !retried, "{number}");
            assert_eq!(Failure::from(wrapped()).is_permanent(), !retried, "{number}");
            assert_eq!(
                Failure::permanent_unless_outage(wrapped()).is_permanent(),
                permanent_unless_outage,
                "{number}"
            );
        }
    }

    #[test]
    fn a_start_waits_only_for_outages_and_for_a_failed_disk() {
        for (number, waits) in [
            (Errno::NOSPC, true),
            (Errno::DQUOT, true),
            (Errno::IO, true),
            (Errno::MFILE, true),
            (Errno::ACCESS, false),
            (Errno::ROFS, false),
            (Errno::INVAL, false),
        ] {
            let error = || writing(io::Error::from(number));
            assert_eq!(Failure::permanent_unless_disk_failure(error()).is_permanent(), !waits, "{number}");
            assert_eq!(Failure::from(error()).prevents_start(), !waits, "{number}");
        }
        assert!(!Failure::from(writing("the peer is gone")).prevents_start());
        assert!(Failure::permanent_unless_disk_failure("the log is damaged").prevents_start());
    }

    #[test]
    fn an_error_that_the_table_does_not_know_is_transient() {
        assert!(!Failure::from(writing("the peer is gone")).is_permanent());
        assert!(!Failure::from(writing(io::Error::other("the peer is gone"))).is_permanent());
        assert!(Failure::permanent_unless_outage(writing("no such secret")).is_permanent());
        assert!(Failure::permanent_unless_outage("no such secret").is_permanent());
    }
}

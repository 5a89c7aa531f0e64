//! How connections to HDFS are protected: not at all, or by Kerberos.
//!
//! The client gets tickets with the keytab whenever it connects and has none that is valid, and keeps them in memory, for
//! each component its own. Tickets are renewed that way for as long as the keytab is valid.

use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use hdfs_native::{ClientBuilder, HdfsError as ClientError};
use serde::Deserialize;
use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::tools::kerberos::NoTicketReason;

/// The threads of the runtime for background tasks of clients with Kerberos.
const KERBEROS_THREADS: usize = 2;

/// The beginning of the client's error when it can't load the Kerberos library.
const LIBRARY_MISSING: &str = "Failed to load libgssapi";

/// The setting `security`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Security {
    /// No protection, whatever the configuration files say.
    Plaintext,
    /// By Kerberos tickets for a principal, whose keys are in a keytab.
    Kerberos { principal: String, keytab: String },
}

/// Why the credentials of `security` can't be used, which only an operator can repair.
#[derive(Debug, Error)]
pub(super) enum SecurityError {
    /// The file can't be opened.
    #[error("`security` has the keytab {keytab}, which can't be read")]
    Keytab { keytab: String, source: io::Error },
    /// The dynamic library of the GSSAPI is not installed.
    #[error(
        "`security` is `kerberos`, and the Kerberos library libgssapi_krb5.so.2 is not installed: it is in Debian's package \
         libgssapi-krb5-2, and in krb5-libs of Red Hat"
    )]
    Library,
    /// The Kerberos library or server does not accept the principal or its key.
    #[error("`security`: no Kerberos ticket for {principal} with the keytab {keytab}: {reason}")]
    Refused { principal: String, keytab: String, reason: String },
    /// The NameNode does not accept the way in which the agent authenticates itself.
    #[error("`security`: the NameNode does not let the agent in: {0}")]
    NotLetIn(String),
}

/// Why there is no ticket at the moment.
#[derive(Debug, Error)]
#[error("no Kerberos ticket for {principal}: {reason}")]
pub(super) struct NoTicket {
    principal: String,
    keytab: String,
    reason: String,
    /// Whether the principal or the keytab is wrong.
    wrong_credentials: bool,
}

impl Security {
    /// Adds the credentials to a client.
    pub(super) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        match self {
            Security::Plaintext => builder,
            Security::Kerberos { principal, keytab } => {
                builder.with_kerberos_principal(principal).with_kerberos_keytab(keytab)
            }
        }
    }

    /// The settings of the client that are written over those of the configuration files. The client only looks whether
    /// data is protected on its way; the DataNodes say how.
    pub(super) fn config(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Security::Plaintext => &[("hadoop.security.authentication", "simple")],
            Security::Kerberos { .. } => {
                &[("hadoop.security.authentication", "kerberos"), ("dfs.data.transfer.protection", "privacy")]
            }
        }
    }

    /// Whether calls need tickets, for which the client waits on the thread that makes the call.
    pub(super) fn blocks(&self) -> bool {
        matches!(self, Security::Kerberos { .. })
    }

    /// The runtime for background tasks of the client: with Kerberos one that all clients share, and that never ends.
    ///
    /// # Errors
    /// When its threads can't be started.
    pub(super) fn background(&self, current: &Handle) -> io::Result<Handle> {
        static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
        if !self.blocks() {
            return Ok(current.clone());
        }
        let mut shared = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*shared {
            return Ok(runtime.handle().clone());
        }
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(KERBEROS_THREADS).thread_name("kerberos").enable_all();
        Ok(shared.insert(builder.build()?).handle().clone())
    }

    /// Checks that the keytab can be read.
    ///
    /// # Errors
    /// When it can't.
    pub(super) fn check_files(&self) -> Result<(), SecurityError> {
        let Security::Kerberos { keytab, .. } = self else { return Ok(()) };
        let opened = File::open(keytab).map(drop);
        opened.map_err(|source| SecurityError::Keytab { keytab: keytab.clone(), source })
    }

    /// Returns why a call of the client got no ticket, if that was the reason of its failure.
    pub(super) fn no_ticket(&self, error: &ClientError) -> Option<NoTicket> {
        let (Security::Kerberos { principal, keytab }, ClientError::GSSAPIError(major, minor, reason)) =
            (self, error)
        else {
            return None;
        };
        let minor = minor.cast_signed();
        let reason = match reason.as_str() {
            "" => &format!("{major:?}, {minor}"),
            reason => reason,
        };
        let NoTicketReason { text: reason, wrong_credentials } = NoTicketReason::of(minor, reason);
        Some(NoTicket { principal: principal.clone(), keytab: keytab.clone(), reason, wrong_credentials })
    }
}

impl NoTicket {
    /// Returns the error that an operator has to repair; none for one that passes.
    pub(super) fn refusal(&self) -> Option<SecurityError> {
        let NoTicket { principal, keytab, reason, wrong_credentials } = self;
        wrong_credentials.then(|| SecurityError::Refused {
            principal: principal.clone(),
            keytab: keytab.clone(),
            reason: reason.clone(),
        })
    }
}

/// Whether the client could not load the Kerberos library.
pub(super) fn lacks_library(error: &ClientError) -> bool {
    matches!(error, ClientError::OperationFailed(text) if text.starts_with(LIBRARY_MISSING))
}

/// A call that may wait for the Kerberos server while it is polled. The other tasks of the thread go on meanwhile.
pub(super) struct MayBlock<F> {
    pub(super) call: F,
    pub(super) blocks: bool,
}

impl<F: Future + Unpin> Future for MayBlock<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let is_worker = || {
            Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
        };
        match self.blocks && is_worker() {
            true => block_in_place(|| Pin::new(&mut self.call).poll(context)),
            false => Pin::new(&mut self.call).poll(context),
        }
    }
}

//! `weir ledger repair` for the ledger of a sink `hdfs`.

use std::sync::Arc;

use weir_runtime::{Failure, Meter};

use super::connection::{Connection, Hdfs, check_endpoint};
use super::file_system::HdfsFiles;
use super::security::Security;
use crate::tools::file_writer::{LedgerRepair, LedgerRepairError, repair};

/// How HDFS is accessed: the settings of a sink `hdfs`.
#[derive(Debug, Clone, Default)]
pub struct HdfsAccess {
    /// The folder with `core-site.xml` and `hdfs-site.xml`.
    pub config: Option<String>,
    /// The user who reads and writes the ledger.
    pub user: Option<String>,
    /// The Kerberos principal and the file with its keys.
    pub kerberos: Option<(String, String)>,
}

/// Does the same as [`repair_ledger`](crate::repair_ledger) for a ledger on HDFS. `place` is the sink's `url`, and behind it the
/// path of `.weir/PROGRAM.SINK`.
///
/// # Errors
/// When there is no ledger, it can't be read or written, or an agent writes it at the same time.
pub async fn repair_hdfs_ledger(
    place: &str,
    access: HdfsAccess,
    accept_repeats: bool,
) -> Result<LedgerRepair, LedgerRepairError> {
    let host = place.find("://").map_or(0, |scheme| scheme + 3);
    let Some(end) = place[host..].find('/') else {
        return Err(LedgerRepairError::NoLedger(place.to_owned()));
    };
    let (url, directory) = place.split_at(host + end);
    let HdfsAccess { config, user, kerberos } = access;
    check_endpoint(url, config.as_deref(), "path").map_err(Failure::permanent)?;
    let security = match kerberos {
        None => Security::Plaintext,
        Some((principal, keytab)) => Security::Kerberos { principal, keytab },
    };
    let hdfs = Hdfs::new(Connection {
        component: "ledger".into(),
        url: url.to_owned(),
        security,
        user,
        config,
        replication: None,
        meter: Arc::new(Meter::default()),
        safe: "nothing was changed",
    });
    hdfs.log_in().await.map_err(Failure::permanent)?;
    repair(Arc::new(HdfsFiles::new(hdfs)), directory, accept_repeats).await
}

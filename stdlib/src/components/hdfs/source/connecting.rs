//! What `weir check --connect` asks for a source: whether the directories are there and can be read, and whether files may be
//! renamed or deleted in them.

use std::path::{Path, PathBuf};

use hdfs_native::HdfsError as ClientError;
use tokio::time::timeout;
use weir_runtime::{Cause, ConnectFailure, Failure};

use crate::components::files::source::seam::{After, PartialMatches, Patterns};
use crate::components::hdfs::connection::{CONNECT_TIMEOUT, Hdfs, HdfsError, is_not_let_in, unless_missing};

/// The most directories, one within the other, that are looked into.
const DEPTH_MAX: usize = 32;

/// A refusal, at the setting that is wrong.
struct Refusal {
    setting: &'static str,
    failure: Failure,
}

/// Asks for each directory in which the patterns begin. Below it, one directory that matches is asked for.
pub(super) async fn connect(hdfs: &Hdfs, patterns: &Patterns, after: &After) -> Vec<ConnectFailure> {
    let at = |setting, failure| ConnectFailure { setting: Some(setting), failure };
    if let Some(failure) = hdfs.login_failure().await {
        return vec![at("security", failure)];
    }
    let mut failures = Vec::new();
    for (root, partial) in patterns.roots() {
        match timeout(CONNECT_TIMEOUT, ask(hdfs, patterns, root, partial, after)).await {
            Ok(Ok(())) => {}
            Ok(Err(Refusal { setting, failure })) => failures.push(at(setting, failure)),
            Err(_elapsed) => {
                let url = &hdfs.connection.url;
                let (cause, what) = hdfs.connection.probe().await;
                let setting = if cause == Cause::NotAuthorised { "security" } else { "url" };
                failures.push(at(setting, Failure::transient(format!("{url} {what}")).caused_by(cause)));
                break;
            }
        }
    }
    failures
}

async fn ask(
    hdfs: &Hdfs,
    patterns: &Patterns,
    mut directory: PathBuf,
    mut partial: PartialMatches,
    after: &After,
) -> Result<(), Refusal> {
    for _ in 0..DEPTH_MAX {
        let names = directories(hdfs, patterns, &directory, &partial).await?;
        let inner = names.into_iter().find_map(|name| {
            let below = patterns.match_name(&partial, name.as_ref()).below;
            (!below.is_empty()).then_some((name, below))
        });
        let Some((name, below)) = inner else { break };
        directory.push(name);
        partial = below;
    }
    if *after == After::Keep {
        return Ok(());
    }
    let tried = hdfs.try_directory(&directory.to_string_lossy()).await;
    tried.map_err(|error| refusal(&directory, error, "after"))
}

/// Returns the names of the directories in a directory. One that needs no listing is only looked for.
async fn directories(
    hdfs: &Hdfs,
    patterns: &Patterns,
    directory: &Path,
    partial: &PartialMatches,
) -> Result<Vec<String>, Refusal> {
    let path = directory.to_string_lossy();
    let refused = |error| refusal(directory, hdfs.connection.explain(error), "paths");
    let client = hdfs.client().map_err(refused)?;
    let statuses = match patterns.needs_listing(partial) {
        true => client.list_status(&path, false).await,
        false => client.get_file_info(&path).await.map(|_| Vec::new()),
    };
    let missing = || HdfsError::Client(ClientError::FileNotFound(path.to_string()));
    let statuses = unless_missing(statuses.map_err(HdfsError::from)).map_err(refused)?;
    let statuses = statuses.ok_or_else(missing).map_err(refused)?;
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    Ok(statuses.iter().filter(|status| status.isdir).filter_map(|status| name(&status.path)).collect())
}

/// Names the directory that is missing or not permitted, at a setting; other errors are those of the servers.
fn refusal(directory: &Path, error: HdfsError, setting: &'static str) -> Refusal {
    let directory = directory.display();
    let failure = match &error {
        HdfsError::Client(ClientError::FileNotFound(_)) => {
            Failure::transient(format!("the directory {directory} does not exist"))
        }
        HdfsError::NoTicket(_) | HdfsError::Security(_) => {
            return Refusal { setting: "security", failure: Failure::from(error) };
        }
        error if is_not_let_in(error) => {
            let what = if setting == "after" {
                "files may not be renamed or deleted"
            } else {
                "nothing may be read"
            };
            Failure::transient(format!("{what} in {directory}: {error}"))
        }
        _ => return Refusal { setting: "url", failure: Failure::from(error) },
    };
    Refusal { setting, failure }
}

//! Makes the source `hdfs` and checks its settings. The source is that of complete files
//! ([`files::source`](crate::components::files::source)) with the file system [`HdfsFileSystem`].

mod connecting;
mod file_system;
mod settling;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use weir_plan::Settings;
use weir_runtime::source::Source;
use weir_runtime::{Context, Failure};

use super::connection::{Connection, EndpointError, Hdfs, HdfsError, check_endpoint};
use super::security::Security;
use crate::components::files::source::{After, CompleteFiles, make_of_complete_files};
use crate::formats::reading::{RecordFormat, RecordRules};
use crate::tools::encoding::TextEncoding;
use crate::tools::lines::LongLine;
use file_system::HdfsFileSystem;

/// The formats that this version reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFormat {
    Lines { max_line: usize, long_lines: LongLine, encoding: TextEncoding },
    SequenceFile { max_record: usize },
    Avro { max_record: usize },
    Parquet { max_record: usize },
}

impl StoredFormat {
    /// Returns the rules for lines, and those for records; the format has one of them.
    fn rules(self) -> (usize, LongLine, TextEncoding, Option<RecordRules>) {
        let records = |format, record_bytes_max| {
            let rules = RecordRules { format, record_bytes_max };
            (record_bytes_max, LongLine::Truncate, TextEncoding::Utf8, Some(rules))
        };
        match self {
            StoredFormat::Lines { max_line, long_lines, encoding } => (max_line, long_lines, encoding, None),
            StoredFormat::SequenceFile { max_record } => records(RecordFormat::SequenceFile, max_record),
            StoredFormat::Avro { max_record } => records(RecordFormat::Avro, max_record),
            StoredFormat::Parquet { max_record } => records(RecordFormat::Parquet, max_record),
        }
    }
}

#[derive(Debug, Deserialize)]
struct HdfsSettings {
    url: String,
    paths: Vec<String>,
    format: StoredFormat,
    after: After,
    settle: Duration,
    positions: Option<PathBuf>,
    poll: Duration,
    batch: usize,
    security: Security,
    user: Option<String>,
    config: Option<String>,
}

/// Why settings can't be used.
#[derive(Debug, Error)]
enum HdfsSourceError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("`paths` has {0}, which does not begin with a slash: HDFS knows absolute paths only")]
    Relative(String),
    #[error("no client for {url}")]
    Client { url: String, source: HdfsError },
}

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    make_of(settings.read().map_err(Failure::permanent)?, false, context)
}

/// Makes a source that leaves no trace: it saves no positions, and leaves each file where it is. It takes each file as it is found,
/// since nobody waits for `settle` to see some of its events.
pub(crate) fn make_untraced(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: HdfsSettings = settings.read().map_err(Failure::permanent)?;
    make_of(HdfsSettings { positions: None, settle: Duration::ZERO, ..settings }, true, context)
}

fn make_of(settings: HdfsSettings, untraced: bool, context: Context) -> Result<Box<dyn Source>, Failure> {
    check(&settings).map_err(Failure::permanent)?;
    let HdfsSettings { paths, format, after, settle, positions, poll, batch, user, config, .. } = settings;
    let ((max_line, long_lines, encoding, records), security) = (format.rules(), settings.security);
    let url = settings.url.trim_end_matches('/').to_string();
    let (component, meter) = (context.component.clone(), context.meter.clone());
    let (replication, safe) = (None, "files stay where they are");
    let hdfs = Hdfs::new(Connection {
        component,
        url: url.clone(),
        security,
        user,
        config,
        replication,
        meter,
        safe,
    });
    hdfs.check().map_err(|source| Failure::permanent(HdfsSourceError::Client { url, source }))?;
    let file_system = Arc::new(HdfsFileSystem::new(hdfs, settle));
    let files = CompleteFiles {
        paths,
        after,
        max_line,
        long_lines,
        encoding,
        records,
        positions,
        poll,
        batch,
        untraced,
    };
    make_of_complete_files(file_system, files, context)
}

fn check(settings: &HdfsSettings) -> Result<(), HdfsSourceError> {
    check_endpoint(&settings.url, settings.config.as_deref(), "paths")?;
    match settings.paths.iter().find(|path| !path.starts_with('/')) {
        Some(relative) => Err(HdfsSourceError::Relative(relative.clone())),
        None => Ok(()),
    }
}

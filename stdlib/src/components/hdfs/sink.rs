//! Makes the sink `hdfs` and checks its settings. The sink is a [`FileSink`](crate::tools::file_writer) with the file
//! system [`HdfsFiles`].

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;
use weir_plan::{Settings, TemplatePart, Value};
use weir_runtime::batch::Batch;
use weir_runtime::sink::Sink;
use weir_runtime::{Context, Failure, Purpose};

use super::connection::{Connection, EndpointError, Hdfs, HdfsError, check_endpoint};
use super::file_system::HdfsFiles;
use super::security::Security;
use crate::tools::file_writer::{self, FileSettings, FileSink};
use crate::tools::template::{Renderer, TemplateError};

/// The names of the settings that only `hdfs` has, beside those of every sink that writes files.
const OWN_SETTINGS: [&str; 5] = ["url", "security", "user", "config", "replication"];

/// The settings that only `hdfs` has.
#[derive(Debug, Deserialize)]
struct HdfsSettings {
    url: String,
    security: Security,
    user: Option<String>,
    config: Option<String>,
    replication: Option<u32>,
}

/// Why settings can't be used.
#[derive(Debug, Error)]
enum HdfsSinkError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("`path` does not begin with a slash: HDFS knows absolute paths only")]
    Relative,
    #[error("`path` writes \"{0}\": HDFS allows no colon in names; write times without, as in %H%M")]
    Colon(String),
    #[error("`path` holds a segment `.` or `..`, which HDFS does not know")]
    Dots,
    #[error("`path`: {0}")]
    Path(#[source] TemplateError),
    #[error("no client for {url}")]
    Client { url: String, source: HdfsError },
}

/// Makes the sink.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    context.descriptors.expect(Purpose::SinkFile);
    let (own, files) = settings.split(&OWN_SETTINGS);
    let files: FileSettings = files.read().map_err(Failure::permanent)?;
    let settings: HdfsSettings = own.read().map_err(Failure::permanent)?;
    check(&settings, &files).map_err(Failure::permanent)?;
    let url = settings.url.trim_end_matches('/').to_string();
    let HdfsSettings { user, config, replication, security, .. } = settings;
    let (component, meter) = (context.component.clone(), context.meter.clone());
    let safe = "events stay in the channel";
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
    hdfs.check().map_err(|source| Failure::permanent(HdfsSinkError::Client { url: url.clone(), source }))?;
    Ok(Box::new(FileSink::new(files, HdfsFiles::new(hdfs), &url, context)?))
}

/// Returns what the sink writes of each event: the directory, and the line.
///
/// # Errors
/// When the events can't be written in the format.
pub(crate) fn writes(settings: &Settings, batch: &Batch) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
    let (_, files) = settings.split(&OWN_SETTINGS);
    file_writer::writes(&files, batch)
}

fn check(settings: &HdfsSettings, files: &FileSettings) -> Result<(), HdfsSinkError> {
    let HdfsSettings { url, config, .. } = settings;
    check_endpoint(url, config.as_deref(), "path")?;
    match files.path.parts.first() {
        Some(TemplatePart::Text(text)) if text.starts_with('/') => {}
        _ => return Err(HdfsSinkError::Relative),
    }
    let path = Renderer::for_path(&files.path, &files.zone, None).map_err(HdfsSinkError::Path)?;
    for text in path.program_texts() {
        if text.contains(':') {
            return Err(HdfsSinkError::Colon(text));
        }
        let inner = format!("{text}/");
        if inner.contains("/../") || inner.contains("/./") {
            return Err(HdfsSinkError::Dots);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use weir_plan::{Hole, HoleFormat, Template};

    use super::*;

    fn text(text: &str) -> TemplatePart {
        TemplatePart::Text(text.to_string())
    }

    fn time(pattern: &str) -> TemplatePart {
        TemplatePart::Hole(Hole { column: "@t".into(), format: HoleFormat::Time(pattern.into()) })
    }

    fn checked(url: &str, config: Option<&str>, parts: Vec<TemplatePart>) -> String {
        let config = config.map(str::to_string);
        let settings = HdfsSettings {
            url: url.into(),
            security: Security::Plaintext,
            user: None,
            config,
            replication: None,
        };
        let files = FileSettings::example(Template { parts });
        check(&settings, &files).map_or_else(|error| error.to_string(), |()| "fine".to_string())
    }

    #[test]
    fn urls_and_paths_that_hdfs_can_not_take_are_refused() {
        let lake = || vec![text("/lake/"), time("%Y/%m/%d")];
        assert_eq!(checked("hdfs://name:8020", None, lake()), "fine");
        assert_eq!(checked("viewfs://cluster/", None, lake()), "fine");
        assert!(checked("http://name:8020", None, lake()).contains("has to begin with hdfs://"));
        assert!(checked("hdfs://", None, lake()).contains("has to begin with hdfs://"));
        assert!(checked("hdfs://name/lake", None, lake()).contains("belongs into `path`"));
        assert!(checked("hdfs://name", Some("/nowhere"), lake()).contains("neither core-site.xml"));
        assert!(checked("hdfs://name", None, vec![text("lake/")]).contains("absolute paths only"));
        assert!(checked("hdfs://name", None, vec![time("%Y")]).contains("absolute paths only"));
        let colon = checked("hdfs://name", None, vec![text("/lake/"), time("%H:%M")]);
        assert!(colon.starts_with("`path` writes \"00:00\""), "{colon}");
        assert!(checked("hdfs://name", None, vec![text("/lake/../x")]).contains("`.` or `..`"));
        assert!(checked("hdfs://name", None, vec![text("/lake/..")]).contains("`.` or `..`"));
    }
}

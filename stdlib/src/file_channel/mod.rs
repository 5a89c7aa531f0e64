//! The channel on disk; the core brings it, this gives it its settings.

mod encryption;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use weir_plan::Settings;
use weir_runtime::channel::{Channel, Compression, FileChannel, FileChannelOptions, Limits};
use weir_runtime::{Context, Failure};

use crate::types::Overflow;
use encryption::Encryption;

#[derive(Deserialize)]
struct FileSettings {
    path: PathBuf,
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
    keep_alive: Duration,
    overflow: Overflow,
    compress: LogCompression,
    encrypt: Option<Encryption>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LogCompression {
    None,
    Lz4,
    Zstd,
}

impl From<LogCompression> for Compression {
    fn from(compress: LogCompression) -> Compression {
        match compress {
            LogCompression::None => Compression::None,
            LogCompression::Lz4 => Compression::Lz4,
            LogCompression::Zstd => Compression::Zstd,
        }
    }
}

/// Makes a file channel. Its directory is touched when the agent starts.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let settings: FileSettings = settings.read().map_err(Failure::permanent)?;
    let FileSettings { path, capacity, transaction_capacity, byte_capacity, keep_alive, .. } = settings;
    let Context { program, component, schema, meter, .. } = context;
    let owner = format!("{program}/{component}");
    let limits = Limits { capacity, transaction_capacity, byte_capacity, keep_alive };
    let options = FileChannelOptions {
        component,
        owner,
        path,
        schema,
        limits,
        overflow: settings.overflow.into(),
        compression: settings.compress.into(),
        meter,
    };
    Ok(match settings.encrypt {
        None => Arc::new(FileChannel::new(options).map_err(Failure::permanent)?),
        Some(encryption) => {
            let keys = encryption.keys().map_err(Failure::permanent)?;
            Arc::new(FileChannel::encrypted(options, keys).map_err(Failure::permanent)?)
        }
    })
}

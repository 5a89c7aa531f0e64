//! The channel `file`: makes the runtime's file channel from its settings.

mod encryption;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use weir_plan::Settings;
use weir_runtime::channel::{Channel, FileChannel, FileChannelOptions, Limits};
use weir_runtime::{Context, Failure};

use crate::formats::codec::{CHANNEL_LOGS, Codec};
use crate::language::types::Overflow;
use encryption::Encryption;

#[derive(Deserialize)]
struct FileSettings {
    path: Option<PathBuf>,
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
    keep_alive: Duration,
    overflow: Overflow,
    compress: Codec,
    encrypt: Option<Encryption>,
}

/// Why a channel without a `path` can't be made.
const NO_PLACE: &str = "it has no `path`, and the agent has no state directory: set `path`, or give the agent a directory by \
     `--state-dir`, WEIR_STATE_DIR or systemd's StateDirectory=";

/// Makes a file channel. Its directory is opened when the agent starts, and not before.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let settings: FileSettings = settings.read().map_err(Failure::permanent)?;
    let FileSettings { path, capacity, transaction_capacity, byte_capacity, keep_alive, .. } = settings;
    let path = path.ok_or_else(|| Failure::permanent(NO_PLACE))?;
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
        compression: CHANNEL_LOGS.of(settings.compress).map_err(Failure::permanent)?,
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

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;

    use super::*;

    #[test]
    fn the_signature_names_the_largest_put() {
        let signature = include_str!("file.flow");
        assert!(signature.contains("takes byte_capacity * 3 / 8") && signature.contains("takes 256MiB"));
        for byte_capacity in [16 << 20, (16 << 20) + 12_345, 512 << 20, 2 << 30, 4 << 30, 64 << 40] {
            let keep_alive = Duration::from_secs(3);
            let limits = Limits { capacity: 1_000, transaction_capacity: 1_000, byte_capacity, keep_alive };
            let options = FileChannelOptions {
                component: "log".into(),
                owner: "test/log".to_owned(),
                path: PathBuf::from("/nowhere"),
                schema: Arc::new(Schema::empty()),
                limits,
                overflow: weir_runtime::channel::Overflow::Wait,
                compression: weir_runtime::channel::Compression::None,
                meter: Arc::default(),
            };
            let taken = FileChannel::new(options).unwrap().limits().byte_capacity;
            let expected = (byte_capacity * 3 / 8).min(256 << 20);
            // Segments are rounded to pages, so a put may be a little larger.
            assert!(
                (expected..expected + (64 << 10)).contains(&taken),
                "{byte_capacity}: {taken}, not {expected}"
            );
        }
    }
}

//! The settings of a file channel, and how the space of its directory is divided.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use thiserror::Error;

use super::compression::Compression;
use super::log::LogSizes;
use super::{columns, segment};
use crate::channel::{Limits, Overflow};
use crate::observability::meter::Meter;

/// The least value of `byte_capacity`, in bytes.
pub const BYTE_CAPACITY_MIN: u64 = 16 << 20;
/// A directory is divided into about this many segments of the largest size.
const SEGMENTS: u64 = 16;
const SEGMENT_BYTES_MAX: u64 = 128 << 20;
/// The size of the first segment and of the first spare. Later ones grow with what is written.
pub(super) const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Segments whose bytes are not for events: the spare, one that is about to be deleted, and the unused ends of
/// others.
const SEGMENTS_IN_RESERVE: u64 = 4;
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// The settings of a file channel.
#[derive(Debug, Clone)]
pub struct FileChannelOptions {
    /// The channel's name, for messages.
    pub component: Arc<str>,
    /// The pipeline that the directory belongs to; the channel refuses a directory of another pipeline.
    pub owner: String,
    /// The channel's directory. It is created if it is missing.
    pub path: PathBuf,
    /// The schema of its events.
    pub schema: SchemaRef,
    /// The limits. `byte_capacity` is what the directory may take on disk.
    pub limits: Limits,
    /// What happens to a put when the channel is full.
    pub overflow: Overflow,
    /// How the columns of puts are compressed.
    pub compression: Compression,
    /// Counts the channel's own events, such as outages.
    pub meter: Arc<Meter>,
}

/// A file channel can't hold a column of the schema.
#[derive(Debug, Error)]
#[error("`{column}` is {data_type}, which this version can't keep in a file")]
pub struct UnsupportedColumn {
    column: String,
    data_type: String,
}

impl FileChannelOptions {
    /// Checks that the channel can hold events of its type.
    pub(super) fn check_schema(&self) -> Result<(), UnsupportedColumn> {
        let Some(column) = columns::unsupported(&self.schema) else {
            return Ok(());
        };
        let field = self.schema.field_with_name(column);
        let data_type = field.map_or_else(|_| String::new(), |field| weir_plan::type_name(field.data_type()));
        Err(UnsupportedColumn { column: column.to_owned(), data_type })
    }

    /// Divides the bytes of the directory. Returns the log's sizes, and the limits that are left for events.
    pub(super) fn divided(&self) -> (LogSizes, Limits) {
        let disk_bytes = self.limits.byte_capacity;
        let segment_bytes = (disk_bytes / SEGMENTS).clamp(segment::PAGE * 16, SEGMENT_BYTES_MAX);
        let segment_bytes = segment_bytes - segment_bytes % segment::PAGE;
        let reserve = SEGMENTS_IN_RESERVE * segment_bytes;
        let byte_capacity = disk_bytes.saturating_sub(reserve).max(segment_bytes);
        let sizes = LogSizes {
            first_segment_bytes: segment_bytes.min(FIRST_SEGMENT_BYTES),
            segment_bytes_max: segment_bytes,
            checkpoint_bytes: CHECKPOINT_BYTES,
        };
        (sizes, Limits { byte_capacity, ..self.limits })
    }
}

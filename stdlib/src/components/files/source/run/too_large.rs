//! Leaves out events that are larger than a channel takes, so that the source can continue.

use std::path::Path;

use arrow_array::BooleanArray;
use tracing::error;
use weir_runtime::batch::Batch;

use super::super::FilesError;
use super::super::text_reader::Chunk;
use super::Run;
use crate::tools::lines::Span;

/// The most events of a batch that are named in the log.
const NAMED_MAX: usize = 3;

/// An event that may be too large for a channel.
pub(super) struct Large {
    row: usize,
    /// Its position in the file.
    position: u64,
    bytes: u32,
}

/// Returns the events of a chunk that may be too large for a channel.
pub(super) fn large(chunk: &Chunk, event_bytes_max: u64) -> Vec<Large> {
    let is_large = |(_, span): &(usize, &Span)| u64::from(span.length) > event_bytes_max / 2;
    let large = chunk.spans.iter().enumerate().filter(is_large);
    large.map(|(row, span)| Large { row, position: chunk.position_of(row), bytes: span.length }).collect()
}

impl Run<'_> {
    /// Returns the batch without the events that are larger than `event_bytes_max`, and logs them.
    pub(super) fn drop_too_large(
        &self,
        batch: Batch,
        large: &[Large],
        event_bytes_max: u64,
        path: &Path,
    ) -> Result<Batch, FilesError> {
        let is_too_large = |event: &&Large| batch.slice(event.row, 1).charged_bytes() > event_bytes_max;
        let too_large: Vec<&Large> = large.iter().filter(is_too_large).collect();
        if too_large.is_empty() {
            return Ok(batch);
        }
        let component = &self.source.component;
        for event in too_large.iter().take(NAMED_MAX) {
            error!(
                component = %component,
                "{}: the event at byte {} of {} bytes is larger than a channel behind takes ({event_bytes_max} \
                 bytes); it is left out, the source goes on",
                path.display(),
                event.position,
                event.bytes
            );
        }
        if too_large.len() > NAMED_MAX {
            let more = too_large.len() - NAMED_MAX;
            error!(component = %component, "{}: {more} more events are too large and left out", path.display());
        }
        self.source.meter.count("events_too_large", too_large.len() as u64);
        let mut keep = vec![true; batch.rows()];
        too_large.iter().for_each(|event| keep[event.row] = false);
        Ok(batch.filter(&BooleanArray::from(keep))?)
    }
}

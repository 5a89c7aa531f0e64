//! Leaves out events that are larger than a channel takes, so that the source can continue.

use std::path::Path;

use arrow_array::BooleanArray;
use tracing::error;
use weir_runtime::batch::Batch;

use super::super::FilesError;
use super::Run;
use crate::tools::lines::Span;

/// The most events of a batch that are named in the log.
const NAMED_MAX: usize = 3;

/// Returns the spans of a chunk that may be too large for a channel, each with its row.
pub(super) fn large(spans: &[Span], event_bytes_max: u64) -> Vec<(usize, Span)> {
    let large = |span: &Span| u64::from(span.length) > event_bytes_max / 2;
    spans.iter().copied().enumerate().filter(|(_, span)| large(span)).collect()
}

impl Run<'_> {
    /// Returns the batch without the events that are larger than `event_bytes_max`, and logs them. `begin` is the
    /// position of the chunk's buffer in the file.
    pub(super) fn drop_too_large(
        &self,
        batch: Batch,
        large: &[(usize, Span)],
        event_bytes_max: u64,
        path: &Path,
        begin: u64,
    ) -> Result<Batch, FilesError> {
        let too_large: Vec<&(usize, Span)> =
            large.iter().filter(|(row, _)| batch.slice(*row, 1).charged_bytes() > event_bytes_max).collect();
        if too_large.is_empty() {
            return Ok(batch);
        }
        let component = &self.source.component;
        for (_, span) in too_large.iter().take(NAMED_MAX) {
            error!(
                component = %component,
                "{}: the event at byte {} of {} bytes is larger than a channel behind takes ({event_bytes_max} \
                 bytes); it is left out, the source goes on",
                path.display(),
                begin + u64::from(span.begin),
                span.length
            );
        }
        if too_large.len() > NAMED_MAX {
            let more = too_large.len() - NAMED_MAX;
            error!(component = %component, "{}: {more} more events are too large and left out", path.display());
        }
        self.source.meter.count("events_too_large", too_large.len() as u64);
        let mut keep = vec![true; batch.rows()];
        too_large.iter().for_each(|(row, _)| keep[*row] = false);
        Ok(batch.filter(&BooleanArray::from(keep))?)
    }
}

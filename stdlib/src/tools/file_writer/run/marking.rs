//! Creates the markers of directories during a run.

use tracing::{debug, warn};

use super::{Done, Run, Setup};
use crate::tools::file_writer::FileSystem;
use crate::tools::file_writer::error::FileError;
use crate::tools::file_writer::markers::{self, Marked, Markers, Unmarked};

impl<F: FileSystem> Run<'_, F> {
    /// Begins to create the next marker that is due.
    pub(super) fn mark(&mut self) {
        if let Some((directory, path)) = self.setup.markers.as_deref_mut().and_then(Markers::take_due) {
            let writer = self.setup.writer.clone();
            self.working.spawn(async move {
                let marked = markers::create(&*writer.file_system, &writer.names, &path).await;
                Done::Marked(directory, marked)
            });
        }
    }

    /// Handles what became of a marker. Events are complete without it, so a failure does not end the run.
    pub(super) fn marked(&mut self, directory: &str, marked: Result<Marked, FileError>) {
        let Setup { component, meter, markers, .. } = &mut self.setup;
        let is_late =
            markers.as_mut().is_some_and(|markers| markers.created(directory, marked.as_ref().ok().copied()));
        match marked {
            Ok(Marked::Created) => {
                meter.count("directories_done", 1);
                debug!(component, directory, "marked a directory as complete");
            }
            Ok(Marked::Before) if is_late => {
                meter.count("directories_done_too_early", 1);
                warn!(
                    component,
                    "{directory} was marked as complete before more events came for it: readers may have missed them; \
                     raise `done.after`, or give each agent a marker with another `name`"
                );
            }
            Ok(Marked::Before | Marked::Waits) => {}
            Err(error) => {
                meter.count("markers_failed", 1);
                warn!(component, "{error}: {}; the marker is created later", error.source);
            }
        }
    }
}

/// Waits for a directory without a marker that the search at the start finds.
pub(super) async fn next_found(markers: &mut Option<&mut Markers>) -> Option<Unmarked> {
    match markers {
        Some(markers) => markers.next_found().await,
        None => std::future::pending().await,
    }
}

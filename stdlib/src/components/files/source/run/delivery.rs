//! Handles deliveries: updates and saves positions, and applies `after` to complete files.

use tokio::time::Instant;
use tracing::{error, warn};
use weir_runtime::source::Delivered;
use weir_runtime::{is_disk_failure, is_outage};

use super::super::identity::{Stamp, State};
use super::super::members::Rest;
use super::super::tracked::{AfterState, FileId, Phase};
use super::super::{After, FileMode, FilesError};
use super::{OUTAGE_RETRY, RETRY, Run};

impl Run<'_> {
    pub(super) async fn deliver(&mut self, delivered: Delivered) -> Result<(), FilesError> {
        self.has_delivered = true;
        for (partition, through) in delivered.positions() {
            if let Some(id) = self.files.deliver(partition, through) {
                self.finish(id).await?;
            }
        }
        self.save_soon();
        Ok(())
    }

    /// Applies `after` to a complete file once all its events are delivered.
    pub(super) async fn finish(&mut self, id: FileId) -> Result<(), FilesError> {
        let Some(file) = self.files.get(id) else { return Ok(()) };
        if file.phase != Phase::Finished || file.end.is_none_or(|end| file.delivered.position() < end) {
            return Ok(());
        }
        let stamp = match file.after {
            AfterState::Done => return Ok(()),
            AfterState::Attempted(stamp) => stamp,
            AfterState::Pending => file.text.as_ref().map_or(file.stamp, |text| text.stamp),
        };
        self.apply_after(id, stamp).await
    }

    pub(super) async fn finish_empty(&mut self, id: FileId, stamp: Stamp) -> Result<(), FilesError> {
        if let Some(file) = self.files.get(id) {
            (file.phase, file.end) = (Phase::Finished, Some(0));
        }
        self.source.meter.count("files_read", 1);
        self.apply_after(id, stamp).await
    }

    /// Keeps, renames or deletes a file. If that fails, the file stays, and is not read again.
    async fn apply_after(&mut self, id: FileId, stamp: Stamp) -> Result<(), FilesError> {
        let FileMode::Complete { after } = self.source.mode.clone() else { return Ok(()) };
        let component = self.source.component.clone();
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let (path, key) = (file.path.clone(), file.key);
        // The bytes behind the last member may be members whose beginnings are damaged.
        if after != After::Keep && file.text.as_ref().is_some_and(|text| text.rest == Rest::Other) {
            file.after = AfterState::Done;
            warn!(
                component = %component,
                "{} is delivered and is neither renamed nor deleted, since bytes that can't be decompressed are behind its lines; \
                 it stays",
                path.display()
            );
            self.source.meter.count("files_not_put_away", 1);
            return Ok(());
        }
        let away = {
            let (file_system, path) = (self.file_system(), path.clone());
            file_system
                .executor()
                .run(move || after.apply(&*file_system, &path, State { key, stamp }))
                .await?
        };
        // A failing disk may be replaced, so it is retried.
        let disk_failed = away.as_ref().is_err_and(is_disk_failure);
        let outage = away.as_ref().is_err_and(is_outage);
        if let Some(file) = self.files.get(id) {
            file.after = if outage || disk_failed { AfterState::Attempted(stamp) } else { AfterState::Done };
        }
        match away {
            Ok(()) => self.source.meter.count("files_delivered", 1),
            Err(error) if outage => {
                warn!(component = %component, "can't rename or delete {}: {error}; it is tried again in {OUTAGE_RETRY:?}", path.display());
                self.try_again_at(id, Instant::now() + OUTAGE_RETRY);
            }
            Err(error) if disk_failed => {
                error!(component = %component, "can't rename or delete {}: {error}; it is tried again in {RETRY:?}", path.display());
                self.try_again_at(id, Instant::now() + RETRY);
            }
            Err(error) => {
                error!(component = %component, "{} is delivered and can't be renamed or deleted: {error}; it stays", path.display());
                self.source.meter.count("files_not_put_away", 1);
            }
        }
        Ok(())
    }
}

//! What is delivered: remembered, saved, and complete files put away.

use tokio::time::Instant;
use tracing::{error, info};
use weir_runtime::source::Delivered;

use super::super::identity::{Stamp, State};
use super::super::tracked::{FileId, Phase};
use super::super::{FileMode, FilesError};
use super::{Run, SAVES_APART, finished};

impl Run<'_> {
    pub(super) async fn deliver(&mut self, delivered: Delivered) -> Result<(), FilesError> {
        self.unsaved = true;
        for (partition, through) in delivered.positions() {
            if let Some(id) = self.files.deliver(partition, through) {
                self.finish(id).await?;
            }
        }
        self.save();
        Ok(())
    }

    /// Does what is wanted with a complete file that is delivered whole.
    pub(super) async fn finish(&mut self, id: FileId) -> Result<(), FilesError> {
        let Some(file) = self.files.get(id) else { return Ok(()) };
        if file.phase != Phase::Finished || file.end.is_none_or(|end| file.delivered < end) {
            return Ok(());
        }
        let stamp = file.text.as_ref().map_or(file.stamp, |text| text.stamp);
        self.put_away(id, stamp).await
    }

    pub(super) async fn finish_empty(&mut self, id: FileId, stamp: Stamp) -> Result<(), FilesError> {
        if let Some(file) = self.files.get(id) {
            (file.phase, file.end) = (Phase::Finished, Some(0));
        }
        self.source.meter.count("files_read", 1);
        self.put_away(id, stamp).await
    }

    /// Keeps, renames or deletes a file. When that fails the file stays, and is known as read.
    async fn put_away(&mut self, id: FileId, stamp: Stamp) -> Result<(), FilesError> {
        let FileMode::Complete { after } = self.source.mode.clone() else { return Ok(()) };
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let (path, key) = (file.path.clone(), file.key);
        let away = {
            let (room, path) = (self.room(), path.clone());
            room.drive().run(move || after.put_away(&*room, &path, State { key, stamp })).await?
        };
        match away {
            Ok(()) => self.source.meter.count("files_delivered", 1),
            Err(error) => {
                let component = &self.source.component;
                error!(component = %component, "{} is delivered and can't be put away: {error}; it stays", path.display());
                self.source.meter.count("files_not_put_away", 1);
            }
        }
        Ok(())
    }

    /// When what was delivered is to be saved next, if something is to be.
    pub(super) fn save_due(&self) -> Option<Instant> {
        let wanted = self.unsaved && self.saving.is_none() && self.source.positions.is_some();
        wanted.then_some(self.next_save)
    }

    /// Saves what was delivered, unless that is under way or was done just now: then afterwards.
    pub(super) fn save(&mut self) {
        let Some(positions) = &self.source.positions else { return };
        if self.save_due().is_some_and(|due| due <= Instant::now()) {
            self.saving_since = Instant::now();
            let (positions, memory) = (positions.clone(), self.files.remember());
            self.unsaved = false;
            self.saving = Some(self.room().drive().begin(move || positions.save(&memory)));
        }
    }

    /// Something was saved.
    pub(super) fn saved(&mut self, saved: Result<(), FilesError>) -> Result<(), FilesError> {
        saved?;
        self.next_save = Instant::now() + SAVES_APART * self.saving_since.elapsed();
        self.save();
        Ok(())
    }

    pub(super) async fn save_the_last(&mut self) -> Result<(), FilesError> {
        if self.saving.is_some() {
            finished(&mut self.saving).await?;
        }
        self.next_save = Instant::now();
        self.save();
        if self.saving.is_some() {
            finished(&mut self.saving).await?;
            info!(component = %self.source.component, "positions are saved");
        }
        Ok(())
    }
}

//! Limits the files that are open at once. Each has a descriptor from the process's budget.

use std::time::Duration;

use weir_runtime::Purpose;

use super::super::tracked::{FileId, Phase, Tracked};
use super::Run;

/// The most files that are open at once. Before another is opened, the least recently used ones are closed.
const OPEN_MAX: usize = 512;
/// After how long a file for which there is no descriptor is queued again.
pub(super) const DESCRIPTOR_RETRY: Duration = Duration::from_millis(100);

impl Run<'_> {
    /// Reserves a descriptor for a file that is about to be opened; closes the least recently used files if there is
    /// none. Returns whether a descriptor is reserved.
    pub(super) fn reserve_descriptor(&mut self, id: FileId) -> bool {
        if self.open.contains_key(&id) {
            return true;
        }
        if self.open.len() >= OPEN_MAX {
            self.close_unused();
        }
        let take = |run: &mut Self| run.source.descriptors.try_take(Purpose::SourceFile);
        let descriptor = take(self).or_else(|| {
            self.close_unused();
            take(self)
        });
        descriptor.map(|descriptor| self.open.insert(id, descriptor)).is_some()
    }

    /// Releases the descriptors of files that were closed.
    pub(super) fn release_closed(&mut self) {
        let files = &self.files;
        self.open.retain(|id, _| files.view(*id).is_some_and(|file| file.content.is_some() || file.queued));
    }

    /// Closes an eighth of the open files: the least recently used ones that may be closed.
    fn close_unused(&mut self) {
        self.release_closed();
        let files = &mut self.files;
        let mut unused: Vec<(u64, FileId)> = self
            .open
            .keys()
            .filter_map(|id| {
                files.view(*id).filter(|file| may_be_closed(file)).map(|file| (file.last_used, *id))
            })
            .collect();
        unused.sort_unstable();
        // Closes several at once, so that this search is rare.
        for (_, id) in unused.into_iter().take(self.open.len() / 8 + 1) {
            self.open.remove(&id);
            if let Some(file) = files.get(id) {
                file.content = None;
            }
        }
    }
}

/// Returns whether closing the file loses no text: it can be opened again, or was read to the end.
fn may_be_closed(file: &Tracked) -> bool {
    let is_read = |length: u64| {
        let text = file.text.as_ref();
        text.is_none_or(|text| {
            text.at_rest && (text.partial_line.is_some() || length <= text.reader.position)
        })
    };
    let state = || file.content.as_ref().and_then(|content| content.state().ok());
    file.gone_since.is_none()
        || file.phase != Phase::Reading
        || state().is_none_or(|state| file.is_compressed() || is_read(state.stamp.length))
}

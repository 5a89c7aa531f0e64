//! Files with which something is wrong.

use tokio::time::Instant;
use tracing::error;

use super::super::tracked::{FileId, Phase};
use super::{LOOKS_APART, RETRY, Run};

impl Run<'_> {
    pub(super) fn set_aside(&mut self, id: FileId, why: &str) {
        let Some(file) = self.files.get(id) else { return };
        (file.phase, file.content) = (Phase::SetAside, None);
        error!(
            component = %self.source.component,
            "{} {why}: it is set aside, what is new in it is not read; the source goes on with others",
            file.path.display()
        );
        self.source.meter.count("files_set_aside", 1);
    }

    /// A file that can't be read is tried again when it changes, or after a while.
    pub(super) fn fail(&mut self, id: FileId, error: &std::io::Error) {
        let Some(file) = self.files.get(id) else { return };
        file.content = None;
        let path = file.path.clone();
        file.failure = Some((error.to_string(), Instant::now()));
        if error.kind() == std::io::ErrorKind::NotFound {
            // It has gone, or has another name now: the next look will say.
            self.next_look = self.next_look.min(Instant::now() + LOOKS_APART);
            if let Some(file) = self.files.get(id) {
                file.failure = None;
            }
            return;
        }
        error!(
            component = %self.source.component,
            "can't read {}: {error}; it is set aside for {RETRY:?}, the source goes on with others",
            path.display()
        );
        self.source.meter.count("files_set_aside", 1);
    }
}

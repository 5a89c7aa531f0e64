//! Quarantines files that have changed or can't be read.

use std::collections::HashSet;
use std::io::{self, ErrorKind};

use tokio::time::Instant;
use tracing::{error, info, warn};
use weir_runtime::{Cause, is_outage};

use super::super::FileMode;
use super::super::tracked::{FileId, Phase, Tracked};
use super::{OUTAGE_RETRY, RETRY, Run, SCAN_PAUSE_MIN};

impl Run<'_> {
    /// Stops reading a complete file for good, since its text has changed at this time.
    pub(super) fn quarantine_changed(&mut self, id: FileId, when: &str) {
        let advice = match self.source.mode {
            FileMode::Complete { .. } if !self.source.rules.follow => {
                " (`mode: follow` reads files that grow)"
            }
            FileMode::Complete { .. } | FileMode::Follow { .. } => "",
        };
        self.quarantine(id, &format!("has changed {when}{advice}"));
    }

    /// Stops reading a file for good, and logs why.
    pub(super) fn quarantine(&mut self, id: FileId, why: &str) {
        let Some(file) = self.files.get(id) else { return };
        (file.phase, file.content) = (Phase::Quarantined, None);
        error!(
            component = %self.source.component,
            "{} {why}: it is set aside, and its new lines are not read; the source continues with other files",
            file.path.display()
        );
        self.source.meter.count("files_set_aside", 1);
        let path = file.path.display().to_string();
        self.report_set_aside(path.clone(), format!("{path} {why}: it is set aside"));
        self.warn_of_waiting_copies(id);
    }

    /// Warns of copies that wait for a quarantined file. Without birth times the source can't tell whether the file was
    /// edited, or is another file with the original's inode, so the user has to decide.
    pub(super) fn warn_of_waiting_copies(&mut self, original: FileId) {
        let copies = self.files.copies_of_quarantined(original);
        let Some(file) = self.files.get(original) else { return };
        let path = file.path.display();
        for copy in copies {
            self.source.meter.count("copies_waiting_for_files_set_aside", 1);
            let Some(more) = self.source.waiting_copies.occurred() else { continue };
            warn!(
                component = %self.source.component,
                "{} is a copy of the text that was read from {path}, which is set aside: the copy is not read as long as \
                 {path} exists. Move {path} to where no pattern of `paths` matches, and the copy is read from where \
                 reading had stopped; to read the present text of {path} as well, put a copy of it (`cp`) in its place{more}",
                copy.display()
            );
        }
    }

    /// Handles a file that can't be read: it is retried when it changes, or after a while.
    pub(super) fn note_failure(&mut self, id: FileId, error: &io::Error) {
        let Some(file) = self.files.get(id) else { return };
        file.content = None;
        if error.kind() == ErrorKind::NotFound {
            // It was removed or renamed, which the next scan finds out.
            file.reset_search();
            self.next_scan = self.next_scan.min(Instant::now() + SCAN_PAUSE_MIN);
            return;
        }
        if !is_outage(error) {
            file.retry_at = Some(Instant::now() + RETRY);
            let component = &self.source.component;
            error!(
                component = %component,
                "can't read {}: {error}; it is set aside for {RETRY:?}, the source goes on with others",
                file.path.display()
            );
            self.source.meter.count("files_set_aside", 1);
            let path = file.path.display().to_string();
            self.report_set_aside(path.clone(), format!("can't read {path}: {error}; it is set aside"));
            return;
        }
        let path = file.path.clone();
        self.try_again_at(id, Instant::now() + OUTAGE_RETRY);
        self.source.meter.count("files_not_read_for_an_outage", 1);
        if !std::mem::replace(&mut self.outage, true) {
            let component = &self.source.component;
            warn!(
                component = %component,
                "can't read {}: {error}; this passes by itself, files are tried again every {OUTAGE_RETRY:?}",
                path.display()
            );
        }
    }

    /// Reports a file that is set aside as a trouble of the source.
    fn report_set_aside(&mut self, path: String, message: String) {
        self.source.meter.report_trouble(&path, Cause::SetAside, message);
        self.source.set_aside.insert(path);
    }

    /// Closes the troubles of files that are gone, or are read again.
    pub(super) fn resolve_set_aside(&mut self) {
        if self.source.set_aside.is_empty() {
            return;
        }
        let is_set_aside = |file: &Tracked| {
            file.gone_since.is_none() && (file.phase == Phase::Quarantined || file.retry_at.is_some())
        };
        let files = self.files.iter().map(|(_, file)| file).filter(|file| is_set_aside(file));
        let still: HashSet<String> = files.map(|file| file.path.display().to_string()).collect();
        let meter = &self.source.meter;
        self.source.set_aside.retain(|path| {
            let is_still = still.contains(path);
            if !is_still {
                meter.resolve_trouble(path);
            }
            is_still
        });
    }

    /// Logs the end of an outage after a file was read.
    pub(super) fn note_recovery(&mut self) {
        if std::mem::replace(&mut self.outage, false) {
            info!(component = %self.source.component, "files can be read again");
        }
    }
}

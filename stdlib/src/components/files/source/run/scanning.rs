//! Scans the directories, and handles changes that the watcher reports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use weir_runtime::batch::Partition;
use weir_runtime::is_outage;
use weir_runtime::source::{DeliveredThrough, Deliveries, Outlet};

use super::super::text::{Progress, Text, open_at_end};
use super::super::tracked::{AfterState, FileId, Phase, Search};
use super::super::watching::Changes;
use super::super::{After, FileMode, FileStart, FilesError};
use super::walk::Walked;
use super::{
    BEGAN, OUTAGE_RETRY, Run, SCAN_PAUSE_FACTOR_UNWATCHED, SCAN_PAUSE_FACTOR_WATCHED, SCAN_PAUSE_MAX,
    SCAN_PAUSE_MIN,
};

/// The extensions that `gzip`, `zstd` and `bzip2` append to the names of the files that they replace.
const COMPRESSED_ENDS: [&str; 3] = ["gz", "zst", "bz2"];

/// How many attempts are made to finish the hidden files that a crash has left; failures by an outage do not count.
const LEFTOVER_ATTEMPTS: usize = 3;

pub(super) fn has_compressed_name(path: &Path) -> bool {
    COMPRESSED_ENDS.iter().any(|end| path.extension().is_some_and(|found| found == *end))
}

impl Run<'_> {
    /// Handles changes that the watcher has reported: queues files that were written to, and scans soon if other paths
    /// have changed.
    pub(super) fn note_changes(&mut self, changes: Changes) {
        let mut unknown = changes.names;
        for path in changes.written {
            match self.files.id_of_path(&path) {
                Some(id) => {
                    if let Some(file) = self.files.get(id) {
                        file.is_unread = true;
                    }
                    self.note_growth(id);
                }
                None => unknown = true,
            }
        }
        if let (true, Some((when, took))) = (unknown, self.scanned) {
            self.next_scan =
                self.next_scan.min(when + (SCAN_PAUSE_FACTOR_UNWATCHED * took).max(SCAN_PAUSE_MIN));
        }
    }

    /// Scans the directories. Growing files are read on meanwhile, but for the first scan.
    pub(super) async fn scan(
        &mut self,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let begin = self.files.begin_walk(self.reads);
        // What is requested during the scan counts when it has ended.
        self.next_scan = Instant::now() + 2 * self.source.poll.max(SCAN_PAUSE_MAX);
        if self.scanned.is_some() && matches!(self.source.mode, FileMode::Follow { .. }) {
            let walk = self.source.discovery.walk();
            self.walk.begin(walk, begin);
            return Ok(());
        }
        let began = Instant::now();
        let mut seen = self.source.discovery.scan().await?;
        if self.scanned.is_none() {
            let directories = seen.directories.iter().map(|directory| directory.path.clone());
            if self.recover_leftovers(directories.collect()).await? {
                seen = self.source.discovery.scan().await?;
            }
        }
        self.handle_found(Walked { seen, begin, took: began.elapsed() }, outlet, deliveries).await
    }

    /// Handles what a walk beside reading has found.
    pub(super) async fn apply(
        &mut self,
        mut walked: Walked,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        self.source.discovery.report(&mut walked.seen);
        self.handle_found(walked, outlet, deliveries).await
    }

    /// Handles new, changed and gone files.
    async fn handle_found(
        &mut self,
        walked: Walked,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let Walked { mut seen, begin, mut took } = walked;
        let now = Instant::now();
        self.unsettled = seen.unsettled;
        let first = self.scanned.is_none();
        // Watches before anything is read, so that no change in between is missed.
        let all_watched = self.watcher.watch(std::mem::take(&mut seen.directories));
        let keeps = !matches!(&self.source.mode, FileMode::Complete { after } if *after != After::Keep);
        let mut changes = self.files.apply_scan(&seen, begin, keeps, now);
        // Originals are identified before their copies, since a copy is recognised by its original.
        changes.sort_by_key(|id| self.files.view(*id).is_some_and(|file| has_compressed_name(&file.path)));
        took += now.elapsed();
        if self.absent_unknown && seen.unscanned.is_empty() {
            self.absent_unknown = false;
            self.files.mark_absent_gone();
        }
        if first {
            self.log_mode(changes.len());
            self.skip_existing_text(&changes, outlet, deliveries).await?;
        }
        for id in changes {
            self.changed(id);
        }
        let rest = Instant::now();
        self.visit_gone_files(now, outlet, deliveries).await?;
        self.release_closed();
        self.files.prune().into_iter().for_each(|id| self.enqueue(id));
        self.resolve_set_aside();
        took += rest.elapsed();
        self.scans += 1;
        if self.files.take_lost_unidentified() {
            self.unidentified_lost_in = self.scans;
        }
        self.scanned = Some((Instant::now(), took));
        self.plan_next_scan(all_watched && seen.all_watchable, took);
        Ok(())
    }

    /// Sets when the next scan begins: earlier if a change was noticed that only a scan explains.
    fn plan_next_scan(&mut self, all_watched: bool, took: Duration) {
        let factor = if all_watched { SCAN_PAUSE_FACTOR_WATCHED } else { SCAN_PAUSE_FACTOR_UNWATCHED };
        let now = Instant::now();
        let soon = now + (SCAN_PAUSE_FACTOR_UNWATCHED * took).max(SCAN_PAUSE_MIN);
        let planned = now + self.source.poll.max((factor * took).min(SCAN_PAUSE_MAX));
        self.next_scan = planned.min(self.next_scan.max(soon));
    }

    /// Logs how many files the first scan has found, and whether they may grow.
    fn log_mode(&self, found: usize) {
        let component = &self.source.component;
        match self.source.mode {
            FileMode::Follow { .. } => {
                info!(component = %component, "follows {found} files and what is written to them (mode: follow)");
            }
            FileMode::Complete { .. } => {
                info!(
                    component = %component,
                    "reads {found} complete files{}",
                    if self.source.rules.follow {
                        ""
                    } else {
                        " (mode: complete); files that are still written to need mode: follow"
                    }
                );
            }
        }
    }

    /// Finishes the hidden files that a crash has left. Returns whether the directories have to be scanned again.
    async fn recover_leftovers(&mut self, directories: Vec<PathBuf>) -> Result<bool, FilesError> {
        let FileMode::Complete { after } = self.source.mode.clone() else { return Ok(false) };
        if after == After::Keep {
            return Ok(false);
        }
        let mut any = false;
        for attempt in 1.. {
            let (after, file_system, directories) = (after.clone(), self.file_system(), directories.clone());
            let ended = file_system.executor().run(move || {
                let all = directories
                    .iter()
                    .flat_map(|directory| after.recover_leftovers(&*file_system, directory));
                all.collect::<Vec<_>>()
            });
            let failed = ended.await?;
            for (path, error) in &failed {
                let component = &self.source.component;
                warn!(component = %component, "can't rename or delete {}, which was delivered before a crash: {error}", path.display());
            }
            any |= !failed.is_empty();
            let outage = failed.iter().any(|(_, error)| is_outage(error));
            if !outage && (failed.is_empty() || attempt >= LEFTOVER_ATTEMPTS) || self.stop.is_cancelled() {
                break;
            }
            sleep(OUTAGE_RETRY).await;
        }
        Ok(any)
    }

    /// If the source has never run and starts at the end of files (`start: end`), skips the text of all existing files.
    async fn skip_existing_text(
        &mut self,
        changes: &[FileId],
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        if !std::mem::replace(&mut self.source.first_run, false) {
            return Ok(());
        }
        if self.source.mode == (FileMode::Follow { start: FileStart::End }) {
            for &id in changes {
                let Some(file) = self.files.get(id) else { continue };
                let (path, key, rules) = (file.path.clone(), file.key, self.source.rules.clone());
                let found = loop {
                    let (path, rules) = (path.clone(), rules.clone());
                    let found =
                        self.file_system().executor().run(move || open_at_end(&path, key, &rules)).await?;
                    match found {
                        // Retries here: if the file was opened later, lines that are written meanwhile would be
                        // skipped.
                        Err(error) if is_outage(&error) && !self.stop.is_cancelled() => {
                            self.note_failure(id, &error);
                            sleep(OUTAGE_RETRY).await;
                        }
                        found => break found,
                    }
                };
                match found {
                    Ok(Some(text)) => self.begin_at_end(id, text, outlet, deliveries).await?,
                    // The file is empty.
                    Ok(None) => {}
                    Err(error) => self.note_failure(id, &error),
                }
            }
            let mark = self.source.batches.mark(Partition::new(BEGAN), 0, 1)?;
            self.put_batch(mark, outlet, deliveries).await?;
        }
        Ok(())
    }

    /// Begins to read a file at its end, and puts that position into the channels.
    async fn begin_at_end(
        &mut self,
        id: FileId,
        mut text: Box<Text>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let position = text.reader.position;
        let partition = (position > 0).then(|| text.name());
        if let Some(file) = self.files.get(id) {
            // The text before its end is never read.
            let delivered = DeliveredThrough::not_wanted_before(position);
            file.begin(text, Progress { delivered, consumed: None });
            file.unconfirmed = true;
        }
        if let Some(partition) = partition {
            self.files.name(id, &partition);
            let mark = self.source.batches.mark(partition, position, position)?;
            self.put_batch(mark, outlet, deliveries).await?;
        }
        self.source.meter.count("files_begun_at_their_end", 1);
        Ok(())
    }

    /// Handles a file that a scan has found to be new or changed.
    pub(super) fn changed(&mut self, id: FileId) {
        let Some(file) = self.files.get(id) else { return };
        match file.phase {
            Phase::New | Phase::Reading => {
                file.retry_at = None;
                self.note_growth(id);
            }
            Phase::Resting => {
                file.phase = Phase::New;
                self.enqueue(id);
            }
            Phase::Finished if file.end.is_some() && self.source.rules.follow => self.read_on(id),
            Phase::Finished if file.end.is_some() => self.quarantine_changed(id, "after it was read"),
            Phase::Finished | Phase::Quarantined => {}
        }
    }
    /// Reads on in a complete file that has grown.
    fn read_on(&mut self, id: FileId) {
        let Some(file) = self.files.get(id) else { return };
        (file.phase, file.end, file.after) = (Phase::Reading, None, AfterState::Pending);
        (file.retry_at, file.search) = (None, Search::Due);
        self.enqueue(id);
    }
}

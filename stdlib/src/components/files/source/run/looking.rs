//! Looking for files, and hearing of them.

use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep};
use tracing::warn;
use weir_runtime::batch::Partition;
use weir_runtime::is_outage;
use weir_runtime::source::{DeliveredThrough, Deliveries, Outlet};

use super::super::text::{Begun, Text, at_its_end};
use super::super::tracked::{FileId, Phase};
use super::super::watching::News;
use super::super::{After, FileMode, FileStart, FilesError};
use super::{BEGAN, LOOKS_APART, LOOKS_APART_MAX, LOOKS_APART_TOLD, LOOKS_APART_UNTOLD, OUTAGE_RETRY, Run};

/// What `gzip`, `zstd` and `bzip2` append to the names of the files that they replace.
const PACKED_ENDS: [&str; 3] = ["gz", "zst", "bz2"];

/// So often it is tried to end what a crash has left of putting files away, where no outage keeps from it.
const LEFTOVER_ATTEMPTS: usize = 3;

pub(super) fn has_packed_name(path: &Path) -> bool {
    PACKED_ENDS.iter().any(|end| path.extension().is_some_and(|found| found == *end))
}

impl Run<'_> {
    pub(super) fn hear(&mut self, news: News) {
        let mut unknown = news.names;
        for path in news.written {
            match self.files.of_path(&path) {
                Some(id) => {
                    if let Some(file) = self.files.get(id) {
                        file.is_unread = true;
                    }
                    self.grown(id);
                }
                None => unknown = true,
            }
        }
        if let (true, Some((when, took))) = (unknown, self.looked) {
            self.next_look = self.next_look.min(when + (LOOKS_APART_UNTOLD * took).max(LOOKS_APART));
        }
    }

    pub(super) async fn look(
        &mut self,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let begin = Instant::now();
        let mut seen = self.source.discovery.look().await?;
        let now = Instant::now();
        let first = self.looked.is_none();
        let directories = seen.directories.iter().map(|directory| directory.path.clone());
        if first && self.end_leftovers(directories.collect()).await? {
            seen = self.source.discovery.look().await?;
        }
        // Before anything is read, so that nothing is missed between.
        let all_watched = self.watcher.watch(std::mem::take(&mut seen.directories));
        let keeps = !matches!(&self.source.mode, FileMode::Complete { after } if *after != After::Keep);
        let mut news = self.files.see(&seen, keeps, now);
        // Originals before their copies: a copy is known by what is known of its original.
        news.sort_by_key(|id| self.files.get(*id).is_some_and(|file| has_packed_name(&file.path)));
        let mut took = begin.elapsed();
        if self.absent_unknown && seen.unlooked.is_empty() {
            self.absent_unknown = false;
            self.files.let_go_of_absent();
        }
        if first {
            self.begin(&news, outlet, deliveries).await?;
        }
        for id in news {
            self.changed(id);
        }
        let rest = Instant::now();
        self.visit_the_gone(now, outlet, deliveries).await?;
        self.forget_closed();
        self.files.prune().into_iter().for_each(|id| self.enqueue(id));
        took += rest.elapsed();
        let apart = if all_watched && seen.all_told { LOOKS_APART_TOLD } else { LOOKS_APART_UNTOLD };
        self.looked = Some((Instant::now(), took));
        self.looks += 1;
        if self.files.has_lost_unknown() {
            self.unknown_lost_in = self.looks;
        }
        self.next_look = Instant::now() + self.source.poll.max((apart * took).min(LOOKS_APART_MAX));
        Ok(())
    }

    /// Ends what a crash has left of putting files away. Gives back whether the directories are to be looked
    /// through again.
    async fn end_leftovers(&mut self, directories: Vec<PathBuf>) -> Result<bool, FilesError> {
        let FileMode::Complete { after } = self.source.mode.clone() else { return Ok(false) };
        if after == After::Keep {
            return Ok(false);
        }
        let mut any = false;
        for attempt in 1.. {
            let (after, room, directories) = (after.clone(), self.room(), directories.clone());
            let ended = room.executor().run(move || {
                let all = directories.iter().flat_map(|directory| after.end_leftovers(&*room, directory));
                all.collect::<Vec<_>>()
            });
            let failed = ended.await?;
            for (path, error) in &failed {
                let component = &self.source.component;
                warn!(component = %component, "what was left of putting {} away: {error}", path.display());
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

    /// In the first run of all, marks the ends of what is there, if only what comes later is wanted.
    async fn begin(
        &mut self,
        news: &[FileId],
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        if !std::mem::replace(&mut self.source.first_run, false) {
            return Ok(());
        }
        if self.source.mode == (FileMode::Follow { start: FileStart::End }) {
            for &id in news {
                let Some(file) = self.files.get(id) else { continue };
                let (path, key, rules) = (file.path.clone(), file.key, self.source.rules.clone());
                let found = loop {
                    let (path, rules) = (path.clone(), rules.clone());
                    let found = self.room().executor().run(move || at_its_end(&path, key, &rules)).await?;
                    match found {
                        // Later, its end would be another one.
                        Err(error) if is_outage(&error) && !self.stop.is_cancelled() => {
                            self.fail(id, &error);
                            sleep(OUTAGE_RETRY).await;
                        }
                        found => break found,
                    }
                };
                match found {
                    Ok(Some(text)) => self.begin_at_its_end(id, text, outlet, deliveries).await?,
                    // There is nothing in it yet.
                    Ok(None) => {}
                    Err(error) => self.fail(id, &error),
                }
            }
            let mark = self.source.batches.mark(Partition::new(BEGAN), 0, 1)?;
            self.put_batch(mark, outlet, deliveries).await?;
        }
        Ok(())
    }

    async fn begin_at_its_end(
        &mut self,
        id: FileId,
        mut text: Box<Text>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let position = text.reading.position;
        let partition = (position > 0).then(|| text.name());
        if let Some(file) = self.files.get(id) {
            // Nothing before its end is wanted.
            let delivered = DeliveredThrough::not_wanted_before(position);
            file.begin(text, Begun { delivered, consumed: None });
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

    /// A look has shown that the file is new, or another than it was.
    pub(super) fn changed(&mut self, id: FileId) {
        let Some(file) = self.files.get(id) else { return };
        match file.phase {
            Phase::New | Phase::Reading => {
                file.retry_at = None;
                self.grown(id);
            }
            Phase::Resting => {
                file.phase = Phase::New;
                self.enqueue(id);
            }
            Phase::Finished if file.end.is_some() => self.set_aside(id, "has changed after it was read"),
            Phase::Finished | Phase::SetAside => {}
        }
    }
}

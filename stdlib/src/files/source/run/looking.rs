//! Looking for files, and hearing of them.

use std::path::Path;

use tokio::time::Instant;
use weir_runtime::batch::Partition;
use weir_runtime::source::{Deliveries, Outlet};

use super::super::text::{Text, at_its_end};
use super::super::tracked::{FileId, Phase};
use super::super::watching::News;
use super::super::{After, FileMode, FileStart, FilesError};
use super::{
    BEGAN, GONE_OPEN, LOOKS_APART, LOOKS_APART_MAX, LOOKS_APART_TOLD, LOOKS_APART_UNTOLD, RETRY, Run,
};

/// What `gzip`, `zstd` and `bzip2` append to the names of the files that they replace.
const PACKED_ENDS: [&str; 3] = ["gz", "zst", "bz2"];

pub(super) fn has_packed_name(path: &Path) -> bool {
    PACKED_ENDS.iter().any(|end| path.extension().is_some_and(|found| found == *end))
}

impl Run<'_> {
    pub(super) fn hear(&mut self, news: News) {
        let mut unknown = news.names;
        for path in news.written {
            match self.files.of_path(&path) {
                Some(id) => self.grown(id),
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
        self.visit_the_gone(now);
        self.files.prune().into_iter().for_each(|id| self.enqueue(id));
        took += rest.elapsed();
        let apart = if all_watched && seen.all_told { LOOKS_APART_TOLD } else { LOOKS_APART_UNTOLD };
        self.looked = Some((Instant::now(), took));
        self.next_look = Instant::now() + self.source.poll.max((apart * took).min(LOOKS_APART_MAX));
        Ok(())
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
                let found = self.room().drive().run(move || at_its_end(&path, key, &rules)).await?;
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
            file.begin(text);
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
                file.failure = None;
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

    /// Files that have gone may still be written to, as long as they are open; and failures are tried again.
    fn visit_the_gone(&mut self, now: Instant) {
        let mut again = Vec::new();
        // What waits for further lines is put before the file is closed.
        let pause = self.source.pause.unwrap_or_default();
        for (id, file) in self.files.iter() {
            if file.failure.as_ref().is_some_and(|(_, when)| now.duration_since(*when) >= RETRY) {
                file.failure = None;
                again.push(id);
            }
            let Some(since) = file.gone_since else { continue };
            let Some(state) = file.content.as_ref().and_then(|content| content.state().ok()) else {
                continue;
            };
            let at_rest = file
                .text
                .as_ref()
                .is_some_and(|text| text.at_rest && text.stamp.length == state.stamp.length);
            if !at_rest && file.phase == Phase::Reading {
                file.gone_since = Some(now);
                again.push(id);
            } else if now.duration_since(since) >= GONE_OPEN + pause || file.phase != Phase::Reading {
                file.content = None;
            }
        }
        again.into_iter().for_each(|id| self.enqueue(id));
    }
}

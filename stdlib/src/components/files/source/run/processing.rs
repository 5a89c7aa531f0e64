//! Processes one file: identifies it, reads the next chunks, and puts their events.

use std::io;
use std::path::PathBuf;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};
use weir_runtime::batch::{Batch, Partition};
use weir_runtime::source::{Deliveries, Outlet};

use super::super::content::Content;
use super::super::text::{Identified, Knowledge, Outcome, Progress, Text, identify};
use super::super::text_reader::Chunk;
use super::super::tracked::{FileId, Phase};
use super::super::{FileMode, FilesError};
use super::descriptors::DESCRIPTOR_RETRY;
use super::scanning::has_compressed_name;
use super::too_large::large;
use super::{COMPRESSED_MAX, ENDS_WITHIN, Run, SCAN_PAUSE_MIN, file_path};
use crate::tools::deadline;
use crate::tools::lines::Ending;

/// The most chunks that are read of one file before the next file is processed.
const CHUNKS_IN_A_ROW_MAX: usize = 16;

/// The result of reading a chunk.
type ReadOutcome = io::Result<(Content, Outcome)>;

impl Run<'_> {
    /// Does the next step for a file, according to its phase.
    pub(super) async fn process(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        self.reads += 1;
        let reads = self.reads;
        let Some(file) = self.files.get(id) else { return Ok(()) };
        (file.queued, file.last_used) = (false, reads);
        let needs_descriptor = file.content.is_none() && matches!(file.phase, Phase::New | Phase::Reading);
        self.held_back.remove(&id);
        if file.retry_at.is_some() {
            return Ok(());
        }
        if needs_descriptor && !self.reserve_descriptor(id) {
            self.enqueue_at(id, Instant::now() + DESCRIPTOR_RETRY);
            return Ok(());
        }
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let (phase, compressed_and_closed) = (file.phase, file.is_compressed() && file.content.is_none());
        match phase {
            Phase::New => self.identify(id).await,
            Phase::Reading if compressed_and_closed && self.compressed_open() >= COMPRESSED_MAX => {
                self.enqueue(id);
                Ok(())
            }
            Phase::Reading => self.read(id, outlet, deliveries).await,
            Phase::Finished => self.finish(id).await,
            Phase::Resting | Phase::Quarantined => Ok(()),
        }
    }

    fn compressed_open(&self) -> usize {
        let files = &self.files;
        let compressed = |id: &&FileId| {
            files.view(**id).is_some_and(|file| file.is_compressed() && file.content.is_some())
        };
        self.open.keys().filter(compressed).count()
    }

    /// Identifies a file; if it is compressed, with the candidates for its original. Returns `None` if the file is
    /// unknown.
    async fn identify_with_candidates(
        &mut self,
        id: FileId,
    ) -> Result<Option<io::Result<Identified>>, FilesError> {
        let follow = matches!(self.source.mode, FileMode::Follow { .. });
        let mut candidates = None;
        loop {
            let (Some(knowledge), Some(file)) = (self.files.knowledge(id), self.files.get(id)) else {
                return Ok(None);
            };
            let (path, rules) = (file.path.clone(), self.source.rules.clone());
            let knowledge = Knowledge { candidates, ..knowledge };
            match self.file_system().executor().run(move || identify(&path, &knowledge, &rules)).await? {
                Ok(Identified::Compressed(beginning)) => {
                    candidates = Some(self.files.candidates(id, &beginning, follow))
                }
                identified => return Ok(Some(identified)),
            }
        }
    }

    /// Identifies a file and begins to read it, or records why it is not read.
    pub(super) async fn identify(&mut self, id: FileId) -> Result<(), FilesError> {
        if let Some(original) = self.files.keep_waiting(id) {
            self.warn_of_waiting_copies(original);
            return Ok(());
        }
        let Some(identified) = self.identify_with_candidates(id).await? else { return Ok(()) };
        let component = self.source.component.clone();
        let (text, content, progress) = match identified {
            Ok(Identified::Text(text, content, progress)) => (text, content, progress),
            Ok(Identified::Restarted(text, content, why)) => {
                self.report_new_beginning(id, why);
                (text, content, Progress::default())
            }
            Ok(Identified::Empty(stamp)) => {
                if matches!(self.source.mode, FileMode::Complete { .. }) {
                    return self.finish_empty(id, stamp).await;
                }
                if let Some(file) = self.files.get(id) {
                    (file.stamp, file.is_empty) = (stamp, true);
                }
                return Ok(());
            }
            Ok(Identified::Incomplete) => {
                self.handle_incomplete(id);
                return Ok(());
            }
            Ok(Identified::Copies(other) | Identified::Replaced(other)) => {
                self.files.wait_for(id, other);
                self.warn_of_waiting_copies(other);
                // The other file may have been replaced without being checked yet.
                self.enqueue(other);
                self.save_soon();
                return Ok(());
            }
            Ok(Identified::Done(partition)) => {
                self.files.mark_copy_done(id, partition);
                self.save_soon();
                return Ok(());
            }
            // The next scan finds the file's new path.
            Ok(Identified::Moved | Identified::Compressed(_)) => return Ok(()),
            Ok(Identified::Undecided) => {
                self.enqueue_at(id, Instant::now() + self.source.poll);
                return Ok(());
            }
            Ok(Identified::Changed) => {
                self.quarantine_changed(id, "after it was read");
                return Ok(());
            }
            Ok(Identified::Packed(packing)) => {
                self.leave_out(id, packing);
                return Ok(());
            }
            Err(error) => {
                self.note_failure(id, &error);
                return Ok(());
            }
        };
        match &text.partition {
            Some(partition) => self.files.name(id, partition),
            None => drop(self.files.detach_earlier(id, None)),
        }
        if let Some(file) = self.files.get(id) {
            debug!(component = %component, path = %file.path.display(), from = text.reader.position, "begins");
            file.begin(text, progress);
            file.content = Some(content);
        }
        self.enqueue(id);
        Ok(())
    }

    /// Handles a compressed file that ends too early. In follow mode, and while its original exists, it may still be
    /// being written.
    fn handle_incomplete(&mut self, id: FileId) {
        if matches!(self.source.mode, FileMode::Follow { .. }) {
            return;
        }
        let path = file_path(&mut self.files, id);
        if has_compressed_name(&path) && self.files.id_of_path(&path.with_extension("")).is_some() {
            self.enqueue_at(id, Instant::now() + self.source.poll);
        } else {
            self.quarantine(id, ENDS_WITHIN);
        }
    }

    /// Reads chunks of a file and puts them. While a chunk is put, the next one is already being read.
    async fn read(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let ending = self.ending(id);
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let Some(text) = file.text.take() else { return Ok(()) };
        let (path, content) = (file.current_path().to_path_buf(), file.content.take());
        let mut reading = self.spawn_read(text, path, content, ending);
        for part in 1.. {
            let (text, read) = reading.await?;
            let Some((chunk, partition, content)) =
                self.note_read(id, text, read, outlet, deliveries).await?
            else {
                return Ok(());
            };
            let goes_on = part < CHUNKS_IN_A_ROW_MAX && !chunk.at_end && Instant::now() < self.next_scan;
            let ending = self.ending(id);
            let Some(file) = self.files.get(id) else { return Ok(()) };
            // The next chunk is read with a copy of the state, which counts only if this chunk is put.
            let next = match file.text.clone() {
                Some(text) if goes_on => {
                    let path = file.current_path().to_path_buf();
                    Some(self.spawn_read(text, path, content, ending))
                }
                _ => {
                    file.content = content;
                    None
                }
            };
            let is_put = self.put(id, chunk, partition, outlet, deliveries).await?;
            match next {
                // A chunk that was read but not put is read again.
                Some(next) if is_put => reading = next,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn spawn_read(
        &self,
        mut text: Box<Text>,
        path: PathBuf,
        content: Option<Content>,
        ending: Ending,
    ) -> JoinHandle<(Box<Text>, ReadOutcome)> {
        let rules = self.source.rules.clone();
        self.file_system().executor().spawn(move || {
            let read = text.read_chunk(&path, content, &rules, ending);
            (text, read)
        })
    }

    /// Handles the result of reading a chunk. Returns the chunk to be put, its partition, and the open file.
    async fn note_read(
        &mut self,
        id: FileId,
        text: Box<Text>,
        read: ReadOutcome,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<Option<(Chunk, Option<Partition>, Option<Content>)>, FilesError> {
        let (content, outcome) = match read {
            Ok((content, Outcome::Rewritten(why))) => {
                if let Some(file) = self.files.get(id) {
                    file.text = Some(text);
                }
                if self.is_other_file(id) || self.awaits_copies(id) {
                    return Ok(None);
                }
                match self.emit_partial_line(id, outlet, deliveries).await? {
                    true => self.handle_rewritten(id, content, why).await?,
                    false => self.enqueue_at(id, Instant::now() + self.source.poll),
                }
                return Ok(None);
            }
            Ok((_, Outcome::Repacked)) => {
                self.identify_again(id);
                return Ok(None);
            }
            Ok((content, outcome)) => {
                self.note_recovery();
                // A compressed file that was read to the end is closed, to free its decoder.
                let done = text.is_compressed() && text.at_rest;
                ((!done).then_some(content), outcome)
            }
            Err(error) => {
                if let Some(file) = self.files.get(id) {
                    file.text = Some(text);
                }
                self.note_failure(id, &error);
                return Ok(None);
            }
        };
        let Some(file) = self.files.get(id) else { return Ok(None) };
        (file.stamp, file.rewritten_since) = (text.stamp, None);
        if let Outcome::Read(Chunk { at_end: true, .. }) = &outcome {
            file.is_unread = false;
        }
        let partition = text.partition.clone();
        if let Outcome::Read(chunk) = &outcome
            && chunk.next > chunk.after
        {
            file.pending_hashes.push(text.reader.hash.current());
        }
        file.text = Some(text);
        match outcome {
            Outcome::Read(chunk) => return Ok(Some((chunk, partition, content))),
            Outcome::Moved => {
                file.content = None;
                file.reset_search();
                self.next_scan = self.next_scan.min(Instant::now() + SCAN_PAUSE_MIN);
            }
            Outcome::Changed | Outcome::Rewritten(_) => match self.source.mode {
                FileMode::Complete { .. } => self.quarantine_changed(id, "while it was read"),
                FileMode::Follow { .. } => self.quarantine(id, "was changed in place"),
            },
            Outcome::Incomplete => self.quarantine(id, ENDS_WITHIN),
            Outcome::Repacked => {}
        }
        Ok(None)
    }

    fn report_new_beginning(&mut self, id: FileId, why: &str) {
        let (path, component) = (file_path(&mut self.files, id), &self.source.component);
        warn!(component = %component, "{} is read from its beginning: {why}", path.display());
        self.source.meter.count("files_begun_anew", 1);
    }

    /// Queues a file of which nothing was put to be identified again.
    fn identify_again(&mut self, id: FileId) {
        if let Some(file) = self.files.get(id) {
            file.phase = Phase::New;
        }
        self.enqueue(id);
    }

    /// Restarts a file that now holds another text.
    async fn handle_rewritten(&mut self, id: FileId, content: Content, why: &str) -> Result<(), FilesError> {
        let text = self.files.get(id).and_then(|file| file.text.take());
        let Some(text) = text else { return Ok(()) };
        let (text, restarted) = self
            .file_system()
            .executor()
            .run(move || {
                let restarted = text.restart(content);
                (text, restarted)
            })
            .await?;
        if let Some(file) = self.files.get(id) {
            file.text = Some(text);
        }
        match restarted {
            Ok(restarted) => self.restart_file(id, restarted, why),
            Err(error) => self.note_failure(id, &error),
        }
        Ok(())
    }

    /// Returns whether a file's text is complete, pauses, or may grow.
    fn ending(&mut self, id: FileId) -> Ending {
        if matches!(self.source.mode, FileMode::Complete { .. }) {
            return Ending::End;
        }
        if self.files.get(id).is_some_and(|file| file.finishes_partial_line) {
            return Ending::End;
        }
        let pending = self.files.get(id).and_then(|file| file.pending);
        match (pending, self.source.pause) {
            (Some((_, since)), Some(pause)) if since.elapsed() >= pause => Ending::Pause,
            _ => Ending::Open,
        }
    }

    fn restart_file(&mut self, id: FileId, restarted: Option<(Text, Content)>, why: &str) {
        let path = file_path(&mut self.files, id);
        warn!(
            component = %self.source.component,
            "{} is read from its beginning: {why}; what was written since it was read last is lost",
            path.display()
        );
        self.source.meter.count("files_begun_anew", 1);
        if let Some(new) = self.files.restart(id, Instant::now()) {
            if let (Some(file), Some((text, content))) = (self.files.get(new), restarted) {
                file.begin(Box::new(text), Progress::default());
                file.content = Some(content);
                // The restarted file uses the same open file.
                if let Some(descriptor) = self.open.remove(&id) {
                    self.open.insert(new, descriptor);
                }
            }
            self.enqueue(new);
        }
    }

    /// Puts a chunk, and schedules the file's next step. Returns whether the chunk was put.
    pub(super) async fn put(
        &mut self,
        id: FileId,
        chunk: Chunk,
        partition: Option<Partition>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<bool, FilesError> {
        let (at_end, next, seen) = (chunk.at_end, chunk.next, chunk.seen);
        let Some(file) = self.files.get(id) else { return Ok(false) };
        let path = file.path.clone();
        self.report_oddities(&chunk, &path);
        self.schedule(id, at_end, next, seen);
        let mut is_put = true;
        if let Some(partition) = partition
            && chunk.next > chunk.after
        {
            self.files.name(id, &partition);
            let most = outlet.event_bytes_max();
            let large = large(&chunk, most);
            let batch = self.source.batches.of(chunk, &path, &partition)?;
            let batch = match large.is_empty() {
                true => batch,
                false => self.drop_too_large(batch, &large, most, &path)?,
            };
            is_put = self.put_batch(batch, outlet, deliveries).await?;
        }
        if at_end && matches!(self.source.mode, FileMode::Complete { .. }) {
            self.source.meter.count("files_read", 1);
            if let Some(file) = self.files.get(id) {
                (file.phase, file.end, file.content) = (Phase::Finished, Some(next), None);
            }
            self.finish(id).await?;
        }
        Ok(is_put)
    }

    fn schedule(&mut self, id: FileId, at_end: bool, next: u64, seen: u64) {
        let waits = self.source.pause.filter(|_| at_end && seen > next);
        let Some(file) = self.files.get(id) else { return };
        match waits {
            Some(pause) => {
                let (_, since) =
                    file.pending.filter(|(before, _)| *before == seen).unwrap_or((seen, Instant::now()));
                file.pending = Some((seen, since));
                // Text that still waits after the pause is a partial line.
                if since.elapsed() < pause {
                    self.enqueue_at(id, since + pause);
                    self.held_back.insert(id);
                }
            }
            None => file.pending = None,
        }
        if !at_end {
            self.enqueue(id);
        }
    }

    /// Puts a batch, and handles deliveries meanwhile, so that a full channel delays nothing else. Returns false if the
    /// source was stopped before the batch was put.
    pub(super) async fn put_batch(
        &mut self,
        batch: Batch,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<bool, FilesError> {
        let stop = self.stop.clone();
        let mut put = std::pin::pin!(outlet.put(batch));
        loop {
            let save = self.save_due();
            tokio::select! {
                biased;
                done = &mut put => return Ok(done.map(|()| true)?),
                // The next run reads the batch again.
                () = stop.cancelled() => return Ok(false),
                Some(delivered) = deliveries.next() => self.deliver(delivered).await?,
                saved = self.saves.finished() => self.saved(saved)?,
                () = deadline::reached(save) => self.save(),
            }
        }
    }
}

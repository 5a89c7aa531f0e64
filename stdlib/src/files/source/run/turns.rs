//! Turns: a file is identified, read on, and what comes of it is put.

use std::io;

use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{debug, warn};
use weir_runtime::batch::{Batch, Partition};
use weir_runtime::source::{Deliveries, Outlet};

use super::super::content::Content;
use super::super::reading::Chunk;
use super::super::text::{Identified, Knowledge, Outcome, Text, identify};
use super::super::tracked::{FileId, Phase};
use super::super::{FileMode, FilesError};
use super::looking::has_packed_name;
use super::{ENDS_WITHIN, LOOKS_APART, OPEN_MAX, PACKED_MAX, Run, file_path, finished};
use crate::lines::Ending;

impl Run<'_> {
    /// Reads what makes one batch, and puts it.
    pub(super) async fn turn(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        self.turns += 1;
        let turns = self.turns;
        let Some(file) = self.files.get(id) else { return Ok(()) };
        (file.queued, file.used) = (false, turns);
        if file.failure.is_some() {
            return Ok(());
        }
        let (phase, packed_and_closed) = (file.phase, file.is_packed() && file.content.is_none());
        match phase {
            Phase::New => self.identify(id).await,
            Phase::Reading if packed_and_closed && self.packed_open() >= PACKED_MAX => {
                self.enqueue(id);
                Ok(())
            }
            Phase::Reading => self.read(id, outlet, deliveries).await,
            Phase::Resting | Phase::Finished | Phase::SetAside => Ok(()),
        }
    }

    fn packed_open(&mut self) -> usize {
        let files = &mut self.files;
        let packed =
            |id: &&FileId| files.get(**id).is_some_and(|file| file.is_packed() && file.content.is_some());
        self.open.iter().filter(packed).count()
    }

    /// Looks into a file; if it is packed, at what it may be a copy of as well.
    async fn look_into(&mut self, id: FileId) -> Result<Option<io::Result<Identified>>, FilesError> {
        let follow = matches!(self.source.mode, FileMode::Follow { .. });
        let mut kin = None;
        loop {
            let (Some(knowledge), Some(file)) = (self.files.knowledge(id), self.files.get(id)) else {
                return Ok(None);
            };
            let (path, rules) = (file.path.clone(), self.source.rules.clone());
            let knowledge = Knowledge { kin, ..knowledge };
            match spawn_blocking(move || identify(&path, &knowledge, &rules)).await? {
                Ok(Identified::Packed(beginning)) => kin = Some(self.files.kin(id, &beginning, follow)),
                identified => return Ok(Some(identified)),
            }
        }
    }

    /// Finds out what a file is.
    async fn identify(&mut self, id: FileId) -> Result<(), FilesError> {
        if self.files.keeps_waiting(id) {
            return Ok(());
        }
        let Some(identified) = self.look_into(id).await? else { return Ok(()) };
        let component = self.source.component.clone();
        let (text, content) = match identified {
            Ok(Identified::Text(text, content)) => (text, content),
            Ok(Identified::Anew(text, content, why)) => {
                let path = file_path(&mut self.files, id);
                warn!(component = %component, "{} is read from its beginning: {why}", path.display());
                self.source.meter.count("files_begun_anew", 1);
                (text, content)
            }
            Ok(Identified::Empty(stamp)) => {
                return match &self.source.mode {
                    FileMode::Complete { .. } => self.finish_empty(id, stamp).await,
                    FileMode::Follow { .. } => Ok(()),
                };
            }
            Ok(Identified::Torn) => {
                self.ends_too_early(id);
                return Ok(());
            }
            Ok(Identified::Copies(other)) => {
                self.files.wait(id, other);
                self.unsaved = true;
                self.save();
                return Ok(());
            }
            Ok(Identified::Done(partition)) => {
                self.files.is_done(id, partition);
                self.unsaved = true;
                self.save();
                return Ok(());
            }
            // The next look finds out where they are now, and the copy when the other is done.
            Ok(Identified::Moved | Identified::Packed(_)) => return Ok(()),
            Ok(Identified::Undecided) => {
                self.enqueue_at(id, Instant::now() + self.source.poll);
                return Ok(());
            }
            Ok(Identified::Changed) => {
                self.set_aside(id, "has changed after it was read");
                return Ok(());
            }
            Err(error) => {
                self.fail(id, &error);
                return Ok(());
            }
        };
        if let Some(partition) = &text.partition {
            self.files.name(id, partition);
        }
        self.make_room(id);
        if let Some(file) = self.files.get(id) {
            debug!(component = %component, path = %file.path.display(), from = text.reading.position, "begins");
            file.begin(text);
            file.content = Some(content);
        }
        self.enqueue(id);
        Ok(())
    }

    /// A packed file that grows may become whole, and so may one that is being made of another.
    fn ends_too_early(&mut self, id: FileId) {
        if matches!(self.source.mode, FileMode::Follow { .. }) {
            return;
        }
        let path = file_path(&mut self.files, id);
        if has_packed_name(&path) && self.files.of_path(&path.with_extension("")).is_some() {
            self.enqueue_at(id, Instant::now() + self.source.poll);
        } else {
            self.set_aside(id, ENDS_WITHIN);
        }
    }

    /// The file is about to be opened: closes those that were unused for longest, if too many are.
    pub(super) fn make_room(&mut self, id: FileId) {
        if self.open.len() >= OPEN_MAX {
            let files = &mut self.files;
            self.open.retain(|id| files.get(*id).is_some_and(|file| file.content.is_some()));
            let mut open: Vec<(u64, FileId)> =
                self.open.iter().filter_map(|id| files.get(*id).map(|file| (file.used, *id))).collect();
            open.sort_unstable();
            // Several at once, so that it is seldom looked for.
            let surplus = (open.len() + OPEN_MAX / 8).saturating_sub(OPEN_MAX);
            for (_, id) in open.into_iter().take(surplus) {
                self.open.remove(&id);
                if let Some(file) = files.get(id) {
                    file.content = None;
                }
            }
        }
        self.open.insert(id);
    }

    async fn read(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let ending = self.ending(id);
        let needs_room = self.files.get(id).is_some_and(|file| file.content.is_none());
        if needs_room {
            self.make_room(id);
        }
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let Some(mut text) = file.text.take() else { return Ok(()) };
        let (path, content, rules) = (file.path.clone(), file.content.take(), self.source.rules.clone());
        let read = spawn_blocking(move || {
            let read = text.turn(&path, content, &rules, ending);
            (text, read)
        });
        let (text, read) = read.await?;
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let outcome = match read {
            Ok((content, Outcome::Rewritten(why))) => {
                return self.rewritten(id, text, content, why).await;
            }
            Ok((content, outcome)) => {
                // Of a packed text that is read, nothing is kept but where it ends.
                let done = text.is_packed() && text.at_rest;
                file.content = (!done).then_some(content);
                outcome
            }
            Err(error) => {
                file.text = Some(text);
                self.fail(id, &error);
                return Ok(());
            }
        };
        file.stamp = text.stamp;
        let partition = text.partition.clone();
        if let Outcome::Read(chunk) = &outcome
            && chunk.next > chunk.after
        {
            file.marks.push(text.reading.running.so_far());
        }
        file.text = Some(text);
        match outcome {
            Outcome::Read(chunk) => return self.put(id, chunk, partition, outlet, deliveries).await,
            Outcome::Moved => {
                file.content = None;
                self.next_look = self.next_look.min(Instant::now() + LOOKS_APART);
            }
            Outcome::Changed | Outcome::Rewritten(_) => {
                let complete = matches!(self.source.mode, FileMode::Complete { .. });
                self.set_aside(
                    id,
                    if complete { "has changed while it was read" } else { "was changed in place" },
                );
            }
            Outcome::Torn => self.set_aside(id, ENDS_WITHIN),
        }
        Ok(())
    }

    /// What was read of the file is not there any more.
    async fn rewritten(
        &mut self,
        id: FileId,
        text: Box<Text>,
        mut content: Content,
        why: &str,
    ) -> Result<(), FilesError> {
        let anew = spawn_blocking(move || text.anew(&mut content).map(|anew| (text, anew, content)));
        match anew.await? {
            Ok((text, anew, content)) => {
                if let Some(file) = self.files.get(id) {
                    file.text = Some(text);
                }
                self.begin_anew(id, anew, content, why);
            }
            Err(error) => self.fail(id, &error),
        }
        Ok(())
    }

    /// What follows the text of a file, as far as is known.
    fn ending(&mut self, id: FileId) -> Ending {
        if matches!(self.source.mode, FileMode::Complete { .. }) {
            return Ending::End;
        }
        let pending = self.files.get(id).and_then(|file| file.pending);
        match (pending, self.source.pause) {
            (Some((_, since)), Some(pause)) if since.elapsed() >= pause => Ending::Pause,
            _ => Ending::Open,
        }
    }

    fn begin_anew(&mut self, id: FileId, text: Text, content: Content, why: &str) {
        let path = file_path(&mut self.files, id);
        warn!(
            component = %self.source.component,
            "{} is read from its beginning: {why}; what was written before that and not read is lost",
            path.display()
        );
        self.source.meter.count("files_begun_anew", 1);
        if let Some(new) = self.files.renew(id, Instant::now()) {
            if let Some(file) = self.files.get(new) {
                file.begin(Box::new(text));
                file.content = Some(content);
            }
            self.make_room(new);
            self.enqueue(new);
        }
    }

    /// Puts what a turn has brought, and says when the file's next turn is.
    async fn put(
        &mut self,
        id: FileId,
        chunk: Chunk,
        partition: Option<Partition>,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let (at_end, next, seen) = (chunk.at_end, chunk.next, chunk.seen);
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let path = file.path.clone();
        if chunk.too_long > 0 {
            self.source.meter.count("long_lines", chunk.too_long);
            let (count, bound) = (chunk.too_long, self.source.rules.lines.line_bytes_max);
            warn!(component = %self.source.component, "{count} lines of {} are longer than {bound} bytes", path.display());
        }
        self.schedule(id, at_end, next, seen);
        if let Some(partition) = partition
            && chunk.next > chunk.after
        {
            self.files.name(id, &partition);
            let batch = self.source.batches.of(chunk, &path, &partition)?;
            self.put_batch(batch, outlet, deliveries).await?;
        }
        if at_end && matches!(self.source.mode, FileMode::Complete { .. }) {
            self.source.meter.count("files_read", 1);
            if let Some(file) = self.files.get(id) {
                (file.phase, file.end, file.content) = (Phase::Finished, Some(next), None);
            }
            self.finish(id).await?;
        }
        Ok(())
    }

    fn schedule(&mut self, id: FileId, at_end: bool, next: u64, seen: u64) {
        let waits = self.source.pause.filter(|_| at_end && seen > next);
        let Some(file) = self.files.get(id) else { return };
        match waits {
            Some(pause) => {
                let (_, since) =
                    file.pending.filter(|(before, _)| *before == seen).unwrap_or((seen, Instant::now()));
                file.pending = Some((seen, since));
                // What still waits after that is a line without its end.
                if since.elapsed() < pause {
                    self.enqueue_at(id, since + pause);
                }
            }
            None => file.pending = None,
        }
        if !at_end {
            self.enqueue(id);
        }
    }

    /// Puts a batch, and meanwhile takes note of what is delivered: a full channel holds up nothing else.
    pub(super) async fn put_batch(
        &mut self,
        batch: Batch,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let stop = self.stop.clone();
        let mut put = std::pin::pin!(outlet.put(batch));
        loop {
            tokio::select! {
                biased;
                done = &mut put => return Ok(done?),
                // What is not put is read again in the next run.
                () = stop.cancelled() => return Ok(()),
                Some(delivered) = deliveries.next() => self.deliver(delivered).await?,
                saved = finished(&mut self.saving) => {
                    saved?;
                    self.save();
                }
            }
        }
    }
}

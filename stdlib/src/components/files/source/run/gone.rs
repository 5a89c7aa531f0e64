//! Handles files that are gone: reads them to the end, and emits their last lines even without a line end.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_runtime::source::{Deliveries, Outlet};

use super::super::content::Content;
use super::super::file_system::FileSystem;
use super::super::identity::Key;
use super::super::text_hash::TextHash;
use super::super::tracked::{FileId, Phase, SCANS_TO_FIND_ALL, Search, Tracked};
use super::super::{FileMode, FilesError};
use super::scanning::has_compressed_name;
use super::search::{is_closed, needs_search};
use super::{GONE_OPEN_FOR, OUTAGE_RETRY, REPLACED_WAIT, Run};

impl Run<'_> {
    /// Checks files that are gone, since a process may have them open and still write; and retries failed files.
    pub(super) async fn visit_gone_files(
        &mut self,
        now: Instant,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let is_due = |file: &Tracked| file.retry_at.is_some_and(|when| when <= now);
        let visited = self.files.iter().filter(|(_, file)| file.gone_since.is_some() || is_due(file));
        let visited: Vec<FileId> = visited.map(|(id, _)| id).collect();
        if visited.is_empty() {
            return Ok(());
        }
        self.search_gone_files(&visited).await?;
        let (mut again, mut closed) = (Vec::new(), Vec::new());
        // A copy that is not identified yet may contain the complete last line.
        let replaced = match self.files.may_have_a_copy(None) {
            true => HashSet::new(),
            false => self.replaced(&visited),
        };
        // An event that waits for further lines is put before the file is closed.
        let pause = self.source.pause.unwrap_or_default();
        for id in visited {
            let Some(file) = self.files.get(id) else { continue };
            if is_due(file) {
                file.retry_at = None;
                again.push(id);
            }
            let Some(since) = file.gone_since else { continue };
            let rested = now.duration_since(since);
            let is_over = rested >= GONE_OPEN_FOR + pause || file.phase != Phase::Reading;
            // Text that is appended to the partial line later becomes a line of its own.
            let finishes = is_over || replaced.contains(&id) && rested >= REPLACED_WAIT + pause;
            let Some(state) = file.content.as_ref().and_then(|content| content.state().ok()) else {
                let is_queued = file.queued || file.due.is_some();
                if finishes && file.has_partial_line() && !is_queued {
                    closed.push(id);
                }
                continue;
            };
            let text = file.text.as_ref();
            let at_rest = text.is_some_and(|text| text.at_rest && text.stamp.length == state.stamp.length);
            let is_read =
                text.is_none_or(|text| text.is_compressed() || state.stamp.length <= text.reader.position);
            if !at_rest && file.phase == Phase::Reading {
                (file.gone_since, file.finishes_partial_line) = (Some(now), false);
                again.push(id);
            } else if finishes && !is_read && file.phase == Phase::Reading && !file.finishes_partial_line {
                file.finishes_partial_line = true;
                again.push(id);
            } else if is_over && !file.queued {
                (file.content, file.search) = (None, Search::Over);
            }
        }
        again.into_iter().for_each(|id| self.enqueue(id));
        for id in closed {
            // If it can't be decided now, the next scan tries again.
            self.emit_partial_line(id, outlet, deliveries).await?;
        }
        Ok(())
    }

    /// Returns whether a rewritten file has to wait before it is restarted: it has a partial line, and a compressed
    /// copy that has the complete line may not be identified yet.
    pub(super) fn awaits_copies(&mut self, id: FileId) -> bool {
        let (now, scans, unidentified_lost_in) = (Instant::now(), self.scans, self.unidentified_lost_in);
        let walks = self.walk.is_under_way();
        let may_have_a_copy = self.files.may_have_a_copy(Some(id));
        let Some(file) = self.files.get(id).filter(|file| file.has_partial_line()) else { return false };
        // A walk that is under way may have passed the copy already.
        let (since, scans_before) = *file.rewritten_since.get_or_insert((now, scans + u64::from(walks)));
        let is_searched_for = scans.saturating_sub(scans_before.max(unidentified_lost_in))
            >= SCANS_TO_FIND_ALL
            || weir_runtime::put_back!("copies_looked_for_once");
        let is_known = is_searched_for && !may_have_a_copy || now.duration_since(since) >= GONE_OPEN_FOR;
        if weir_runtime::put_back!("rests_handed_on_before_copies") || is_known {
            return false;
        }
        self.enqueue_at(id, now + self.source.poll);
        true
    }

    /// Returns whether a compressed copy contains this file's partial line; `None` if a copy can't be read now. The copy
    /// may wait for this file, or for another one with the same text, or may already be read.
    async fn partial_line_is_in_a_copy(&mut self, id: FileId) -> Result<Option<bool>, FilesError> {
        let copies = self.files.holders_of_partial_line(id);
        let text = self.files.get(id).and_then(|file| file.text.as_ref());
        let read = text.and_then(|text| Some((text.reader.hash.current(), text.partial_line.clone()?)));
        let Some((consumed, partial_line)) = read else { return Ok(Some(false)) };
        let mut is_known = true;
        for (path, key) in copies {
            let (file_system, partial_line) = (self.file_system(), partial_line.clone());
            let has = self
                .file_system()
                .executor()
                .run(move || has_behind(&*file_system, &path, key, consumed, partial_line.text()))
                .await?;
            match has {
                Ok(Some(true)) => return Ok(Some(true)),
                Ok(Some(false)) => {}
                // The copy may have been renamed.
                Ok(None) | Err(_) => is_known = false,
            }
        }
        Ok(is_known.then_some(false))
    }

    /// Emits a partial line whose line end will never be written, since its file was truncated, or is gone and closed.
    /// If a copy contains the line, the copy brings it, and nothing is emitted here. Returns false if that can't be
    /// decided yet, since a copy can't be read.
    pub(super) async fn emit_partial_line(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<bool, FilesError> {
        let rules = self.source.rules.clone();
        let is_in_a_copy = match self.partial_line_is_in_a_copy(id).await? {
            _ if weir_runtime::put_back!("rests_handed_on_before_copies") => false,
            Some(is_in_a_copy) => is_in_a_copy,
            None => return Ok(false),
        };
        let Some(file) = self.files.get(id) else { return Ok(true) };
        let Some(text) = &mut file.text else { return Ok(true) };
        if is_in_a_copy {
            text.partial_line = None;
            return Ok(true);
        }
        let Some(chunk) = text.finish_partial_line(&rules) else { return Ok(true) };
        debug!(component = %self.source.component, path = %file.path.display(), from = chunk.after, "emits a last line without a line end");
        let partition = text.partition.clone();
        file.pending_hashes.push(text.reader.hash.current());
        self.put(id, chunk, partition, outlet, deliveries).await?;
        Ok(true)
    }

    /// Reads files that are gone to the end before the source stops, since the next run can't find them.
    pub(super) async fn drain_gone_files(
        &mut self,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let rewritten: Vec<FileId> = self
            .files
            .iter()
            .filter(|(_, file)| file.rewritten_since.is_some() && file.has_partial_line())
            .map(|(id, _)| id)
            .collect();
        if !matches!(self.source.mode, FileMode::Follow { .. })
            || !self.files.iter().any(|(_, file)| may_have_unread(file) || is_closed(file))
        {
            return Ok(());
        }
        // Files that have gone since the last scan count as well.
        for _scan in 0..SCANS_TO_FIND_ALL {
            self.scan_once().await?;
            let is_wanted =
                |file: &Tracked| file.gone_since.is_some() && may_have_unread(file) || needs_search(file);
            let is_none = !self.files.iter().any(|(_, file)| is_wanted(file));
            if is_none && rewritten.is_empty() {
                return Ok(());
            }
        }
        let all: Vec<FileId> = self.files.iter().map(|(id, _)| id).collect();
        let found = self.search_gone_files(&all).await?;
        self.identify_possible_copies().await?;
        // Puts wait for space in the channels as before the stop.
        let stop = std::mem::replace(&mut self.stop, CancellationToken::new());
        let gone: Vec<FileId> = self
            .files
            .iter()
            .filter(|(id, file)| file.gone_since.is_some() && (may_have_unread(file) || found.contains(id)))
            .map(|(id, _)| id)
            .collect();
        self.next_scan = Instant::now() + GONE_OPEN_FOR;
        for id in rewritten {
            self.emit_partial_line_at_stop(id, outlet, deliveries).await?;
        }
        for id in gone {
            self.read_to_end(id, outlet, deliveries).await?;
        }
        self.stop = stop;
        Ok(())
    }

    /// Scans the directories while the source stops.
    async fn scan_once(&mut self) -> Result<(), FilesError> {
        let begin = self.files.begin_walk(self.reads);
        let seen = self.source.discovery.scan().await?;
        self.files.apply_scan(&seen, begin, true, Instant::now());
        Ok(())
    }

    /// Emits a partial line when the source stops. If that stays undecided, the waiting copy brings the line.
    async fn emit_partial_line_at_stop(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        for _attempt in 0..SCANS_TO_FIND_ALL {
            if self.emit_partial_line(id, outlet, deliveries).await? {
                break;
            }
            self.scan_once().await?;
        }
        Ok(())
    }

    /// Identifies compressed files that may be copies, if a file that is gone or rewritten has a partial line.
    async fn identify_possible_copies(&mut self) -> Result<(), FilesError> {
        let has_ended = |file: &Tracked| file.gone_since.is_some() || file.rewritten_since.is_some();
        if !self.files.iter().any(|(_, file)| has_ended(file) && file.has_partial_line()) {
            return Ok(());
        }
        let is_unknown = |file: &Tracked| {
            file.phase == Phase::New && file.gone_since.is_none() && has_compressed_name(&file.path)
        };
        for attempt in 1..=SCANS_TO_FIND_ALL {
            let unknown = self.files.iter().filter(|(_, file)| is_unknown(file));
            let unknown: Vec<FileId> = unknown.map(|(id, _)| id).collect();
            if unknown.is_empty() {
                break;
            }
            // A file that can't be read now may be the copy all the same.
            if attempt > 1 {
                sleep(self.source.poll.min(OUTAGE_RETRY)).await;
            }
            for id in unknown {
                self.identify(id).await?;
                if let Some(file) = self.files.get(id) {
                    file.content = None;
                }
            }
        }
        Ok(())
    }

    async fn read_to_end(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        loop {
            let Some(file) = self.files.get(id) else { return Ok(()) };
            if file.content.is_none() && !file.queued {
                return self.emit_partial_line_at_stop(id, outlet, deliveries).await;
            }
            file.finishes_partial_line = true;
            let before = file.text.as_ref().map(|text| text.reader.position);
            self.process(id, outlet, deliveries).await?;
            let Some(file) = self.files.get(id) else { return Ok(()) };
            let after = file.text.as_ref().map(|text| text.reader.position);
            let is_done = file.text.as_ref().is_none_or(|text| text.at_rest);
            if is_done || after == before || file.phase != Phase::Reading {
                return Ok(());
            }
        }
    }
}

/// Returns whether a compressed file contains the consumed text followed by `wanted`; `None` if another file is at the
/// path.
fn has_behind(
    file_system: &dyn FileSystem,
    path: &Path,
    key: Key,
    consumed: TextHash,
    wanted: &[u8],
) -> io::Result<Option<bool>> {
    let content = Content::open(file_system, path)?;
    if content.state()?.key != key {
        return Ok(None);
    }
    let Some(compression) = content.compression()? else { return Ok(None) };
    let mut content = content.decompressed(compression)?;
    let is_copy = consumed.through == consumed.base || consumed.is_in(&mut content)?;
    Ok(Some(is_copy && content.read(consumed.through, wanted.len())? == wanted))
}

/// Returns whether the file may contain unread text that can still be read.
fn may_have_unread(file: &Tracked) -> bool {
    let may_have_more = |length: u64| file.text.as_ref().is_some_and(|text| length > text.reader.position);
    let state = file.content.as_ref().and_then(|content| content.state().ok());
    file.phase == Phase::Reading
        && (file.has_partial_line()
            || state.is_some_and(|state| !file.is_compressed() && may_have_more(state.stamp.length)))
}

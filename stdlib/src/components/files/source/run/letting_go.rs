//! Files that have gone: their last lines are handed on, although they have no end.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_runtime::source::{Deliveries, Outlet};

use super::super::consumed::Consumed;
use super::super::content::Content;
use super::super::identity::Key;
use super::super::room::Room;
use super::super::tracked::{FileId, LOOKS, Phase, Search, Tracked};
use super::super::{FileMode, FilesError};
use super::looking::has_packed_name;
use super::seeking::{is_closed, is_sought};
use super::{GONE_OPEN, OUTAGE_RETRY, REPLACED, Run};

impl Run<'_> {
    /// Files that have gone may still be written to, as long as they are open; and failures are tried again.
    pub(super) async fn visit_the_gone(
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
        self.seek(&visited).await?;
        let (mut again, mut closed) = (Vec::new(), Vec::new());
        // A copy that is not known yet may have the whole of a last line.
        let replaced = match self.files.may_have_a_copy(None) {
            true => HashSet::new(),
            false => self.replaced(&visited),
        };
        // What waits for further lines is put before the file is closed.
        let pause = self.source.pause.unwrap_or_default();
        for id in visited {
            let Some(file) = self.files.get(id) else { continue };
            if is_due(file) {
                file.retry_at = None;
                again.push(id);
            }
            let Some(since) = file.gone_since else { continue };
            let rested = now.duration_since(since);
            let is_over = rested >= GONE_OPEN + pause || file.phase != Phase::Reading;
            // What is written to it later is read all the same, as a line of its own.
            let ends = is_over || replaced.contains(&id) && rested >= REPLACED + pause;
            let Some(state) = file.content.as_ref().and_then(|content| content.state().ok()) else {
                let has_turn = file.queued || file.due.is_some();
                if ends && file.rest_waits() && !has_turn {
                    closed.push(id);
                }
                continue;
            };
            let text = file.text.as_ref();
            let at_rest = text.is_some_and(|text| text.at_rest && text.stamp.length == state.stamp.length);
            let is_read =
                text.is_none_or(|text| text.is_packed() || state.stamp.length <= text.reading.position);
            if !at_rest && file.phase == Phase::Reading {
                (file.gone_since, file.is_let_go) = (Some(now), false);
                again.push(id);
            } else if ends && !is_read && file.phase == Phase::Reading && !file.is_let_go {
                file.is_let_go = true;
                again.push(id);
            } else if is_over && !file.queued {
                (file.content, file.search) = (None, Search::Over);
            }
        }
        again.into_iter().for_each(|id| self.enqueue(id));
        for id in closed {
            // What is not settled is tried again with the next look.
            self.hand_on_rest(id, outlet, deliveries).await?;
        }
        Ok(())
    }

    /// Whether a file that holds another text now is left alone for a while: its last line waits for its end, and a
    /// copy that has both may not be known yet.
    pub(super) fn awaits_copies(&mut self, id: FileId) -> bool {
        let (now, looks, unknown_lost_in) = (Instant::now(), self.looks, self.unknown_lost_in);
        let may_have_a_copy = self.files.may_have_a_copy(Some(id));
        let Some(file) = self.files.get(id).filter(|file| file.rest_waits()) else { return false };
        let (since, looks_before) = *file.rewritten_since.get_or_insert((now, looks));
        let is_looked_for = looks - looks_before.max(unknown_lost_in) >= LOOKS
            || weir_runtime::put_back!("copies_looked_for_once");
        let is_known = is_looked_for && !may_have_a_copy || now.duration_since(since) >= GONE_OPEN;
        if weir_runtime::put_back!("rests_handed_on_before_copies") || is_known {
            return false;
        }
        self.enqueue_at(id, now + self.source.poll);
        true
    }

    /// Whether a copy that waits, for this file or for another one with the same text, has what is kept of its last
    /// line; none if a copy can't be read now.
    async fn rest_is_in_a_copy(&mut self, id: FileId) -> Result<Option<bool>, FilesError> {
        let copies = self.files.copies_that_wait();
        let text = self.files.get(id).and_then(|file| file.text.as_ref());
        let read = text.and_then(|text| Some((text.reading.running.so_far(), text.rest.clone()?)));
        let Some((consumed, rest)) = read else { return Ok(Some(false)) };
        let mut is_known = true;
        for (path, key) in copies {
            let (room, rest) = (self.room(), rest.clone());
            let has = self
                .room()
                .executor()
                .run(move || has_behind(&*room, &path, key, consumed, rest.text()))
                .await?;
            match has {
                Ok(Some(true)) => return Ok(Some(true)),
                Ok(Some(false)) => {}
                // It may have another name by now.
                Ok(None) | Err(_) => is_known = false,
            }
        }
        Ok(is_known.then_some(false))
    }

    /// Hands on what is kept of a last line whose end will never come: its file was truncated, or has gone and
    /// is closed. If a copy has it, that brings the whole line. Gives back whether that is settled: not while a copy
    /// can't be read.
    pub(super) async fn hand_on_rest(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<bool, FilesError> {
        let rules = self.source.rules.clone();
        let is_in_a_copy = match self.rest_is_in_a_copy(id).await? {
            _ if weir_runtime::put_back!("rests_handed_on_before_copies") => false,
            Some(is_in_a_copy) => is_in_a_copy,
            None => return Ok(false),
        };
        let Some(file) = self.files.get(id) else { return Ok(true) };
        let Some(text) = &mut file.text else { return Ok(true) };
        if is_in_a_copy {
            text.rest = None;
            return Ok(true);
        }
        let Some(chunk) = text.end_of_rest(&rules) else { return Ok(true) };
        debug!(component = %self.source.component, path = %file.path.display(), from = chunk.after, "hands on a last line without its end");
        let partition = text.partition.clone();
        file.marks.push(text.reading.running.so_far());
        self.put(id, chunk, partition, outlet, deliveries).await?;
        Ok(true)
    }

    /// The source is about to end: reads what has gone to its end, since nobody will find it again.
    pub(super) async fn let_go_of_all(
        &mut self,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let rewritten: Vec<FileId> = self
            .files
            .iter()
            .filter(|(_, file)| file.rewritten_since.is_some() && file.rest_waits())
            .map(|(id, _)| id)
            .collect();
        if !matches!(self.source.mode, FileMode::Follow { .. })
            || !self.files.iter().any(|(_, file)| holds(file) || is_closed(file))
        {
            return Ok(());
        }
        // What has gone since the last look counts as well.
        for _look in 0..LOOKS {
            let seen = self.source.discovery.look().await?;
            self.files.see(&seen, true, Instant::now());
            let is_wanted = |file: &Tracked| file.gone_since.is_some() && holds(file) || is_sought(file);
            let is_none = !self.files.iter().any(|(_, file)| is_wanted(file));
            if is_none && rewritten.is_empty() {
                return Ok(());
            }
        }
        let all: Vec<FileId> = self.files.iter().map(|(id, _)| id).collect();
        let found = self.seek(&all).await?;
        self.look_for_copies().await?;
        // Puts wait for room in the channels as before the stop.
        let stop = std::mem::replace(&mut self.stop, CancellationToken::new());
        let gone: Vec<FileId> = self
            .files
            .iter()
            .filter(|(id, file)| file.gone_since.is_some() && (holds(file) || found.contains(id)))
            .map(|(id, _)| id)
            .collect();
        self.next_look = Instant::now() + GONE_OPEN;
        for id in rewritten {
            self.hand_on_rest_at_the_end(id, outlet, deliveries).await?;
        }
        for id in gone {
            self.read_to_its_end(id, outlet, deliveries).await?;
        }
        self.stop = stop;
        Ok(())
    }

    /// The same when the source is about to end. What stays unsettled then is left to the copy that waits.
    async fn hand_on_rest_at_the_end(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        for _attempt in 0..LOOKS {
            if self.hand_on_rest(id, outlet, deliveries).await? {
                break;
            }
            let seen = self.source.discovery.look().await?;
            self.files.see(&seen, true, Instant::now());
        }
        Ok(())
    }

    /// Looks into packed files that are not known yet, if one that has gone or holds another text has a last line that
    /// waits for its end.
    async fn look_for_copies(&mut self) -> Result<(), FilesError> {
        let has_ended = |file: &Tracked| file.gone_since.is_some() || file.rewritten_since.is_some();
        if !self.files.iter().any(|(_, file)| has_ended(file) && file.rest_waits()) {
            return Ok(());
        }
        let is_unknown = |file: &Tracked| {
            file.phase == Phase::New && file.gone_since.is_none() && has_packed_name(&file.path)
        };
        for attempt in 1..=LOOKS {
            let unknown = self.files.iter().filter(|(_, file)| is_unknown(file));
            let unknown: Vec<FileId> = unknown.map(|(id, _)| id).collect();
            if unknown.is_empty() {
                break;
            }
            // One that can't be looked into now may be the copy all the same.
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

    async fn read_to_its_end(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        loop {
            let Some(file) = self.files.get(id) else { return Ok(()) };
            if file.content.is_none() && !file.queued {
                return self.hand_on_rest_at_the_end(id, outlet, deliveries).await;
            }
            file.is_let_go = true;
            let before = file.text.as_ref().map(|text| text.reading.position);
            self.turn(id, outlet, deliveries).await?;
            let Some(file) = self.files.get(id) else { return Ok(()) };
            let after = file.text.as_ref().map(|text| text.reading.position);
            let is_done = file.text.as_ref().is_none_or(|text| text.at_rest);
            if is_done || after == before || file.phase != Phase::Reading {
                return Ok(());
            }
        }
    }
}

/// Whether a packed file has this in its text behind what was consumed; none if another file is there.
fn has_behind(
    room: &dyn Room,
    path: &Path,
    key: Key,
    consumed: Consumed,
    wanted: &[u8],
) -> io::Result<Option<bool>> {
    let content = Content::open(room, path)?;
    if content.state()?.key != key {
        return Ok(None);
    }
    let Some(packing) = content.packing()? else { return Ok(None) };
    let mut content = content.unpacked(packing)?;
    let is_copy = consumed.through == consumed.base || consumed.is_in(&mut content)?;
    Ok(Some(is_copy && content.read(consumed.through, wanted.len())? == wanted))
}

/// Whether the file may have something that was not read, and can still be read.
fn holds(file: &Tracked) -> bool {
    let may_have_more = |length: u64| file.text.as_ref().is_some_and(|text| length > text.reading.position);
    let state = file.content.as_ref().and_then(|content| content.state().ok());
    file.phase == Phase::Reading
        && (file.rest_waits()
            || state.is_some_and(|state| !file.is_packed() && may_have_more(state.stamp.length)))
}

//! Files that have gone: their last lines are handed on, although they have no end.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_runtime::source::{Deliveries, Outlet};

use super::super::tracked::{FileId, Phase};
use super::super::{FileMode, FilesError};
use super::{GONE_OPEN, Run};

/// So many looks must not find a file, one after the other, until it counts as gone when the source ends.
const LOOKS: usize = 3;

impl Run<'_> {
    /// Files that have gone may still be written to, as long as they are open; and failures are tried again.
    pub(super) async fn visit_the_gone(
        &mut self,
        now: Instant,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let (mut again, mut closed) = (Vec::new(), Vec::new());
        // What waits for further lines is put before the file is closed.
        let pause = self.source.pause.unwrap_or_default();
        for (id, file) in self.files.iter() {
            if file.retry_at.is_some_and(|when| when <= now) {
                file.retry_at = None;
                again.push(id);
            }
            let Some(since) = file.gone_since else { continue };
            let is_over = now.duration_since(since) >= GONE_OPEN + pause || file.phase != Phase::Reading;
            let Some(state) = file.content.as_ref().and_then(|content| content.state().ok()) else {
                if is_over && file.rest_waits() {
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
            } else if is_over && !is_read && file.phase == Phase::Reading && !file.is_let_go {
                file.is_let_go = true;
                again.push(id);
            } else if is_over && !file.queued {
                file.content = None;
            }
        }
        again.into_iter().for_each(|id| self.enqueue(id));
        for id in closed {
            self.hand_on_rest(id, outlet, deliveries).await?;
        }
        Ok(())
    }

    /// Hands on what is kept of a last line whose end will never come: its file was truncated, or has gone and
    /// is closed.
    pub(super) async fn hand_on_rest(
        &mut self,
        id: FileId,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        let rules = self.source.rules.clone();
        let Some(file) = self.files.get(id) else { return Ok(()) };
        let Some(text) = &mut file.text else { return Ok(()) };
        let Some(chunk) = text.end_of_rest(&rules) else { return Ok(()) };
        let partition = text.partition.clone();
        file.marks.push(text.reading.running.so_far());
        self.put(id, chunk, partition, outlet, deliveries).await.map(drop)
    }

    /// The source is about to end: reads what has gone to its end, since nobody will find it again.
    pub(super) async fn let_go_of_all(
        &mut self,
        outlet: &mut Outlet,
        deliveries: &mut Deliveries,
    ) -> Result<(), FilesError> {
        if !matches!(self.source.mode, FileMode::Follow { .. })
            || !self.files.iter().any(|(_, file)| holds(file))
        {
            return Ok(());
        }
        // What has gone since the last look counts as well. A file that is renamed while its directory is looked
        // through may be missed once.
        for _look in 0..LOOKS {
            let seen = self.source.discovery.look().await?;
            self.files.see(&seen, true, Instant::now());
            if !self.files.iter().any(|(_, file)| file.gone_since.is_some() && holds(file)) {
                return Ok(());
            }
        }
        // Puts wait for room in the channels as before the stop.
        let stop = std::mem::replace(&mut self.stop, CancellationToken::new());
        let gone: Vec<FileId> = self
            .files
            .iter()
            .filter(|(_, file)| file.gone_since.is_some() && holds(file))
            .map(|(id, _)| id)
            .collect();
        self.next_look = Instant::now() + GONE_OPEN;
        for id in gone {
            self.read_to_its_end(id, outlet, deliveries).await?;
        }
        self.stop = stop;
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
            if file.content.is_none() {
                return self.hand_on_rest(id, outlet, deliveries).await;
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

/// Whether the file may have something that was not read, and can still be read.
fn holds(file: &super::super::tracked::Tracked) -> bool {
    let may_have_more = |length: u64| file.text.as_ref().is_some_and(|text| length > text.reading.position);
    let state = file.content.as_ref().and_then(|content| content.state().ok());
    file.phase == Phase::Reading
        && (file.rest_waits()
            || state.is_some_and(|state| !file.is_packed() && may_have_more(state.stamp.length)))
}

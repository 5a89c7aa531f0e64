//! The engine: writes what the state has collected to the log, one pass after the other. In an agent, a
//! thread runs it; in simulations, the simulator does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cursor::Unwritten;
use super::image::{ReaderImage, encode_acknowledged};
use super::log::{AppendError, Draft, GONE, Log};
use super::record::Kind;
use super::state::State;
use super::submitted::Submitted;
use crate::channel::Incarnation;
use crate::environment::storage::Storage;
use crate::routing::Acknowledgement;

/// The approximate size of a group.
const GROUP_BYTES: u64 = 8 << 20;

/// The log of an open channel, with the puts that are being written to it.
pub(super) struct Engine<S: Storage> {
    log: Log<S>,
    group_bytes: u64,
    /// Collected, and not written because the disk is full.
    group: Vec<Submitted>,
    /// The incarnation of this run, until it is written to the log.
    incarnation: Option<Incarnation>,
}

/// The result of a pass.
#[derive(Default)]
pub(super) struct WritePass {
    /// The acknowledgements of puts that are on disk, to be completed without a lock.
    pub(super) durable: Vec<Acknowledgement>,
    /// The disk is full: puts wait until there is space.
    pub(super) full: Option<AppendError>,
    /// The channel can't go on. Submitted puts are dropped.
    pub(super) failed: Option<AppendError>,
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Each change of the state is a single call that does not panic half-way.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage> Engine<S> {
    /// Makes an engine for a log that was just opened, and sets the state to the log's.
    pub(super) fn new(log: Log<S>, incarnation: Incarnation, state: &Mutex<State>) -> Engine<S> {
        let mut guard = lock(state);
        guard.open(&log.image, log.uuid, |low| {
            let location = log.search_start(low);
            (location, log.segments[&location.segment].events_before)
        });
        guard.set_log(Arc::new(log.segments.clone()), log.used_bytes());
        drop(guard);
        Engine { log, group_bytes: GROUP_BYTES, group: Vec::new(), incarnation: Some(incarnation) }
    }

    /// Writes puts and acknowledgements, and a checkpoint if one is due.
    pub(super) fn write_pending(&mut self, state: &Mutex<State>) -> WritePass {
        let mut pass = WritePass::default();
        if let Err(error) = self.write_all(state, &mut pass) {
            match error {
                full @ AppendError::Full { .. } => pass.full = Some(full),
                error => self.fail(state, &mut pass, error),
            }
        }
        let mut guard = lock(state);
        guard.set_log(Arc::new(self.log.segments.clone()), self.log.used_bytes());
        pass
    }

    /// Closes the log after a last pass, with a checkpoint.
    pub(super) fn close(mut self, state: &Mutex<State>) -> Result<(), AppendError> {
        let pass = self.write_pending(state);
        drop(pass.durable);
        if let Some(error) = pass.failed {
            return Err(error);
        }
        self.log.close()?;
        let kept_back = lock(state).has_unwritten().then(|| AppendError::Full {
            what: "writing acknowledgements",
            source: std::io::ErrorKind::StorageFull.into(),
        });
        pass.full.or(kept_back).map_or(Ok(()), Err)
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> &Log<S> {
        &self.log
    }

    #[cfg(test)]
    pub(super) fn set_group_bytes(&mut self, bytes: u64) {
        self.group_bytes = bytes;
    }

    fn write_all(&mut self, state: &Mutex<State>, pass: &mut WritePass) -> Result<(), AppendError> {
        self.list_new_readers(state)?;
        let (unwritten, keep_for_optional) = {
            let mut guard = lock(state);
            if self.group.is_empty() {
                self.group = guard.collect(self.group_bytes);
            }
            (guard.unwritten(), guard.keep_for_optional())
        };
        let written = self.write_puts(state, unwritten.as_ref(), pass);
        #[cfg(weir_bug)]
        if put_back!("takes_fail_on_full_disk") && written.is_err() {
            return written.map(|_| ());
        }
        let full = match written {
            Ok(true) => None,
            Ok(false) => self.write_acknowledgements(state, unwritten.as_ref()).map(|()| None)?,
            Err(full @ AppendError::Full { .. }) => {
                // Readers go on, and their acknowledgements free space in the end.
                self.write_acknowledgements(state, unwritten.as_ref())?;
                Some(full)
            }
            Err(error) => return Err(error),
        };
        let frees_oldest = self.log.frees_oldest(keep_for_optional, &[]);
        if self.log.checkpoint_due(keep_for_optional) && self.log.may_use(0, frees_oldest)? {
            self.log.checkpoint(keep_for_optional, false)?;
        }
        full.map_or(Ok(()), Err)
    }

    /// Writes the puts of the group, and the acknowledgements with them. Returns whether it wrote anything.
    fn write_puts(
        &mut self,
        state: &Mutex<State>,
        unwritten: Option<&Unwritten>,
        pass: &mut WritePass,
    ) -> Result<bool, AppendError> {
        let Engine { log, group, incarnation, .. } = self;
        let Some(first) = group.first() else { return Ok(false) };
        let schema = first.batch.schema().clone();
        let acknowledged = unwritten.map(encode);
        // The run's incarnation is written with its first numbers, in one group. A run without numbers has none.
        let gives_numbers = group.iter().any(|put| put.sequence.is_some());
        let new_incarnation = incarnation.filter(|_| gives_numbers).map(Incarnation::bytes);
        let mut drafts: Vec<Draft<'_>> =
            new_incarnation.iter().map(|bytes| Draft::plain(Kind::Incarnation, bytes)).collect();
        drafts.extend(group.iter().filter(|put| !put.body.is_empty()).map(draft));
        let mut durable = match drafts.is_empty() {
            // Puts that the log has already are acknowledged in their order.
            true => log.durable(),
            false => {
                drafts.extend(acknowledged.as_deref().map(|body| Draft::plain(Kind::Acknowledge, body)));
                log.append_puts(&drafts, &schema)?
            }
        };
        let wrote = !drafts.is_empty();
        drop(drafts);
        let mut guard = lock(state);
        if new_incarnation.is_some() {
            durable.locations.remove(0);
            *incarnation = None;
            guard.incarnations = log.image.incarnations.clone();
        }
        // Readers have to know the segment of a put before they see the put.
        guard.set_log(Arc::new(log.segments.clone()), log.used_bytes());
        pass.durable = guard.publish(std::mem::take(group), &durable);
        if let Some(unwritten) = unwritten.filter(|_| wrote) {
            guard.written(unwritten);
        }
        Ok(wrote)
    }

    fn write_acknowledgements(
        &mut self,
        state: &Mutex<State>,
        unwritten: Option<&Unwritten>,
    ) -> Result<(), AppendError> {
        let Some(unwritten) = unwritten else { return Ok(()) };
        let body = encode(unwritten);
        let frees_oldest = self.log.frees_oldest(false, &unwritten.acknowledged());
        if !self.log.may_use(body.len() as u64, frees_oldest)? {
            // The last space is kept for acknowledgements that allow a segment to be deleted.
            return Ok(());
        }
        self.log.append_others(&[Draft::plain(Kind::Acknowledge, &body)])?;
        lock(state).written(unwritten);
        Ok(())
    }

    /// Lists readers that were added after the channel was opened. They begin with the oldest event.
    fn list_new_readers(&mut self, state: &Mutex<State>) -> Result<(), AppendError> {
        let new: Vec<ReaderImage> = lock(state)
            .unlisted()
            .map(|cursor| ReaderImage::new(&cursor.name, cursor.demand, cursor.next))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let log = &mut self.log;
        log.image.readers.extend(new);
        let oldest = log.segments.values().next().expect("there is the active segment");
        log.image.held.events = log.image.put.events - oldest.events_before;
        log.image.held.charged = log.image.put.charged - oldest.charged_before;
        lock(state).list_readers(log.image.held);
        // Acknowledgement records refer to readers by their index in the last checkpoint.
        log.checkpoint(true, false)
    }

    fn fail(&mut self, state: &Mutex<State>, pass: &mut WritePass, error: AppendError) {
        let dropped = lock(state).fail();
        // Dropping the puts fails their acknowledgements, which must not happen under the lock.
        drop(dropped);
        self.group.clear();
        pass.failed = Some(error);
    }
}

fn encode(unwritten: &Unwritten) -> Vec<u8> {
    encode_acknowledged(unwritten.released, &unwritten.acknowledged())
}

fn draft(put: &Submitted) -> Draft<'_> {
    Draft {
        kind: Kind::Put,
        origins_bytes: put.origins_bytes,
        rows: put.batch.rows() as u32,
        charged: put.fill.bytes,
        body: &put.body,
        body_checksum: put.body_checksum,
    }
}

/// Returns the message of an error with its causes.
pub(super) fn reason(error: &AppendError) -> String {
    match error {
        AppendError::Full { what, source } | AppendError::Failed { what, source } => {
            format!("{what}: {source}")
        }
        AppendError::Defect(what) => (*what).to_owned(),
        AppendError::Gone => GONE.to_owned(),
    }
}

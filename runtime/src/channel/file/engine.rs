//! The engine: carries what the state has collected to the log, one turn after the other. A thread
//! turns it in an agent, the simulator in its tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::image::{ReaderImage, encode_acknowledged};
use super::log::{AppendError, Draft, GONE, Log};
use super::record::Kind;
use super::state::{State, Submitted, Unwritten};
use crate::channel::Incarnation;
use crate::environment::storage::Storage;
use crate::routing::Acknowledgement;

/// About how much is written with one sync.
const GROUP_BYTES: u64 = 8 << 20;

/// The log of an open channel, and what is on its way there.
pub(super) struct Engine<S: Storage> {
    log: Log<S>,
    group_bytes: u64,
    /// Collected, and not written since the disk is full.
    group: Vec<Submitted>,
    /// Under which the events of this run get their numbers, until the log says so.
    incarnation: Option<Incarnation>,
}

/// What a turn came to.
#[derive(Default)]
pub(super) struct Turn {
    /// Puts that are on disk: to be done, and not under a lock.
    pub(super) durable: Vec<Acknowledgement>,
    /// The disk is full: puts wait until there is room.
    pub(super) full: Option<AppendError>,
    /// The channel can't go on. What was submitted is dropped.
    pub(super) failed: Option<AppendError>,
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The state is changed by single calls that don't panic half-way.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage> Engine<S> {
    /// An engine for a log that was just opened, and a state that begins with it.
    pub(super) fn new(log: Log<S>, incarnation: Incarnation, state: &Mutex<State>) -> Engine<S> {
        let mut guard = lock(state);
        guard.open(&log.image, log.uuid, |low| {
            let place = log.look_from(low);
            (place, log.extents[&place.segment].events_before)
        });
        guard.settle_log(Arc::new(log.extents.clone()), log.used_bytes());
        drop(guard);
        Engine { log, group_bytes: GROUP_BYTES, group: Vec::new(), incarnation: Some(incarnation) }
    }

    /// Writes what there is: puts, acknowledgements, and what follows from them.
    pub(super) fn turn(&mut self, state: &Mutex<State>) -> Turn {
        let mut turn = Turn::default();
        if let Err(error) = self.write_all(state, &mut turn) {
            match error {
                full @ AppendError::Full { .. } => turn.full = Some(full),
                error => self.fail(state, &mut turn, error),
            }
        }
        let mut guard = lock(state);
        guard.settle_log(Arc::new(self.log.extents.clone()), self.log.used_bytes());
        turn
    }

    /// Ends a channel that was not told to stop at once: acknowledgements and a checkpoint.
    pub(super) fn close(mut self, state: &Mutex<State>) -> Result<(), AppendError> {
        let turn = self.turn(state);
        drop(turn.durable);
        if let Some(error) = turn.failed {
            return Err(error);
        }
        self.log.close()?;
        let kept_back = lock(state).has_unwritten().then(|| AppendError::Full {
            what: "writing acknowledgements",
            source: std::io::ErrorKind::StorageFull.into(),
        });
        turn.full.or(kept_back).map_or(Ok(()), Err)
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> &Log<S> {
        &self.log
    }

    #[cfg(test)]
    pub(super) fn set_group_bytes(&mut self, bytes: u64) {
        self.group_bytes = bytes;
    }

    fn write_all(&mut self, state: &Mutex<State>, turn: &mut Turn) -> Result<(), AppendError> {
        self.list_new_readers(state)?;
        let (unwritten, keep_for_optional) = {
            let mut guard = lock(state);
            if self.group.is_empty() {
                self.group = guard.collect(self.group_bytes);
            }
            (guard.unwritten(), guard.keep_for_optional())
        };
        let written = self.write_puts(state, unwritten.as_ref(), turn);
        #[cfg(weir_bug)]
        if put_back!("takes_fail_on_full_disk") && written.is_err() {
            return written.map(|_| ());
        }
        let full = match written {
            Ok(true) => None,
            Ok(false) => self.write_acknowledgements(state, unwritten.as_ref()).map(|()| None)?,
            Err(full @ AppendError::Full { .. }) => {
                // Readers go on, and make room in the end.
                self.write_acknowledgements(state, unwritten.as_ref())?;
                Some(full)
            }
            Err(error) => return Err(error),
        };
        let oldest_goes = self.log.oldest_goes(keep_for_optional, &[]);
        if self.log.checkpoint_due(keep_for_optional) && self.log.may_spend(0, oldest_goes)? {
            self.log.checkpoint(keep_for_optional, false)?;
        }
        full.map_or(Ok(()), Err)
    }

    /// Writes the puts, with the acknowledgements riding along. Says whether there were any.
    fn write_puts(
        &mut self,
        state: &Mutex<State>,
        unwritten: Option<&Unwritten>,
        turn: &mut Turn,
    ) -> Result<bool, AppendError> {
        let Engine { log, group, incarnation, .. } = self;
        let Some(first) = group.first() else { return Ok(false) };
        let schema = first.batch.schema().clone();
        let acknowledged = unwritten.map(encode);
        // The first numbers of a run come with its incarnation, in one write. A run that gives none has none.
        let gives_numbers = group.iter().any(|put| put.sequence.is_some());
        let life = incarnation.filter(|_| gives_numbers).map(Incarnation::bytes);
        let mut drafts: Vec<Draft<'_>> = life.iter().map(|bytes| Draft::plain(Kind::Life, bytes)).collect();
        drafts.extend(group.iter().filter(|put| !put.body.is_empty()).map(draft));
        let mut durable = match drafts.is_empty() {
            // What is known already is done when what came before it is.
            true => log.durable(),
            false => {
                drafts.extend(acknowledged.as_deref().map(|body| Draft::plain(Kind::Acknowledge, body)));
                log.append_puts(&drafts, &schema)?
            }
        };
        let rode_along = !drafts.is_empty();
        drop(drafts);
        let mut guard = lock(state);
        if life.is_some() {
            durable.places.remove(0);
            *incarnation = None;
            guard.lives = log.image.lives.clone();
        }
        // Readers must not see a put before they know the segment that it is in.
        guard.settle_log(Arc::new(log.extents.clone()), log.used_bytes());
        turn.durable = guard.publish(std::mem::take(group), &durable);
        if let Some(unwritten) = unwritten.filter(|_| rode_along) {
            guard.written(unwritten);
        }
        Ok(rode_along)
    }

    fn write_acknowledgements(
        &mut self,
        state: &Mutex<State>,
        unwritten: Option<&Unwritten>,
    ) -> Result<(), AppendError> {
        let Some(unwritten) = unwritten else { return Ok(()) };
        let body = encode(unwritten);
        let oldest_goes = self.log.oldest_goes(false, &unwritten.acknowledged());
        if !self.log.may_spend(body.len() as u64, oldest_goes)? {
            // The last room is for those that free a segment.
            return Ok(());
        }
        self.log.append_others(&[Draft::plain(Kind::Acknowledge, &body)])?;
        lock(state).written(unwritten);
        Ok(())
    }

    /// Readers that came after the channel was opened: they begin with the oldest event.
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
        let oldest = log.extents.values().next().expect("there is the active segment");
        log.image.held.events = log.image.put.events - oldest.events_before;
        log.image.held.charged = log.image.put.charged - oldest.charged_before;
        lock(state).list_readers(log.image.held);
        // Acknowledgements name readers by their place in the last checkpoint.
        log.checkpoint(true, false)
    }

    fn fail(&mut self, state: &Mutex<State>, turn: &mut Turn, error: AppendError) {
        let dropped = lock(state).fail();
        // Their acknowledgements fail by being dropped, which must not be under the lock.
        drop(dropped);
        self.group.clear();
        turn.failed = Some(error);
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

/// An error and its causes.
pub(super) fn reason(error: &AppendError) -> String {
    match error {
        AppendError::Full { what, source } | AppendError::Failed { what, source } => {
            format!("{what}: {source}")
        }
        AppendError::Defect(what) => (*what).to_owned(),
        AppendError::Gone => GONE.to_owned(),
    }
}

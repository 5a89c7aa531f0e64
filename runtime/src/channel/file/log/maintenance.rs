//! Checkpoints, and the deletion of segments that they allow.

use std::io;

use tracing::warn;

use super::{AppendError, Draft, Log};
use crate::channel::Demand;
use crate::channel::file::image::{Acknowledged, LowWatermark, ReaderImage};
use crate::channel::file::record::{Kind, record_span};
use crate::channel::file::segment::{Location, PAGE, page_up, segment_name};
use crate::channel::file::superblock::{COPIES, SUPERBLOCK, SUPERBLOCK_NEW, Superblock};
use crate::environment::storage::{Storage, replace};

impl<S: Storage> Log<S> {
    /// Returns whether the oldest segment can be deleted once the acknowledgements in `unwritten` are written.
    pub(in crate::channel::file) fn frees_oldest(
        &self,
        keep_for_optional: bool,
        unwritten: &[&Acknowledged],
    ) -> bool {
        let low_of = |index: usize, reader: &ReaderImage| {
            let later = unwritten.iter().find(|acknowledged| acknowledged.reader == index);
            later.map_or(reader.low, |acknowledged| acknowledged.low)
        };
        let readers = self.image.readers.iter().enumerate();
        let needed = readers.filter(|(_, reader)| keep_for_optional || reader.demand == Demand::Required);
        let needed = needed.map(|(index, reader)| self.search_start(low_of(index, reader)).segment);
        let oldest = self.segments.keys().next().copied();
        oldest.is_some_and(|oldest| needed.fold(self.active.number, u64::min) > oldest)
    }

    /// Returns whether a checkpoint is due: enough was written, or the checkpoint allows a segment to be deleted.
    pub(in crate::channel::file) fn checkpoint_due(&self, keep_for_optional: bool) -> bool {
        self.since_checkpoint >= self.sizes.checkpoint_bytes || self.frees_oldest(keep_for_optional, &[])
    }

    /// Writes a checkpoint, makes the superblock point to it, and deletes the segments that are no longer needed.
    ///
    /// # Errors
    /// When the disk is full, after which it can be tried again; or when the disk fails permanently.
    pub(in crate::channel::file) fn checkpoint(
        &mut self,
        keep_for_optional: bool,
        closing: bool,
    ) -> Result<(), AppendError> {
        let body = self.image.encode();
        let span = page_up(record_span(body.len() as u64));
        self.reserve = reserve_for(span);
        let durable = self.append_others(&[Draft::plain(Kind::Checkpoint, &body)])?;
        let (checkpoint, _) = durable.locations[0];
        self.since_checkpoint = 0;
        let oldest = self.oldest_needed(keep_for_optional);
        #[cfg(weir_bug)]
        if put_back!("unlink_before_superblock") {
            self.delete_before(oldest)?;
        }
        let closed_at = closing.then(|| self.end());
        let generation = self.superblock.generation + 1;
        self.write_superblock(Superblock { generation, checkpoint, oldest, closed_at, ..self.superblock })?;
        self.delete_before(oldest)
    }

    /// Marks the log as closed in the superblock, with a checkpoint if there is space for one.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::channel::file) fn close(&mut self) -> Result<(), AppendError> {
        if self.may_use(0, self.frees_oldest(true, &[]))? {
            return self.checkpoint(true, true);
        }
        // A start leaves out a segment without records, so the log can't be said to end in it.
        let has_records = self.end().offset > self.segments[&self.active.number].begin;
        let (generation, closed_at) = (self.superblock.generation + 1, has_records.then(|| self.end()));
        self.write_superblock(Superblock { generation, closed_at, ..self.superblock })
    }

    /// Returns the oldest segment that a reader or recovery still has to read.
    pub(in crate::channel::file) fn oldest_needed(&self, keep_for_optional: bool) -> u64 {
        let needed =
            self.image.readers.iter().filter(|reader| keep_for_optional || reader.demand == Demand::Required);
        let needed = needed.map(|reader| self.search_start(reader.low).segment);
        needed.fold(self.active.number, u64::min)
    }

    /// Returns the bytes of the log's files from the first record that a required reader needs.
    pub(in crate::channel::file) fn used_bytes(&self) -> u64 {
        let required = self.image.readers.iter().filter(|reader| reader.demand == Demand::Required);
        let from = required.map(|reader| self.search_start(reader.low)).min().unwrap_or(self.end());
        let before: u64 = self.segments.range(..self.active.number).map(|(_, info)| info.file_bytes).sum();
        let consumed = if from.segment == self.active.number { from.offset } else { 0 };
        before + self.end().offset.saturating_sub(consumed)
    }

    /// Returns where to look for a put: not before the segment that contains it.
    pub(in crate::channel::file) fn search_start(&self, low: LowWatermark) -> Location {
        let holding = self.segments.iter().rev().find(|(_, info)| info.first_sequence <= low.sequence);
        let (&number, info) =
            holding.or(self.segments.iter().next()).expect("the active segment is one of them");
        match low.location.segment == number && low.location.offset >= info.begin {
            true => low.location,
            false => Location { segment: number, offset: info.begin },
        }
    }

    /// Unlinks the segments before `oldest`. The superblock that does not need them has to be synced before.
    fn delete_before(&mut self, oldest: u64) -> Result<(), AppendError> {
        let gone: Vec<u64> = self.segments.range(..oldest).map(|(number, _)| *number).collect();
        if gone.is_empty() {
            return Ok(());
        }
        for number in gone {
            match self.storage.unlink(&segment_name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // It takes up space until the next start removes it, and is no part of the log.
                    warn!("removing {} failed: {error}", segment_name(number));
                }
                _ => {}
            }
            self.segments.remove(&number);
        }
        self.storage.sync_directory().map_err(AppendError::of("syncing the directory"))
    }

    /// Writes both copies of the superblock and syncs each; into a new file if the present one fails.
    fn write_superblock(&mut self, superblock: Superblock) -> Result<(), AppendError> {
        #[cfg(weir_bug)]
        if put_back!("zero_byte_checkpoint") {
            let what = "writing the superblock";
            let zeros = [0_u8; 2 * PAGE as usize];
            self.storage.write_at(&self.superblock_file, 0, &[&zeros]).map_err(AppendError::of(what))?;
            self.storage.sync(&self.superblock_file).map_err(AppendError::of(what))?;
        }
        if let Err(error) = write_copies(&self.storage, &self.superblock_file, &superblock) {
            warn!("writing {SUPERBLOCK} failed: {error}; it is written again into another file");
            let what = "writing the superblock";
            self.superblock_file =
                replace_superblock(&self.storage, &superblock).map_err(AppendError::of(what))?;
        }
        self.superblock = superblock;
        Ok(())
    }
}

/// Returns the bytes to leave free in a segment after a checkpoint of this size: the next checkpoint may be twice
/// as large, and a seal follows it.
pub(in crate::channel::file) fn reserve_for(checkpoint_span: u64) -> u64 {
    2 * checkpoint_span + PAGE
}

/// Writes both copies in place and syncs each.
pub(in crate::channel::file) fn write_copies<S: Storage>(
    storage: &S,
    file: &S::File,
    superblock: &Superblock,
) -> io::Result<()> {
    let bytes = superblock.encode();
    assert_eq!(Superblock::decode(&bytes).as_ref(), Ok(superblock), "the superblock can't be read back");
    for copy in COPIES {
        storage.write_at(file, copy, &[&bytes])?;
        storage.sync(file)?;
    }
    Ok(())
}

/// Replaces the superblock's file atomically.
pub(in crate::channel::file) fn replace_superblock<S: Storage>(
    storage: &S,
    superblock: &Superblock,
) -> io::Result<S::File> {
    replace(storage, SUPERBLOCK_NEW, SUPERBLOCK, |file| write_copies(storage, file, superblock))
}

#[cfg(weir_bug)]
impl<S: Storage> Log<S> {
    /// Writes the positions of the puts before their events.
    pub(super) fn write_positions_alone(&mut self, drafts: &[Draft<'_>]) -> Result<(), AppendError> {
        use crate::channel::file::fields::checksum;
        for draft in drafts.iter().filter(|draft| draft.kind == Kind::Put) {
            let body = &draft.body[..draft.origins_bytes as usize];
            let body_checksum = checksum(&[body]);
            let origins_bytes = draft.origins_bytes;
            let alone = Draft { kind: Kind::Put, origins_bytes, rows: 0, charged: 0, body, body_checksum };
            self.append_others(&[alone])?;
        }
        Ok(())
    }
}

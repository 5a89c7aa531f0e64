//! The files that become segments: their sizes, and the spare.

use std::io;

use arrow_schema::SchemaRef;

use super::{AppendError, Log, LogSizes, reserve_for};
use crate::channel::file::record::record_span;
use crate::channel::file::segment::{PAGE, header_bytes, page_up};
use crate::environment::storage::{Storage, is_full};
use crate::failure::is_outage;

/// The name of the spare segment.
pub(in crate::channel::file) const SPARE: &str = "spare";

/// The name of a new segment until its file is complete, if it is made without the spare.
pub(in crate::channel::file) const SEGMENT_NEW: &str = "segment.new";

/// A file that can become a segment: it has its length, and the length is synced.
#[derive(Debug)]
pub(in crate::channel::file) struct Blank<F> {
    pub(in crate::channel::file) file: F,
    pub(in crate::channel::file) bytes: u64,
}

impl LogSizes {
    /// The sizes for a tool that writes a checkpoint itself.
    pub(in crate::channel::file) fn without_checkpoints(
        first_segment_bytes: u64,
        segment_bytes_max: u64,
    ) -> LogSizes {
        LogSizes { first_segment_bytes, segment_bytes_max, checkpoint_bytes: u64::MAX }
    }

    /// Returns the size of the next segment when this many bytes were written since the log was opened: as much again, so
    /// that what is allocated in advance stays in proportion to what is written, and a log with much traffic seldom
    /// begins a segment.
    pub(in crate::channel::file) fn next_segment_bytes(&self, written_bytes: u64) -> u64 {
        let LogSizes { first_segment_bytes: first, segment_bytes_max: most, .. } = *self;
        (written_bytes - written_bytes % PAGE).clamp(first.min(most), most)
    }

    /// Returns the least size of a segment that has space for a checkpoint, or for acknowledgements, which are not larger,
    /// and for the reserve after it. The checkpoint may be twice as large as the one that `reserve` was computed for.
    pub(in crate::channel::file) fn least_segment_bytes(&self, schema: &SchemaRef, reserve: u64) -> u64 {
        let bytes_with = |span| page_up(header_bytes(schema) + span + reserve_for(span));
        let span = reserve.saturating_sub(PAGE) / 2;
        bytes_with(span).max(bytes_with(2 * span).min(self.segment_bytes_max))
    }
}

impl<S: Storage> Log<S> {
    /// Returns the least size of a segment for a group of this many bytes.
    pub(super) fn segment_bytes_for(&self, bytes: u64, schema: &SchemaRef) -> u64 {
        page_up(header_bytes(schema) + bytes + self.reserve)
    }

    /// Makes a spare of at least `least` bytes, and of what acknowledgements need, if there is none; lets a smaller one
    /// grow. A spare that has the size of the next segment does not fit on a nearly full disk; a smaller one may.
    ///
    /// # Errors
    /// When the disk is full, after which a smaller spare is kept; or when the disk fails.
    pub(in crate::channel::file) fn ensure_spare(&mut self, least: u64) -> Result<(), AppendError> {
        let smallest = self.sizes.least_segment_bytes(self.schema(), self.reserve);
        let least = least.max(smallest);
        if self.spare.as_ref().is_some_and(|spare| spare.bytes >= least) {
            return Ok(());
        }
        let what = "allocating a segment";
        if let Some(mut spare) = self.spare.take()
            && let Ok(refused) = self.grow(&mut spare, least)
        {
            self.spare = Some(spare);
            return refused.map_or(Ok(()), |error| Err(AppendError::of(what)(error)));
        }
        let smallest = smallest.max(self.sizes.first_segment_bytes);
        let made = self.make_blank(SPARE, least.max(smallest));
        let (spare, refused) = match made {
            // The group has to wait, but not the acknowledgements.
            Err(error) if is_full(&error) && least > smallest => {
                (self.make_blank_of(SPARE, smallest).ok(), Some(error))
            }
            Err(error) => (None, Some(error)),
            Ok(spare) => (Some(spare), None),
        };
        if spare.is_none() {
            // Acknowledgements may need the space.
            self.storage.unlink(SPARE).ok();
        }
        self.spare = spare;
        refused.map_or(Ok(()), |error| Err(AppendError::of(what)(error)))
    }

    /// Makes a file of the size of the next segment, or of `least` bytes if that is larger or the disk is too full.
    pub(super) fn make_blank(&self, name: &str, least: u64) -> io::Result<Blank<S::File>> {
        let smallest = self.sizes.least_segment_bytes(self.schema(), self.reserve);
        let wanted = self.sizes.next_segment_bytes(self.written_bytes).max(least).max(smallest);
        match self.make_blank_of(name, wanted) {
            Err(error) if is_full(&error) && wanted > least => self.make_blank_of(name, least),
            made => made,
        }
    }

    fn make_blank_of(&self, name: &str, bytes: u64) -> io::Result<Blank<S::File>> {
        match self.storage.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.storage.create(name)?;
        self.storage.allocate(&file, bytes)?;
        self.storage.sync(&file)?;
        Ok(Blank { file, bytes })
    }

    /// Lets the spare grow as far as the disk allows: to the size of the next segment, or to `least` bytes. It grows in
    /// place, since a full disk may not have space for another one. Returns the reason if it is still smaller.
    ///
    /// # Errors
    /// When the disk fails, after which the file can't be used.
    fn grow(&self, spare: &mut Blank<S::File>, least: u64) -> io::Result<Option<io::Error>> {
        let wanted = self.sizes.next_segment_bytes(self.written_bytes).max(least);
        let allocated = match self.storage.allocate(&spare.file, wanted) {
            Err(error) if is_full(&error) && wanted > least => self.storage.allocate(&spare.file, least),
            allocated => allocated,
        };
        let refused = match allocated {
            Err(error) if !is_outage(&error) => return Err(error),
            allocated => allocated.err(),
        };
        // An attempt on a full disk may have allocated a part.
        let length = self.storage.length(&spare.file)?;
        let bytes = length - length % PAGE;
        if bytes > spare.bytes {
            self.storage.sync(&spare.file)?;
            spare.bytes = bytes;
        }
        Ok(refused.filter(|_| spare.bytes < least))
    }

    /// Returns whether acknowledgements or a checkpoint may use this many bytes of the log. When the disk is full, the
    /// last space in the last segment is kept for those that allow the oldest segment to be deleted.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::channel::file) fn may_use(
        &mut self,
        bytes: u64,
        frees_oldest: bool,
    ) -> Result<bool, AppendError> {
        if frees_oldest || self.has_room(page_up(record_span(bytes)) + 2 * self.reserve) {
            return Ok(true);
        }
        match self.ensure_spare(0) {
            Ok(()) => Ok(true),
            Err(AppendError::Full { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

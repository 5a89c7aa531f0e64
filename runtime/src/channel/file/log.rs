//! The log: segments on a storage, written by one owner. Records are written in groups, and each group is synced.
//!
//! The log's calls to the disk depend on nothing but its inputs, so it behaves in the same way on a simulated disk.
//! It keeps these rules:
//!
//! - At most one group is not synced. So a record that can't be read is a torn tail if no later group
//!   was begun, and damage otherwise.
//! - A page is written once. The only exception: recovery writes the last group again at the same offset.
//! - When a sync fails, nothing more is written to that file: the group is written again, from
//!   memory, into a new segment, whose header tells where the log ends in the previous segment.
//! - A segment's header and name are synced before its first group is written; the superblock is synced
//!   before a segment that it no longer needs is unlinked.
//! - While puts are accepted, one empty segment is kept as a spare, so that acknowledgements can be written even
//!   when the disk is full, until they free space.

mod maintenance;
mod spare;

use std::collections::BTreeMap;
use std::io;

use arrow_schema::SchemaRef;
use thiserror::Error;
use tracing::warn;

use super::fields::checksum;
use super::image::Image;
use super::record::{Kind, RECORD_ALIGNMENT, RECORD_HEADER, RecordHeader, record_span};
use super::segment::{Location, PAGE, Previous, SegmentHeader, Uuid, header_bytes, page_up, segment_name};
use super::superblock::Superblock;
use crate::environment::storage::Storage;
use crate::failure::is_outage;

pub(super) use maintenance::{replace_superblock, reserve_for, write_copies};
pub(super) use spare::{Blank, SEGMENT_NEW, SPARE};

/// The most times that a group is written again into a new segment before the channel fails.
const ATTEMPTS_MAX: usize = 3;
const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// The sizes that the log is configured with, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogSizes {
    /// The size of the first segment's file, and the least size of a spare.
    pub(super) first_segment_bytes: u64,
    /// The size up to which segments grow; a segment for a larger group is larger.
    pub(super) segment_bytes_max: u64,
    /// The bytes that are written between two checkpoints: the most that recovery has to read.
    pub(super) checkpoint_bytes: u64,
}

/// Why a group could not be written.
#[derive(Debug, Error)]
pub(super) enum AppendError {
    /// The disk is full, or another resource of the system is used up: the group can be written later.
    #[error("{what}")]
    Full { what: &'static str, source: io::Error },
    /// The disk has failed repeatedly.
    #[error("{what}")]
    Failed { what: &'static str, source: io::Error },
    /// The records would contradict the log.
    #[error("{0}")]
    Defect(&'static str),
    /// The group was written to a file that the next start would not find.
    #[error("{GONE}")]
    Gone,
}

/// The message when the directory is no longer at its path.
pub(super) const GONE: &str = "it was removed, moved away or replaced while it was in use";

impl AppendError {
    fn of(what: &'static str) -> impl Fn(io::Error) -> AppendError {
        move |source| match is_outage(&source) {
            true => AppendError::Full { what, source },
            false => AppendError::Failed { what, source },
        }
    }
}

/// A record to be written.
pub(super) struct Draft<'a> {
    pub(super) kind: Kind,
    pub(super) origins_bytes: u32,
    pub(super) rows: u32,
    pub(super) charged: u64,
    pub(super) body: &'a [u8],
    pub(super) body_checksum: u32,
}

impl<'a> Draft<'a> {
    pub(super) fn plain(kind: Kind, body: &'a [u8]) -> Draft<'a> {
        let body_checksum = checksum(&[body]);
        Draft { kind, origins_bytes: 0, rows: 0, charged: 0, body, body_checksum }
    }
}

/// Proves that a group is on disk. Only the log makes one, and only after the sync.
#[derive(Debug)]
pub(super) struct Durable {
    /// For each record of the group, its location and the location of the next record.
    pub(super) locations: Vec<(Location, Location)>,
    _made_by_the_log: (),
}

/// A segment of the log that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub(super) first_sequence: u64,
    pub(super) events_before: u64,
    pub(super) charged_before: u64,
    /// The offset of the first record.
    pub(super) begin: u64,
    /// The offset after the last synced group.
    pub(super) end: u64,
    pub(super) file_bytes: u64,
    pub(super) schema: SchemaRef,
}

impl SegmentInfo {
    pub(super) fn of(header: &SegmentHeader, end: u64) -> SegmentInfo {
        SegmentInfo {
            first_sequence: header.first_sequence,
            events_before: header.events_before,
            charged_before: header.charged_before,
            begin: header_bytes(&header.schema),
            end,
            file_bytes: header.file_bytes,
            schema: header.schema.clone(),
        }
    }
}

/// The segment that records are appended to.
pub(super) struct Active<F> {
    pub(super) number: u64,
    pub(super) file: F,
    /// The checksum of the log's last record.
    pub(super) chain: u32,
    /// The log continues in another segment.
    pub(super) sealed: bool,
}

/// An open log.
pub(super) struct Log<S: Storage> {
    pub(super) storage: S,
    pub(super) sizes: LogSizes,
    pub(super) uuid: Uuid,
    pub(super) image: Image,
    pub(super) segments: BTreeMap<u64, SegmentInfo>,
    pub(super) active: Active<S::File>,
    pub(super) superblock: Superblock,
    pub(super) superblock_file: S::File,
    pub(super) spare: Option<Blank<S::File>>,
    /// The bytes of the groups that were written since the log was opened.
    pub(super) written_bytes: u64,
    /// No segment has had this number or a higher one.
    pub(super) next_number: u64,
    pub(super) since_checkpoint: u64,
    /// The bytes that puts leave free in a segment, for a checkpoint and a seal.
    pub(super) reserve: u64,
    /// The number of groups that were written again after a failure.
    pub(super) rewritten: u64,
    /// Held until the log is closed.
    pub(super) _lock: S::Lock,
}

/// Returns the bytes of a group of records with bodies of these lengths.
pub(super) fn group_bytes(bodies: impl Iterator<Item = u64>) -> u64 {
    page_up(bodies.map(record_span).sum())
}

impl<S: Storage> Log<S> {
    pub(super) fn end(&self) -> Location {
        let number = self.active.number;
        Location { segment: number, offset: self.segments[&number].end }
    }

    /// Returns a proof for a group without records: everything appended so far is on disk.
    pub(super) fn durable(&self) -> Durable {
        Durable { locations: Vec::new(), _made_by_the_log: () }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.segments[&self.active.number].schema
    }

    /// Appends one group that contains puts with events of this schema, and syncs it.
    ///
    /// # Errors
    /// When the disk is full, after which the log is unchanged; or when the disk fails permanently.
    pub(super) fn append_puts(
        &mut self,
        drafts: &[Draft<'_>],
        schema: &SchemaRef,
    ) -> Result<Durable, AppendError> {
        let bytes = group_bytes(drafts.iter().map(|draft| draft.body.len() as u64));
        let fits = self.has_room(bytes + self.reserve) && self.schema() == schema;
        self.ensure_spare(if fits { 0 } else { self.segment_bytes_for(bytes, schema) })?;
        if !fits {
            self.rotate(bytes, &schema.clone(), Seal::Write)?;
        }
        #[cfg(weir_bug)]
        if put_back!("position_saved_before_data") {
            self.write_positions_alone(drafts)?;
        }
        self.write_somewhere(drafts, bytes)
    }

    /// Appends one group without puts and syncs it. On a full disk, uses the space that puts leave free and the spare.
    ///
    /// # Errors
    /// When that space is used up, after which the log is unchanged; or when the disk fails permanently.
    pub(super) fn append_others(&mut self, drafts: &[Draft<'_>]) -> Result<Durable, AppendError> {
        let bytes = group_bytes(drafts.iter().map(|draft| draft.body.len() as u64));
        if !self.has_room(bytes) {
            let schema = self.schema().clone();
            self.rotate(bytes, &schema, Seal::Write)?;
        }
        self.write_somewhere(drafts, bytes)
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let info = &self.segments[&self.active.number];
        !self.active.sealed && info.end + bytes <= info.file_bytes
    }

    /// Writes a group into the active segment. After a failure, writes it into a new segment.
    fn write_somewhere(&mut self, drafts: &[Draft<'_>], bytes: u64) -> Result<Durable, AppendError> {
        let mut attempts = 0;
        loop {
            let source = match self.write(drafts) {
                Ok(durable) => return Ok(durable),
                Err(WriteError::Defect(what)) => return Err(AppendError::Defect(what)),
                Err(WriteError::Gone) => return Err(AppendError::Gone),
                Err(WriteError::Io(source)) => source,
            };
            let file = segment_name(self.active.number);
            if is_outage(&source) || attempts == ATTEMPTS_MAX {
                return Err(AppendError::of("writing to the log")(source));
            }
            attempts += 1;
            self.rewritten += 1;
            warn!("writing to {file} failed: {source}; the group is written again into another segment");
            let schema = self.schema().clone();
            self.rotate(bytes, &schema, Seal::Omit)?;
        }
    }

    /// Writes a group at the end of the active segment and syncs it.
    fn write(&mut self, drafts: &[Draft<'_>]) -> Result<Durable, WriteError> {
        let begin = self.end();
        let laid_out = self.lay_out(drafts, begin);
        let mut parts: Vec<&[u8]> = Vec::with_capacity(drafts.len() * 3);
        for (record, draft) in laid_out.records.iter().zip(drafts) {
            let unpadded = record.location.offset + RECORD_HEADER + draft.body.len() as u64;
            let padding = (record.next.offset - unpadded) as usize;
            parts.extend([&record.bytes[..], draft.body, &ZEROS[..padding]]);
        }
        self.storage.write_at(&self.active.file, begin.offset, &parts)?;
        self.sync_active()?;
        self.check_reached()?;
        for (record, draft) in laid_out.records.iter().zip(drafts) {
            self.image.apply(&record.header, draft.body).map_err(WriteError::Defect)?;
        }
        let end = laid_out.end.offset;
        self.since_checkpoint += end - begin.offset;
        self.written_bytes += end - begin.offset;
        self.active.chain = laid_out.chain;
        self.segments.get_mut(&begin.segment).expect("the active segment is one of them").end = end;
        let locations = laid_out.records.iter().map(|record| (record.location, record.next)).collect();
        Ok(Durable { locations, _made_by_the_log: () })
    }

    /// Checks that the next start would find what was just written. Neither a write nor a sync notices that the
    /// directory was removed. The check costs two calls that do not wait for the disk.
    fn check_reached(&self) -> Result<(), WriteError> {
        let name = segment_name(self.active.number);
        let reached = self.storage.is_reached(&self.active.file, &name);
        // If the lookup itself is refused, the segment is taken to be in place.
        match reached.unwrap_or(true) || put_back!("removed_directory_believed") {
            true => Ok(()),
            false => Err(WriteError::Gone),
        }
    }

    fn sync_active(&self) -> io::Result<()> {
        #[cfg(weir_bug)]
        if put_back!("ack_before_sync") {
            return Ok(());
        }
        let synced = self.storage.sync(&self.active.file);
        #[cfg(weir_bug)]
        if put_back!("failed_sync_cleared") && synced.is_err() {
            return self.storage.sync(&self.active.file);
        }
        synced
    }

    fn lay_out(&self, drafts: &[Draft<'_>], begin: Location) -> LaidOut {
        let mut chain = self.active.chain;
        let (mut sequence, mut put) = (self.image.next_sequence, self.image.put);
        let mut location = begin;
        let mut records = Vec::with_capacity(drafts.len());
        for (number, draft) in drafts.iter().enumerate() {
            let last_of_group = number + 1 == drafts.len();
            let header = RecordHeader {
                kind: draft.kind,
                first_of_group: number == 0,
                last_of_group,
                origins_bytes: draft.origins_bytes,
                body_bytes: draft.body.len() as u32,
                rows: draft.rows,
                sequence,
                events_before: put.events,
                charged_before: put.charged,
                charged: draft.charged,
                previous: chain,
                body_checksum: draft.body_checksum,
            };
            let (bytes, sum) = header.encode(&self.uuid, location);
            let read = RecordHeader::decode(&bytes, &self.uuid, location);
            assert_eq!(read, Some((header, sum)), "the record can't be read back");
            assert_eq!(location.offset % RECORD_ALIGNMENT, 0, "the record is not aligned");
            chain = sum;
            if draft.rows > 0 {
                sequence += 1;
                put.events += u64::from(draft.rows);
                put.charged += draft.charged;
            }
            let end = location.offset + header.span();
            let next = Location { offset: if last_of_group { page_up(end) } else { end }, ..location };
            records.push(LaidOutRecord { location, next, header, bytes });
            location = next;
        }
        LaidOut { records, end: location, chain }
    }

    /// Continues the log in a new segment with space for a group of this many bytes.
    fn rotate(&mut self, bytes: u64, schema: &SchemaRef, seal: Seal) -> Result<(), AppendError> {
        let least = self.segment_bytes_for(bytes, schema);
        if self.spare.is_some()
            && let Err(full @ AppendError::Full { .. }) = self.ensure_spare(least)
        {
            return Err(full);
        }
        let mut attempts = 0;
        let (header, file) = loop {
            let number = self.next_number;
            self.next_number += 1;
            match self.make_segment(number, least, schema) {
                Ok(made) => break made,
                Err(source) => {
                    self.discard(number)?;
                    attempts += 1;
                    if is_outage(&source) || attempts > ATTEMPTS_MAX {
                        return Err(AppendError::of("making a segment")(source));
                    }
                }
            }
        };
        if seal == Seal::Write && !self.active.sealed {
            self.seal();
        }
        self.segments.insert(header.number, SegmentInfo::of(&header, header_bytes(schema)));
        self.active = Active { number: header.number, file, chain: self.active.chain, sealed: false };
        Ok(())
    }

    /// Makes a segment of at least this many bytes, whose header and name are synced.
    fn make_segment(
        &mut self,
        number: u64,
        least: u64,
        schema: &SchemaRef,
    ) -> io::Result<(SegmentHeader, S::File)> {
        let name = segment_name(number);
        let Blank { file, bytes: file_bytes } = match self.spare.take() {
            Some(spare) => {
                self.storage.rename(SPARE, &name)?;
                spare
            }
            None => {
                // Renamed only at its full length, so that a shorter segment was certainly cut.
                let blank = self.make_blank(SEGMENT_NEW, least)?;
                self.storage.rename(SEGMENT_NEW, &name)?;
                blank
            }
        };
        let header = SegmentHeader {
            uuid: self.uuid,
            number,
            first_sequence: self.image.next_sequence,
            events_before: self.image.put.events,
            charged_before: self.image.put.charged,
            previous: Some(Previous { end: self.end(), chain: self.active.chain }),
            file_bytes,
            schema: schema.clone(),
        };
        let bytes = header.encode();
        assert_eq!(
            SegmentHeader::decode(&bytes).as_ref(),
            Ok(&header),
            "the segment's header can't be read back"
        );
        self.storage.write_at(&file, 0, &[&bytes])?;
        self.storage.sync(&file)?;
        if !put_back!("directory_entry_not_synced") {
            self.storage.sync_directory()?;
        }
        Ok((header, file))
    }

    /// Removes a segment that could not be made, and syncs the removal: if it reappeared, the log would seem to end in
    /// it.
    fn discard(&mut self, number: u64) -> Result<(), AppendError> {
        let what = "removing a segment that could not be made";
        // It is no part of the log and only takes up space.
        self.storage.unlink(SEGMENT_NEW).ok();
        match self.storage.unlink(&segment_name(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AppendError::of(what)(error)),
            _ => self.storage.sync_directory().map_err(AppendError::of(what)),
        }
    }

    /// Writes into the active segment that the log continues in another one. The next segment's header says so too;
    /// the seal shows that the next segment is missing if it is.
    fn seal(&mut self) {
        if !self.has_room(PAGE) {
            return;
        }
        let (chain, end) = (self.active.chain, self.end());
        let end_before_seal = end.offset;
        if self.write(&[Draft::plain(Kind::Seal, &[])]).is_ok() {
            // The next segment's header names the log's end before the seal.
            self.active.chain = chain;
            self.segments.get_mut(&end.segment).expect("the active segment is one of them").end =
                end_before_seal;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    Write,
    /// After a failure: nothing more is written to the segment.
    Omit,
}

enum WriteError {
    Io(io::Error),
    Defect(&'static str),
    Gone,
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

struct LaidOut {
    records: Vec<LaidOutRecord>,
    end: Location,
    chain: u32,
}

struct LaidOutRecord {
    location: Location,
    next: Location,
    header: RecordHeader,
    bytes: [u8; RECORD_HEADER as usize],
}

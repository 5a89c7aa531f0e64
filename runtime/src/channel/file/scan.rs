//! Reads records from a segment.

use std::io;

use arrow_buffer::Buffer;
use serde::Serialize;
use thiserror::Error;

use super::fields::checksum;
use super::record::{RECORD_HEADER, RecordHeader, record_span};
use super::segment::{
    HEADER_BYTES_MAX, HeaderFault, Location, PAGE, SegmentHeader, Uuid, page_up, segment_name,
};
use crate::environment::storage::{Access, Storage};

/// The bytes that are read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// A part of the log that was changed after it was written.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[error("{file}, byte {offset}: {what}")]
pub struct Damage {
    /// The file in the channel's directory.
    pub file: String,
    /// The offset at which the damage begins.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    pub(super) fn at(location: Location, what: impl Into<String>) -> Damage {
        Damage { file: segment_name(location.segment), offset: location.offset, what: what.into() }
    }
}

/// Why a segment can't be read.
#[derive(Debug, Error)]
pub(super) enum ScanError {
    /// The disk failed.
    #[error("reading {file}")]
    Io { file: String, source: io::Error },
    /// The header can't be read.
    #[error("{0:?}")]
    Header(HeaderFault),
}

/// A complete record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) location: Location,
    /// Where the next record begins.
    pub(super) next: Location,
    pub(super) header: RecordHeader,
    /// The header's checksum.
    pub(super) chain: u32,
    pub(super) body: Buffer,
}

/// An open segment that is read in large chunks.
pub(super) struct Scan<'a, S: Storage> {
    storage: &'a S,
    file: S::File,
    uuid: Uuid,
    number: u64,
    length: u64,
    /// Nothing is read from this offset on.
    limit: u64,
    chunk: Buffer,
    chunk_at: u64,
}

impl<'a, S: Storage> Scan<'a, S> {
    /// Opens a segment for reading up to `limit`, or to its end.
    pub(super) fn open(
        storage: &'a S,
        uuid: Uuid,
        number: u64,
        limit: Option<u64>,
    ) -> Result<Scan<'a, S>, ScanError> {
        let refused = |source| ScanError::Io { file: segment_name(number), source };
        let file = storage.open(&segment_name(number), Access::Read).map_err(refused)?;
        let length = storage.length(&file).map_err(refused)?;
        let limit = limit.unwrap_or(length).min(length);
        let chunk = Buffer::from_vec(Vec::<u8>::new());
        Ok(Scan { storage, file, uuid, number, length, limit, chunk, chunk_at: 0 })
    }

    /// Returns the length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the damage if the file is shorter than its header says. A segment has its full length before it gets a
    /// header, so no crash leaves it shorter.
    pub(super) fn cut_off(&self, header: &SegmentHeader) -> Option<Damage> {
        #[cfg(weir_bug)]
        if put_back!("cut_segment_believed") {
            return None;
        }
        let (length, whole) = (self.length, header.file_bytes);
        let location = Location { segment: self.number, offset: length };
        let what = format!("the file is cut off: it has {length} bytes, and its header says {whole}");
        (length < whole).then(|| Damage::at(location, what))
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns these bytes of the file; fewer at the limit.
    fn bytes(&mut self, offset: u64, length: u64) -> Result<Buffer, ScanError> {
        let end = offset.saturating_add(length).min(self.limit).max(offset);
        let held = self.chunk_at..self.chunk_at + self.chunk.len() as u64;
        if !(held.start <= offset && end <= held.end) {
            let wanted = (end - offset).max(CHUNK_BYTES.min(self.limit.saturating_sub(offset)));
            self.chunk = Buffer::from_vec(self.read(offset, wanted)?);
            self.chunk_at = offset;
        }
        let begin = (offset - self.chunk_at) as usize;
        let length = ((end - offset) as usize).min(self.chunk.len() - begin);
        Ok(self.chunk.slice_with_length(begin, length))
    }

    /// Reads the segment's header and nothing else: a channel may have very many segments, and opening it reads each
    /// header.
    pub(super) fn header(&mut self) -> Result<SegmentHeader, ScanError> {
        let begin = self.read(0, PAGE.min(self.limit))?;
        let length = SegmentHeader::length(&begin).map_err(ScanError::Header)?;
        if length <= begin.len() as u64 {
            return SegmentHeader::decode(&begin).map_err(ScanError::Header);
        }
        let bytes = self.read(0, length.min(HEADER_BYTES_MAX).min(self.limit))?;
        SegmentHeader::decode(&bytes).map_err(ScanError::Header)
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, ScanError> {
        let mut bytes = vec![0; length as usize];
        let read = self.storage.read_at(&self.file, offset, &mut bytes);
        let read = read.map_err(|source| ScanError::Io { file: segment_name(self.number), source })?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads the record at this offset; `None` if there is no intact one.
    pub(super) fn record(&mut self, offset: u64) -> Result<Option<Record>, ScanError> {
        let location = Location { segment: self.number, offset };
        let bytes = self.bytes(offset, RECORD_HEADER)?;
        let Some((header, chain)) = RecordHeader::decode(&bytes, &self.uuid, location) else {
            return Ok(None);
        };
        if header.span() > self.limit.saturating_sub(offset) {
            return Ok(None);
        }
        let body = self.bytes(offset + RECORD_HEADER, u64::from(header.body_bytes))?;
        if body.len() as u64 != u64::from(header.body_bytes) || checksum(&[&body]) != header.body_checksum {
            return Ok(None);
        }
        let end = offset + record_span(u64::from(header.body_bytes));
        let next = if header.last_of_group { page_up(end) } else { end };
        let next = Location { segment: self.number, offset: next };
        Ok(Some(Record { location, next, header, chain, body }))
    }

    /// Returns the end of the last page from `offset` on that is not zero.
    pub(super) fn written_end(&mut self, offset: u64) -> Result<u64, ScanError> {
        let (mut at, mut end) = (offset, offset);
        while at < self.limit {
            let next = (at / PAGE + 1) * PAGE;
            if self.bytes(at, next - at)?.iter().any(|byte| *byte != 0) {
                end = next.min(self.limit);
            }
            at = next;
        }
        Ok(end)
    }

    /// Returns the number of events in the consecutive records from `offset` on, according to their headers.
    pub(super) fn events_from(&mut self, offset: u64) -> Result<u64, ScanError> {
        let (mut at, mut events) = (offset, 0);
        loop {
            let bytes = self.bytes(at, RECORD_HEADER)?;
            let location = Location { segment: self.number, offset: at };
            let Some((header, _)) = RecordHeader::decode(&bytes, &self.uuid, location) else {
                return Ok(events);
            };
            events += u64::from(header.rows);
            at += header.span();
        }
    }

    /// Returns the first page from `offset` on in which a group begins: everything before it was synced.
    pub(super) fn group_beyond(&mut self, offset: u64) -> Result<Option<u64>, ScanError> {
        let mut at = page_up(offset);
        while at < self.limit {
            let location = Location { segment: self.number, offset: at };
            let bytes = self.bytes(at, RECORD_HEADER)?;
            match RecordHeader::decode(&bytes, &self.uuid, location) {
                Some((header, _)) if header.first_of_group => return Ok(Some(at)),
                _ => at += PAGE,
            }
        }
        Ok(None)
    }
}

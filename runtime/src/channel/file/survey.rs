//! Examines a channel's directory without changing it: finds where the log begins and ends, and the image at its
//! end.

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use super::image::Image;
use super::log::SegmentInfo;
use super::record::Kind;
use super::scan::{Damage, Record, Scan, ScanError};
use super::segment::{
    HeaderFault, Location, PAGE, SegmentHeader, Uuid, header_bytes, segment_name, segment_number,
};
use super::superblock::{COPIES, SUPERBLOCK, Superblock};
use crate::environment::storage::{Access, Storage};

/// The least length of a segment: a header and one group.
pub(super) const SEGMENT_BYTES_LEAST: u64 = 2 * PAGE;

/// Why a directory can't be read as a channel.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// The disk failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The log was changed after it was written.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// There are segments, but no superblock with the beginning of the log.
    #[error("{SUPERBLOCK} is missing, although there are segments with records")]
    NoSuperblock,
    /// A file has another version of the format.
    #[error(
        "{file} has version {found} of the format; this weir reads versions {} to {}",
        super::segment::OLDEST_VERSION,
        super::segment::MAJOR_VERSION
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
    },
    /// A file uses features that this version does not know.
    #[error("{file} needs features {bits:#x} of the format, which this weir does not know")]
    Features {
        /// The file.
        file: String,
        /// The bits.
        bits: u32,
    },
}

impl SurveyError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> SurveyError {
        let what = what.into();
        |source| SurveyError::Io { what, source }
    }

    fn header(file: String, offset: u64, fault: HeaderFault) -> SurveyError {
        match fault {
            HeaderFault::Damaged(what) => Damage { file, offset, what: what.to_owned() }.into(),
            HeaderFault::Version(found) => SurveyError::Version { file, found },
            HeaderFault::Features(bits) => SurveyError::Features { file, bits },
        }
    }

    /// A read error that comes from the file's content is damage.
    fn reading(file: String, source: io::Error) -> SurveyError {
        match source.kind() {
            io::ErrorKind::InvalidData => Damage { file, offset: 0, what: source.to_string() }.into(),
            _ => SurveyError::Io { what: format!("reading {file}"), source },
        }
    }

    pub(super) fn scan(number: u64, error: ScanError) -> SurveyError {
        match error {
            ScanError::Io { file, source } => SurveyError::reading(file, source),
            ScanError::Header(fault) => SurveyError::header(segment_name(number), 0, fault),
        }
    }
}

/// The log in a directory.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) image: Image,
    /// The log's segments; the last one is the one to append to.
    pub(super) segments: BTreeMap<u64, SegmentInfo>,
    /// The checksum of the last record.
    pub(super) chain: u32,
    /// The last group, if there is no proof that it was synced.
    pub(super) unproven: Option<(Location, Location)>,
    /// An incomplete group after the end of the log.
    pub(super) torn: Option<TornGroup>,
    /// Segments that are not part of the log.
    pub(super) strays: Vec<u64>,
    pub(super) next_number: u64,
    /// Bytes read from the checkpoint on.
    pub(super) scanned_bytes: u64,
    pub(super) scanned_records: u64,
}

/// An incomplete group after the end of a log that was not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TornGroup {
    pub(super) location: Location,
    /// Up to the last byte that was written.
    pub(super) bytes: u64,
    /// As far as the record headers can be read.
    pub(super) events: u64,
}

/// Returns the numbers of the segments in a directory, in order.
pub(super) fn segments<S: Storage>(storage: &S) -> Result<Vec<u64>, SurveyError> {
    let names = storage.list().map_err(SurveyError::io("listing the directory"))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads the newer intact copy of the superblock; `None` if the file does not exist.
pub(super) fn read_superblock<S: Storage>(storage: &S) -> Result<Option<Superblock>, SurveyError> {
    let reading = |source| SurveyError::reading(SUPERBLOCK.to_owned(), source);
    let file = match storage.open(SUPERBLOCK, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading(error)),
    };
    let mut best: Option<Superblock> = None;
    let mut fault = HeaderFault::Damaged("there is no superblock");
    for copy in COPIES {
        let mut page = [0; PAGE as usize];
        let length = storage.read_at(&file, copy, &mut page).map_err(reading)?;
        match Superblock::decode(&page[..length]) {
            Ok(found) if best.is_none_or(|best| best.generation < found.generation) => best = Some(found),
            Ok(_) => {}
            Err(found) => fault = found,
        }
    }
    match best {
        Some(best) => Ok(Some(best)),
        None => Err(SurveyError::header(SUPERBLOCK.to_owned(), 0, fault)),
    }
}

/// Examines a directory that has a superblock.
pub(super) fn survey<S: Storage>(storage: &S, superblock: Superblock) -> Result<Survey, SurveyError> {
    let all = segments(storage)?;
    let next_number = all.last().map_or(0, |last| last + 1);
    let Chain { segments, empty } = Chain::find(storage, &superblock, &all)?;
    let mut replay = Replay::begin(storage, superblock, segments)?;
    replay.run()?;
    let mut segments: BTreeMap<u64, SegmentInfo> =
        replay.segments.iter().map(|(header, end)| (header.number, SegmentInfo::of(header, *end))).collect();
    let mut chain = replay.chain;
    if replay.sealed {
        // The next segment was made before the seal was written.
        let next = empty
            .filter(|next| next.previous.is_some_and(|previous| previous.end.segment == replay.end.segment));
        let missing = || Damage::at(replay.end, "the log continues in another segment, which is missing");
        let next = next.ok_or_else(missing)?;
        chain = next.previous.map_or(chain, |previous| previous.chain);
        let sealed = segments.get_mut(&replay.end.segment).expect("the log ends in one of its segments");
        sealed.end = next.previous.map_or(sealed.end, |previous| previous.end.offset);
        segments.insert(next.number, SegmentInfo::of(&next, header_bytes(&next.schema)));
    }
    let strays = all.into_iter().filter(|number| !segments.contains_key(number)).collect();
    let clean = superblock.closed_at.is_some_and(|end| end == replay.end);
    let unproven = replay.last_group.filter(|(_, end)| !clean && *end == replay.end && !replay.sealed);
    Ok(Survey {
        image: replay.image,
        segments,
        chain,
        unproven,
        torn: replay.torn,
        strays,
        next_number,
        scanned_bytes: replay.scanned_bytes,
        scanned_records: replay.scanned_records,
    })
}

/// The segments that make up the log.
struct Chain {
    /// Their headers, oldest first.
    segments: Vec<SegmentHeader>,
    /// A later segment that was made and not used yet.
    empty: Option<SegmentHeader>,
}

impl Chain {
    fn find<S: Storage>(storage: &S, superblock: &Superblock, all: &[u64]) -> Result<Chain, SurveyError> {
        let mut empty = None;
        let mut segments = Vec::new();
        for &number in all.iter().rev().take_while(|number| **number >= superblock.checkpoint.segment) {
            let Some(header) = used_header(storage, superblock, number, &mut empty)? else { continue };
            segments.push(header);
            break;
        }
        let missing =
            |number: u64| Damage::at(Location { segment: number, offset: 0 }, "the segment is missing");
        if segments.is_empty() {
            return Err(missing(superblock.checkpoint.segment).into());
        }
        // From the last segment back, each header names the one before.
        while let Some(first) = segments.last().filter(|first| first.number > superblock.oldest) {
            let Some(previous) = first.previous.filter(|previous| previous.end.segment < first.number) else {
                let location = Location { segment: first.number, offset: 0 };
                return Err(Damage::at(location, "the header does not name the segment before it").into());
            };
            let number = previous.end.segment;
            if number < superblock.oldest {
                break;
            }
            if !all.contains(&number) {
                return Err(missing(number).into());
            }
            segments.push(complete_header(storage, superblock.uuid, number)?);
        }
        segments.reverse();
        match segments.iter().any(|segment| segment.number == superblock.checkpoint.segment) {
            true => Ok(Chain { segments, empty }),
            false => Err(missing(superblock.checkpoint.segment).into()),
        }
    }
}

/// Reads the header of a segment and checks that the segment belongs to this channel.
pub(super) fn header_of<S: Storage>(
    storage: &S,
    uuid: Uuid,
    number: u64,
) -> Result<SegmentHeader, SurveyError> {
    let header = Scan::open(storage, uuid, number, None).and_then(|mut scan| scan.header());
    let header = header.map_err(|error| SurveyError::scan(number, error))?;
    let location = Location { segment: number, offset: 0 };
    if header.uuid != uuid {
        return Err(Damage::at(location, "the segment belongs to another channel").into());
    }
    if header.number != number {
        return Err(Damage::at(location, format!("the segment is number {}", header.number)).into());
    }
    Ok(header)
}

/// Does the same for a segment with records, whose file must have its full length.
fn complete_header<S: Storage>(storage: &S, uuid: Uuid, number: u64) -> Result<SegmentHeader, SurveyError> {
    let header = header_of(storage, uuid, number)?;
    let scan = Scan::open(storage, uuid, number, None).map_err(|error| SurveyError::scan(number, error))?;
    scan.cut_off(&header).map_or(Ok(header), |damage| Err(damage.into()))
}

/// Reads the header of a segment that has records; `None` if the segment was made and not used.
fn used_header<S: Storage>(
    storage: &S,
    superblock: &Superblock,
    number: u64,
    empty: &mut Option<SegmentHeader>,
) -> Result<Option<SegmentHeader>, SurveyError> {
    let failed = |error| SurveyError::scan(number, error);
    let mut scan = Scan::open(storage, superblock.uuid, number, None).map_err(failed)?;
    let header = match header_of(storage, superblock.uuid, number) {
        Err(SurveyError::Damaged(damage)) if number > superblock.checkpoint.segment => {
            // A crash while the segment was made leaves no header, but then the file has its full length and no group.
            let cut_off = scan.length() < SEGMENT_BYTES_LEAST && !put_back!("cut_segment_believed");
            return match cut_off || scan.group_beyond(0).map_err(failed)?.is_some() {
                true => Err(damage.into()),
                false => Ok(None),
            };
        }
        header => header?,
    };
    if let Some(damage) = scan.cut_off(&header) {
        return Err(damage.into());
    }
    let begin = header_bytes(&header.schema);
    let used = number == superblock.checkpoint.segment
        || scan.record(begin).map_err(failed)?.is_some()
        || scan.group_beyond(begin + PAGE).map_err(failed)?.is_some();
    match used {
        true => Ok(Some(header)),
        false => {
            *empty = Some(header);
            Ok(None)
        }
    }
}

/// Reads the log from the checkpoint to its end.
struct Replay<'a, S: Storage> {
    storage: &'a S,
    superblock: Superblock,
    /// Each with the offset at which the log ends in it.
    segments: Vec<(SegmentHeader, u64)>,
    image: Image,
    chain: u32,
    end: Location,
    last_group: Option<(Location, Location)>,
    sealed: bool,
    torn: Option<TornGroup>,
    scanned_bytes: u64,
    scanned_records: u64,
}

impl<'a, S: Storage> Replay<'a, S> {
    fn begin(
        storage: &'a S,
        superblock: Superblock,
        headers: Vec<SegmentHeader>,
    ) -> Result<Replay<'a, S>, SurveyError> {
        let ends: Vec<u64> = headers
            .iter()
            .skip(1)
            .filter_map(|next| next.previous)
            .map(|previous| previous.end.offset)
            .collect();
        let ends = ends.into_iter().chain([u64::MAX]);
        let segments: Vec<(SegmentHeader, u64)> = headers.into_iter().zip(ends).collect();
        let location = superblock.checkpoint;
        Ok(Replay {
            storage,
            superblock,
            segments,
            image: Image::default(),
            chain: 0,
            end: location,
            last_group: None,
            sealed: false,
            torn: None,
            scanned_bytes: 0,
            scanned_records: 0,
        })
    }

    fn run(&mut self) -> Result<(), SurveyError> {
        let checkpoint = self.superblock.checkpoint;
        for index in 0..self.segments.len() {
            let (header, end) = &self.segments[index];
            let (number, begin, end) = (header.number, header_bytes(&header.schema), *end);
            if number < checkpoint.segment {
                continue;
            }
            let previous = header.previous;
            let begin = if number == checkpoint.segment { checkpoint.offset } else { begin };
            if number > checkpoint.segment && previous.is_none_or(|previous| previous.chain != self.chain) {
                let location = Location { segment: number, offset: 0 };
                return Err(Damage::at(
                    location,
                    "the log does not continue where it ends in the segment before",
                )
                .into());
            }
            self.end = Location { segment: number, offset: begin };
            self.sealed = false;
            let known_end = (end != u64::MAX).then_some(end);
            self.replay_segment(number, begin, known_end)?;
            self.segments[index].1 = self.end.offset;
        }
        Ok(())
    }

    /// Reads a segment up to the end that the next segment's header names, or else to the end of the log.
    fn replay_segment(&mut self, number: u64, begin: u64, known_end: Option<u64>) -> Result<(), SurveyError> {
        let failed = |error| SurveyError::scan(number, error);
        let mut scan = Scan::open(self.storage, self.superblock.uuid, number, known_end).map_err(failed)?;
        let mut at = begin;
        if at == self.superblock.checkpoint.offset
            && number == self.superblock.checkpoint.segment
            && at >= known_end.unwrap_or(scan.limit())
        {
            return self.stop(&mut scan, at, None, known_end);
        }
        let mut group: Vec<Record> = Vec::new();
        while at < known_end.unwrap_or(scan.limit()) {
            let record = scan.record(at).map_err(failed)?.filter(|record| self.follows(record, &group));
            let Some(record) = record else {
                return self.stop(&mut scan, at, group.first().map(|first| first.location.offset), known_end);
            };
            self.scanned_bytes += record.next.offset - at;
            self.scanned_records += 1;
            at = record.next.offset;
            let last = record.header.last_of_group;
            group.push(record);
            if last {
                self.finish_group(std::mem::take(&mut group))?;
            }
        }
        match group.first() {
            Some(first) => self.stop(&mut scan, at, Some(first.location.offset), known_end),
            None => Ok(()),
        }
    }

    fn follows(&self, record: &Record, group: &[Record]) -> bool {
        if record.location == self.superblock.checkpoint {
            return record.header.kind == Kind::Checkpoint;
        }
        let chain = group.last().map_or(self.chain, |before| before.chain);
        record.header.previous == chain && record.header.first_of_group == group.is_empty()
    }

    fn finish_group(&mut self, group: Vec<Record>) -> Result<(), SurveyError> {
        for record in &group {
            let applied = self.image.apply(&record.header, &record.body);
            applied.map_err(|what| Damage::at(record.location, what))?;
            self.chain = record.chain;
            self.sealed = record.header.kind == Kind::Seal;
            self.end = record.next;
        }
        self.last_group = group.first().map(|first| (first.location, self.end));
        Ok(())
    }

    /// Decides what an unreadable record at `at` means: the end of the log, a torn group, or damage.
    fn stop(
        &mut self,
        scan: &mut Scan<'_, S>,
        at: u64,
        group: Option<u64>,
        known_end: Option<u64>,
    ) -> Result<(), SurveyError> {
        let number = self.end.segment;
        let location = Location { segment: number, offset: at };
        let group = group.unwrap_or(at);
        let failed = |error| SurveyError::scan(number, error);
        #[cfg(weir_bug)]
        if put_back!("flipped_bit_truncates") && location != self.superblock.checkpoint {
            return Ok(());
        }
        let before_close = self.superblock.closed_at.is_some_and(|end| location < end)
            && !put_back!("sealed_log_taken_for_torn");
        if location == self.superblock.checkpoint {
            return Err(Damage::at(location, "the checkpoint can't be read").into());
        }
        if known_end.is_some() || before_close {
            return Err(Damage::at(location, "a record can't be read, and it was on disk once").into());
        }
        if let Some(later) = scan.group_beyond(group + PAGE).map_err(failed)? {
            let what = format!("a record can't be read, although another follows at byte {later}");
            return Err(Damage::at(location, what).into());
        }
        let end = scan.written_end(at).map_err(failed)?;
        if group < at || end > at {
            let events = scan.events_from(group).map_err(failed)?;
            let location = Location { segment: number, offset: group };
            self.torn = Some(TornGroup { location, bytes: end - group, events });
        }
        Ok(())
    }
}

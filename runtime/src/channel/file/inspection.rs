//! Inspects a channel's directory that no agent uses: its content, and whether all of it can be read. Nothing is
//! changed.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use thiserror::Error;

use super::claim::Claim;
use super::columns;
use super::cursor::FORGOTTEN_READER;
use super::encryption::{self, EncryptionError, IfAbsent};
use super::image::Position;
use super::record::Kind;
use super::recovery::{LOCK, lock_note};
use super::refusal::advice;
use super::scan::{Damage, Scan, ScanError};
use super::segment::{Location, PAGE, SegmentHeader, Uuid, segment_name};
use super::superblock::{SUPERBLOCK, Superblock};
use super::survey::{SEGMENT_BYTES_LEAST, SurveyError, TornGroup, read_superblock, segments, survey};
use crate::channel::Demand;
use crate::environment::storage::encrypted::system_random;
use crate::environment::storage::{Directory, DirectoryError, Encrypted, Keys, LockError, Storage};

/// Why a directory can't be inspected or repaired.
#[derive(Debug, Error)]
pub enum InspectionError {
    /// The directory does not exist.
    #[error("there is no channel")]
    Directory(#[from] DirectoryError),
    /// The keys do not fit the directory.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// An agent uses the directory.
    #[error("{place} is in use by {holder}: stop that agent first")]
    InUse {
        /// The directory.
        place: String,
        /// The agent's note.
        holder: String,
    },
    /// The directory has no channel.
    #[error("{place} holds no channel: it has neither a superblock nor segments")]
    NoChannel {
        /// The directory.
        place: String,
    },
    /// No segment has a header that can be read, so a repair can't begin.
    #[error(
        "{place}: none of its segments has a header that can be read ({damage}), so a repair would keep nothing; nothing was changed: put a copy of the directory back, or remove it to begin with an empty channel, after which what waited in it is lost"
    )]
    NothingReadable {
        /// The directory.
        place: String,
        /// The first damage.
        damage: Damage,
    },
    /// The directory can't be read as a channel.
    #[error("{place}: {error}; nothing was changed{}", advice(error))]
    Survey {
        /// The directory.
        place: String,
        /// Why.
        #[source]
        error: SurveyError,
    },
    /// The disk failed.
    #[error("{place}: {what}")]
    Io {
        /// The directory.
        place: String,
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// There is no reader of this name.
    #[error("{place} has no reader `{reader}`; it has {}", known.join(", "))]
    NoReader {
        /// The directory.
        place: String,
        /// The name.
        reader: String,
        /// The names of the readers.
        known: Vec<String>,
    },
}

/// The position of a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReaderSummary {
    /// Its name.
    pub name: String,
    /// Whether the channel keeps events until the reader has acknowledged them.
    pub required: bool,
    /// The first put that it has not acknowledged.
    pub low: u64,
    /// The number of later puts that it has acknowledged.
    pub beyond: u64,
}

/// The stored position of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PositionSummary {
    /// The source with its path into the channel.
    pub source: String,
    /// The partition of the source.
    pub partition: String,
    /// The last position that is stored.
    pub through: u64,
}

/// A torn write at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// The offset in the file.
    pub offset: u64,
    /// The number of bytes that were written.
    pub bytes: u64,
    /// The number of events in it, as far as can be read.
    pub events: u64,
}

/// A segment of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentSummary {
    /// Its number, which names its file.
    pub number: u64,
    /// The sequence of its first put.
    pub first_sequence: u64,
    /// Bytes of its file that are written.
    pub written_bytes: u64,
    /// Bytes that its file takes.
    pub file_bytes: u64,
}

/// The content of a channel's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The pipeline that it belongs to.
    pub owner: String,
    /// Events that are not acknowledged by every required reader, and their charged bytes.
    pub held_events: u64,
    /// See `held_events`.
    pub held_bytes: u64,
    /// Puts since the channel was created.
    pub puts: u64,
    /// Events since the channel was created.
    pub events: u64,
    /// Its readers.
    pub readers: Vec<ReaderSummary>,
    /// The stored position of each partition.
    pub positions: Vec<PositionSummary>,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentSummary>,
    /// Whether the channel was closed cleanly.
    pub closed: bool,
    /// The incomplete write at the end of a log that was not closed cleanly. Either a crash has torn it, and it was
    /// never acknowledged, or it was damaged later.
    pub torn: Option<Torn>,
    /// The highest number that was given to an event.
    pub highest_number: u64,
    /// The last incarnation in which events were numbered.
    pub incarnation: Option<String>,
}

/// The result of reading all of a channel's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verification {
    /// The number of segments that were read.
    pub segments: u64,
    /// The number of intact records.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// The damage.
    pub damages: Vec<Damage>,
}

/// Inspects a channel's directory, with its keys if it is encrypted.
///
/// # Errors
/// When the directory is in use, or damaged in the part that recovery reads.
pub fn inspect(path: &Path, keys: Option<&Keys>) -> Result<Inspection, InspectionError> {
    match keys {
        None => inspect_on(&plain_directory(path)?),
        Some(keys) => inspect_on(&encrypted_directory(path, keys)?),
    }
}

/// Reads everything in a channel's directory, with its keys if it is encrypted, and reports all damage.
///
/// # Errors
/// When the directory is in use or the disk fails; damage is no error.
pub fn verify(path: &Path, keys: Option<&Keys>) -> Result<Verification, InspectionError> {
    match keys {
        None => verify_on(&plain_directory(path)?),
        Some(keys) => verify_on(&encrypted_directory(path, keys)?),
    }
}

/// Opens a directory that is not encrypted.
pub(super) fn plain_directory(path: &Path) -> Result<Directory, InspectionError> {
    Ok(encryption::plain(Directory::open(path)?)?)
}

/// Opens a directory that is encrypted with this key.
pub(super) fn encrypted_directory(path: &Path, keys: &Keys) -> Result<Encrypted<Directory>, InspectionError> {
    Ok(encryption::encrypted(Directory::open(path)?, keys, IfAbsent::Refuse, system_random())?)
}

/// Locks the directory for a tool.
pub(super) fn lock<S: Storage>(storage: &S) -> Result<S::Lock, InspectionError> {
    let place = storage.place();
    storage.lock(LOCK, &lock_note("weir channel")).map_err(|error| match error {
        LockError::Held { holder } => InspectionError::InUse { place, holder },
        LockError::Io(source) => InspectionError::Io { place, what: "locking it".to_owned(), source },
    })
}

pub(super) fn surveying<S: Storage>(storage: &S) -> impl Fn(SurveyError) -> InspectionError + use<S> {
    let place = storage.place();
    move |error| InspectionError::Survey { place: place.clone(), error }
}

pub(super) fn inspect_on<S: Storage>(storage: &S) -> Result<Inspection, InspectionError> {
    let _lock = lock(storage)?;
    let refused = surveying(storage);
    let none = || InspectionError::NoChannel { place: storage.place() };
    let Some(superblock) = read_superblock(storage).map_err(&refused)? else {
        let any = !segments(storage).map_err(&refused)?.is_empty();
        return Err(if any { refused(SurveyError::NoSuperblock) } else { none() });
    };
    let surveyed = survey(storage, superblock).map_err(refused)?;
    let image = surveyed.image;
    let named = image.readers.iter().filter(|reader| reader.name != FORGOTTEN_READER);
    let readers = named.map(|reader| ReaderSummary {
        name: reader.name.clone(),
        required: reader.demand == Demand::Required,
        low: reader.low.sequence,
        beyond: reader.done.len(),
    });
    let positions = image.positions.iter().map(|((scope, partition), Position { through, .. })| {
        PositionSummary { source: scope.clone(), partition: partition.name().to_owned(), through: *through }
    });
    let segments = surveyed.segments.iter().map(|(number, info)| SegmentSummary {
        number: *number,
        first_sequence: info.first_sequence,
        written_bytes: info.end,
        file_bytes: info.file_bytes,
    });
    Ok(Inspection {
        held_events: image.held.events,
        held_bytes: image.held.charged,
        puts: image.next_sequence,
        events: image.put.events,
        readers: readers.collect(),
        positions: positions.collect(),
        segments: segments.collect(),
        closed: superblock.closed_at.is_some(),
        torn: surveyed.torn.map(Torn::from),
        highest_number: image.highest_number(),
        incarnation: image.incarnations.last().map(|incarnation| incarnation.to_string()),
        owner: image.owner,
    })
}

pub(super) fn verify_on<S: Storage>(storage: &S) -> Result<Verification, InspectionError> {
    let _lock = lock(storage)?;
    let refused = surveying(storage);
    let mut verification = Verification::default();
    let superblock = superblock_or_damage(storage, &mut verification.damages)?;
    let mut claimed = Vec::new();
    claim_or_damage(storage, &mut claimed)?;
    let log = LogFiles::find(storage, superblock).map_err(&refused)?;
    for index in 0..log.segments.len() {
        let visited = log.visit_records(index, &mut verification.damages, |record, schema| {
            verification.records += 1;
            if record.header.kind != Kind::Put || record.header.rows == 0 {
                return None;
            }
            verification.events += u64::from(record.header.rows);
            let (rows, origins) = (record.header.rows as usize, record.header.origins_bytes as usize);
            let decoded = columns::decode(schema, rows, origins, &record.body);
            decoded.is_none().then(|| Damage::at(record.location, "the events are invalid"))
        });
        visited.map_err(&refused)?;
        verification.segments += 1;
    }
    // The connections between the records can be checked only if the log is intact otherwise.
    if let (Some(superblock), true) = (superblock, verification.damages.is_empty()) {
        match survey(storage, superblock) {
            Err(SurveyError::Damaged(damage)) => verification.damages.push(damage),
            surveyed => drop(surveyed.map_err(&refused)?),
        }
    }
    verification.damages.extend(claimed);
    Ok(verification)
}

/// Reads the claim of a sink that the last start has left, and reports it as damage.
pub(super) fn claim_or_damage<S: Storage>(
    storage: &S,
    damages: &mut Vec<Damage>,
) -> Result<Option<Claim>, InspectionError> {
    match Claim::read(storage) {
        Err(SurveyError::Damaged(damage)) => {
            damages.push(damage);
            Ok(None)
        }
        Err(error) => Err(surveying(storage)(error)),
        Ok(claim) => {
            damages.extend(claim.as_ref().map(Claim::damage));
            Ok(claim)
        }
    }
}

/// Reads the superblock, and reports it as damage if it can't be read or is missing.
pub(super) fn superblock_or_damage<S: Storage>(
    storage: &S,
    damages: &mut Vec<Damage>,
) -> Result<Option<Superblock>, InspectionError> {
    let found = match read_superblock(storage) {
        Err(SurveyError::Damaged(damage)) => {
            damages.push(damage);
            None
        }
        found => found.map_err(surveying(storage))?,
    };
    let any = !segments(storage).map_err(surveying(storage))?.is_empty();
    match found {
        None if !any => return Err(InspectionError::NoChannel { place: storage.place() }),
        None if damages.is_empty() => {
            damages.push(Damage { file: SUPERBLOCK.to_owned(), offset: 0, what: "it is missing".to_owned() });
        }
        _ => {}
    }
    Ok(found)
}

/// The segments of a log that may be damaged anywhere.
pub(super) struct LogFiles<'a, S: Storage> {
    storage: &'a S,
    pub(super) uuid: Uuid,
    pub(super) segments: Vec<(u64, Result<SegmentHeader, Damage>)>,
}

impl<'a, S: Storage> LogFiles<'a, S> {
    /// Whether any segment has a header that can be read, or the disk refuses to say so.
    pub(super) fn any_header(storage: &'a S) -> bool {
        let superblock = read_superblock(storage).ok().flatten();
        LogFiles::find(storage, superblock)
            .map_or(true, |files| files.segments.iter().any(|(_, header)| header.is_ok()))
    }

    pub(super) fn find(
        storage: &'a S,
        superblock: Option<Superblock>,
    ) -> Result<LogFiles<'a, S>, SurveyError> {
        let oldest = superblock.map_or(0, |superblock| superblock.oldest);
        let mut headers = Vec::new();
        for number in segments(storage)?.into_iter().filter(|number| *number >= oldest) {
            // The header contains the channel's UUID, which is not known before.
            let header =
                Scan::open(storage, Uuid::default(), number, None).and_then(|mut scan| scan.header());
            let header = match header.map_err(|error| SurveyError::scan(number, error)) {
                Ok(header) if header.number == number => Ok(header),
                Ok(_) => Err(Damage::at(
                    Location { segment: number, offset: 0 },
                    "the header is another segment's",
                )),
                Err(SurveyError::Damaged(damage)) => Err(damage),
                Err(error) => return Err(error),
            };
            headers.push((number, header));
        }
        let newest = headers.iter().rev().find_map(|(_, header)| header.as_ref().ok());
        let uuid = superblock.map(|superblock| superblock.uuid).or(newest.map(|header| header.uuid));
        Ok(LogFiles { storage, uuid: uuid.unwrap_or_default(), segments: headers })
    }

    /// Visits every readable record of a segment, and continues after unreadable ones.
    pub(super) fn visit_records(
        &self,
        index: usize,
        damages: &mut Vec<Damage>,
        mut visit: impl FnMut(&super::scan::Record, &arrow_schema::SchemaRef) -> Option<Damage>,
    ) -> Result<(), SurveyError> {
        let (number, header) = &self.segments[index];
        let number = *number;
        let failed = |error: ScanError| SurveyError::scan(number, error);
        let next = self.segments[index + 1..].iter().find_map(|(_, header)| header.as_ref().ok());
        let previous = next.and_then(|next| next.previous).filter(|previous| previous.end.segment == number);
        let known_end = previous.map(|previous| previous.end.offset);
        let mut scan = match Scan::open(self.storage, self.uuid, number, known_end).map_err(failed) {
            // Nothing of it can be read.
            Err(SurveyError::Damaged(damage)) => {
                damages.push(damage);
                return Ok(());
            }
            scan => scan?,
        };
        match header {
            Ok(header) => damages.extend(scan.cut_off(header)),
            Err(damage) if scan.length() < SEGMENT_BYTES_LEAST => damages.push(damage.clone()),
            Err(_) => {}
        }
        // A segment without a header gets the schema of the newest segment.
        let neighbours = || self.segments.iter().filter_map(|(_, header)| header.as_ref().ok()).next_back();
        let Some(described) = header.as_ref().ok().or_else(neighbours) else { return Ok(()) };
        let mut at = super::segment::header_bytes(&described.schema);
        let mut used = false;
        while at < scan.limit() {
            if let Some(record) = scan.record(at).map_err(failed)? {
                damages.extend(visit(&record, &described.schema));
                used = true;
                at = record.next.offset;
                continue;
            }
            let location = Location { segment: number, offset: at };
            let beyond = scan.group_beyond((at / PAGE + 1) * PAGE).map_err(failed)?;
            if beyond.is_some() || known_end.is_some() {
                damages.push(Damage::at(location, "a record can't be read, and it was on disk once"));
            }
            used |= beyond.is_some();
            at = beyond.unwrap_or(scan.limit());
        }
        if let (Err(damage), true) = (header, used && scan.length() >= SEGMENT_BYTES_LEAST) {
            damages.push(damage.clone());
        }
        Ok(())
    }
}

impl From<TornGroup> for Torn {
    fn from(TornGroup { location, bytes, events }: TornGroup) -> Torn {
        Torn { file: segment_name(location.segment), offset: location.offset, bytes, events }
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Torn { file, offset, bytes, events } = self;
        write!(
            f,
            "the log ends before a write of {bytes} bytes ({events} events, as far as can be read) in {file}, byte {offset}, which is incomplete: a crash has torn it before it was acknowledged, unless the disk has damaged it since"
        )
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspection { owner, held_events, held_bytes, puts, events, .. } = self;
        writeln!(f, "channel of {owner}: {held_events} events ({held_bytes} bytes) wait in it")?;
        writeln!(f, "{events} events in {puts} puts since it was made")?;
        let state = if self.closed { "it was closed cleanly" } else { "it was not closed cleanly" };
        writeln!(f, "{state}")?;
        if let Some(torn) = &self.torn {
            writeln!(f, "{torn}")?;
        }
        if let Some(incarnation) = &self.incarnation {
            writeln!(f, "numbers were given up to {}, incarnation {incarnation}", self.highest_number)?;
        }
        for ReaderSummary { name, required, low, beyond } in &self.readers {
            let kind = if *required { "reader" } else { "optional reader" };
            writeln!(f, "{kind} {name}: has all puts before {low}, and {beyond} beyond")?;
        }
        for PositionSummary { source, partition, through } in &self.positions {
            writeln!(f, "source {source}, {partition}: stored through {through}")?;
        }
        for SegmentSummary { number, first_sequence, written_bytes, file_bytes } in &self.segments {
            let file = segment_name(*number);
            writeln!(f, "{file}: from put {first_sequence}, {written_bytes} of {file_bytes} bytes")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verification { segments, records, events, damages } = self;
        writeln!(f, "read {records} records with {events} events in {segments} segments")?;
        match damages.len() {
            0 => writeln!(f, "nothing is damaged"),
            count => {
                writeln!(f, "{count} damaged {}:", if count == 1 { "place" } else { "places" })?;
                damages.iter().try_for_each(|damage| writeln!(f, "  {damage}"))
            }
        }
    }
}

//! Repairs a channel's directory that no agent uses: makes a log without the damaged parts, or removes a reader from
//! its list.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use arrow_schema::SchemaRef;

use super::claim::Claim;
use super::cursor::FORGOTTEN_READER;
use super::image::{Image, LowWatermark, ReaderImage, Totals};
use super::incarnations::Numbering;
use super::inspection::{
    InspectionError, LogFiles, claim_or_damage, encrypted_directory, lock, plain_directory,
    superblock_or_damage, surveying,
};
use super::log::{
    Active, AppendError, Draft, GONE, Log, LogSizes, SEGMENT_NEW, SegmentInfo, replace_superblock,
};
use super::options::FIRST_SEGMENT_BYTES;
use super::record::{Kind, RecordHeader};
use super::recovery::{Opening, lock_note, open};
use super::scan::{Damage, Record};
use super::segment::{Location, SegmentHeader, Uuid, header_bytes, page_up, segment_name};
use super::superblock::{SUPERBLOCK_NEW, Superblock};
use super::survey::{read_superblock, segments, survey};
use crate::channel::{Demand, Incarnation};
use crate::environment::storage::{Keys, Storage, random_bytes};

/// The least size of a segment in a repaired log.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// A damaged log may have given this many numbers after the last one that can be read. New events get higher numbers, so
/// that no claim of a sink that has had some of the lost events is needed.
const NUMBERS_LOST_MAX: u64 = 1_000_000_000_000;

/// The result of a repair, or the expected result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    /// Whether the repair was made; if not, nothing was changed.
    pub made: bool,
    /// The damage; empty if there was nothing to repair.
    pub damages: Vec<Damage>,
    /// Events that were kept and are still to be delivered.
    pub kept_events: u64,
    /// Events that are lost, except those in unreadable records at the end of the log.
    pub lost_events: u64,
}

/// The result of forgetting a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgottenReader {
    /// The reader.
    pub reader: String,
    /// Events that only this reader needed.
    pub freed_events: u64,
    /// Events that other readers need, or the next reader if there are none.
    pub held_events: u64,
}

/// Makes a damaged channel usable again. Writes everything that can be read into a new log, which replaces the old one
/// atomically; before that, nothing is changed. The disk needs space for the kept events. Unreadable events are lost;
/// positions are kept, so that sources do not put them again. Events keep their numbers, and new events get numbers
/// above all that a sink may have seen.
///
/// # Errors
/// When the directory is in use, or the disk fails.
pub fn repair(path: &Path, keys: Option<&Keys>) -> Result<Repair, InspectionError> {
    let new = New { uuid: random_bytes(), incarnation: Incarnation::from_bytes(random_bytes()) };
    repair_or_assess(path, keys, Some(new))
}

/// Determines what a [`repair`] would do, and changes nothing.
///
/// # Errors
/// When the directory is in use, or the disk fails.
pub fn assess_repair(path: &Path, keys: Option<&Keys>) -> Result<Repair, InspectionError> {
    repair_or_assess(path, keys, None)
}

/// The random values of a repaired log.
#[derive(Debug, Clone, Copy)]
pub(super) struct New {
    pub(super) uuid: Uuid,
    pub(super) incarnation: Incarnation,
}

fn repair_or_assess(path: &Path, keys: Option<&Keys>, new: Option<New>) -> Result<Repair, InspectionError> {
    match keys {
        None => repair_on(&plain_directory(path)?, new),
        Some(keys) => repair_on(&encrypted_directory(path, keys)?, new),
    }
}

/// Removes a reader from a channel's list, so that events are no longer kept for it.
///
/// # Errors
/// When the directory is in use or damaged, there is no such reader, or the disk fails.
pub fn forget_reader(
    path: &Path,
    keys: Option<&Keys>,
    reader: &str,
) -> Result<ForgottenReader, InspectionError> {
    match keys {
        None => forget_reader_on(&plain_directory(path)?, reader),
        Some(keys) => forget_reader_on(&encrypted_directory(path, keys)?, reader),
    }
}

fn appending<S: Storage>(storage: &S) -> impl Fn(AppendError) -> InspectionError + use<S> {
    let place = storage.place();
    move |error| {
        let place = place.clone();
        match error {
            AppendError::Full { what, source } | AppendError::Failed { what, source } => {
                InspectionError::Io { place, what: what.to_owned(), source }
            }
            AppendError::Defect(what) => InspectionError::Io {
                place,
                what: what.to_owned(),
                source: std::io::Error::other("a defect"),
            },
            AppendError::Gone => InspectionError::Io {
                place,
                what: "writing the log anew".to_owned(),
                source: std::io::Error::other(GONE),
            },
        }
    }
}

/// Repairs a log. Without `new`, only determines the result.
pub(super) fn repair_on<S: Storage>(storage: &S, new: Option<New>) -> Result<Repair, InspectionError> {
    let held = lock(storage)?;
    let refused = surveying(storage);
    let mut repair = Repair::default();
    let superblock = superblock_or_damage(storage, &mut repair.damages)?;
    let files = LogFiles::find(storage, superblock).map_err(&refused)?;
    let mut salvage = Salvage::read(&files, &mut repair).map_err(&refused)?;
    salvage.claim = claim_or_damage(storage, &mut repair.damages)?;
    let through = salvage.claim.as_ref().map_or(0, |claim| claim.through);
    repair.lost_events += through.saturating_sub(salvage.image.highest_number());
    if let Some(superblock) = superblock.filter(|_| repair.damages.is_empty()) {
        match survey(storage, superblock) {
            Ok(surveyed) => {
                repair.kept_events = surveyed.image.held.events;
                repair.lost_events = 0;
                return Ok(repair);
            }
            Err(super::survey::SurveyError::Damaged(damage)) => repair.damages.push(damage),
            Err(error) => return Err(refused(error)),
        }
    }
    let schema = match (&salvage.schema, repair.damages.first()) {
        (Some(schema), _) => schema.clone(),
        (None, Some(damage)) => {
            return Err(InspectionError::NothingReadable { place: storage.place(), damage: damage.clone() });
        }
        (None, None) => return Err(InspectionError::NoChannel { place: storage.place() }),
    };
    match new {
        Some(new) => salvage.write(storage, &files, &schema, new, held, &mut repair)?,
        None => {
            salvage.each_kept(storage, &files, |record, _| {
                repair.kept_events += u64::from(record.header.rows);
                Ok(())
            })?;
        }
    }
    Ok(Repair { made: new.is_some(), ..repair })
}

/// The readable content of a damaged log, without its events.
struct Salvage {
    image: Image,
    schema: Option<SchemaRef>,
    /// The claim of a sink for missing events.
    claim: Option<Claim>,
}

impl Salvage {
    fn read<S: Storage>(
        files: &LogFiles<'_, S>,
        repair: &mut Repair,
    ) -> Result<Salvage, super::survey::SurveyError> {
        let mut image = Image::default();
        let mut end: Option<Totals> = None;
        for index in 0..files.segments.len() {
            let lost = &mut repair.lost_events;
            files.visit_records(index, &mut repair.damages, |record, _| {
                apply_leniently(&mut image, record);
                let header = &record.header;
                let before = Totals { events: header.events_before, charged: header.charged_before };
                *lost += end.map_or(0, |end| before.events.saturating_sub(end.events));
                let mut after = before;
                after.add(Totals { events: u64::from(header.rows), charged: header.charged });
                end = Some(after);
                None
            })?;
        }
        let newest = files.segments.iter().rev().find_map(|(_, header)| header.as_ref().ok());
        Ok(Salvage { image, schema: newest.map(|header| header.schema.clone()), claim: None })
    }

    /// Visits each put that a required reader may need, once.
    fn each_kept<S: Storage>(
        &self,
        storage: &S,
        files: &LogFiles<'_, S>,
        mut visit: impl FnMut(&Record, &SchemaRef) -> Result<(), AppendError>,
    ) -> Result<(), InspectionError> {
        let required: Vec<_> =
            self.image.readers.iter().filter(|reader| reader.demand == Demand::Required).collect();
        let mut newest: Option<u64> = None;
        for index in 0..files.segments.len() {
            let mut error = None;
            let visited = files.visit_records(index, &mut Vec::new(), |record, schema| {
                let header = &record.header;
                let again = newest.is_some_and(|newest| header.sequence <= newest);
                if header.kind != Kind::Put || header.rows == 0 || again || error.is_some() {
                    return None;
                }
                newest = Some(header.sequence);
                let all_have = required.iter().all(|reader| reader.has(header.sequence));
                if required.is_empty() || !all_have {
                    error = visit(record, schema).err();
                }
                None
            });
            visited.map_err(surveying(storage))?;
            error.map_or(Ok(()), |error| Err(appending(storage)(error)))?;
        }
        Ok(())
    }

    /// Writes a new log with the puts that may be needed, and replaces the old log.
    fn write<S: Storage>(
        mut self,
        storage: &S,
        files: &LogFiles<'_, S>,
        schema: &SchemaRef,
        new: New,
        held: S::Lock,
        repair: &mut Repair,
    ) -> Result<(), InspectionError> {
        if let Some(claim) = &self.claim {
            self.image.accept(claim);
        }
        // A claim that can be read is no damage of the log.
        let is_damaged = repair.damages.len() > usize::from(self.claim.is_some());
        let old = &self.image;
        let failed = appending(storage);
        let mut log = new_log(storage, new.uuid, old, schema, held)?;
        let through = self.claim.as_ref().map_or(0, |claim| claim.through).max(old.highest_number());
        let mut numbering = Numbering::new(&old.incarnations, new.incarnation, through);
        if is_damaged {
            numbering.skip(NUMBERS_LOST_MAX);
        }
        // For each reader, the new sequences of the puts that it has acknowledged.
        let mut had: Vec<Vec<u64>> = vec![Vec::new(); old.readers.len()];
        self.each_kept(storage, files, |record, schema| {
            let sequence = log.image.next_sequence;
            had.iter_mut()
                .zip(&old.readers)
                .filter(|(_, reader)| reader.has(record.header.sequence))
                .for_each(|(had, _)| had.push(sequence));
            numbering.keep(record.header.events_before, log.image.put.events);
            log.append_puts(&[copy_of(&record.header, &record.body)], schema).map(|_| ())
        })?;
        for (reader, had) in log.image.readers.iter_mut().zip(had) {
            reader.done.extend(had);
        }
        log.image.positions = old.positions.clone();
        log.image.identity = Some(old.identity.unwrap_or(files.uuid));
        log.image.incarnations = numbering.end(log.image.put.events);
        repair.kept_events = log.image.held.events;
        let durable =
            log.append_others(&[Draft::plain(Kind::Checkpoint, &log.image.encode())]).map_err(failed)?;
        let (checkpoint, _) = durable.locations[0];
        let superblock = Superblock { checkpoint, ..log.superblock };
        let refused = |source| InspectionError::Io {
            place: storage.place(),
            what: "putting the repaired log in the old one's place".to_owned(),
            source,
        };
        storage.sync_directory().map_err(refused)?;
        log.superblock_file = replace_superblock(storage, &superblock).map_err(refused)?;
        Claim::accept(storage).map_err(refused)?;
        remove_before(storage, superblock.oldest)
    }
}

impl Image {
    /// Accepts the loss of the events that a sink claims, and takes over the sink's mark.
    fn accept(&mut self, claim: &Claim) {
        self.incarnations.accept_loss(self.put.events, claim.through, claim.incarnation);
        let readers = self.readers.iter_mut().filter(|reader| reader.name == claim.reader);
        readers.for_each(|reader| reader.mark = claim.mark);
    }
}

/// Removes the old segments, which only take up space now.
fn remove_before<S: Storage>(storage: &S, oldest: u64) -> Result<(), InspectionError> {
    for number in segments(storage).map_err(surveying(storage))?.into_iter().filter(|number| *number < oldest)
    {
        // The next start removes what is left.
        storage.unlink(&segment_name(number)).ok();
    }
    Ok(())
}

/// Applies a record to the image of a log with gaps: its content counts even if records before it are missing.
fn apply_leniently(image: &mut Image, record: &Record) {
    let header = RecordHeader { ..record.header };
    if header.kind != Kind::Checkpoint {
        image.next_sequence = header.sequence;
        image.put = Totals { events: header.events_before, charged: header.charged_before };
        // Acknowledgements of puts that the gap has hidden must not fail.
        image.held = image.put;
    }
    image.apply(&header, &record.body).ok();
}

fn copy_of<'a>(header: &RecordHeader, body: &'a [u8]) -> Draft<'a> {
    let RecordHeader { origins_bytes, rows, charged, body_checksum, .. } = *header;
    Draft { kind: Kind::Put, origins_bytes, rows, charged, body, body_checksum }
}

/// Makes an empty log with the readers of another one, in a segment after the others.
fn new_log<S: Storage>(
    storage: &S,
    uuid: Uuid,
    old: &Image,
    schema: &SchemaRef,
    lock: S::Lock,
) -> Result<Log<S>, InspectionError> {
    let refused = |source| InspectionError::Io {
        place: storage.place(),
        what: "making a segment for what can be read".to_owned(),
        source,
    };
    let number = segments(storage).map_err(surveying(storage))?.last().map_or(0, |last| last + 1);
    let file_bytes = page_up(SEGMENT_BYTES_MIN.max(2 * header_bytes(schema)));
    let header = SegmentHeader {
        uuid,
        number,
        first_sequence: 0,
        events_before: 0,
        charged_before: 0,
        previous: None,
        file_bytes,
        schema: schema.clone(),
    };
    let begin = Location { segment: number, offset: header_bytes(schema) };
    let mut image = Image { owner: old.owner.clone(), readers: old.readers.clone(), ..Image::default() };
    for reader in &mut image.readers {
        reader.low = LowWatermark { sequence: 0, location: begin };
        reader.done.clear();
    }
    for name in [SUPERBLOCK_NEW, SEGMENT_NEW] {
        match storage.unlink(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
    }
    let file = storage.create(SEGMENT_NEW).map_err(refused)?;
    storage.allocate(&file, file_bytes).map_err(refused)?;
    storage.sync(&file).map_err(refused)?;
    storage.rename(SEGMENT_NEW, &segment_name(number)).map_err(refused)?;
    storage.write_at(&file, 0, &[&header.encode()]).map_err(refused)?;
    let superblock = Superblock { uuid, generation: 1, checkpoint: begin, oldest: number, closed_at: None };
    Ok(Log {
        storage: storage.clone(),
        sizes: LogSizes::without_checkpoints(file_bytes, file_bytes),
        uuid,
        reserve: 0,
        image,
        segments: BTreeMap::from([(number, SegmentInfo::of(&header, begin.offset))]),
        active: Active { number, file, chain: 0, sealed: false },
        superblock,
        superblock_file: storage.create(SUPERBLOCK_NEW).map_err(refused)?,
        spare: None,
        written_bytes: 0,
        next_number: number + 1,
        since_checkpoint: 0,
        rewritten: 0,
        _lock: lock,
    })
}

pub(super) fn forget_reader_on<S: Storage>(
    storage: &S,
    reader: &str,
) -> Result<ForgottenReader, InspectionError> {
    let refused = surveying(storage);
    let place = storage.place();
    let held = lock(storage)?;
    let none = || InspectionError::NoChannel { place: place.clone() };
    let superblock = read_superblock(storage).map_err(&refused)?.ok_or_else(none)?;
    let surveyed = survey(storage, superblock).map_err(&refused)?;
    // Opening the log takes the lock again.
    drop(held);
    let named = surveyed.image.readers.iter().filter(|reader| reader.name != FORGOTTEN_READER);
    let known: Vec<String> = named.map(|reader| reader.name.clone()).collect();
    if !known.iter().any(|name| name == reader) {
        return Err(InspectionError::NoReader { place, reader: reader.to_owned(), known });
    }
    let (_, active) = surveyed.segments.last_key_value().expect("a survey finds at least one");
    let opening = Opening {
        owner: surveyed.image.owner.clone(),
        schema: active.schema.clone(),
        // A spare of any size stays: the agent decides about it.
        sizes: LogSizes::without_checkpoints(active.file_bytes.min(FIRST_SEGMENT_BYTES), u64::MAX),
        readers: surveyed.image.readers.iter().map(|reader| (reader.name.clone(), reader.demand)).collect(),
        uuid: superblock.uuid,
        note: lock_note("weir channel forget-reader"),
    };
    let opened = open(storage, &opening);
    let (mut log, found) = opened.map_err(|error| InspectionError::Io {
        place,
        what: "opening it".to_owned(),
        source: std::io::Error::other(error),
    })?;
    let is_required = |reader: &ReaderImage| reader.demand == Demand::Required;
    let has_others = log.image.readers.iter().any(|other| is_required(other) && other.name != reader);
    let last = log.image.readers.iter_mut().find(|known| known.name == reader && is_required(known));
    match last.filter(|_| !has_others) {
        // Events that it needed are kept for the next reader.
        Some(last) => FORGOTTEN_READER.clone_into(&mut last.name),
        None => log.image.readers.retain(|known| known.name != reader),
    }
    log.image.held = count_held(storage, &log)?;
    let held_events = log.image.held.events;
    log.checkpoint(true, true).map_err(appending(storage))?;
    Ok(ForgottenReader { reader: reader.to_owned(), freed_events: found.events - held_events, held_events })
}

/// Counts the events that a required reader lacks, by reading the log.
fn count_held<S: Storage>(storage: &S, log: &Log<S>) -> Result<Totals, InspectionError> {
    let required: Vec<_> =
        log.image.readers.iter().filter(|reader| reader.demand == Demand::Required).collect();
    let mut held = Totals::default();
    let superblock = Some(log.superblock);
    let files = LogFiles::find(storage, superblock).map_err(surveying(storage))?;
    let mut damages = Vec::new();
    for index in 0..files.segments.len() {
        let visited = files.visit_records(index, &mut damages, |record, _| {
            let header = &record.header;
            let wanted = required.iter().any(|reader| !reader.has(header.sequence));
            if header.kind == Kind::Put && header.rows > 0 && wanted {
                held.add(Totals { events: u64::from(header.rows), charged: header.charged });
            }
            None
        });
        visited.map_err(surveying(storage))?;
    }
    match damages.into_iter().next() {
        Some(damage) => Err(surveying(storage)(damage.into())),
        None => Ok(held),
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repair { made, damages, kept_events, lost_events } = self;
        if damages.is_empty() {
            return writeln!(f, "nothing is damaged; {kept_events} events wait");
        }
        writeln!(f, "{} damaged {}:", damages.len(), if damages.len() == 1 { "place" } else { "places" })?;
        damages.iter().try_for_each(|damage| writeln!(f, "  {damage}"))?;
        match made {
            true => {
                writeln!(f, "{lost_events} events are given up; {kept_events} events were kept and wait")
            }
            false => writeln!(
                f,
                "a repair gives up {lost_events} events, and what only the last, unreadable records held; {kept_events} events are kept and wait"
            ),
        }
    }
}

impl fmt::Display for ForgottenReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ForgottenReader { reader, freed_events, held_events } = self;
        writeln!(
            f,
            "reader {reader} is forgotten: {freed_events} events that only it needed are dropped, {held_events} wait for other \
             readers, or for the next one"
        )
    }
}

//! Opens a channel's directory: creates a channel in it, or recovers one.

use std::collections::BTreeMap;

use arrow_schema::{Schema, SchemaRef};
use tracing::{info, warn};

use super::cursor::{FORGOTTEN_READER, beginning};
use super::image::{Image, LowWatermark, ReaderImage, Totals};
use super::inspection::{LogFiles, Torn};
use super::log::{
    Active, Blank, Draft, Log, LogSizes, SEGMENT_NEW, SPARE, SegmentInfo, replace_superblock, reserve_for,
    write_copies,
};
use super::record::{Kind, record_span};
use super::refusal::{OpenError, is_damage};
use super::scan::{Scan, ScanError};
use super::segment::{Location, PAGE, SegmentHeader, Uuid, header_bytes, page_up, segment_name};
use super::superblock::{SUPERBLOCK, SUPERBLOCK_NEW, Superblock};
use super::survey::{Survey, SurveyError, TornGroup, read_superblock, segments, survey};
use crate::channel::Demand;
use crate::environment::storage::{Access, LockError, Storage, is_full};

/// The file whose lock excludes other processes.
pub(super) const LOCK: &str = "lock";

/// The parameters of opening a directory.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    /// The pipeline, and the channel in it.
    pub(super) owner: String,
    pub(super) schema: SchemaRef,
    pub(super) sizes: LogSizes,
    pub(super) readers: Vec<(String, Demand)>,
    /// The UUID of a channel that is created.
    pub(super) uuid: Uuid,
    /// The note for other processes that find the directory locked.
    pub(super) note: String,
}

/// What an opening has found in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// There was no channel, and one was created.
    pub(super) made: bool,
    /// Events that not every required reader has acknowledged.
    pub(super) events: u64,
    pub(super) scanned_bytes: u64,
    pub(super) scanned_records: u64,
    /// An incomplete group that was left out.
    pub(super) torn: Option<TornGroup>,
}

struct Opener<'a, S: Storage> {
    storage: &'a S,
    opening: &'a Opening,
}

/// Opens a channel's directory, or creates a channel in it.
///
/// # Errors
/// Their messages tell what to do.
pub(super) fn open<S: Storage>(storage: &S, opening: &Opening) -> Result<(Log<S>, Found), OpenError> {
    let opener = Opener { storage, opening };
    let lock = storage.lock(LOCK, &opening.note).map_err(|error| match error {
        LockError::Held { holder } => OpenError::InUse { place: storage.place(), holder },
        LockError::Io(source) => opener.io("locking the directory")(source),
    })?;
    match read_superblock(storage).map_err(|error| opener.survey(error))? {
        Some(superblock) => opener.recover(superblock, lock),
        None => opener.make(lock),
    }
}

/// Checks whether a directory could be opened, and changes nothing. Finds damage in the part of the log that an
/// opening reads (the superblock, and everything from the last checkpoint on), another version, another pipeline,
/// missing readers, another schema. If an agent opens the directory meanwhile, its writes may look like damage.
///
/// # Errors
/// Those of [`open`].
pub(super) fn look<S: Storage>(storage: &S, opening: &Opening) -> Result<(), OpenError> {
    let opener = Opener { storage, opening };
    let refused = |error| opener.survey(error);
    match read_superblock(storage).map_err(refused)? {
        Some(superblock) => opener.check(&survey(storage, superblock).map_err(refused)?),
        None => {
            let numbers = segments(storage).map_err(refused)?;
            numbers.into_iter().try_for_each(|number| opener.check_unused(number))
        }
    }
}

impl<S: Storage> Opener<'_, S> {
    fn io(&self, what: &str) -> impl FnOnce(std::io::Error) -> OpenError + use<S> {
        let (place, what) = (self.storage.place(), what.to_owned());
        move |source| OpenError::Io { place, what, source }
    }

    fn survey(&self, error: SurveyError) -> OpenError {
        let place = self.storage.place();
        match is_damage(&error) && !LogFiles::any_header(self.storage) {
            true => OpenError::NothingReadable { place, error },
            false => OpenError::Survey { place, error },
        }
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        match self.storage.unlink(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.io(&format!("removing {name}"))(error))
            }
            _ => Ok(()),
        }
    }

    /// Creates a channel. The superblock is written last: a directory without one has no channel.
    fn make(&self, lock: S::Lock) -> Result<(Log<S>, Found), OpenError> {
        for number in segments(self.storage).map_err(|error| self.survey(error))? {
            self.check_unused(number)?;
            self.remove(&segment_name(number))?;
        }
        self.remove(SPARE)?;
        self.remove(SEGMENT_NEW)?;
        self.remove(SUPERBLOCK_NEW)?;
        let Opening { owner, schema, sizes, readers, uuid, .. } = self.opening;
        let begin = Location { segment: 0, offset: header_bytes(schema) };
        let low = LowWatermark { sequence: 0, location: begin };
        let readers = readers.iter().map(|(name, demand)| ReaderImage::new(name, *demand, low)).collect();
        let identity = Some(*uuid);
        let image = Image { owner: owner.clone(), readers, identity, ..Image::default() };
        let body = image.encode();
        let reserve = reserve_for(page_up(record_span(body.len() as u64)));
        let header = SegmentHeader {
            uuid: *uuid,
            number: 0,
            first_sequence: 0,
            events_before: 0,
            charged_before: 0,
            previous: None,
            file_bytes: page_up(sizes.first_segment_bytes).max(sizes.least_segment_bytes(schema, reserve)),
            schema: schema.clone(),
        };
        let making = || self.io("making the channel");
        let file = self.storage.create(&segment_name(0)).map_err(making())?;
        self.storage.allocate(&file, header.file_bytes).map_err(making())?;
        self.storage.write_at(&file, 0, &[&header.encode()]).map_err(making())?;
        let superblock =
            Superblock { uuid: *uuid, generation: 1, checkpoint: begin, oldest: 0, closed_at: None };
        let unused = self.storage.create(SUPERBLOCK_NEW).map_err(making())?;
        let mut log = Log {
            storage: self.storage.clone(),
            sizes: *sizes,
            uuid: *uuid,
            reserve,
            image,
            segments: BTreeMap::from([(0, SegmentInfo::of(&header, begin.offset))]),
            active: Active { number: 0, file, chain: 0, sealed: false },
            superblock,
            superblock_file: unused,
            spare: None,
            written_bytes: 0,
            next_number: 1,
            since_checkpoint: 0,
            rewritten: 0,
            _lock: lock,
        };
        let refused = |error| self.appending("making the channel", error);
        let durable = log.append_others(&[Draft::plain(Kind::Checkpoint, &body)]).map_err(refused)?;
        let (checkpoint, _) = durable.locations[0];
        // The first segment is not part of the log if writing to it has failed.
        log.segments.retain(|number, _| *number >= checkpoint.segment);
        log.superblock = Superblock { checkpoint, oldest: checkpoint.segment, ..superblock };
        // The segment's name has to be durable before the superblock.
        self.storage.sync_directory().map_err(making())?;
        log.superblock_file = replace_superblock(self.storage, &log.superblock).map_err(making())?;
        Ok((log, Found { made: true, ..Found::default() }))
    }

    /// Checks that a segment in a directory without a superblock was never used. A segment with records means that the
    /// superblock was lost.
    fn check_unused(&self, number: u64) -> Result<(), OpenError> {
        let failed = |error| self.survey(SurveyError::scan(number, error));
        let header =
            Scan::open(self.storage, self.opening.uuid, number, None).and_then(|mut scan| scan.header());
        let header = match header {
            Ok(header) => header,
            Err(ScanError::Io { file, source }) if source.kind() != std::io::ErrorKind::InvalidData => {
                return Err(failed(ScanError::Io { file, source }));
            }
            Err(_) => return Ok(()),
        };
        let mut scan = Scan::open(self.storage, header.uuid, number, None).map_err(failed)?;
        let mut at = header_bytes(&header.schema);
        while let Some(record) = scan.record(at).map_err(failed)? {
            if record.header.kind == Kind::Put {
                return Err(self.survey(SurveyError::NoSuperblock));
            }
            at = record.next.offset;
        }
        // The record at `at` was torn.
        match scan.group_beyond(at + PAGE).map_err(failed)? {
            Some(_) => Err(self.survey(SurveyError::NoSuperblock)),
            None => Ok(()),
        }
    }

    fn recover(&self, superblock: Superblock, lock: S::Lock) -> Result<(Log<S>, Found), OpenError> {
        let mut surveyed = survey(self.storage, superblock).map_err(|error| self.survey(error))?;
        self.check(&surveyed)?;
        // A repair that could not read the owner leaves it empty.
        surveyed.image.owner.clone_from(&self.opening.owner);
        surveyed.image.identity.get_or_insert(superblock.uuid);
        let found = Found {
            made: false,
            events: surveyed.image.held.events,
            scanned_bytes: surveyed.scanned_bytes,
            scanned_records: surveyed.scanned_records,
            torn: surveyed.torn,
        };
        let recovering = || self.io("recovering the channel");
        // Names that can be listed need not be durable.
        self.storage.sync_directory().map_err(recovering())?;
        self.remove(SEGMENT_NEW)?;
        let (&number, _) = surveyed.segments.last_key_value().expect("a survey finds at least one");
        let file = self.storage.open(&segment_name(number), Access::Write).map_err(recovering())?;
        if let Some((begin, end)) = surveyed.unproven {
            self.write_again(&file, begin, end)?;
        }
        if !surveyed.strays.is_empty() && !put_back!("seen_superblock_believed") {
            self.write_superblock_again(&superblock)?;
        }
        for number in &surveyed.strays {
            self.remove(&segment_name(*number))?;
        }
        let superblock_file = self.storage.open(SUPERBLOCK, Access::Write).map_err(recovering())?;
        let sealed = false;
        let changed = surveyed.image.readers.len();
        let mut log = Log {
            storage: self.storage.clone(),
            sizes: self.opening.sizes,
            uuid: superblock.uuid,
            reserve: reserve_for(page_up(record_span(surveyed.image.encode().len() as u64))),
            image: surveyed.image,
            segments: surveyed.segments,
            active: Active { number, file, chain: surveyed.chain, sealed },
            superblock,
            superblock_file,
            spare: self.old_spare()?,
            written_bytes: 0,
            next_number: surveyed.next_number,
            since_checkpoint: surveyed.scanned_bytes,
            rewritten: 0,
            _lock: lock,
        };
        let readers_changed = self.update_readers(&mut log) || changed != log.image.readers.len();
        let refused = |error| self.appending("writing a checkpoint", error);
        // The previous checkpoint has the same content. On a full disk the next one can wait.
        let frees_oldest = log.frees_oldest(true, &[]);
        if readers_changed || log.may_use(0, frees_oldest).map_err(refused)? {
            log.checkpoint(true, false).map_err(refused)?;
        }
        Ok((log, found))
    }

    fn appending(&self, what: &str, error: super::log::AppendError) -> OpenError {
        use super::log::{AppendError, GONE};
        match error {
            AppendError::Full { source, .. } | AppendError::Failed { source, .. } => self.io(what)(source),
            AppendError::Defect(defect) => self.io(what)(std::io::Error::other(defect)),
            AppendError::Gone => self.io(what)(std::io::Error::other(GONE)),
        }
    }

    /// Checks that the directory's events belong to this pipeline and can be delivered.
    fn check(&self, surveyed: &Survey) -> Result<(), OpenError> {
        let place = self.storage.place();
        let Opening { owner, schema, readers, .. } = self.opening;
        if surveyed.image.owner != *owner && !surveyed.image.owner.is_empty() {
            let found = surveyed.image.owner.clone();
            return Err(OpenError::OtherPipeline { place, found, wanted: owner.clone() });
        }
        for info in surveyed.segments.values() {
            if let Err(what) = widens(&info.schema, schema) {
                return Err(OpenError::Schema { place, what });
            }
        }
        let there = |reader: &ReaderImage| {
            reader.name == FORGOTTEN_READER || readers.iter().any(|(name, _)| *name == reader.name)
        };
        let mut required = surveyed.image.readers.iter().filter(|reader| reader.demand == Demand::Required);
        match required.find(|reader| !there(reader)) {
            Some(ReaderImage { name, .. }) => {
                let events = surveyed.image.held.events;
                Err(OpenError::VanishedReader { place, reader: name.clone(), events })
            }
            None => Ok(()),
        }
    }

    /// Writes the last group again and syncs it. The group can be read, but need not be on disk: its sync may have
    /// failed before the crash.
    fn write_again(&self, file: &S::File, begin: Location, end: Location) -> Result<(), OpenError> {
        let what = format!("writing the last group of {} again", segment_name(begin.segment));
        let mut bytes = vec![0; (end.offset - begin.offset) as usize];
        let read = self.storage.read_at(file, begin.offset, &mut bytes).map_err(self.io(&what))?;
        self.storage.write_at(file, begin.offset, &[&bytes[..read]]).map_err(self.io(&what))?;
        self.storage.sync(file).map_err(self.io(&what))
    }

    /// Writes the superblock again, before segments are removed that only an older copy needs. The process that wrote
    /// the superblock may have been killed before it was synced.
    fn write_superblock_again(&self, superblock: &Superblock) -> Result<(), OpenError> {
        let again = || self.io(&format!("writing {SUPERBLOCK} again"));
        match replace_superblock(self.storage, superblock) {
            // There is no space for a new file. The newer copy has to be synced before the older one is overwritten.
            Err(error) if is_full(&error) => {
                let file = self.storage.open(SUPERBLOCK, Access::Write).map_err(again())?;
                self.storage.sync(&file).map_err(again())?;
                write_copies(self.storage, &file, superblock).map_err(again())
            }
            replaced => replaced.map(drop).map_err(again()),
        }
    }

    /// Returns the spare that an earlier process has left, unless its size is none that this one would choose.
    fn old_spare(&self) -> Result<Option<Blank<S::File>>, OpenError> {
        let Ok(file) = self.storage.open(SPARE, Access::Write) else { return Ok(None) };
        let LogSizes { first_segment_bytes, segment_bytes_max, .. } = self.opening.sizes;
        let sizes = first_segment_bytes..=segment_bytes_max;
        match self.storage.length(&file) {
            // The process that made it may have been killed before its length was synced.
            Ok(length)
                if sizes.contains(&length)
                    && length.is_multiple_of(PAGE)
                    && (put_back!("spare_of_a_killed_agent_believed")
                        || self.storage.sync(&file).is_ok()) =>
            {
                Ok(Some(Blank { file, bytes: length }))
            }
            _ => self.remove(SPARE).map(|()| None),
        }
    }

    /// Lists the pipeline's readers, in its order. A new reader begins with the first put that one of the required
    /// readers before it lacks, or with the oldest put if there were none. Returns whether the list has changed.
    fn update_readers(&self, log: &mut Log<S>) -> bool {
        let (&number, oldest) = log.segments.first_key_value().expect("there is the active segment");
        let location = Location { segment: number, offset: oldest.begin };
        let low = LowWatermark { sequence: oldest.first_sequence, location };
        let mut known = std::mem::take(&mut log.image.readers);
        let before: Vec<(String, Demand)> =
            known.iter().map(|reader| (reader.name.clone(), reader.demand)).collect();
        let beginning = beginning(&known);
        for (name, demand) in &self.opening.readers {
            let old = known.iter().position(|reader| reader.name == *name);
            let required_before = old.is_some_and(|old| known[old].demand == Demand::Required);
            let mut reader = match (old, &beginning) {
                (Some(old), _) => known.swap_remove(old),
                (None, Some((low, done))) => {
                    ReaderImage { done: done.clone(), ..ReaderImage::new(name, *demand, *low) }
                }
                (None, None) => ReaderImage::new(name, *demand, low),
            };
            reader.demand = *demand;
            // The events of a new reader that begins where others are were held already.
            let needs_more = old.is_some() || beginning.is_none();
            if *demand == Demand::Required && !required_before && needs_more {
                // All events from the log's beginning on are held for this reader.
                log.image.held.events = log.image.put.events - oldest.events_before;
                log.image.held.charged = log.image.put.charged - oldest.charged_before;
            }
            if reader.low.sequence < low.sequence {
                reader.low = low;
                reader.done.remove_range(..low.sequence);
            }
            log.image.readers.push(reader);
        }
        if !log.image.readers.iter().any(|reader| reader.demand == Demand::Required) {
            // Nothing is held for optional readers.
            log.image.held = Totals::default();
        }
        before != self.opening.readers
    }
}

/// Checks that events of the old schema can be delivered with the new one, with nulls in columns that they do not
/// have.
fn widens(old: &Schema, new: &Schema) -> Result<(), String> {
    for field in old.fields() {
        let name = field.name();
        let Ok(wanted) = new.field_with_name(name) else {
            return Err(format!("they have `{name}`, which is no longer there"));
        };
        if wanted.data_type() != field.data_type() {
            let [found, wanted] = [field.data_type(), wanted.data_type()].map(weir_plan::type_name);
            return Err(format!("`{name}` is {found} in them, not {wanted}"));
        }
        if field.is_nullable() && !wanted.is_nullable() {
            return Err(format!("`{name}` may be null in them"));
        }
    }
    let added =
        new.fields().iter().find(|field| old.field_with_name(field.name()).is_err() && !field.is_nullable());
    match added {
        Some(field) => Err(format!("they lack `{}`, which must not be null", field.name())),
        None => Ok(()),
    }
}

/// Returns the note for a lock: process and boot show whether the holder still exists.
pub(super) fn lock_note(owner: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("`{owner}`, process {}, boot {}", std::process::id(), boot.trim())
}

pub(super) fn log_found(component: &str, place: &str, found: Found) {
    let Found { made, events, scanned_bytes, scanned_records, torn } = found;
    if made {
        info!(component, "made a new channel in {place}");
        return;
    }
    info!(
        component,
        "{place} holds {events} events; read {scanned_records} records ({scanned_bytes} bytes) since its last checkpoint"
    );
    if let Some(torn) = torn.map(Torn::from) {
        warn!(component, "{place}: {torn}");
    }
}

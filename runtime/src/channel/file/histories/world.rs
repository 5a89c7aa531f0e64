//! A channel on a simulated disk, in one thread, with its model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::harm::Ledger;
use super::model::{Event, Model, READERS, REQUIRED, SCOPES, SOURCES};
use super::mounted::Mounted;
use crate::batch::{Batch, Origins, Partition};
use crate::channel::file::Compression;
use crate::channel::file::encryption::EncryptionError;
use crate::channel::file::engine::{Engine, lock};
use crate::channel::file::log::LogSizes;
use crate::channel::file::reading::{StoredPut, load};
use crate::channel::file::recovery::{Opening, open};
use crate::channel::file::refusal::OpenError;
use crate::channel::file::segment::segment_name;
use crate::channel::file::state::{State, Take};
use crate::channel::file::survey::SurveyError;
use crate::channel::file::transactions::prepare;
use crate::channel::in_flight::InFlight;
use crate::channel::origins::Verdict;
use crate::channel::{CommitError, Demand, Fill, Incarnation, Limits, Scope};
use crate::environment::random::SeededRandom;
use crate::environment::storage::{Fired, SimulatedDisk, Storage};
use crate::routing::{Acknowledgement, Settle};

pub(super) const PAGE: u64 = 4096;
const FIRST_SEGMENT_PAGES: u64 = 4;
const SEGMENT_PAGES: u64 = 12;
const CAPACITY_SEGMENTS: u64 = 4;

/// The leases of a reader by sequence: the number of the first event, the events, and their size.
type Leases = BTreeMap<u64, (u64, Vec<Event>, Fill)>;

/// A running channel.
pub(super) struct Live<S: Storage> {
    storage: S,
    pub(super) state: Arc<Mutex<State>>,
    engine: Engine<S>,
    scopes: Vec<Scope>,
    leases: [Leases; READERS.len()],
    in_flight: [InFlight; READERS.len()],
}

/// The outcomes of puts: source, last position, and whether the put was done.
type Outcomes = Arc<Mutex<Vec<(usize, u64, bool)>>>;

struct Outcome {
    source: usize,
    through: u64,
    outcomes: Outcomes,
}

impl Settle for Outcome {
    fn settle(self: Box<Self>, done: bool) {
        self.outcomes.lock().unwrap().push((self.source, self.through, done));
    }
}

pub(super) struct World<S: Storage> {
    pub(super) disk: SimulatedDisk,
    pub(super) random: SeededRandom,
    pub(super) model: Model,
    pub(super) live: Option<Live<S>>,
    outcomes: Outcomes,
    recent_bytes: u64,
    group_bytes: u64,
    /// A bit was flipped: the channel may report damage, which is kept in `damage`.
    pub(super) flipped: bool,
    pub(super) damage: Option<String>,
    /// Files were damaged or replaced: the model no longer applies.
    pub(super) harmed: bool,
    /// The ledger of the sink that reads by the first reader.
    pub(super) ledger: Ledger,
    /// The faults that have occurred.
    pub(super) faults: Vec<Fired>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]))
}

fn batch(source: usize, positions: std::ops::Range<u64>) -> Batch {
    let bodies = positions.clone().map(|position| format!("{source}:{position}"));
    let bodies = BinaryViewArray::from_iter_values(bodies);
    let rows = (positions.end - positions.start) as usize;
    let origins = Origins::one(Partition::new("p"), positions.start, positions.end);
    Batch::new(schema(), vec![bodies.into()], rows, origins).unwrap()
}

fn events(batch: &Batch) -> Vec<Event> {
    let bodies = batch.bodies().unwrap().iter().flatten();
    let event = |body: &[u8]| {
        let text = std::str::from_utf8(body).unwrap();
        let (source, position) = text.split_once(':').unwrap();
        (source.parse().unwrap(), position.parse().unwrap())
    };
    bodies.map(event).collect()
}

impl<S: Mounted> World<S> {
    pub(super) fn new(seed: u64) -> World<S> {
        let mut random = SeededRandom::new(seed);
        let disk = SimulatedDisk::new(random.next(), u64::MAX);
        World {
            disk,
            model: Model::default(),
            live: None,
            outcomes: Outcomes::default(),
            recent_bytes: random.among(&[0, 100, 1 << 20]),
            group_bytes: random.among(&[1, 200, 1 << 20]),
            random,
            flipped: false,
            damage: None,
            harmed: false,
            ledger: Ledger::default(),
            faults: Vec::new(),
        }
    }

    fn limits() -> Limits {
        Limits {
            capacity: 60,
            transaction_capacity: 10,
            byte_capacity: CAPACITY_SEGMENTS * SEGMENT_PAGES * PAGE,
            keep_alive: std::time::Duration::from_secs(1),
        }
    }

    /// Starts the process until the channel opens.
    pub(super) fn start(&mut self) {
        self.live = None;
        for _attempt in 0..4 {
            if self.disk.has_crashed() {
                // A crash during a call may also be a kill of the process alone.
                match self.random.one_in(3) {
                    true => self.disk.kill(),
                    false => self.disk.reboot(),
                }
            }
            match self.try_to_start() {
                Ok(()) => {
                    let claim = self.claim();
                    assert!(self.flipped || claim.is_none(), "the sink is refused: {claim:?}");
                    return;
                }
                Err(
                    OpenError::Survey { error: SurveyError::Damaged(damage), .. }
                    | OpenError::NothingReadable { error: SurveyError::Damaged(damage), .. },
                ) if self.flipped => {
                    self.damage = Some(damage.to_string());
                    return;
                }
                Err(
                    error @ (OpenError::Io { .. } | OpenError::Survey { error: SurveyError::Io { .. }, .. }),
                ) => {
                    // A fault, or a full disk; neither lasts.
                    let fault = self.note_fault() || self.disk.has_crashed();
                    assert!(fault || self.is_full(), "opening without a fault: {error:?}");
                    self.disk.kill_unless_crashed();
                    self.make_space();
                }
                Err(error) => panic!("opening: {error}"),
            }
        }
        panic!("it does not open");
    }

    pub(super) fn try_to_start(&mut self) -> Result<(), OpenError> {
        let mounted = S::mount(&self.disk, &mut self.random).map_err(|error| match error {
            EncryptionError::Io { place, what, source } => OpenError::Io { place, what, source },
            error => panic!("mounting: {error}"),
        });
        let storage = mounted?;
        self.disk.set_phase("open");
        let demand = |reader| if reader < REQUIRED { Demand::Required } else { Demand::Optional };
        let readers: Vec<(String, Demand)> =
            READERS.iter().enumerate().map(|(reader, name)| (name.to_string(), demand(reader))).collect();
        let sizes = LogSizes {
            first_segment_bytes: FIRST_SEGMENT_PAGES * PAGE,
            segment_bytes_max: SEGMENT_PAGES * PAGE,
            checkpoint_bytes: 6 * PAGE,
        };
        let opening = Opening {
            owner: "test".to_owned(),
            schema: schema(),
            sizes,
            readers: readers.clone(),
            uuid: [9; 16],
            note: "the simulator".to_owned(),
        };
        let (log, _found) = open(&storage, &opening)?;
        let state = Arc::new(Mutex::new(State::new(Self::limits(), schema(), self.recent_bytes)));
        for (name, demand) in &readers {
            lock(&state).reader(name, *demand);
        }
        let mut incarnation = [0; 16];
        incarnation.fill_with(|| self.random.next() as u8);
        let mut engine = Engine::new(log, Incarnation::from_bytes(incarnation), &state);
        engine.set_group_bytes(self.group_bytes);
        let scopes = Scope::of_a_run(SCOPES.map(Arc::from));
        let stored = SCOPES.map(|scope| lock(&state).stored(scope).values().next().copied().unwrap_or(0));
        if self.harmed {
            (self.model.next, self.model.committed) = (stored, stored);
        } else {
            self.model.restart(stored);
            let held = lock(&state).fill().events;
            let (fewest, most) = self.model.held();
            assert!((fewest..=most).contains(&held), "{held} events are held, not {fewest} to {most}");
        }
        self.live = Some(Live {
            storage,
            state,
            engine,
            scopes,
            leases: Default::default(),
            in_flight: Default::default(),
        });
        Ok(())
    }

    /// Records a fault that has occurred, and cancels one that has not. Returns whether one has occurred.
    pub(super) fn note_fault(&mut self) -> bool {
        let before = self.faults.len();
        self.faults.extend(self.disk.take_fired());
        self.faults.len() > before
    }

    pub(super) fn is_full(&self) -> bool {
        self.disk.has_capacity()
    }

    pub(super) fn make_space(&mut self) {
        self.disk.set_capacity(u64::MAX);
    }

    /// Kills the process.
    pub(super) fn kill(&mut self) {
        self.live = None;
        self.disk.kill_unless_crashed();
        self.outcomes.lock().unwrap().clear();
    }

    /// Shuts the channel down.
    pub(super) fn close(&mut self) {
        self.close_cleanly();
    }

    /// Shuts the channel down. Returns whether that succeeded.
    pub(super) fn close_cleanly(&mut self) -> bool {
        let Some(live) = self.live.take() else { return false };
        let Live { state, engine, .. } = live;
        self.disk.set_phase("close");
        let closed = engine.close(&state);
        self.collect_outcomes();
        let clean = closed.is_ok() && !self.disk.has_crashed();
        if clean {
            self.model.closed();
        }
        self.disk.kill_unless_crashed();
        clean
    }

    /// Passes the outcomes of puts since the last call to the model.
    fn collect_outcomes(&mut self) {
        for (source, through, done) in std::mem::take(&mut *self.outcomes.lock().unwrap()) {
            if done {
                self.model.commit(source, through);
            }
        }
    }

    /// Puts the next events of a source, or repeats some, or rolls back.
    pub(super) fn put(&mut self) {
        let source = self.random.below(SOURCES as u64) as usize;
        let rows = 1 + self.random.below(4);
        let again = self.random.below(6).saturating_sub(3).min(self.model.next[source]);
        let begin = self.model.next[source] - again;
        let roll_back = self.random.one_in(8);
        let Some(live) = &self.live else { return };
        let batch = batch(source, begin..begin + rows);
        let amount = Fill::of(&batch);
        if !lock(&live.state).reserve(amount) {
            return;
        }
        if roll_back {
            lock(&live.state).release(amount);
            return;
        }
        let through = begin + rows;
        let scope = &live.scopes[source];
        let verdict = lock(&live.state).compare(scope, &batch).unwrap();
        let stored = self.model.next[source];
        let expected = match stored.saturating_sub(begin) {
            0 => Verdict::New,
            known if known >= rows => Verdict::Known,
            known => Verdict::Overlaps(known as usize),
        };
        assert_eq!(verdict, expected);
        let outcome = Outcome { source, through, outcomes: self.outcomes.clone() };
        let compression = self.random.among(&[Compression::None, Compression::Lz4, Compression::Zstd]);
        let put = prepare(scope, batch, verdict, compression, Acknowledgement::new(1, Box::new(outcome)));
        lock(&live.state).submit(scope, put);
        lock(&live.state).release(amount);
        self.model.next[source] = stored.max(through);
    }

    /// Puts events with a gap before them, which the channel refuses.
    pub(super) fn put_with_a_gap(&mut self) {
        let source = self.random.below(SOURCES as u64) as usize;
        let Some(live) = &self.live else { return };
        let next = self.model.next[source];
        let batch = batch(source, next + 1..next + 2);
        let judged = lock(&live.state).compare(&live.scopes[source], &batch);
        if let Err(CommitError::Gap { stored, after, .. }) = judged {
            assert_eq!((stored, after), (next, next + 1));
        }
    }

    /// Runs a pass of the engine. Returns whether the process goes on.
    pub(super) fn write_pending(&mut self) -> bool {
        let Some(live) = &mut self.live else { return false };
        self.disk.set_phase("write");
        let pass = live.engine.write_pending(&live.state);
        pass.durable.into_iter().for_each(Acknowledgement::done);
        self.collect_outcomes();
        if let Some(failure) = pass.failed {
            let fault = self.note_fault() || self.disk.has_crashed();
            assert!(fault, "the log fails without a fault: {failure:?}");
            return false;
        }
        let used = if self.harmed { 0 } else { self.disk.used() };
        let bound = (CAPACITY_SEGMENTS + 5) * SEGMENT_PAGES * PAGE + S::BESIDE;
        assert!(used <= bound, "{used} bytes on disk, {bound} at most");
        true
    }

    /// Lets a reader take its next events. Returns whether there were any.
    pub(super) fn take(&mut self, reader: usize) -> bool {
        for _attempt in 0..4 {
            let Some(live) = &mut self.live else { return false };
            let take = lock(&live.state).take(reader, &live.in_flight[reader]);
            match take {
                Take::Leased(item) => {
                    self.leased(reader, &item);
                    return true;
                }
                Take::Load(request) => {
                    self.disk.set_phase("load");
                    match load(&live.storage, &request) {
                        Ok(items) => {
                            let leased = lock(&live.state).loaded(reader, items);
                            if let Some(item) = leased {
                                self.leased(reader, &item);
                                return true;
                            }
                        }
                        Err(SurveyError::Damaged(damage)) => {
                            assert!(self.flipped || self.harmed, "{damage}");
                            self.damage = Some(damage.to_string());
                            self.live = None;
                            return false;
                        }
                        Err(error) => {
                            let fault = self.note_fault() || self.disk.has_crashed();
                            assert!(fault, "loading without a fault: {error:?}");
                            self.kill();
                            self.start();
                            return false;
                        }
                    }
                }
                Take::Pressure => {}
                Take::Wait => return false,
                Take::End => panic!("it was not closed"),
            }
        }
        panic!("a take does not end");
    }

    fn leased(&mut self, reader: usize, item: &StoredPut) {
        let events = events(&item.batch);
        assert_eq!(item.fill, Fill::of(&item.batch));
        if !self.harmed {
            self.model.leased(reader, item.sequence, &events);
        }
        let live = self.live.as_mut().expect("it has just leased");
        let first = lock(&live.state).incarnations.highest_number(item.events_before) + 1;
        if reader == 0 {
            (first..).zip(&events).for_each(|(number, event)| self.ledger.check(number, *event));
        }
        live.in_flight[reader].add(item.fill);
        live.leases[reader].insert(item.sequence, (first, events, item.fill));
    }

    /// Settles a random lease of a reader.
    pub(super) fn settle(&mut self, reader: usize, done: bool) {
        let Some(live) = &mut self.live else { return };
        let leases = &mut live.leases[reader];
        let index = self.random.below(leases.len() as u64) as usize;
        let Some(sequence) = leases.keys().nth(index).copied() else { return };
        let (first, events, fill) = leases.remove(&sequence).expect("it was just there");
        live.in_flight[reader].remove(fill);
        if done {
            if reader == 0 {
                self.ledger.arrived.extend((first..).zip(events.iter().copied()));
                self.ledger.mark += 1;
                let mut state = lock(&live.state);
                self.ledger.incarnation = state.incarnations.last();
                state.cursors[0].mark = self.ledger.mark;
            }
            lock(&live.state).acknowledge(reader, sequence);
            self.model.readers[reader].acknowledge(events);
        } else {
            lock(&live.state).roll_back(reader, sequence);
            self.model.readers[reader].returned.insert(sequence, events);
        }
    }

    /// Takes and acknowledges everything, with passes of the engine in between.
    pub(super) fn drain(&mut self) {
        self.make_space();
        for _round in 0..1_000 {
            if !self.write_pending() {
                self.kill();
                self.start();
            }
            let mut anything = false;
            for reader in 0..READERS.len() {
                while self.take(reader) {
                    anything = true;
                    self.settle(reader, true);
                }
                while self.live.as_ref().is_some_and(|live| !live.leases[reader].is_empty()) {
                    self.settle(reader, true);
                }
            }
            if self.damage.is_some() {
                return;
            }
            if !anything && self.live.as_ref().is_some_and(|live| !lock(&live.state).has_submitted()) {
                break;
            }
        }
        self.write_pending();
        assert_eq!(self.model.committed, self.model.next, "everything that was put is done");
        self.model.check_all_delivered();
        let live = self.live.as_ref().expect("it runs");
        assert_eq!(lock(&live.state).fill(), Fill::default(), "nothing is held");
        let image = &live.engine.log().image;
        assert_eq!((image.held.events, image.held.charged), (0, 0), "nor written down to be held");
    }

    /// Checks that a full disk gets free space again when readers go on.
    pub(super) fn drain_while_full(&mut self) {
        let Some(live) = &self.live else { return };
        // A fault may have prevented the spare segment.
        let frees = live.engine.log().segments.len() >= 3 && self.faults.is_empty() && !self.disk.has_fired();
        for _round in 0..20 {
            if !self.write_pending() {
                self.kill();
                self.start();
            }
            for reader in 0..READERS.len() {
                while self.take(reader) {
                    self.settle(reader, true);
                }
                while self.live.as_ref().is_some_and(|live| !live.leases[reader].is_empty()) {
                    self.settle(reader, true);
                }
            }
        }
        if frees && self.faults.is_empty() && !self.disk.has_fired() {
            assert_eq!(self.model.committed, self.model.next, "a full disk drains and goes on by itself");
        }
    }

    /// Returns the file and the offset at which the log ends.
    pub(super) fn log_end(&self) -> Option<(String, u64)> {
        let end = self.live.as_ref()?.engine.log().end();
        Some((segment_name(end.segment), end.offset))
    }

    /// Returns a random file of the channel, and its length.
    pub(super) fn some_file(&mut self) -> Option<(String, u64)> {
        self.disk.set_phase("flip");
        let names = self.disk.list().ok()?;
        let name = names.get(self.random.below(names.len() as u64) as usize)?.clone();
        let length = self.disk.content(&name)?.len() as u64;
        Some((name, length))
    }
}

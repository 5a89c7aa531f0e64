//! The scene of a test: what the simulated sources have to give, what the simulated sinks have received, and what fails.
//! It outlasts the agents, which crash and start again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use tokio::sync::Notify;
use tokio::time::Instant;
use weir_plan::Value;
use weir_runtime::batch::{Batch, Partition};
use weir_runtime::storage::{Machine, Moment, SimulatedDisk, StepOutcome};
use weir_runtime::{Clock, SeededRandom};

/// The time of day at which every test begins: 2026-01-01T00:00:00Z, in microseconds since 1970.
pub(crate) const BEGIN: i64 = 1_767_225_600_000_000;

/// The bytes of a simulated disk.
const DISK_BYTES: u64 = 1 << 40;

/// The positions of each source in the lineage of events.
const LINEAGE_BITS: u32 = 40;

/// Returns the number of the source, in the order of the plan, that an event with this lineage was sent to.
pub(crate) fn source_number(lineage: i64) -> usize {
    usize::try_from(lineage >> LINEAGE_BITS).unwrap_or(usize::MAX)
}

/// What a source does about events that were not delivered when the agent stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// It gives them again.
    Undelivered,
    /// They are lost.
    Nothing,
}

/// An event that a test has sent.
#[derive(Debug, Clone)]
pub(crate) struct SentEvent {
    /// The columns that the event has.
    pub(crate) columns: BTreeMap<String, Value>,
}

/// A simulated source.
#[derive(Debug)]
pub(crate) struct SourceState {
    pub(crate) repeats: Repeats,
    /// The source's number in the lineage of its events.
    pub(crate) number: u64,
    pub(crate) events: Vec<SentEvent>,
    /// Events that are given as a real source has given them: batches by the positions before their first events. Texts of `events` show
    /// them only.
    pub(crate) exact: BTreeMap<u64, Batch>,
    /// The positions after which a batch ends: one for each act that has sent events.
    pub(crate) ends: Vec<u64>,
    /// The position through which events were given to the agent.
    pub(crate) given: u64,
    /// The position through which events are delivered, or lost for good.
    pub(crate) delivered: u64,
    failures: u64,
}

/// A simulated sink.
#[derive(Debug, Default)]
pub(crate) struct SinkState {
    pub(crate) received: Vec<ReceivedEvent>,
    /// The batches that came since an act of the test has last asked what the sink writes.
    pub(crate) unwritten: Vec<Batch>,
    /// The number of events that acts of the test have expected so far.
    pub(crate) expected: usize,
    /// The identities of the events that are stored, if the flow promises `exactly_once`.
    pub(crate) stored: BTreeSet<(Partition, u64)>,
    /// The settled position of each partition.
    pub(crate) settled: BTreeMap<Partition, u64>,
    failures: u64,
}

/// An event at the end of its way.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedEvent {
    pub(crate) schema: SchemaRef,
    /// The values, in the order of the schema's fields.
    pub(crate) values: Vec<Value>,
    /// The number of the event that it came of; none if a test can't know it.
    pub(crate) lineage: Option<i64>,
}

#[derive(Default)]
struct State {
    sources: BTreeMap<String, SourceState>,
    sinks: BTreeMap<String, SinkState>,
    rejected: SinkState,
    rejected_identities: BTreeSet<(Partition, u64, String)>,
    disks: BTreeMap<String, SimulatedDisk>,
    channel_failures: BTreeMap<String, u64>,
    random: SeededRandom,
    /// One call of a sink in this many fails; none if none does.
    failing_one_in: Option<u64>,
    notes: Vec<String>,
    /// The rules that an event has broken: the names of the quality and of the rule.
    broken_rules: BTreeSet<(String, String)>,
}

/// The scene of a test.
pub(crate) struct Scene {
    state: Mutex<State>,
    /// The machine that the agent runs on, which counts its calls and stops at one.
    pub(crate) machine: Machine,
    activity: AtomicU64,
    pub(crate) changed: Notify,
    begun: Instant,
    /// The time of day at the begin, in microseconds since 1970.
    begins_at: i64,
    seed: u64,
}

/// How a simulated call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailed {
    /// The test lets it fail.
    #[error("the test lets this call fail")]
    Planned,
    /// The machine has stopped.
    #[error("the machine has stopped")]
    Stopped,
}

/// How a simulated call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proceeds {
    /// It takes effect, and its caller learns so.
    Normally,
    /// It takes effect, and fails all the same.
    WithoutAnswer,
}

impl Scene {
    /// Makes an empty scene, in a paused runtime. All that is random follows from the seed.
    pub(crate) fn new(seed: u64) -> Scene {
        let state = State { random: SeededRandom::new(seed), ..State::default() };
        Scene {
            state: Mutex::new(state),
            machine: Machine::default(),
            activity: AtomicU64::new(0),
            changed: Notify::new(),
            begun: Instant::now(),
            begins_at: BEGIN,
            seed,
        }
    }

    /// Returns the same scene, which begins at this time of day, in microseconds since 1970.
    pub(crate) fn beginning_at(self, begins_at: i64) -> Scene {
        Scene { begins_at, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something has moved.
    pub(crate) fn moved(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// A number that grows with everything that moves.
    pub(crate) fn activity(&self) -> u64 {
        self.activity.load(Ordering::Relaxed) + self.machine.steps()
    }

    /// Adds a source.
    pub(crate) fn add_source(&self, name: &str, repeats: Repeats) {
        let mut state = self.lock();
        let number = state.sources.len() as u64;
        let source = SourceState {
            repeats,
            number,
            events: Vec::new(),
            exact: BTreeMap::new(),
            ends: Vec::new(),
            given: 0,
            delivered: 0,
            failures: 0,
        };
        state.sources.insert(name.to_owned(), source);
    }

    /// Reads or changes a source.
    pub(crate) fn source<T>(&self, name: &str, act: impl FnOnce(&mut SourceState) -> T) -> Option<T> {
        self.lock().sources.get_mut(name).map(act)
    }

    /// Reads or changes a sink, which is made by its first use.
    pub(crate) fn sink<T>(&self, name: &str, act: impl FnOnce(&mut SinkState) -> T) -> T {
        act(self.lock().sinks.entry(name.to_owned()).or_default())
    }

    /// Reads or changes what has received the rejected events.
    pub(crate) fn rejects<T>(&self, act: impl FnOnce(&mut SinkState) -> T) -> T {
        act(&mut self.lock().rejected)
    }

    /// Adds a rejected event, unless the same step has rejected the event of this identity before.
    pub(crate) fn reject(&self, event: ReceivedEvent, identity: Option<(Partition, u64)>, step: String) {
        let mut state = self.lock();
        let is_new = identity.is_none_or(|(partition, position)| {
            state.rejected_identities.insert((partition, position, step))
        });
        if is_new {
            state.rejected.received.push(event);
        }
    }

    /// Returns the number of events that the agent was not given, or that are not delivered.
    pub(crate) fn undelivered(&self) -> u64 {
        let state = self.lock();
        state.sources.values().map(|source| source.events.len() as u64 - source.delivered).sum()
    }

    /// Returns what each sink has received: its name and the lineage of its events, in their order.
    pub(crate) fn arrivals(&self) -> BTreeMap<String, Vec<Option<i64>>> {
        let state = self.lock();
        let of = |sink: &SinkState| sink.received.iter().map(|event| event.lineage).collect();
        state.sinks.iter().map(|(name, sink)| (name.clone(), of(sink))).collect()
    }

    /// Returns the text of an event that a test has sent, and its source.
    pub(crate) fn sent(&self, lineage: i64) -> Option<(String, SentEvent)> {
        let number = u64::try_from(lineage).ok()?;
        let state = self.lock();
        let (name, source) =
            state.sources.iter().find(|(_, source)| source.number == number >> LINEAGE_BITS)?;
        let position = (number & ((1 << LINEAGE_BITS) - 1)) as usize;
        Some((name.clone(), source.events.get(position)?.clone()))
    }

    /// Makes the next calls of a source, a sink or a channel fail.
    pub(crate) fn fail(&self, name: &str, times: u64) {
        let mut state = self.lock();
        if let Some(source) = state.sources.get_mut(name) {
            source.failures += times;
        } else if state.sinks.contains_key(name) {
            state.sinks.entry(name.to_owned()).or_default().failures += times;
        } else {
            *state.channel_failures.entry(name.to_owned()).or_default() += times;
        }
    }

    /// Lets calls of sinks fail at random: one in this many.
    pub(crate) fn fail_at_random(&self, one_in: Option<u64>) {
        self.lock().failing_one_in = one_in;
    }

    /// Returns whether the next call of a channel is to fail, and counts it.
    pub(crate) fn channel_fails(&self, name: &str) -> bool {
        let mut state = self.lock();
        let Some(failures) = state.channel_failures.get_mut(name).filter(|failures| **failures > 0) else {
            return false;
        };
        *failures -= 1;
        true
    }

    /// Makes one call of a source or a sink.
    ///
    /// # Errors
    /// When the call fails before it has taken effect.
    pub(crate) fn call(&self, role: &str, name: &str) -> Result<Proceeds, CallFailed> {
        self.moved();
        {
            let mut state = self.lock();
            let failures = match role {
                "source" => state.sources.get_mut(name).map(|source| &mut source.failures),
                _ => state.sinks.get_mut(name).map(|sink| &mut sink.failures),
            };
            if let Some(failures) = failures.filter(|failures| **failures > 0) {
                *failures -= 1;
                return Err(CallFailed::Planned);
            }
        }
        match self.machine.step(role, "call", name, true) {
            StepOutcome::Proceeds => {}
            StepOutcome::Down | StepOutcome::Stops(Moment::Before) => return Err(CallFailed::Stopped),
            StepOutcome::Stops(Moment::After) => return Ok(Proceeds::WithoutAnswer),
            StepOutcome::Stops(Moment::Within) => {
                return match self.random_below(2) {
                    0 => Err(CallFailed::Stopped),
                    _ => Ok(Proceeds::WithoutAnswer),
                };
            }
        }
        let mut state = self.lock();
        match state.failing_one_in.filter(|_| role == "sink") {
            Some(one_in) if state.random.one_in(one_in) => match state.random.below(2) {
                0 => Err(CallFailed::Planned),
                _ => Ok(Proceeds::WithoutAnswer),
            },
            _ => Ok(Proceeds::Normally),
        }
    }

    /// Fills `bytes` at random, as the seed says.
    fn fill_random(&self, bytes: &mut [u8]) {
        let mut state = self.lock();
        for chunk in bytes.chunks_mut(8) {
            let number = state.random.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }

    /// Returns a random number below `bound`.
    pub(crate) fn random_below(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }

    /// Returns the disk of a channel, which is made by its first use.
    pub(crate) fn disk(&self, channel: &str) -> SimulatedDisk {
        let mut state = self.lock();
        let number = state.disks.len() as u64;
        let disk = state.disks.entry(channel.to_owned()).or_insert_with(|| {
            let disk = SimulatedDisk::new(self.seed.wrapping_mul(31).wrapping_add(number), DISK_BYTES);
            disk.attach(&self.machine, "disk");
            // What a `sample` behind the channel keeps follows from the channel's identity: it is the same in each run.
            disk.draw_by(number);
            disk
        });
        disk.clone()
    }

    /// Ends the agent's process: what is unsynced on the disks is lost if the power is. Events that no source repeats are
    /// lost.
    pub(crate) fn end_process(&self, power_is_lost: bool) {
        let mut state = self.lock();
        state.disks.values().for_each(|disk| match power_is_lost {
            true => disk.reboot(),
            false => disk.kill(),
        });
        for source in state.sources.values_mut().filter(|source| source.repeats == Repeats::Nothing) {
            source.delivered = source.given;
        }
    }

    /// Notes that an event has broken a rule of a quality.
    pub(crate) fn rule_is_broken(&self, quality: &str, rule: &str) {
        self.lock().broken_rules.insert((quality.to_owned(), rule.to_owned()));
    }

    /// Returns the rules that an event has broken: the names of the quality and of the rule.
    pub(crate) fn broken_rules(&self) -> BTreeSet<(String, String)> {
        self.lock().broken_rules.clone()
    }

    /// Notes something for the report of the test.
    pub(crate) fn note(&self, note: String) {
        let mut state = self.lock();
        if !state.notes.contains(&note) {
            state.notes.push(note);
        }
    }

    /// Returns the notes.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    /// Returns the virtual time since the begin.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.begun.elapsed()
    }

    /// Returns the virtual time of day.
    pub(crate) fn now(&self) -> i64 {
        self.begins_at.saturating_add(i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

impl SentEvent {
    /// Returns a received event as one that is sent.
    pub(crate) fn of(event: &ReceivedEvent) -> SentEvent {
        let names = event.schema.fields().iter().map(|field| field.name().clone());
        SentEvent { columns: names.zip(event.values.iter().cloned()).collect() }
    }
}

impl ReceivedEvent {
    /// Returns the value of a column; none if the event does not have it.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.schema.index_of(name).ok().and_then(|index| self.values.get(index))
    }
}

impl SourceState {
    /// The position after which a run of the source begins, as far as the channels know no later one.
    pub(crate) fn position_after_start(&self) -> u64 {
        match self.repeats {
            Repeats::Undelivered => self.delivered,
            Repeats::Nothing => self.given,
        }
    }

    /// The lineage of the event at a position.
    pub(crate) fn lineage(&self, position: u64) -> i64 {
        i64::try_from(self.number << LINEAGE_BITS | position).unwrap_or(i64::MAX)
    }
}

/// The clock of a simulated agent.
pub(crate) struct VirtualClock(pub(crate) Arc<Scene>);

impl Clock for VirtualClock {
    fn now(&self) -> i64 {
        self.0.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

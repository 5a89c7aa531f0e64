//! Meters: the counts of each component.
//!
//! Three measures have one measuring point each: *received* (events that came in), *processed* (events that came out of
//! the steps) and *delivered* (events that are committed). Each is counted once for a batch.

mod age;
mod condition;
mod latency;
mod reason;
mod steps;
mod trouble;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::failure::Cause;

pub(crate) use age::Age;
pub use condition::{Condition, LastError, Phase};
pub use latency::{BUCKET_BOUNDS_SECONDS, LatencyHistogram, LatencySnapshot};
pub use reason::ReasonKind;
use steps::Steps;
pub use steps::{RejectedBySteps, RuleReading, StepReading};
pub(crate) use steps::{RuleCount, RuleName, StepCount};
pub use trouble::{Reminder, Trouble, TroubleReport};

/// Events and bytes that passed one measuring point.
#[derive(Debug, Default)]
pub struct Count {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// The value of a [`Count`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The number of events.
    pub events: u64,
    /// The bytes of their bodies and fields.
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&self, events: usize, bytes: u64) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the value now.
    pub fn read(&self) -> Reading {
        Reading { events: self.events.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl Reading {
    pub(crate) fn add(&mut self, events: usize, bytes: u64) {
        self.add_reading(Reading { events: events as u64, bytes });
    }

    pub(crate) fn add_reading(&mut self, other: Reading) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// A component's own number that may go up and down, such as the number of open files.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Gauges with a value for each partition: by the gauge's name, and by the partition's.
pub type PartitionGauges = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// The counts of one component. The core counts events; the component adds its own counters, gauges and notes.
#[derive(Debug)]
pub struct Meter {
    /// Events that came in: read by a source, put into a channel, taken by a sink.
    pub received: Count,
    /// Events that came out of the steps of a source's or sink's path, once for each leg.
    pub processed: Count,
    /// Events that are delivered: acknowledged to a source, removed from a channel, committed by a sink.
    pub delivered: Count,
    /// How long a source's puts waited for space in all their channels.
    pub put: LatencyHistogram,
    /// How long a sink waited for its next events.
    pub take: LatencyHistogram,
    /// The time from a source's put until its channels had stored the events safely, or from a sink's take until the
    /// events were committed.
    pub commit: LatencyHistogram,
    pub(crate) age: Age,
    dropped: Mutex<BTreeMap<String, Reading>>,
    steps: Mutex<Steps>,
    /// The number of restarts after failures.
    restarts: AtomicU64,
    condition: Mutex<Condition>,
    created: Instant,
    /// The time of the last move of events, in microseconds since `created`.
    moved: AtomicU64,
    counters: Mutex<BTreeMap<&'static str, u64>>,
    gauges: Mutex<BTreeMap<&'static str, Gauge>>,
    partition_gauges: Mutex<PartitionGauges>,
    notes: Mutex<BTreeMap<&'static str, String>>,
    /// The number of buffers that hold events which will be emitted without further input.
    buffered: AtomicU64,
    /// Whether another sink of a `failover` takes the events of a sink.
    is_replaced: AtomicBool,
    /// When a source finished its discovery in the current run.
    discovered: Mutex<Option<Instant>>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            received: Count::default(),
            processed: Count::default(),
            delivered: Count::default(),
            put: LatencyHistogram::default(),
            take: LatencyHistogram::default(),
            commit: LatencyHistogram::default(),
            age: Age::default(),
            dropped: Mutex::default(),
            steps: Mutex::default(),
            restarts: AtomicU64::default(),
            condition: Mutex::default(),
            created: Instant::now(),
            moved: AtomicU64::default(),
            counters: Mutex::default(),
            gauges: Mutex::default(),
            partition_gauges: Mutex::default(),
            notes: Mutex::default(),
            buffered: AtomicU64::default(),
            is_replaced: AtomicBool::default(),
            discovered: Mutex::default(),
        }
    }
}

/// Locks a mutex. Poison is ignored, since each change under these locks is a single call that can't panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sum<'r>(readings: impl Iterator<Item = &'r Reading>) -> Reading {
    let mut all = Reading::default();
    readings.for_each(|reading| all.add_reading(*reading));
    all
}

impl Meter {
    /// Adds to one of the component's own counters, such as `files_closed_early`.
    pub fn count(&self, counter: &'static str, by: u64) {
        *lock(&self.counters).entry(counter).or_default() += by;
    }

    /// The component's own counters.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counters).clone()
    }

    /// Returns one of the component's own gauges, such as `files_open`. Call it once, and keep the gauge.
    pub fn gauge(&self, gauge: &'static str) -> Gauge {
        lock(&self.gauges).entry(gauge).or_default().clone()
    }

    /// The component's own gauges.
    pub fn gauges(&self) -> BTreeMap<&'static str, u64> {
        let gauges = lock(&self.gauges);
        gauges.iter().map(|(name, gauge)| (*name, gauge.0.load(Ordering::Relaxed))).collect()
    }

    /// Sets a gauge that has a value for each partition which the component reads now, such as `lag_events`.
    pub fn set_partition_gauge(&self, gauge: &'static str, values: BTreeMap<String, u64>) {
        lock(&self.partition_gauges).insert(gauge, values);
    }

    /// The component's own gauges with a value for each partition.
    pub fn partition_gauges(&self) -> PartitionGauges {
        lock(&self.partition_gauges).clone()
    }

    /// Sets the number of buffers that hold events which the component will emit without further input, such as an
    /// event that waits for further lines. The agent is not idle before the number is 0.
    pub fn set_buffered(&self, buffers: u64) {
        self.buffered.store(buffers, Ordering::Relaxed);
    }

    /// Whether a buffer holds events.
    pub(crate) fn has_buffered(&self) -> bool {
        self.buffered.load(Ordering::Relaxed) > 0
    }

    /// Sets whether another sink of a `failover` takes the events of this sink, so that the agent works without it.
    pub(crate) fn set_replaced(&self, is_replaced: bool) {
        self.is_replaced.store(is_replaced, Ordering::Relaxed);
    }

    /// Whether another sink of a `failover` takes the events of this sink.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    /// Reports that a source has discovered its inputs in this run: it has read its directories, knows its assigned
    /// partitions, or listens. Every source has to call it, since an agent is not idle before. Further calls in the
    /// same run change nothing.
    pub fn finish_discovery(&self) {
        lock(&self.discovered).get_or_insert_with(Instant::now);
    }

    /// When a source finished its discovery in the current run; none before.
    pub(crate) fn discovered(&self) -> Option<Instant> {
        *lock(&self.discovered)
    }

    /// Begins another run of a source.
    pub(crate) fn begin_run(&self) {
        *lock(&self.discovered) = None;
        self.enter(Phase::Running);
    }

    /// Adds a line to the closing report, such as `("wrote", "24 files under /lake")`. It replaces the note with the
    /// same key.
    pub fn note(&self, key: &'static str, text: impl Into<String>) {
        lock(&self.notes).insert(key, text.into());
    }

    /// The component's notes.
    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        lock(&self.notes).clone()
    }

    /// Counts events that a step, or a full channel, has dropped on purpose.
    pub(crate) fn drop_events(&self, step: &str, events: usize, bytes: u64) {
        if events == 0 {
            return;
        }
        let mut dropped = lock(&self.dropped);
        match dropped.get_mut(step) {
            Some(reading) => reading.add(events, bytes),
            None => dropped.entry(step.to_owned()).or_default().add(events, bytes),
        }
    }

    /// Adds the counts of steps.
    pub(crate) fn count_steps(&self, counts: &[StepCount]) {
        if counts.is_empty() {
            return;
        }
        let mut steps = lock(&self.steps);
        for count in counts {
            self.drop_events(&count.step, count.dropped.events as usize, count.dropped.bytes);
            steps.add(count);
        }
    }

    /// The counts of the steps on the component's path, in its order.
    pub fn steps(&self) -> Vec<StepReading> {
        lock(&self.steps).totals()
    }

    /// The counts of the rules that the steps `check` of the component's path have applied.
    pub fn rules(&self) -> Vec<RuleReading> {
        lock(&self.steps).rules()
    }

    /// The events that the steps of the component's path have rejected.
    pub fn rejected_by_step(&self) -> RejectedBySteps {
        lock(&self.steps).rejected()
    }

    /// The events that each step of the component's path has dropped on purpose, by the step's first words.
    pub fn dropped_by_step(&self) -> BTreeMap<String, Reading> {
        lock(&self.dropped).clone()
    }

    /// The events that all steps of the component's path have dropped on purpose.
    pub fn dropped(&self) -> Reading {
        let dropped = lock(&self.dropped);
        sum(dropped.values())
    }

    /// The events that all steps of the component's path have rejected.
    pub fn rejected(&self) -> Reading {
        sum(self.rejected_by_step().values().flat_map(BTreeMap::values))
    }

    /// The number of restarts after failures.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The component's phase and last error.
    pub fn condition(&self) -> Condition {
        lock(&self.condition).clone()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        lock(&self.condition).enter(phase);
    }

    /// Records a failure. The component is run again at `next_try`, or never without it.
    pub(crate) fn failed(&self, error: String, next_try: Option<Instant>) {
        if next_try.is_some() {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        lock(&self.condition).fail(error, next_try);
    }

    /// Opens a trouble of the component, or notes that it goes on. The subject names what is in trouble, such as `brokers`.
    /// Returns the end of the log message if the trouble is to be logged now: at once, and then at growing distances.
    pub fn report_trouble(
        &self,
        subject: &str,
        cause: Cause,
        message: impl Into<String>,
    ) -> Option<Reminder> {
        let message = message.into();
        let report = TroubleReport { subject, holder: "", cause, message: &message, lasts: Duration::ZERO };
        self.report_trouble_of(report)
    }

    /// The same for a part of a component, of several that may have the trouble, or with the time that it has lasted already.
    pub fn report_trouble_of(&self, report: TroubleReport<'_>) -> Option<Reminder> {
        lock(&self.condition).troubles.report(report, Instant::now())
    }

    /// Closes a trouble. Returns how long it lasted; none if it was not open.
    pub fn resolve_trouble(&self, subject: &str) -> Option<Duration> {
        self.resolve_trouble_of("", subject)
    }

    /// Notes that a part of the component does not have a trouble any more, and closes it if no other part has it. Returns how long it
    /// lasted; none if it was not open, or stays open.
    pub fn resolve_trouble_of(&self, holder: &str, subject: &str) -> Option<Duration> {
        lock(&self.condition).troubles.resolve(subject, holder, Instant::now())
    }

    /// Whether a trouble with another subject is open that holds up events.
    pub(crate) fn is_blocked_besides(&self, subject: &str) -> bool {
        let condition = lock(&self.condition);
        condition.troubles().iter().any(|(other, trouble)| other != subject && trouble.cause.blocks())
    }

    /// The number of troubles that were opened, by their causes.
    pub(crate) fn troubles_opened(&self) -> BTreeMap<Cause, u64> {
        lock(&self.condition).troubles.opened().clone()
    }

    /// Records that events move now.
    pub(crate) fn touch(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.created).as_micros();
        self.moved.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When events last moved; when the meter was created, if they never did.
    pub(crate) fn last_moved(&self) -> Instant {
        self.created + Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }
}

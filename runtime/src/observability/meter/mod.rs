//! What each component counts about itself.
//!
//! Three measures have a measuring point each: *received* (what a component took in), *processed*
//! (what came out of its steps) and *delivered* (what is committed behind it). All counting is once
//! a batch.

mod age;
mod condition;
mod latency;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

pub(crate) use age::Age;
pub use condition::{Condition, LastError, Phase};
pub use latency::{BUCKET_BOUNDS_SECONDS, Latencies, Latency};

/// Events and bytes that passed one measuring point.
#[derive(Debug, Default)]
pub struct Count {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// What a [`Count`] stood at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Events.
    pub events: u64,
    /// Bytes of their bodies and fields.
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&self, events: usize, bytes: u64) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn read(&self) -> Reading {
        Reading { events: self.events.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl Reading {
    fn add(&mut self, events: usize, bytes: u64) {
        self.events += events as u64;
        self.bytes += bytes;
    }
}

/// A number of a component's own that may go up and down, such as how many files are open.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// The counts of one component. The core keeps the events; a component adds what only it knows.
#[derive(Debug)]
pub struct Meter {
    /// What came in: read by a source, put into a channel, taken by a sink.
    pub received: Count,
    /// What came out of the steps of a source's or sink's path, once for each way that it went.
    pub processed: Count,
    /// What is done: acknowledged to a source, taken out of a channel for good, committed by a sink.
    pub delivered: Count,
    /// How long a source's puts waited for room in all their channels.
    pub put: Latency,
    /// How long a sink waited for its next events.
    pub take: Latency,
    /// How long it took from a source's put until its channels had it safe, or from a sink's take
    /// until it was committed.
    pub commit: Latency,
    pub(crate) age: Age,
    dropped: Mutex<BTreeMap<String, Reading>>,
    /// How often the component was started again after a failure.
    restarts: AtomicU64,
    condition: Mutex<Condition>,
    made: Instant,
    /// When events last moved here, in microseconds since it was made.
    moved: AtomicU64,
    counters: Mutex<BTreeMap<&'static str, u64>>,
    gauges: Mutex<BTreeMap<&'static str, Gauge>>,
    notes: Mutex<BTreeMap<&'static str, String>>,
    held_back: AtomicU64,
    /// When a source had had its first look in its present run.
    looked: Mutex<Option<Instant>>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            received: Count::default(),
            processed: Count::default(),
            delivered: Count::default(),
            put: Latency::default(),
            take: Latency::default(),
            commit: Latency::default(),
            age: Age::default(),
            dropped: Mutex::default(),
            restarts: AtomicU64::default(),
            condition: Mutex::default(),
            made: Instant::now(),
            moved: AtomicU64::default(),
            counters: Mutex::default(),
            gauges: Mutex::default(),
            notes: Mutex::default(),
            held_back: AtomicU64::default(),
            looked: Mutex::default(),
        }
    }
}

/// What is kept under these locks is changed by single calls that don't panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    /// Adds to a counter of the component's own, such as `files_closed_early`.
    pub fn count(&self, counter: &'static str, by: u64) {
        *lock(&self.counters).entry(counter).or_default() += by;
    }

    /// The component's own counters.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counters).clone()
    }

    /// A gauge of the component's own, such as `files_open`. To be asked for once, and then set.
    pub fn gauge(&self, gauge: &'static str) -> Gauge {
        lock(&self.gauges).entry(gauge).or_default().clone()
    }

    /// The component's own gauges.
    pub fn gauges(&self) -> BTreeMap<&'static str, u64> {
        let gauges = lock(&self.gauges);
        gauges.iter().map(|(name, gauge)| (*name, gauge.0.load(Ordering::Relaxed))).collect()
    }

    /// Says in how many places the component holds something back that it will hand on by itself, such as an
    /// event that waits for further lines. It is not idle before that is 0.
    pub fn hold_back(&self, places: u64) {
        self.held_back.store(places, Ordering::Relaxed);
    }

    /// Whether it holds something back.
    pub(crate) fn holds_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed) > 0
    }

    /// Says that a source has had its first look in this run: at its directories, at what its group has given it, or that it
    /// listens. Each source has to say so, since an agent is not idle before. Further calls change nothing.
    pub fn has_looked(&self) {
        lock(&self.looked).get_or_insert_with(Instant::now);
    }

    /// When a source had had its first look in its present run; none before that.
    pub(crate) fn looked(&self) -> Option<Instant> {
        *lock(&self.looked)
    }

    /// A source begins a run.
    pub(crate) fn begin_run(&self) {
        *lock(&self.looked) = None;
        self.enter(Phase::Running);
    }

    /// Leaves a line for the closing report, such as `("wrote", "24 files under /lake")`; a
    /// later note with the same key takes its place.
    pub fn note(&self, key: &'static str, text: impl Into<String>) {
        lock(&self.notes).insert(key, text.into());
    }

    /// The component's notes.
    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        lock(&self.notes).clone()
    }

    /// What a step has dropped on purpose.
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

    /// What each step of the component's path has dropped on purpose, by its first words.
    pub fn dropped_by_step(&self) -> BTreeMap<String, Reading> {
        lock(&self.dropped).clone()
    }

    /// What the steps of the component's path have dropped on purpose.
    pub fn dropped(&self) -> Reading {
        let dropped = lock(&self.dropped);
        dropped.values().fold(Reading::default(), |sum, reading| Reading {
            events: sum.events + reading.events,
            bytes: sum.bytes + reading.bytes,
        })
    }

    /// How often the component was started again after a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// How the component is.
    pub fn condition(&self) -> Condition {
        lock(&self.condition).clone()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        lock(&self.condition).enter(phase);
    }

    /// It has failed, and is tried again at this time; never again without one.
    pub(crate) fn failed(&self, error: String, next_try: Option<Instant>) {
        if next_try.is_some() {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        lock(&self.condition).fail(error, next_try);
    }

    /// Events move here, now.
    pub(crate) fn touch(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.made).as_micros();
        self.moved.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When events last moved here; when it was made, if they never did.
    pub(crate) fn last_moved(&self) -> Instant {
        self.made + std::time::Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }
}

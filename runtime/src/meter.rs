//! What each component counts about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Events and bytes that passed one measuring point.
#[derive(Debug, Default)]
pub struct Count {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// What a [`Count`] stood at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// The counts of one component. The core keeps the events; a component adds what only it knows.
#[derive(Debug, Default)]
pub struct Meter {
    /// What came in: read by a source, put into a channel, taken by a sink.
    pub received: Count,
    /// What is done: acknowledged to a source, taken out of a channel for good, committed by a sink.
    pub delivered: Count,
    /// What a step of the component's path has dropped on purpose.
    pub dropped: Count,
    /// How often the component was started again after a failure.
    restarts: AtomicU64,
    counters: Mutex<BTreeMap<&'static str, u64>>,
    notes: Mutex<BTreeMap<&'static str, String>>,
}

impl Meter {
    /// Adds to a counter of the component's own, such as `files_closed_early`.
    pub fn count(&self, counter: &'static str, by: u64) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner).entry(counter).or_default() += by;
    }

    /// The component's own counters.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves a line for the closing report, such as `("wrote", "24 files under /lake")`; a
    /// later note with the same key takes its place.
    pub fn note(&self, key: &'static str, text: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, text.into());
    }

    /// The component's notes.
    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the component was started again after a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

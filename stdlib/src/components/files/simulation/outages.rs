//! Sinks that fail: single calls, and outages of one sink for some seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::forks::SINKS;
use super::world::World;

/// One call of a sink to its file system in this many fails.
const CALLS_FAIL_ONE_IN: u64 = 60;
/// An outage begins with one call in this many.
const OUTAGES_ONE_IN: u64 = 400;

/// The state of the sinks behind a fork. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Outages(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whether no sink fails any more.
    calm: bool,
    /// Until when a sink does not answer.
    out: BTreeMap<String, Instant>,
    /// The lines in each store.
    stored: BTreeMap<String, Vec<u8>>,
}

impl Outages {
    /// Lets calls of the sinks behind a fork fail.
    pub(super) fn begin(&self, world: &World) {
        if world.setup.forked.is_none() {
            return;
        }
        let world = world.clone();
        world.output.clone().trouble_by(Some(Arc::new(move |path: &str| {
            let sink = SINKS.into_iter().find(|sink| path.contains(&format!("/{sink}/")));
            sink.is_some_and(|sink| {
                let fails = world.random.lock().unwrap().one_in(CALLS_FAIL_ONE_IN);
                !world.is_calm() && (world.is_out(sink) || fails)
            })
        })));
    }

    /// Returns the path and content of each store.
    pub(super) fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.0.lock().unwrap();
        state.stored.iter().map(|(name, lines)| (format!("/stores/{name}/lines"), lines.clone())).collect()
    }
}

impl World {
    /// Lets no sink fail from now on.
    pub(super) fn calm(&self) {
        let mut state = self.outages.0.lock().unwrap();
        state.calm = true;
        state.out.clear();
    }

    pub(super) fn is_calm(&self) -> bool {
        self.outages.0.lock().unwrap().calm
    }

    /// Returns whether a sink does not answer. That begins and ends at random.
    pub(super) fn is_out(&self, sink: &str) -> bool {
        if self.is_calm() {
            return false;
        }
        let mut random = self.random.lock().unwrap();
        let mut state = self.outages.0.lock().unwrap();
        if random.one_in(OUTAGES_ONE_IN) {
            let end = Instant::now() + Duration::from_millis(random.below(8_000));
            state.out.insert(sink.to_owned(), end);
        }
        state.out.get(sink).is_some_and(|end| Instant::now() < *end)
    }

    /// Returns whether the sinks may have written a part of a batch when they fail.
    pub(super) fn fails_partly(&self) -> bool {
        self.setup.forked.is_none_or(|forked| !forked.fails_cleanly)
    }

    /// Returns whether neither the source nor its channels fail.
    pub(super) fn has_steady_source(&self) -> bool {
        self.setup.forked.is_some_and(|forked| forked.fails_cleanly)
    }

    /// Adds lines to a store.
    pub(super) fn store(&self, sink: &str, lines: &[&Vec<u8>]) {
        if let Some(line) = lines.first() {
            tracing::info!("{sink} stores {} lines from {}", lines.len(), String::from_utf8_lossy(line));
        }
        let mut state = self.outages.0.lock().unwrap();
        let stored = state.stored.entry(sink.to_owned()).or_default();
        for line in lines {
            stored.extend_from_slice(line);
            stored.push(b'\n');
        }
    }
}

//! The progress of a source: the positions through which its puts are delivered without a gap.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::positions::{DeliveredThrough, Given};
use crate::batch::{Origins, Partition};
use crate::observability::meter::{Meter, Reading};
use crate::routing::{Acknowledgement, Settle};

/// Positions through which all events are delivered.
///
/// Only the core makes this value, from acknowledgements, so that a source can't commit positions of events that are
/// not safe yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    positions: BTreeMap<Partition, u64>,
}

impl Delivered {
    /// For each partition that moved, the position through which it is delivered.
    pub fn positions(&self) -> impl Iterator<Item = (&Partition, DeliveredThrough)> {
        let positions = self.positions.iter();
        positions.map(|(partition, through)| (partition, DeliveredThrough::new(*through)))
    }
}

/// Tracks the puts of one source, of which several may be in flight and end in any order.
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: Notify,
    meter: Arc<Meter>,
}

#[derive(Default)]
struct State {
    next_put: u64,
    /// The first put of the source's current run.
    first_of_run: u64,
    /// The position through which each partition has arrived at all ends, since before the first run; none if sinks
    /// do not need it.
    settled: Option<BTreeMap<Partition, u64>>,
    /// The position through which each partition is delivered, since before the first run; none if the channels do not
    /// know positions.
    delivered: Option<BTreeMap<Partition, u64>>,
    /// Puts that are neither done nor failed.
    in_flight: usize,
    /// The puts of each partition, in order, that are not yet reported as delivered.
    pending: HashMap<Partition, VecDeque<Pending>>,
    /// The positions that moved since the source last took them.
    moved: BTreeMap<Partition, u64>,
    closed: bool,
}

struct Pending {
    put: u64,
    through: u64,
    done: bool,
    failed: bool,
}

impl Progress {
    /// Makes the progress of one run of a source.
    pub(crate) fn new(meter: Arc<Meter>) -> Arc<Progress> {
        Arc::new(Progress { state: Mutex::default(), changed: Notify::new(), meter })
    }

    /// Makes progress that goes on through all runs of a source whose channels know its positions: they hold the puts
    /// of earlier runs, which are not put again.
    pub(crate) fn through_runs(meter: Arc<Meter>) -> Arc<Progress> {
        let state = State { settled: Some(BTreeMap::new()), ..State::default() };
        Arc::new(Progress { state: Mutex::new(state), changed: Notify::new(), meter })
    }

    /// Sets the positions that all ends of the flow have at the start.
    pub(crate) fn settle_through(&self, positions: BTreeMap<Partition, u64>) {
        self.lock().settled = Some(positions);
    }

    /// Begins another run, and returns the delivered positions, which are the positions of the channels before the
    /// first run. The source puts failed puts of earlier runs again, as far as the channels lack them.
    pub(crate) fn begin_run(&self, given: &Given) -> Delivered {
        let mut state = self.lock();
        state.closed = false;
        state.first_of_run = state.next_put;
        if state.delivered.is_none() {
            state.delivered = given.as_delivered().cloned();
        }
        state.remove_failed();
        let positions = state.delivered.clone().unwrap_or_default();
        drop(state);
        self.changed.notify_one();
        Delivered { positions }
    }

    /// The position through which each partition has arrived at all ends.
    pub(crate) fn settled(&self) -> BTreeMap<Partition, u64> {
        self.lock().settled.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a put, and returns its acknowledgement with one share.
    pub(crate) fn begin(self: &Arc<Self>, origins: &Origins, events: usize, bytes: u64) -> Acknowledgement {
        let mut state = self.lock();
        let put = state.next_put;
        state.next_put += 1;
        state.in_flight += 1;
        for interval in origins.intervals() {
            let pending = state.pending.entry(interval.partition.clone()).or_default();
            pending.push_back(Pending { put, through: interval.through, done: false, failed: false });
        }
        let (origins, begun) = (origins.clone(), Instant::now());
        let settle = PutSettle { progress: self.clone(), put, origins, events, bytes, begun };
        Acknowledgement::new(1, Box::new(settle))
    }

    /// Forgets a partition. Returns whether that was possible: none of its puts is in flight.
    pub(crate) fn forget(&self, partition: &Partition) -> bool {
        let mut state = self.lock();
        if state.pending.contains_key(partition) {
            return false;
        }
        state.moved.remove(partition);
        let State { settled, delivered, .. } = &mut *state;
        for kept in [settled, delivered].into_iter().flatten() {
            kept.remove(partition);
        }
        true
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

impl State {
    fn settle(&mut self, put: u64, origins: &Origins, done: bool) {
        self.in_flight -= 1;
        for interval in origins.intervals() {
            let Some(pending) = self.pending.get_mut(&interval.partition) else { continue };
            if let Ok(index) = pending.binary_search_by_key(&put, |pending| pending.put) {
                pending[index].done = done;
                pending[index].failed = !done;
            }
        }
        if done {
            origins.intervals().iter().for_each(|interval| self.advance(&interval.partition));
        } else if put < self.first_of_run {
            self.remove_failed();
        }
    }

    /// Moves the partition's position over its finished puts. A failed put blocks the later puts of its run, so that no
    /// position after a loss is reported as delivered.
    fn advance(&mut self, partition: &Partition) {
        let Some(pending) = self.pending.get_mut(partition) else { return };
        while let Some(first) = pending.pop_front_if(|first| first.done) {
            let moved = self.moved.entry(partition.clone()).or_default();
            *moved = first.through.max(*moved);
            for kept in [&mut self.settled, &mut self.delivered].into_iter().flatten() {
                let kept = kept.entry(partition.clone()).or_default();
                *kept = first.through.max(*kept);
            }
        }
        if pending.is_empty() {
            self.pending.remove(partition);
        }
    }

    /// Removes the failed puts of earlier runs. The parts of them that channels have are delivered by now, since a put
    /// fails only when its last part is settled.
    fn remove_failed(&mut self) {
        let first_of_run = self.first_of_run;
        for pending in self.pending.values_mut() {
            pending.retain(|pending| !(pending.failed && pending.put < first_of_run));
        }
        let partitions: Vec<Partition> = self.pending.keys().cloned().collect();
        partitions.iter().for_each(|partition| self.advance(partition));
    }
}

struct PutSettle {
    progress: Arc<Progress>,
    put: u64,
    origins: Origins,
    events: usize,
    bytes: u64,
    begun: Instant,
}

impl Settle for PutSettle {
    fn settle(self: Box<Self>, done: bool) {
        self.settle_with(done, Reading::default());
    }

    fn settle_with(self: Box<Self>, done: bool, rejected: Reading) {
        if done {
            let meter = &self.progress.meter;
            let events = self.events.saturating_sub(usize::try_from(rejected.events).unwrap_or(usize::MAX));
            meter.delivered.add(events, self.bytes.saturating_sub(rejected.bytes));
            meter.commit.record(self.begun.elapsed());
        }
        self.progress.lock().settle(self.put, &self.origins, done);
        self.progress.changed.notify_one();
    }
}

/// The delivered positions of a source, as they move.
pub struct Deliveries {
    progress: Arc<Progress>,
}

impl Deliveries {
    pub(crate) fn new(progress: Arc<Progress>) -> Deliveries {
        Deliveries { progress }
    }

    /// Waits until positions have moved, and takes all moved positions.
    ///
    /// Returns `None` when the outlet is closed and no put is in flight. Dropping the future takes nothing.
    pub async fn next(&mut self) -> Option<Delivered> {
        loop {
            let changed = self.progress.changed.notified();
            {
                let mut state = self.progress.lock();
                if !state.moved.is_empty() {
                    return Some(Delivered { positions: std::mem::take(&mut state.moved) });
                }
                if state.closed && state.in_flight == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(after: u64, through: u64) -> Origins {
        Origins::one(Partition::new("p"), after, through)
    }

    fn positions(delivered: Option<Delivered>) -> Vec<u64> {
        delivered.unwrap().positions().map(|(_, through)| through.position()).collect()
    }

    #[tokio::test]
    async fn positions_move_only_over_puts_without_a_gap() {
        let progress = Progress::new(Arc::default());
        let mut deliveries = Deliveries::new(progress.clone());
        let first = progress.begin(&origins(0, 10), 10, 0);
        let second = progress.begin(&origins(10, 20), 10, 0);
        let third = progress.begin(&origins(20, 30), 10, 0);
        second.done();
        assert!(progress.lock().moved.is_empty());
        first.done();
        assert_eq!(positions(deliveries.next().await), [20]);
        third.done();
        assert_eq!(positions(deliveries.next().await), [30]);
        progress.close();
        assert_eq!(deliveries.next().await, None);
    }

    #[tokio::test]
    async fn no_position_after_a_failed_put_is_reported_as_delivered() {
        let progress = Progress::new(Arc::default());
        let mut deliveries = Deliveries::new(progress.clone());
        let first = progress.begin(&origins(0, 10), 10, 0);
        let second = progress.begin(&origins(10, 20), 10, 0);
        drop(first);
        second.done();
        progress.close();
        assert_eq!(deliveries.next().await, None);
    }

    #[tokio::test]
    async fn partitions_move_independently() {
        let progress = Progress::new(Arc::default());
        let mut deliveries = Deliveries::new(progress.clone());
        let interval = |name: &str, after, through| crate::batch::Interval {
            partition: Partition::new(name),
            after,
            through,
        };
        let _first = progress.begin(&Origins::new(vec![interval("a", 0, 5)]), 5, 0);
        let both = Origins::new(vec![interval("a", 5, 6), interval("b", 0, 7)]);
        progress.begin(&both, 8, 0).done();
        let delivered = deliveries.next().await.unwrap();
        let moved: Vec<_> =
            delivered.positions().map(|(name, through)| (name.name(), through.position())).collect();
        assert_eq!(moved, [("b", 7)]);
    }
}

//! Puts and takes of a file channel, as the agent uses them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::sleep;
use tracing::warn;

use super::compression::Compression;
use super::failing::Fault;
use super::fields::checksum;
use super::reading::{self, load};
use super::state::{ReaderId, Take};
use super::submitted::Submitted;
use super::survey::SurveyError;
use super::writer::RETRY;
use super::{Shared, columns};
use crate::batch::{Batch, Identities, Partition};
use crate::channel::in_flight::InFlight;
use crate::channel::origins::Verdict;
use crate::channel::{CommitError, Fill, Incarnation, Lease, PutTransaction, Reader, Scope, Taken};
use crate::environment::storage::Storage;
use crate::failure::{Failure, is_outage};
use crate::routing::{Acknowledgement, Settle};

/// A put that is waiting for space, so that readers and the writer know of it.
pub(super) struct WaitingPut<'a, S: Storage>(&'a Shared<S>);

impl<S: Storage> WaitingPut<'_, S> {
    pub(super) fn begin(shared: &Shared<S>) -> WaitingPut<'_, S> {
        shared.lock().waiting += 1;
        shared.changed.notify_waiters();
        shared.work.notify_one();
        WaitingPut(shared)
    }
}

impl<S: Storage> Drop for WaitingPut<'_, S> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

pub(super) struct FilePut<S: Storage> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) amount: Fill,
}

/// Frees the reservation, after a commit as after a rollback.
impl<S: Storage> Drop for FilePut<S> {
    fn drop(&mut self) {
        self.shared.lock().release(self.amount);
        self.shared.space.notify_waiters();
    }
}

impl<S: Storage> PutTransaction for FilePut<S> {
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError> {
        let verdict = self.shared.lock().compare(scope, &batch)?;
        let put = prepare(scope, batch, verdict, self.shared.compression, acknowledgement);
        let forgotten = self.shared.lock().submit(scope, put);
        if forgotten > 0 {
            warn!(
                component = %self.shared.component,
                "too many partitions are recorded: the {forgotten} that were idle the longest are forgotten; \
                 a source that still has their data reads it again when it restarts"
            );
        }
        self.shared.work.notify_one();
        Ok(())
    }
}

/// Encodes the part of a batch that is not in the log yet.
pub(super) fn prepare(
    scope: &Scope,
    batch: Batch,
    verdict: Verdict,
    compression: Compression,
    acknowledgement: Acknowledgement,
) -> Submitted {
    let known = verdict == Verdict::Known;
    let lacking = verdict.trim(batch.clone()).expect("a verdict is about the batch that it was given");
    let batch = lacking.unwrap_or(batch);
    let nothing = known || (batch.is_empty() && batch.origins().intervals().is_empty());
    let encoded = (!nothing).then(|| {
        columns::encode(&scope.name, &batch, compression)
            .expect("a reservation is not larger than a record can be")
    });
    let (body, origins_bytes) =
        encoded.map_or((Vec::new(), 0), |encoded| (encoded.body, encoded.origins_bytes));
    let batch = batch.without_identities();
    Submitted {
        sequence: None,
        fill: Fill::of(&batch),
        events_before: 0,
        body_checksum: checksum(&[&body]),
        body,
        origins_bytes,
        batch,
        acknowledgement,
    }
}

pub(super) struct FileReader<S: Storage> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) id: ReaderId,
    pub(super) in_flight: InFlight,
}

impl<S: Storage> FileReader<S> {
    /// Leases a put. Its events are identified by their numbers in this channel.
    fn lease(&self, item: reading::StoredPut) -> Taken<Lease> {
        let before = self.shared.lock().incarnations.highest_number(item.events_before);
        let identities = Identities::counting(self.shared.partition(), before + 1);
        let batch = item.batch.with_identities(identities).expect("every event has a number");
        self.in_flight.add(item.fill);
        let settle = LeaseSettle {
            shared: self.shared.clone(),
            reader: self.id,
            in_flight: self.in_flight.clone(),
            sequence: item.sequence,
            fill: item.fill,
        };
        let acknowledgement = Acknowledgement::new(1, Box::new(settle));
        Taken::Events(Lease { number: item.sequence, batch, acknowledgement })
    }

    /// Reads the puts that this reader takes next. Returns a lease if the first one had been rolled back.
    async fn load(&self, request: reading::LoadRequest) -> Option<Taken<Lease>> {
        let storage = self.shared.storage.get()?.clone();
        match self.shared.executor.run(move || load(&storage, &request)).await {
            Ok(Ok(items)) => {
                let item = self.shared.lock().loaded(self.id, items)?;
                Some(self.lease(item))
            }
            Ok(Err(SurveyError::Io { what, source })) if is_outage(&source) => {
                self.shared.meter.count("read_outages", 1);
                warn!(component = %self.shared.component, "{what}: {source}; it is tried again");
                sleep(RETRY).await;
                None
            }
            Ok(Err(error)) => {
                // The text contains the error's causes.
                self.shared.fail(Fault::Other(Failure::permanent(error).to_string()));
                None
            }
            // The runtime is shutting down, or decoding has panicked; the panic is on standard error.
            Err(stopped) => {
                self.shared.fail(Fault::Other(stopped.to_string()));
                None
            }
        }
    }
}

#[async_trait]
impl<S: Storage> Reader for FileReader<S> {
    async fn take(&mut self) -> Taken<Lease> {
        loop {
            // The listener is registered before the state is read, so that no change is missed in between.
            let changed = self.shared.changed.notified();
            let take = self.shared.lock().take(self.id, &self.in_flight);
            match take {
                Take::Leased(item) => return self.lease(item),
                Take::Pressure => return Taken::Pressure,
                Take::End => return Taken::End,
                Take::Wait => changed.await,
                Take::Load(request) => {
                    if let Some(taken) = self.load(*request).await {
                        return taken;
                    }
                }
            }
        }
    }

    async fn pressure(&mut self) {
        loop {
            let changed = self.shared.changed.notified();
            let reports = self.shared.lock().reports_pressure(self.id, &self.in_flight);
            if reports {
                return;
            }
            changed.await;
        }
    }

    fn held(&self) -> Fill {
        self.in_flight.fill()
    }

    fn settled(&self) -> BTreeMap<Partition, u64> {
        let state = self.shared.lock();
        let settled = state.incarnations.highest_number(state.cursors[self.id].settled());
        drop(state);
        BTreeMap::from([(self.shared.partition(), settled)])
    }

    fn incarnation(&self) -> Option<(Partition, Incarnation)> {
        let incarnation = self.shared.lock().incarnations.last()?;
        Some((self.shared.partition(), incarnation))
    }

    fn keep_mark(&mut self, mark: u64) {
        let cursor = &mut self.shared.lock().cursors[self.id];
        cursor.mark = cursor.mark.max(mark);
    }

    fn take_skipped(&mut self) -> usize {
        std::mem::take(&mut self.shared.lock().cursors[self.id].skipped)
    }
}

struct LeaseSettle<S: Storage> {
    shared: Arc<Shared<S>>,
    reader: ReaderId,
    in_flight: InFlight,
    sequence: u64,
    fill: Fill,
}

impl<S: Storage> Settle for LeaseSettle<S> {
    fn settle(self: Box<Self>, done: bool) {
        self.in_flight.remove(self.fill);
        let mut state = self.shared.lock();
        if !done {
            state.roll_back(self.reader, self.sequence);
            drop(state);
            self.shared.changed.notify_waiters();
            return;
        }
        let frees = state.acknowledge(self.reader, self.sequence);
        drop(state);
        self.shared.work.notify_one();
        if frees {
            self.shared.space.notify_waiters();
        }
    }
}

//! A reader of the channel: records that were taken wait in memory until a sink takes and acknowledges them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio::sync::mpsc;
use weir_runtime::Acknowledgement;
use weir_runtime::batch::Partition;
use weir_runtime::channel::{Channel, Fill, Lease, MemoryChannel, Reader, ReserveError, Scope, Taken};

use super::error::ChannelError;
use super::identity::through_position;
use super::offsets::Ticket;
use super::taker::Arrival;
use super::taking::Taking;
use super::topic::Topic;

/// What readers of one name share: the events that are in memory.
pub(super) struct Cursor {
    pub(super) taking: Arc<Taking>,
    /// The events that were taken from the topic and are not delivered.
    pub(super) memory: MemoryChannel,
    /// The records of the batches in memory, by the number of the batch.
    tickets: Mutex<BTreeMap<u64, Ticket>>,
}

impl Cursor {
    pub(super) fn new(taking: Arc<Taking>, memory: MemoryChannel) -> Cursor {
        Cursor { taking, memory, tickets: Mutex::default() }
    }

    fn tickets(&self) -> MutexGuard<'_, BTreeMap<u64, Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what arrives into memory, until the thread that takes from the topic passes on no more.
    ///
    /// # Errors
    /// When the events of a record don't fit.
    pub(super) async fn fill(
        self: &Arc<Self>,
        topic: &Topic,
        schema: &SchemaRef,
        mut arrivals: mpsc::Receiver<Arrival>,
    ) -> Result<(), ChannelError> {
        let scope = Scope::of_a_run(["topic".into()]).remove(0);
        let mut number = 0;
        while let Some(Arrival { ticket, batch }) = arrivals.recv().await {
            let of =
                || (topic.name.clone(), ticket.partition, i64::try_from(ticket.offset).unwrap_or(i64::MAX));
            let batch = batch.project(schema).map_err(|error| {
                let (topic, partition, offset) = of();
                ChannelError::Misfit { topic, partition, offset, what: error.to_string() }
            })?;
            let fill = Fill::of(&batch);
            let space = match self.memory.reserve(fill).await {
                Ok(space) => space,
                Err(ReserveError::Closed) => break,
                Err(ReserveError::TooLarge { .. }) => {
                    let (topic, partition, offset) = of();
                    let Fill { events, bytes } = fill;
                    return Err(ChannelError::TooLarge { topic, partition, offset, events, bytes });
                }
            };
            if !self.taking.offsets().owns(ticket) {
                continue;
            }
            self.tickets().insert(number, ticket);
            let (cursor, of) = (self.clone(), number);
            let acknowledgement = Acknowledgement::calling(move |arrived| cursor.settle(of, arrived));
            // The memory channel records no positions, so it refuses nothing.
            let _accepted = space.commit(&scope, batch, acknowledgement);
            number += 1;
        }
        self.memory.close();
        Ok(())
    }

    fn settle(&self, number: u64, arrived: bool) {
        let ticket = self.tickets().remove(&number);
        if let Some(ticket) = ticket.filter(|_| arrived) {
            self.taking.offsets().deliver(ticket);
        }
    }

    /// Whether the partition of a batch in memory is still this agent's.
    fn owns(&self, number: u64) -> bool {
        let ticket = self.tickets().get(&number).copied();
        ticket.is_some_and(|ticket| self.taking.offsets().owns(ticket))
    }
}

/// A reader with its leases.
pub(super) struct KafkaReader {
    pub(super) cursor: Arc<Cursor>,
    pub(super) topic: Arc<std::sync::OnceLock<Arc<Topic>>>,
    /// A reader of the cursor's memory.
    pub(super) inner: Box<dyn Reader>,
}

#[async_trait]
impl Reader for KafkaReader {
    async fn take(&mut self) -> Taken<Lease> {
        loop {
            match self.inner.take().await {
                Taken::Events(Lease { number, acknowledgement, batch }) if !self.cursor.owns(number) => {
                    // Another agent takes these events.
                    self.cursor.taking.meter.count("events_left_to_other_agents", batch.rows() as u64);
                    acknowledgement.done();
                }
                taken => return taken,
            }
        }
    }

    async fn pressure(&mut self) {
        self.inner.pressure().await;
    }

    fn held(&self) -> Fill {
        self.inner.held()
    }

    fn settled(&self) -> BTreeMap<Partition, u64> {
        let Some(topic) = self.topic.get() else { return BTreeMap::new() };
        let offsets = self.cursor.taking.offsets();
        let settled = offsets.of_group().map(|(partition, offset)| {
            (Partition::new(topic.partition_name(partition)), through_position(offset))
        });
        settled.collect()
    }

    fn take_skipped(&mut self) -> usize {
        self.inner.take_skipped()
    }
}

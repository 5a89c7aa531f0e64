//! The port of a running sink: its channels, and the steps between the channels and the sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures_util::future::select_all;
use tokio::time::Instant;

use crate::batch::{Batch, Partition};
use crate::channel::{Channel, Demand, Fill, Incarnation, Lease, Reader, Taken};
use crate::environment::workers::{QueueId, Workers};
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::routing::widened;
use crate::routing::{Acknowledgement, Settle};
use crate::source::Progress;
use crate::steps::{Step, apply_all};

/// A batch of events for a sink.
#[derive(Debug)]
pub struct Delivery {
    /// The events; at least one.
    pub batch: Batch,
    /// One share for each event, to be done when the event has arrived.
    pub acknowledgement: Acknowledgement,
}

/// One channel that a sink reads, and the steps between.
pub(crate) struct Feed {
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) steps: Arc<[Arc<Step>]>,
    /// The channel's meter.
    pub(crate) meter: Arc<Meter>,
    /// The progress of the sources that put into a volatile channel, each with the prefix of its partitions' names
    /// after the channel.
    pub(crate) sources: Vec<(String, Arc<Progress>)>,
}

/// Gives a sink its events.
pub struct SinkPort {
    feeds: Vec<Feed>,
    /// The number of feeds that have not ended; they come first in `feeds`.
    live: usize,
    /// The type of the sink's events, which may have more columns than a channel's; none leaves the events as they are.
    schema: Option<SchemaRef>,
    meter: Arc<Meter>,
    /// The threads that apply the steps.
    workers: (Workers, QueueId),
}

impl SinkPort {
    pub(crate) fn new(feeds: Vec<Feed>, schema: Option<SchemaRef>, meter: Arc<Meter>) -> SinkPort {
        let workers = Workers::none();
        let workers = (workers.clone(), workers.add_queue());
        SinkPort { live: feeds.len(), feeds, schema, meter, workers }
    }

    /// Lets these workers apply the steps.
    pub(crate) fn set_workers(&mut self, workers: &Workers) {
        self.workers = (workers.clone(), workers.add_queue());
    }

    /// Makes a port that reads one channel with a new reader, to run a sink without an agent.
    pub fn reading(channel: &dyn Channel) -> SinkPort {
        let feed = Feed {
            reader: channel.reader("sink", Demand::Required),
            steps: Arc::default(),
            meter: Arc::default(),
            sources: Vec::new(),
        };
        SinkPort::new(vec![feed], None, Arc::default())
    }

    /// Takes the next events.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    /// When a step can't be applied: the plan does not fit its events.
    pub async fn take(&mut self) -> Result<Taken<Delivery>, Failure> {
        let begun = Instant::now();
        while self.live > 0 {
            let takes = self.feeds[..self.live].iter_mut().map(|feed| feed.reader.take());
            let (taken, index) = {
                let (taken, index, _others) = select_all(takes).await;
                (taken, index)
            };
            let skipped = self.feeds[index].reader.take_skipped();
            if skipped > 0 {
                self.meter.count("skipped_events", skipped as u64);
            }
            match taken {
                Taken::Pressure => return Ok(Taken::Pressure),
                Taken::End => {
                    self.live -= 1;
                    self.feeds.swap(index, self.live);
                }
                Taken::Events(lease) => {
                    self.meter.take.record(begun.elapsed());
                    let delivery = self.deliver(index, lease).await?;
                    // The feed that gave these events goes last, so that every feed is served.
                    self.feeds[..self.live].rotate_left(1);
                    if let Some(delivery) = delivery {
                        return Ok(Taken::Events(delivery));
                    }
                }
            }
        }
        Ok(Taken::End)
    }

    /// Applies the steps between channel and sink to a lease. Events that the steps drop count as delivered.
    async fn deliver(&mut self, feed: usize, lease: Lease) -> Result<Option<Delivery>, Failure> {
        let Feed { steps, meter: channel, .. } = &self.feeds[feed];
        let (steps, channel) = (steps.clone(), channel.clone());
        let (batch, meter) = (lease.batch.clone(), self.meter.clone());
        let applied = match (steps.is_empty(), &self.workers) {
            // Without steps, a hand-over to the workers costs more than it saves.
            (true, _) => Ok(batch),
            (false, (workers, lane)) => {
                let apply = move || apply_all(&steps, &batch, &meter);
                workers.run(*lane, apply).await.map_err(Failure::permanent)?
            }
        };
        let batch = applied.and_then(|batch| widened(batch, self.schema.as_ref(), "sink"));
        let batch = batch.map_err(Failure::permanent)?;
        let now = Instant::now();
        let settle = DeliverySettle {
            taken_at: now,
            sink: self.meter.clone(),
            channel,
            leased: Amount::of(&lease.batch),
            taken: Amount::of(&batch),
            lease: lease.acknowledgement,
        };
        self.meter.received.add(lease.batch.rows(), lease.batch.payload_bytes());
        self.meter.processed.add(batch.rows(), batch.payload_bytes());
        self.meter.touch(now);
        if batch.is_empty() {
            Box::new(settle).settle(true);
            return Ok(None);
        }
        let acknowledgement = Acknowledgement::new(batch.rows() as u64, Box::new(settle));
        Ok(Some(Delivery { batch, acknowledgement }))
    }

    /// The events and bytes that the sink has taken and not yet acknowledged.
    pub fn held(&self) -> Fill {
        let mut held = Fill::default();
        self.feeds.iter().for_each(|feed| held.add(feed.reader.held()));
        held
    }

    /// For each partition of the events' identities, the position through which every event has arrived at all ends.
    /// These events are never redelivered, provided that the sink stores the positions with its data and returns them
    /// from [`Sink::recover`](super::Sink::recover). Positions never decrease; a partition that is missing has not
    /// moved.
    pub fn settled(&self) -> BTreeMap<Partition, u64> {
        let mut settled = BTreeMap::new();
        for feed in &self.feeds {
            settled.extend(feed.reader.settled());
            for (prefix, progress) in &feed.sources {
                let positions = progress.settled().into_iter();
                settled.extend(
                    positions.map(|(partition, through)| {
                        (Partition::new(format!("{prefix}{partition}")), through)
                    }),
                );
            }
        }
        settled
    }

    /// The current incarnation of each partition that a durable channel numbers.
    pub fn incarnations(&self) -> BTreeMap<Partition, Incarnation> {
        self.feeds.iter().filter_map(|feed| feed.reader.incarnation()).collect()
    }

    /// Tells the channels the mark of the sink's ledger ([`Recovered::mark`](crate::channel::Recovered::mark)), with
    /// which they compare the ledger at the next start.
    pub fn keep_mark(&mut self, mark: u64) {
        self.feeds.iter_mut().for_each(|feed| feed.reader.keep_mark(mark));
    }

    /// Prepares the port for another run of its sink.
    pub(crate) fn reset(&mut self) {
        self.live = self.feeds.len();
    }
}

#[derive(Clone, Copy)]
struct Amount {
    events: usize,
    bytes: u64,
}

impl Amount {
    fn of(batch: &Batch) -> Amount {
        Amount { events: batch.rows(), bytes: batch.payload_bytes() }
    }
}

/// Counts a delivery, and acknowledges the lease to the channel.
struct DeliverySettle {
    sink: Arc<Meter>,
    channel: Arc<Meter>,
    taken_at: Instant,
    leased: Amount,
    taken: Amount,
    lease: Acknowledgement,
}

impl Settle for DeliverySettle {
    fn settle(self: Box<Self>, done: bool) {
        if done {
            let now = Instant::now();
            self.sink.delivered.add(self.taken.events, self.taken.bytes);
            self.sink.commit.record(now.saturating_duration_since(self.taken_at));
            self.sink.touch(now);
            self.channel.delivered.add(self.leased.events, self.leased.bytes);
            self.lease.done();
        }
    }
}

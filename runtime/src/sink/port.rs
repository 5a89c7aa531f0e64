//! What a running sink is connected to: one or more channels, and the steps behind them.

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

/// Events for a sink.
#[derive(Debug)]
pub struct Delivery {
    /// The events; at least one.
    pub batch: Batch,
    /// One share for each event: to be done when it has arrived.
    pub acknowledgement: Acknowledgement,
}

/// One channel that a sink reads, and the steps on the way.
pub(crate) struct Feed {
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) steps: Arc<[Arc<Step>]>,
    /// The channel's meter.
    pub(crate) meter: Arc<Meter>,
    /// How far the sources are that put into a channel which can't settle anything itself, and what
    /// the names of their partitions begin with behind it.
    pub(crate) sources: Vec<(String, Arc<Progress>)>,
}

/// Where a sink takes its events.
pub struct SinkPort {
    feeds: Vec<Feed>,
    /// How many have not ended; they come first in `feeds`.
    live: usize,
    /// The type of the sink's events, which may be wider than a channel's; none leaves them as
    /// they are.
    schema: Option<SchemaRef>,
    meter: Arc<Meter>,
    /// Who applies the steps.
    workers: (Workers, QueueId),
}

impl SinkPort {
    pub(crate) fn new(feeds: Vec<Feed>, schema: Option<SchemaRef>, meter: Arc<Meter>) -> SinkPort {
        let workers = Workers::none();
        let workers = (workers.clone(), workers.add_queue());
        SinkPort { live: feeds.len(), feeds, schema, meter, workers }
    }

    /// Has these apply the steps.
    pub(crate) fn employ(&mut self, workers: &Workers) {
        self.workers = (workers.clone(), workers.add_queue());
    }

    /// A port that reads one channel with a new reader: a sink on its own, without an agent.
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
                    // Each feed has its turn: the one that has just been served goes last.
                    self.feeds[..self.live].rotate_left(1);
                    if let Some(delivery) = delivery {
                        return Ok(Taken::Events(delivery));
                    }
                }
            }
        }
        Ok(Taken::End)
    }

    /// Runs the steps between channel and sink on a lease. What they drop is delivered.
    async fn deliver(&mut self, feed: usize, lease: Lease) -> Result<Option<Delivery>, Failure> {
        let Feed { steps, meter: channel, .. } = &self.feeds[feed];
        let (steps, channel) = (steps.clone(), channel.clone());
        let (batch, meter) = (lease.batch.clone(), self.meter.clone());
        let applied = match (steps.is_empty(), &self.workers) {
            // It is not worth the way to them.
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

    /// What the sink has taken and not yet acknowledged.
    pub fn held(&self) -> Fill {
        let mut held = Fill::default();
        self.feeds.iter().for_each(|feed| held.add(feed.reader.held()));
        held
    }

    /// For each partition of the identities that the sink sees: the position through which every event
    /// has arrived everywhere. None of them is ever given out again, provided that the sink stores this
    /// with its data, and gives it back when it recovers. Positions never go back; a partition that
    /// the sink knows of and that is not there has not moved.
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

    /// For each partition that a durable channel numbers: the incarnation under which it does so now.
    pub fn incarnations(&self) -> BTreeMap<Partition, Incarnation> {
        self.feeds.iter().filter_map(|feed| feed.reader.incarnation()).collect()
    }

    /// Tells durable channels how far the sink's own memory is
    /// ([`Recovered::mark`](crate::channel::Recovered::mark)). They hold it against that at the next start.
    pub fn keep_mark(&mut self, mark: u64) {
        self.feeds.iter_mut().for_each(|feed| feed.reader.keep_mark(mark));
    }

    /// Makes the port ready for another run of its sink.
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

/// Counts a delivery and passes it on to the channel.
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

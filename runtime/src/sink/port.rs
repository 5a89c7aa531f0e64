//! The port of a running sink: its channels, and the steps between the channels and the sink.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures_util::future::select_all;
use tokio::time::{Instant, sleep_until};

use crate::batch::{Batch, Partition};
use crate::channel::{Channel, Demand, Fill, Incarnation, Lease, Reader, Taken};
use crate::environment::workers::{QueueId, Workers};
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::routing::{Acknowledgement, Target, widened};
use crate::source::Progress;
use crate::steps::{Pace, Pass, StepError, Transaction};

use super::delivery_settle::{DeliverySettle, MainSettle, split_own};
use super::failover::Membership;
use super::feed_steps::FeedSteps;
use super::rejecter::{RejectedBySink, Rejecter, Rejecting};
use super::rejecting::{FeedRejects, PutFailed, RejectedBatch, Unsettled};

/// A batch of events for a sink.
#[derive(Debug)]
pub struct Delivery {
    /// The events; at least one.
    pub batch: Batch,
    /// One share for each event, to be done when the event has arrived.
    pub acknowledgement: Acknowledgement,
    /// Rejects events that can never be written.
    pub rejecter: Rejecter,
}

/// One channel that a sink reads, and the steps between.
pub(crate) struct Feed {
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) steps: Arc<FeedSteps>,
    /// None if the steps reject no events.
    pub(crate) rejects: Option<Arc<FeedRejects>>,
    /// The sink's place in a `failover` that takes the channel's events.
    pub(crate) failover: Option<Membership>,
    /// The channel's meter.
    pub(crate) meter: Arc<Meter>,
    /// The progress of the sources that put into a volatile channel, each with the prefix of its partitions' names
    /// after the channel.
    pub(crate) sources: Vec<(String, Arc<Progress>)>,
    /// Deliveries that a step slows down, each with the time from which the sink may take it.
    pub(crate) slowed: VecDeque<(Instant, Delivery)>,
}

/// The next events of a feed.
enum Next {
    Taken(Taken<Lease>),
    /// Events that a step had slowed down.
    Slowed(Delivery),
}

impl Feed {
    /// Whether both feeds read the same channel.
    fn reads_with(&self, other: &Feed) -> bool {
        Arc::ptr_eq(&self.meter, &other.meter)
    }

    /// Waits for the next events. Dropping the future takes nothing.
    async fn next(&mut self) -> Next {
        if let Some((begin, _)) = self.slowed.front() {
            sleep_until(*begin).await;
            if let Some((_, delivery)) = self.slowed.pop_front() {
                return Next::Slowed(delivery);
            }
        }
        Next::Taken(self.reader.take().await)
    }
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
    /// Keeps the channels open that take the events which the steps reject.
    guard: Option<Box<dyn Send>>,
}

impl SinkPort {
    pub(crate) fn new(feeds: Vec<Feed>, schema: Option<SchemaRef>, meter: Arc<Meter>) -> SinkPort {
        let workers = Workers::none();
        let workers = (workers.clone(), workers.add_queue());
        SinkPort { live: feeds.len(), feeds, schema, meter, workers, guard: None }
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
            rejects: None,
            failover: None,
            meter: Arc::default(),
            sources: Vec::new(),
            slowed: VecDeque::new(),
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
        loop {
            self.await_returns_of_durable().await;
            if self.live == 0 {
                if !self.await_returning().await {
                    return Ok(Taken::End);
                }
                self.live = self.feeds.len();
            }
            if self.feeds[..self.live].iter().all(|feed| feed.reader.is_drained()) {
                // The batches that other sinks have leased arrive only when the events rejected with them arrive, and the
                // channels of the rejects may have to be closed for that.
                self.guard = None;
            }
            let takes = self.feeds[..self.live].iter_mut().map(|feed| Box::pin(feed.next()));
            let (next, index) = {
                let (next, index, _others) = select_all(takes).await;
                (next, index)
            };
            let taken = match next {
                Next::Taken(taken) => taken,
                Next::Slowed(delivery) => {
                    self.feeds[..self.live].rotate_left(1);
                    return Ok(Taken::Events(delivery));
                }
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
    }

    /// Waits until events that the sink has given up are in their channel again, before newer ones are taken. Channels in
    /// memory have rejected events until their sinks commit, which may be long: there, newer events are taken meanwhile.
    async fn await_returns_of_durable(&mut self) {
        for feed in &mut self.feeds {
            if let Some(rejects) = feed.rejects.clone().filter(|rejects| rejects.unsettled.is_returning())
                && rejects.are_durable()
            {
                rejects.unsettled.returned().await;
            }
        }
    }

    /// Waits for events that the sink has given up, and that come again when the events which were rejected with them have
    /// arrived. Returns whether there were any. No further events are rejected for the first time then, so the channels of
    /// the rejects may be closed, which makes their sinks commit.
    async fn await_returning(&mut self) -> bool {
        let mut any = false;
        for unsettled in self.unsettled() {
            if unsettled.is_returning() {
                any = true;
                drop(self.guard.take());
                unsettled.returned().await;
            }
        }
        any
    }

    /// Keeps `guard`, which keeps the channels of the rejects open, until no further events are rejected.
    pub(crate) fn set_guard(&mut self, guard: Box<dyn Send>) {
        self.guard = Some(guard);
    }

    /// Lets the channels of the rejects be closed.
    pub(crate) fn release_guard(&mut self) {
        self.guard = None;
    }

    /// Applies the steps between channel and sink to a lease, and puts the events that they reject. Events that the steps
    /// drop count as delivered.
    async fn deliver(&mut self, feed: usize, lease: Lease) -> Result<Option<Delivery>, Failure> {
        let Feed { steps, rejects, meter: channel, .. } = &self.feeds[feed];
        let (steps, rejects, channel) = (steps.clone(), rejects.clone(), channel.clone());
        let Lease { number, batch: leased, acknowledgement: lease } = lease;
        let applied = match (steps.is_empty(), &self.workers) {
            // Without steps, a hand-over to the workers costs more than it saves.
            (true, _) => applied(&steps, rejects.as_deref(), number, &leased),
            (false, (workers, lane)) => {
                let (leased, rejects) = (leased.clone(), rejects.clone());
                let apply = move || applied(&steps, rejects.as_deref(), number, &leased);
                workers.run(*lane, apply).await.map_err(Failure::permanent)?
            }
        };
        let Applied { batch, rejected, pass: Pass { transaction, counts, .. }, rejectable } =
            applied.map_err(Failure::permanent)?;
        let pace = transaction.pace();
        let rejected_by_sink = RejectedBySink::default();
        let rejecter = match (&rejects, rejectable) {
            (Some(rejects), Some((lease, events))) => {
                let (rejects, rejected, meter) =
                    (rejects.clone(), rejected_by_sink.clone(), self.meter.clone());
                Rejecter::new(Rejecting { rejects, number, lease, events, rejected, meter })
            }
            _ => Rejecter::default(),
        };
        let batch = widened(batch, self.schema.as_ref(), "sink").map_err(Failure::permanent)?;
        let now = Instant::now();
        let mut settle = DeliverySettle {
            taken_at: now,
            sink: self.meter.clone(),
            channel,
            leased: Amount::of(&leased),
            taken: Amount::of(&batch),
            rejected_by_sink,
            lease,
            number,
            rejected: rejects.as_ref().map(|rejects| rejects.rejected.clone()),
            returning: None,
            transaction,
        };
        let rows = batch.rows() as u64;
        let (own, acknowledgement) = match (&rejects, rejected) {
            (Some(rejects), Some(rejected)) => {
                let returning = rejects.unsettled.lease();
                settle.returning = Some(returning.clone());
                let mut lease = Acknowledgement::new(2, Box::new(settle));
                let main = MainSettle { share: lease.split(1), returning };
                let main = Acknowledgement::new(1 + rows, Box::new(main));
                rejects.put(rejected, &mut lease, &self.meter).await.map_err(PutFailed::into_failure)?;
                lease.done();
                split_own(main)
            }
            _ => split_own(Acknowledgement::new(1 + rows, Box::new(settle))),
        };
        self.meter.count_steps(&counts);
        self.meter.received.add(leased.rows(), leased.payload_bytes());
        self.meter.processed.add(batch.rows(), batch.payload_bytes());
        self.meter.touch(now);
        own.done();
        let delivery = Delivery { batch, acknowledgement, rejecter };
        match pace {
            _ if delivery.batch.is_empty() => Ok(None),
            None => Ok(Some(delivery)),
            Some(pace) => {
                self.feeds[feed].slowed.extend(slowed(delivery, pace));
                Ok(None)
            }
        }
    }

    /// The puts of rejected events that are not settled yet, for each feed.
    pub(crate) fn unsettled(&self) -> Vec<Unsettled> {
        let unsettled = self.feeds.iter().filter_map(|feed| Some(feed.rejects.as_ref()?.unsettled.clone()));
        unsettled.collect()
    }

    /// The partitions of which events were rejected, as the channels of the rejects know them.
    pub(crate) fn rejected_partitions(&self) -> BTreeSet<Partition> {
        let rejects = self.feeds.iter().filter_map(|feed| feed.rejects.as_ref());
        rejects.flat_map(|rejects| rejects.partitions()).collect()
    }

    /// The channels into which the port puts rejected events, with repetition.
    pub(crate) fn reject_targets(&self) -> Vec<&Target> {
        let rejects = self.feeds.iter().filter_map(|feed| feed.rejects.as_ref());
        rejects.flat_map(|rejects| rejects.targets()).collect()
    }

    /// Gives up the events that wait for their time, so that all events which the sink has given up come again in their order,
    /// also if the port has ended before.
    pub fn begin_again(&mut self) {
        self.feeds.iter_mut().for_each(|feed| feed.slowed.clear());
        self.live = self.feeds.len();
    }

    /// Whether events that a step slows down wait in the port for their time.
    pub fn has_slowed(&self) -> bool {
        self.feeds.iter().any(|feed| !feed.slowed.is_empty())
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
        let mut settled: BTreeMap<Partition, u64> = BTreeMap::new();
        for (index, feed) in self.feeds.iter().enumerate() {
            let own = feed.reader.settled();
            // Over two branches behind one channel, a sink has two readers there, and one may be far behind the other.
            let mut before = self.feeds[..index].iter().filter(|before| before.reads_with(feed));
            match before.next() {
                None => settled.extend(own),
                Some(first) => {
                    for partition in first.reader.settled().into_keys() {
                        match (settled.get_mut(&partition), own.get(&partition)) {
                            (Some(through), Some(own)) => *through = (*through).min(*own),
                            _ => drop(settled.remove(&partition)),
                        }
                    }
                }
            }
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
        self.feeds.iter_mut().for_each(|feed| feed.slowed.clear());
        self.live = self.feeds.len();
        self.failovers().for_each(Membership::run);
    }

    fn failovers(&self) -> impl Iterator<Item = &Membership> {
        self.feeds.iter().filter_map(|feed| feed.failover.as_ref())
    }

    /// Lets other sinks of a `failover` take the events until the sink runs again.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.feeds.iter_mut().for_each(|feed| feed.slowed.clear());
        let failure = failure.to_string();
        self.failovers().for_each(|failover| failover.fail(&failure));
    }

    /// Whether other sinks take all events of the sink when it runs never again.
    pub(crate) fn has_substitutes(&self) -> bool {
        self.feeds.iter().all(|feed| feed.failover.as_ref().is_some_and(Membership::has_others))
    }

    /// Lets other sinks of a `failover` take the events for good.
    pub(crate) fn leave(&self, failure: &Failure) {
        let failure = failure.to_string();
        self.failovers().for_each(|failover| failover.leave(&failure));
    }

    /// Waits until other sinks have delivered all events of the sink. Never returns if the sink has events of its own.
    pub(crate) fn replaced(&self) -> impl Future<Output = ()> + use<> {
        let failovers: Vec<Option<Membership>> =
            self.feeds.iter().map(|feed| feed.failover.clone()).collect();
        async move {
            for failover in failovers {
                match failover {
                    Some(failover) => failover.finished().await,
                    None => std::future::pending().await,
                }
            }
        }
    }
}

/// Divides a delivery into parts that go on one after the other.
fn slowed(delivery: Delivery, pace: Pace) -> Vec<(Instant, Delivery)> {
    let Delivery { batch, mut acknowledgement, rejecter } = delivery;
    let parts = pace.parts(batch.rows());
    let bound = |part: usize| batch.rows() * part / parts;
    let part = |part: usize| {
        let (begin, rows) = (bound(part), bound(part + 1) - bound(part));
        let acknowledgement = acknowledgement.split(rows as u64);
        let at = pace.begin + pace.duration.mul_f64(part as f64 / parts as f64);
        (at, Delivery { batch: batch.slice(begin, rows), acknowledgement, rejecter: rejecter.behind(begin) })
    };
    (0..parts).map(part).collect()
}

/// A leased batch after the steps of a feed.
struct Applied {
    batch: Batch,
    /// The events that the steps have rejected.
    rejected: Option<RejectedBatch>,
    pass: Pass,
    /// The leased batch and the events after the steps, with identities, if the sink may reject events.
    rejectable: Option<(Batch, Batch)>,
}

/// Applies the steps of a feed to a leased batch.
fn applied(
    steps: &FeedSteps,
    rejects: Option<&FeedRejects>,
    number: u64,
    leased: &Batch,
) -> Result<Applied, StepError> {
    let mut pass = Pass::within(Transaction::of_lease(steps.reader(), number));
    let Some(rejects) = rejects else {
        let batch = steps.apply(leased, &mut pass)?;
        return Ok(Applied { batch, rejected: None, pass, rejectable: None });
    };
    let misfit = |error| StepError { step: "-> rejects".to_owned(), error };
    let numbered = rejects.numbered(leased).map_err(misfit)?;
    let part = rejects.without_rejected(number, &numbered).map_err(misfit)?;
    let batch = steps.apply(&part, &mut pass)?;
    let rejected = rejects.rejected_of(number, &numbered, &part, &mut pass)?;
    let rejectable = rejects.by_sink.is_some().then(|| (numbered, batch.clone()));
    let batch = if leased.identities().is_none() { batch.without_identities() } else { batch };
    Ok(Applied { batch, rejected, pass, rejectable })
}

#[derive(Clone, Copy)]
pub(super) struct Amount {
    pub(super) events: usize,
    pub(super) bytes: u64,
}

impl Amount {
    fn of(batch: &Batch) -> Amount {
        Amount { events: batch.rows(), bytes: batch.payload_bytes() }
    }
}

//! The sink in flows that promise `exactly_once`: records and the positions of their events are written in transactions.
//!
//! ```text
//! initialise ─► take the id ─► read positions ─► (begin ─► records ─► positions ─► commit ─► acknowledge)*
//!     ▲                                                        │ any error, or an unknown outcome
//!     └──────────────── another producer ◄─── abort ◄──────────┘
//! ```
//!
//! *Committing the transaction is the commit* of its events. When a producer has failed, the next one begins with what the topic
//! of positions says, so an unknown outcome needs no other treatment than a failure. A producer that is initialised ends the
//! transactions of all earlier ones with its transactional id. If a broker has ended them since they took too long, the same agent
//! goes on; if another agent has done so, the record of the writer in the topic names another run, and this agent ends.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};
use weir_runtime::Failure;
use weir_runtime::channel::{Acceptance, Recovered, Taken};
use weir_runtime::sink::{Delivery, Rejecter, SinkPort};

use super::error::SinkError;
use super::transactions::TransactionalProducer;
use super::upstreams::{Brought, Kept, Offsets, is_of_another_generation};
use super::{KafkaSink, TRANSACTION_TIMEOUT_MAX, unrejected};
use crate::components::kafka::connection::client_config;
use crate::components::kafka::positions::{PositionRecord, Positions};
use crate::tools::arrived::{Arrived, Settled, note};

/// How long the end of a failed transaction is waited for.
const ABORT_LIMIT: Duration = Duration::from_secs(2);

/// The time between two looks whether there are offsets of events that steps have dropped.
const OFFSETS_INTERVAL: Duration = Duration::from_secs(5);

/// The settings and the state of the transactions, through all runs of the sink.
pub(super) struct Transactions {
    pub(super) id: String,
    /// The topic of the positions.
    topic: String,
    /// The most events of a transaction.
    events: usize,
    /// How long a transaction takes at most before it is committed.
    age: Duration,
    /// The random name of this run of the agent.
    writer: String,
    /// Whether this run has taken the transactional id.
    taken: bool,
    /// A producer that is ready for the next run of the sink.
    ready: Option<Ready>,
}

/// A producer without an open transaction, and what its predecessors have committed.
struct Ready {
    producer: TransactionalProducer,
    positions: Positions,
}

/// Why a producer is given up without an error.
enum Ended {
    /// The channel has no more events.
    Drained,
    /// The connection was lost while a transaction was committed. An answer that comes late must not end the next one.
    Disturbed,
    /// Partitions of a source have moved to another agent, or its group has another generation.
    Moved,
}

/// How a transaction has ended.
enum Outcome {
    Committed,
    /// It is committed, and the channel has no more events.
    Last,
    /// It has to be aborted, since partitions of a source have moved.
    Moved,
}

impl Transactions {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new(
        id: String,
        topic: String,
        events: usize,
        age: Duration,
    ) -> Result<Transactions, getrandom::Error> {
        let writer = format!("{:016x}", getrandom::u64()?);
        Ok(Transactions { id, topic, events, age, writer, taken: false, ready: None })
    }
}

impl KafkaSink {
    /// Makes a producer, and reads what its predecessors have committed.
    async fn open(&mut self, transactions: &mut Transactions) -> Result<Ready, SinkError> {
        let was_taken = transactions.taken;
        let ready = self.open_once(transactions).await?;
        if was_taken || !ready.producer.handle().reports().was_disturbed() {
            return Ok(ready);
        }
        // The transaction that has taken the id may be committed twice, and the second request must not end the next one.
        ready.producer.end(false).await;
        self.open_once(transactions).await
    }

    async fn open_once(&mut self, transactions: &mut Transactions) -> Result<Ready, SinkError> {
        let limit = self.settings.timeout.min(TRANSACTION_TIMEOUT_MAX);
        let producer = TransactionalProducer::new(self.start().await?, transactions.id.clone(), limit);
        let reports = producer.handle().reports().clone();
        let opened = tokio::select! {
            biased;
            error = reports.failure() => Err(error),
            opened = self.initialise(transactions, &producer) => opened,
        };
        match opened {
            Ok((positions, committed)) => {
                self.upstreams.committed(committed);
                Ok(Ready { producer, positions })
            }
            Err(error) => {
                producer.end(false).await;
                Err(error)
            }
        }
    }

    async fn initialise(
        &self,
        transactions: &mut Transactions,
        producer: &TransactionalProducer,
    ) -> Result<(Positions, Brought), SinkError> {
        let component = || self.context.component.to_string();
        let unusable = |source| SinkError::Positions { component: component(), source };
        let config = self.settings.security.protect(client_config(&self.settings.brokers));
        let config = config.map_err(|source| self.insecure(source))?;
        let Transactions { id, topic, writer, taken, .. } = transactions;
        if !*taken {
            let made = self.brokers.ensure_topic(&config, topic, &self.context.component).await;
            made.map_err(unusable)?;
        }
        producer.initialise().await?;
        if !*taken {
            producer.begin().await?;
            write_all(producer, topic, &[Positions::writer_record(id, writer, 0)]).await?;
            producer.commit().await?;
            *taken = true;
        }
        let positions = self.brokers.positions(&config, topic, id).await.map_err(unusable)?;
        if positions.writer.as_ref() != Some(writer) {
            return Err(SinkError::TakenOver { component: component(), id: id.clone() });
        }
        let no_offsets = |source| SinkError::Offsets { component: component(), source: Box::new(source) };
        let committed = self.brokers.offsets(&config, &self.upstreams).await.map_err(no_offsets)?;
        Ok((positions, committed))
    }

    /// Reads what has arrived by earlier runs. See [`Sink::recover`](weir_runtime::sink::Sink).
    pub(super) async fn recover_transactions(&mut self) -> Result<Recovered, Failure> {
        if !self.context.exactly_once {
            return Ok(Recovered::default());
        }
        let mut transactions = self.take_transactions()?;
        let opened = match transactions.ready.take() {
            Some(ready) => Ok(ready),
            None => self.open(&mut transactions).await,
        };
        let recovered = opened.map(|ready| {
            let (known, mark) = (&ready.positions.known, ready.positions.mark);
            let recovered =
                Recovered { settled: known.settled(), reached: known.reached(), mark, ledger_loss: None };
            transactions.ready = Some(ready);
            recovered
        });
        self.transactions = Some(transactions);
        recovered.map_err(SinkError::into_failure)
    }

    /// Records that the sink goes on with these channels. See [`Sink::accept_loss`](weir_runtime::sink::Sink).
    pub(super) async fn accept(&mut self, acceptance: &Acceptance) -> Result<(), Failure> {
        let Some(Transactions { topic, ready: Some(ready), .. }) = &mut self.transactions else {
            return Ok(());
        };
        let Ready { producer, positions } = ready;
        let records = positions.adopt(&acceptance.channels, acceptance.mark);
        let adopting = async {
            producer.begin().await?;
            write_all(producer, topic, &records).await?;
            producer.commit().await
        };
        adopting.await.map_err(SinkError::into_failure)?;
        if producer.handle().reports().was_disturbed()
            && let Some(transactions) = &mut self.transactions
            && let Some(Ready { producer, .. }) = transactions.ready.take()
        {
            producer.end(false).await;
        }
        Ok(())
    }

    /// Takes the state out of the sink, which is borrowed while it runs.
    fn take_transactions(&mut self) -> Result<Transactions, Failure> {
        let gone = || Failure::permanent("the sink can't run again after its run was interrupted");
        self.transactions.take().ok_or_else(gone)
    }

    /// Writes events in transactions until the channel ends.
    pub(super) async fn run_transactions(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let mut transactions = self.take_transactions()?;
        let ended = self.transact(port, &mut transactions).await;
        self.transactions = Some(transactions);
        ended
    }

    async fn transact(
        &mut self,
        port: &mut SinkPort,
        transactions: &mut Transactions,
    ) -> Result<(), Failure> {
        loop {
            let ready = match transactions.ready.take() {
                Some(ready) => ready,
                None => self.open(transactions).await.map_err(SinkError::into_failure)?,
            };
            let Ready { producer, positions } = ready;
            port.keep_mark(positions.mark);
            let mut run =
                Run { sink: &mut *self, transactions: &*transactions, producer: &producer, positions };
            let ended = run.run(port).await;
            if producer.handle().reports().batch_was_refused() {
                self.make_batches_smaller();
            }
            if !matches!(ended, Ok(Ended::Drained | Ended::Disturbed)) {
                producer.abort(ABORT_LIMIT).await;
            }
            // An offset says that everything before it has arrived, so newer events must not overtake those that come back.
            producer.end(!self.upstreams.is_empty()).await;
            let why = match ended? {
                Ended::Drained => return Ok(()),
                Ended::Disturbed => "the connection to the brokers was lost during a commit",
                Ended::Moved => {
                    port.begin_again();
                    "the group of a source was rebalanced, and the transaction was given up"
                }
            };
            info!(component = &*self.context.component, "{why}: another producer goes on");
        }
    }
}

/// Writes records of the sink itself into the open transaction.
async fn write_all(
    producer: &TransactionalProducer,
    topic: &str,
    records: &[PositionRecord],
) -> Result<(), SinkError> {
    let pending = producer.handle().reports().track_own();
    for record in records {
        producer.write(topic, record, &pending).await?;
    }
    pending.all_enqueued();
    Ok(())
}

/// The use of one producer.
struct Run<'r> {
    sink: &'r mut KafkaSink,
    transactions: &'r Transactions,
    producer: &'r TransactionalProducer,
    positions: Positions,
}

/// An open transaction.
struct Open {
    /// The events whose records it has.
    arrived: Arrived,
    events: usize,
    /// Whether a peer of a source waits for the events.
    awaited: bool,
    due: Instant,
}

impl Run<'_> {
    async fn run(&mut self, port: &mut SinkPort) -> Result<Ended, Failure> {
        let reports = self.producer.handle().reports().clone();
        let mut offsets_due = Instant::now() + OFFSETS_INTERVAL;
        loop {
            let taken = tokio::select! {
                biased;
                error = reports.failure() => return Err(unrejected(error, true)),
                taken = port.take() => taken?,
                () = sleep_until(offsets_due), if !self.sink.upstreams.is_empty() => {
                    if let Outcome::Moved = self.commit_offsets(port).await? {
                        return Ok(Ended::Moved);
                    }
                    offsets_due = Instant::now() + OFFSETS_INTERVAL;
                    continue;
                }
            };
            match taken {
                // No event is held back between transactions.
                Taken::Pressure => {}
                Taken::End => return self.finish(port).await,
                Taken::Events(delivery) => {
                    match self.transaction(port, delivery).await? {
                        Outcome::Last => return self.finish(port).await,
                        Outcome::Moved => return Ok(Ended::Moved),
                        Outcome::Committed => {}
                    }
                    if reports.was_disturbed() && !weir_runtime::put_back!("disturbed_producer_goes_on") {
                        return Ok(Ended::Disturbed);
                    }
                }
            }
        }
    }

    /// Writes events in one transaction, beginning with this delivery: until it is full or old, the channel needs space, or a
    /// peer waits and there are no more events.
    async fn transaction(&mut self, port: &mut SinkPort, first: Delivery) -> Result<Outcome, Failure> {
        let reports = self.producer.handle().reports().clone();
        self.producer.begin().await.map_err(SinkError::into_failure)?;
        let mut open = Open {
            arrived: Arrived::new(),
            events: 0,
            awaited: false,
            // The brokers must not end the transaction while it is filled.
            due: Instant::now() + self.transactions.age.min(self.sink.transaction_timeout() / 2),
        };
        self.add(&mut open, first).await?;
        let mut is_end = false;
        while open.events < self.transactions.events {
            let taken = tokio::select! {
                biased;
                error = reports.failure() => return Err(unrejected(error, true)),
                taken = port.take() => taken?,
                () = std::future::ready(()), if open.awaited => break,
                () = sleep_until(open.due) => break,
            };
            match taken {
                Taken::Events(delivery) => self.add(&mut open, delivery).await?,
                Taken::Pressure => break,
                Taken::End => {
                    is_end = true;
                    break;
                }
            }
            if Instant::now() >= open.due {
                break;
            }
        }
        Ok(match self.commit(port, open.arrived).await? {
            Outcome::Committed if is_end => Outcome::Last,
            outcome => outcome,
        })
    }

    /// Sends the records of events that have not arrived before.
    async fn add(&mut self, open: &mut Open, delivery: Delivery) -> Result<(), Failure> {
        let Delivery { batch, mut acknowledgement, .. } = delivery;
        let identities = batch.identities().cloned();
        let component = || self.sink.context.component.to_string();
        let identities = identities
            .ok_or_else(|| SinkError::Unidentified { component: component() })
            .map_err(SinkError::into_failure)?;
        // A transaction of a channel has at most a million events, so the number of rows fits.
        let all = || std::iter::once(0..batch.rows() as u32).collect();
        let new: Vec<Range<u32>> = match weir_runtime::put_back!("arrived_events_written_again") {
            true => all(),
            false => self.positions.known.new_rows(&identities, batch.rows()).unwrap_or_else(all),
        };
        let new = match self.sink.upstreams.kept(&identities, &new) {
            None => new,
            Some(Kept { rows, lost }) => {
                if lost > 0 {
                    self.sink.context.meter.count("events_of_moved_partitions", lost);
                }
                rows
            }
        };
        let count: usize = new.iter().map(ExactSizeIterator::len).sum();
        let before = batch.rows() - count;
        if before > 0 {
            acknowledgement.split(before as u64).done();
            self.sink.context.meter.count("events_arrived_before", before as u64);
        }
        if count == 0 {
            return Ok(());
        }
        open.events += count;
        open.awaited |= batch.awaited().is_some();
        // The channel of the rejects knows only the last position that it has. The broker may refuse an event after a later one, which
        // would be taken for a repetition.
        let delivery = Delivery { batch, acknowledgement, rejecter: Rejecter::default() };
        self.sink.send(delivery, &new, self.producer.handle()).await?;
        note(&mut open.arrived, &identities, new.into_iter().flatten().map(|row| row as usize));
        Ok(())
    }

    /// Writes the positions and the offsets of groups, and commits.
    async fn commit(&mut self, port: &mut SinkPort, mut arrived: Arrived) -> Result<Outcome, Failure> {
        let (mut settled, incarnations) = (port.settled(), port.incarnations());
        let brought = self.sink.upstreams.take(&mut arrived, &mut settled);
        let Ok(offsets) = self.sink.upstreams.offsets(&brought).await else { return Ok(Outcome::Moved) };
        let records = self.positions.advance(&arrived, &settled, &incarnations);
        let topic = &self.transactions.topic;
        let committing = async {
            #[cfg(weir_bug)]
            if weir_runtime::put_back!("positions_beside_the_commit") {
                self.producer.commit().await?;
                self.producer.begin().await?;
            }
            write_all(self.producer, topic, &records).await?;
            if !self.send_offsets(offsets).await? {
                return Ok(Outcome::Moved);
            }
            self.producer.commit().await?;
            Ok(Outcome::Committed)
        };
        let committed = committing.await.map_err(|error: SinkError| unrejected(error, true))?;
        if let Outcome::Committed = committed {
            self.sink.upstreams.committed(brought);
            debug!(component = &*self.sink.context.component, mark = self.positions.mark, "committed");
            port.keep_mark(self.positions.mark);
        }
        Ok(committed)
    }

    /// Adds offsets of groups to the transaction. Returns whether the brokers have taken them: they refuse those of a generation
    /// that is over.
    async fn send_offsets(&self, offsets: Vec<Offsets>) -> Result<bool, SinkError> {
        for of_group in offsets {
            match self.producer.send_offsets(&of_group).await {
                Ok(()) => {}
                Err(error)
                    if is_of_another_generation(error.code)
                        && weir_runtime::put_back!("refused_offsets_left_out") => {}
                Err(error) if is_of_another_generation(error.code) => {
                    let Offsets { group, generation, .. } = of_group;
                    debug!(
                        component = &*self.sink.context.component,
                        "offsets of group {}: {error}", group.group
                    );
                    group.refuse(generation);
                    return Ok(false);
                }
                Err(error) => {
                    let context = &self.producer.handle().reports().context;
                    return Err(context.transaction(self.producer.id(), "adding offsets to", error));
                }
            }
        }
        Ok(true)
    }

    /// Commits the offsets of events that steps have dropped, if there are any.
    async fn commit_offsets(&mut self, port: &mut SinkPort) -> Result<Outcome, Failure> {
        if self.sink.upstreams.take(&mut Arrived::new(), &mut port.settled()).is_empty() {
            return Ok(Outcome::Committed);
        }
        self.producer.begin().await.map_err(SinkError::into_failure)?;
        self.commit(port, Arrived::new()).await
    }

    /// Writes at the end what is settled, so that the next start reads less and knows more.
    async fn finish(&mut self, port: &mut SinkPort) -> Result<Ended, Failure> {
        let mut settled: Settled = port.settled();
        let brought = self.sink.upstreams.take(&mut Arrived::new(), &mut settled);
        if self.positions.lacks(&settled) || !brought.is_empty() {
            self.producer.begin().await.map_err(SinkError::into_failure)?;
            if let Outcome::Moved = self.commit(port, Arrived::new()).await? {
                // Nothing but what is read again depends on it.
                self.producer.abort(ABORT_LIMIT).await;
            }
        }
        Ok(Ended::Drained)
    }
}

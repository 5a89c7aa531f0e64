//! Simulated brokers: the transactions of one transactional id, and the offset of one partition of a group. Producers send records with
//! a task of their own, as librdkafka does.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};
use weir_runtime::SeededRandom;

use super::{EVENTS, TOPIC};
use crate::components::kafka::native::TransactionError;
use crate::components::kafka::positions::{self, PositionRecord, Positions, PositionsError};
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::shared_group::SharedGroup;
use crate::components::kafka::sink::brokers::{Brokers, Call, Produces};
use crate::components::kafka::sink::error::SinkError;
use crate::components::kafka::sink::producer::{DeliveryReports, Enqueued, PendingBatch, ProducerHandle};
use crate::components::kafka::sink::records::Records;
use crate::components::kafka::sink::upstreams::{Brought, Offsets, Upstreams};
use crate::formats::messages::Contents;

/// The most records that a producer holds.
const QUEUE: usize = 40;

/// How often things have happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) killed: u64,
    pub(super) failed: u64,
    pub(super) moved: u64,
    /// Commits whose outcome the sink does not learn.
    unknown: u64,
    /// Commits that have taken effect after the sink has given them up.
    late: u64,
    /// Requests to commit that came a second time.
    repeated: u64,
    /// Producers that the brokers have fenced.
    fenced: u64,
    /// Offsets of another generation.
    refused: u64,
}

impl Counts {
    pub(super) fn each(&self) -> [u64; 8] {
        let Counts { killed, failed, moved, unknown, late, repeated, fenced, refused } = *self;
        [killed, failed, moved, unknown, late, repeated, fenced, refused]
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.killed += other.killed;
        self.failed += other.failed;
        self.moved += other.moved;
        self.unknown += other.unknown;
        self.late += other.late;
        self.repeated += other.repeated;
        self.fenced += other.fenced;
        self.refused += other.refused;
    }
}

/// An open transaction.
#[derive(Default)]
struct Transaction {
    records: Vec<String>,
    positions: Vec<PositionRecord>,
    offset: Option<u64>,
}

struct State {
    random: SeededRandom,
    is_stormy: bool,
    epoch: u64,
    /// The transaction of the producer with the present epoch.
    open: Transaction,
    output: Vec<String>,
    positions: Vec<PositionRecord>,
    offset: u64,
    generation: i32,
    group: Option<Arc<SharedGroup>>,
    counts: Counts,
}

impl State {
    /// Whether a fault happens that has this frequency.
    fn fault(&mut self, one_in: u64) -> bool {
        self.is_stormy && self.random.one_in(one_in)
    }

    /// Gives a producer its epoch. Ends the transaction of the one before.
    fn initialise(&mut self) -> u64 {
        self.epoch += 1;
        self.open = Transaction::default();
        self.epoch
    }

    fn commit(&mut self) {
        let Transaction { mut records, mut positions, offset } = std::mem::take(&mut self.open);
        self.output.append(&mut records);
        self.positions.append(&mut positions);
        self.offset = offset.unwrap_or(self.offset);
    }
}

/// The brokers. Clones are the same brokers.
#[derive(Clone)]
pub(super) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    pub(super) fn new(seed: u64) -> Simulated {
        Simulated(Arc::new(Mutex::new(State {
            random: SeededRandom::new(seed),
            is_stormy: true,
            epoch: 0,
            open: Transaction::default(),
            output: Vec::new(),
            positions: Vec::new(),
            offset: 0,
            generation: 0,
            group: None,
            counts: Counts::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }

    pub(super) fn one_in(&self, bound: u64) -> bool {
        self.lock().random.one_in(bound)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Lets no more faults happen.
    pub(super) fn calm(&self) {
        self.lock().is_stormy = false;
    }

    pub(super) fn output(&self) -> Vec<String> {
        self.lock().output.clone()
    }

    /// The offset that the group has committed.
    pub(super) fn committed(&self) -> u64 {
        self.lock().offset
    }

    /// The group of the agent that runs.
    pub(super) fn shares(&self, group: &Arc<SharedGroup>) {
        let mut state = self.lock();
        state.group = Some(group.clone());
        state.generation += 1;
    }

    /// Begins a generation of the group. The brokers take no offsets of the one before any more.
    pub(super) fn begin_generation(&self) {
        self.lock().generation += 1;
    }

    /// Waits until no transaction with an offset is open. Returns the generation and the offset.
    pub(super) async fn join(&self) -> (i32, u64) {
        loop {
            sleep(Duration::from_millis(1 + self.below(20))).await;
            let state = self.lock();
            if state.open.offset.is_none() {
                return (state.generation, state.offset);
            }
        }
    }

    /// When the partition moves away.
    pub(super) fn next_rebalance(&self) -> Instant {
        let mut state = self.lock();
        let wait = if state.is_stormy { 50 + state.random.below(1_500) } else { 3_600_000 };
        Instant::now() + Duration::from_millis(wait)
    }

    /// A request or an answer on its way.
    async fn travel(&self) {
        let time = self.below(20);
        sleep(Duration::from_millis(time)).await;
    }
}

#[async_trait]
impl Brokers for Simulated {
    fn start(
        &self,
        _config: &ProtectedConfig,
        reports: Arc<DeliveryReports>,
    ) -> Result<ProducerHandle, SinkError> {
        let producer = Arc::new(Producer {
            brokers: self.clone(),
            reports: reports.clone(),
            epoch: AtomicU64::new(0),
            queue: Mutex::default(),
            has_failed: AtomicBool::new(false),
        });
        tokio::spawn(send(Arc::downgrade(&producer), self.clone()));
        Ok(ProducerHandle::simulated(Box::new(producer), reports))
    }

    async fn ensure_topic(&self, _: &ProtectedConfig, _: &str, _: &str) -> Result<(), PositionsError> {
        self.travel().await;
        Ok(())
    }

    async fn positions(
        &self,
        _: &ProtectedConfig,
        topic: &str,
        id: &str,
    ) -> Result<Positions, PositionsError> {
        self.travel().await;
        let mut state = self.lock();
        if state.fault(20) {
            return Err(PositionsError::Open { topic: topic.to_owned() });
        }
        Ok(positions::of_records(&state.positions, id))
    }

    async fn offsets(&self, _: &ProtectedConfig, _: &Upstreams) -> KafkaResult<Brought> {
        loop {
            self.travel().await;
            let state = self.lock();
            let Some(group) = &state.group else { return Ok(Brought::new()) };
            if state.open.offset.is_none() {
                let owned = group.owned().into_keys();
                return Ok(owned.map(|name| ((0, name), state.offset)).collect());
            }
        }
    }
}

/// A record on its way.
enum Sent {
    Record(String, Arc<PendingBatch>),
    Position(PositionRecord, Arc<PendingBatch>),
}

struct Producer {
    brokers: Simulated,
    reports: Arc<DeliveryReports>,
    /// 0 before it is initialised.
    epoch: AtomicU64,
    queue: Mutex<VecDeque<Sent>>,
    /// Whether a record of the open transaction was not written.
    has_failed: AtomicBool,
}

/// Sends what a producer has, until it is dropped.
async fn send(producer: Weak<Producer>, brokers: Simulated) {
    loop {
        let time = brokers.below(10);
        sleep(Duration::from_millis(1 + time)).await;
        let Some(producer) = producer.upgrade() else { return };
        for _ in 0..=brokers.below(10) {
            let Some(sent) = producer.queue().pop_front() else { break };
            producer.write_now(sent);
        }
    }
}

fn error(code: RDKafkaErrorCode) -> TransactionError {
    TransactionError { code, reason: "simulated".to_owned(), is_retriable: false }
}

impl Producer {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Lets the brokers write a record, and reports it.
    fn write_now(&self, sent: Sent) {
        let mut state = self.brokers.lock();
        if state.fault(400) {
            // The transaction has taken too long.
            state.initialise();
        }
        let code = match self.epoch() == state.epoch {
            false => {
                state.counts.fenced += 1;
                Some(RDKafkaErrorCode::InvalidProducerEpoch)
            }
            true => state.fault(200).then_some(RDKafkaErrorCode::MessageTimedOut),
        };
        let pending = match (sent, code) {
            (Sent::Record(text, pending), None) => {
                state.open.records.push(text);
                pending
            }
            (Sent::Position(record, pending), None) => {
                state.open.positions.push(record);
                pending
            }
            (Sent::Record(_, pending) | Sent::Position(_, pending), Some(_)) => pending,
        };
        drop(state);
        if let Some(code) = code {
            self.has_failed.store(true, Ordering::Release);
            let failed = self.reports.context.record(KafkaError::MessageProduction(code), "out", 1);
            self.reports.record_failed(&pending, failed);
        }
    }

    fn push(&self, sent: Sent) -> bool {
        let mut queue = self.queue();
        let has_space = queue.len() < QUEUE;
        if has_space {
            queue.push_back(sent);
        }
        has_space
    }

    /// Commits later, if the brokers still know the producer then.
    fn commit_later(&self, count: fn(&mut Counts)) {
        let (brokers, epoch) = (self.brokers.clone(), self.epoch());
        tokio::spawn(async move {
            sleep(Duration::from_millis(brokers.below(300))).await;
            let mut state = brokers.lock();
            if state.epoch == epoch {
                count(&mut state.counts);
                state.commit();
            }
        });
    }

    async fn commit(&self) -> Result<(), TransactionError> {
        while !self.queue().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        if self.has_failed.load(Ordering::Acquire) {
            return Err(error(RDKafkaErrorCode::Inconsistent));
        }
        self.brokers.travel().await;
        let is_repeated = {
            let mut state = self.brokers.lock();
            if state.epoch != self.epoch() {
                state.counts.fenced += 1;
                return Err(error(RDKafkaErrorCode::InvalidProducerEpoch));
            }
            if state.fault(15) {
                // The coordinator has moved.
                return Err(error(RDKafkaErrorCode::NotCoordinator));
            }
            if state.fault(10) {
                drop(state);
                self.commit_later(|counts| counts.late += 1);
                return Err(error(RDKafkaErrorCode::OperationTimedOut));
            }
            state.commit();
            if state.fault(10) {
                state.counts.unknown += 1;
                return Err(error(RDKafkaErrorCode::OperationTimedOut));
            }
            state.fault(10)
        };
        if is_repeated {
            // The connection was lost, and the request made again. The brokers handle the first one later.
            self.reports.disturb();
            self.commit_later(|counts| counts.repeated += 1);
        }
        self.brokers.travel().await;
        Ok(())
    }

    async fn add_offsets(&self, offsets: &Offsets) -> Result<(), TransactionError> {
        self.brokers.travel().await;
        {
            let mut state = self.brokers.lock();
            if state.epoch != self.epoch() {
                state.counts.fenced += 1;
                return Err(error(RDKafkaErrorCode::InvalidProducerEpoch));
            }
            if state.fault(30) {
                return Err(error(RDKafkaErrorCode::CoordinatorNotAvailable));
            }
            if offsets.generation.number != state.generation {
                state.counts.refused += 1;
                return Err(error(RDKafkaErrorCode::IllegalGeneration));
            }
            for offset in &offsets.offsets {
                assert!(offset.topic == TOPIC && offset.offset <= EVENTS);
                state.open.offset = Some(offset.offset);
            }
        }
        self.brokers.travel().await;
        Ok(())
    }
}

#[async_trait]
impl Produces for Arc<Producer> {
    fn enqueue(
        &self,
        _reports: &DeliveryReports,
        records: &mut Records<'_>,
        contents: &Contents,
        rows: Range<usize>,
        pending: &Arc<PendingBatch>,
    ) -> Enqueued {
        for row in rows.clone() {
            let body = records.record(contents, row).body.unwrap_or_default();
            let text = String::from_utf8_lossy(body).into_owned();
            if !self.push(Sent::Record(text, pending.clone())) {
                return Enqueued::Full(row);
            }
        }
        Enqueued::All(rows.end)
    }

    fn write(&self, _topic: &str, record: &PositionRecord, pending: &Arc<PendingBatch>) -> KafkaResult<()> {
        match self.push(Sent::Position(record.clone(), pending.clone())) {
            true => Ok(()),
            false => Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
        }
    }

    async fn call(&self, call: Call<'_>, _limit: Duration) -> Result<(), TransactionError> {
        match call {
            Call::Initialise => {
                self.brokers.travel().await;
                let epoch = self.brokers.lock().initialise();
                self.epoch.store(epoch, Ordering::Release);
                self.brokers.travel().await;
                match self.brokers.lock().fault(20) {
                    true => Err(error(RDKafkaErrorCode::OperationTimedOut)),
                    false => Ok(()),
                }
            }
            Call::Begin => {
                self.has_failed.store(false, Ordering::Release);
                Ok(())
            }
            Call::Offsets(offsets) => self.add_offsets(offsets).await,
            Call::Commit => self.commit().await,
            Call::Abort => {
                self.queue().clear();
                self.brokers.travel().await;
                let mut state = self.brokers.lock();
                if state.epoch == self.epoch() && !state.fault(3) {
                    state.open = Transaction::default();
                }
                Ok(())
            }
        }
    }
}

//! The file channel: bounded, durable, on disk.
//!
//! The channel is a write-ahead log in its own directory. A put is acknowledged when it is on disk,
//! before the sinks have it; the sinks' acknowledgements are written with later puts. The
//! modules, from the disk up:
//!
//! | module | content |
//! | --- | --- |
//! | `segment`, `superblock`, `record`, `columns`, `image`, `invariants` | the format, specified above the code |
//! | `options` | the settings, and the division of the directory's space |
//! | `encryption` | whether the directory is encrypted, and whether the keys fit |
//! | `log` | the order of writes, and the consequences of a failure |
//! | `survey`, `recovery`, `refusal` | what a directory contains, how a channel is opened in it, and why it is not |
//! | `probing` | whether the directory could be opened, without changing anything |
//! | `reading` | puts read back from disk |
//! | `state`, `submitted`, `cursor` | reserved, submitted, visible and leased puts: plain data, no disk |
//! | `incarnations`, `divergence`, `claim` | the numbers of events, compared with those that sinks have had |
//! | `engine` | one pass: from the state to the log and back |
//! | `failing` | why a channel can't go on |
//! | this one | waiting and waking, for the agent |

mod claim;
pub(super) mod columns;
mod compression;
mod cursor;
mod divergence;
mod encryption;
mod engine;
mod failing;
mod fields;
mod image;
mod incarnations;
mod inspection;
mod invariants;
mod log;
mod options;
mod probing;
mod reading;
mod record;
mod recovery;
mod refusal;
mod repair;
mod scan;
mod segment;
mod state;
mod submitted;
mod superblock;
mod survey;
mod transactions;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

use super::in_flight::InFlight;
use super::{
    Channel, Demand, Fill, Incarnation, Limits, Overflow, PutTransaction, Reader, Recovered, ReserveError,
};
use crate::batch::Partition;
use crate::environment::blocking::BlockingExecutor;
use crate::environment::storage::{self, Directory, Storage};
use crate::failure::Failure;
use crate::observability::meter::Meter;
use engine::Engine;
use failing::Fault;
use log::LogSizes;
use record::BODY_BYTES_MAX;
use recovery::{Opening, lock_note, log_found};
use state::State;
use transactions::{FilePut, FileReader, WaitingPut};
use writer::Writer;

pub use compression::Compression;
pub use encryption::EncryptionError;
pub use inspection::{
    Inspection, InspectionError, PositionSummary, ReaderSummary, SegmentSummary, Torn, Verification, inspect,
    verify,
};
pub use options::{BYTE_CAPACITY_MIN, FileChannelOptions, UnsupportedColumn};
pub use refusal::OpenError;
pub use repair::{ForgottenReader, Repair, assess_repair, forget_reader, repair};
pub use scan::Damage;
pub use survey::SurveyError;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

/// The most bytes of puts that are kept in memory for readers that keep up.
const RECENT_BYTES_MAX: u64 = 64 << 20;
/// The prefix of the name of a channel's partition.
const PARTITION_PREFIX: &str = "channel ";

/// A channel on disk.
pub struct FileChannel<S: Storage = Directory> {
    shared: Arc<Shared<S>>,
    options: FileChannelOptions,
    sizes: LogSizes,
    make_storage: Box<dyn Fn() -> Result<S, Failure> + Send + Sync>,
    /// Opens the storage for a probe; `None` if the storage is no directory.
    look: Option<probing::Look<S>>,
    executor: BlockingExecutor,
    writer: Mutex<Option<Writer>>,
}

struct Shared<S: Storage> {
    component: Arc<str>,
    meter: Arc<Meter>,
    state: Mutex<State>,
    /// Set when the channel is opened.
    storage: OnceLock<S>,
    partition: OnceLock<Partition>,
    /// Notified when a put has become visible, and when the channel was closed or has failed.
    changed: Notify,
    /// Notified when there may be space.
    space: Notify,
    /// Held by the put that is first in the queue for space.
    put_queue: tokio::sync::Mutex<()>,
    /// Notified when there is something to write.
    work: Notify,
    executor: BlockingExecutor,
    compression: Compression,
    /// Notified when the channel has failed.
    failed: Notify,
    failure: Mutex<Option<Fault>>,
    shutting: std::sync::atomic::AtomicBool,
}

impl FileChannel {
    /// Makes a channel in a directory of this machine. Nothing is touched before the channel is opened.
    ///
    /// # Errors
    /// When the channel can't hold the schema of its events.
    pub fn new(options: FileChannelOptions) -> Result<FileChannel, UnsupportedColumn> {
        let path = options.path.clone();
        let make = move || {
            let storage = Directory::create(&path).map_err(Failure::permanent_unless_disk_failure)?;
            encryption::plain(storage).map_err(Failure::permanent_unless_disk_failure)
        };
        let mut channel = FileChannel::on(options, BlockingExecutor::Threads, Box::new(make))?;
        channel.look = Some(Box::new(|storage| {
            encryption::plain(storage).map(Some).map_err(Failure::permanent_unless_disk_failure)
        }));
        Ok(channel)
    }
}

impl<S: Storage> FileChannel<S> {
    /// Makes a channel on a storage. `make_storage` is called when the channel is opened.
    ///
    /// # Errors
    /// When the channel can't hold the schema of its events.
    pub fn on(
        options: FileChannelOptions,
        executor: BlockingExecutor,
        make_storage: Box<dyn Fn() -> Result<S, Failure> + Send + Sync>,
    ) -> Result<FileChannel<S>, UnsupportedColumn> {
        options.check_schema()?;
        let (sizes, limits) = options.divided();
        let recent_bytes_max = (limits.byte_capacity / 4).min(RECENT_BYTES_MAX);
        let state = State::new(limits, options.schema.clone(), recent_bytes_max);
        let shared = Arc::new(Shared {
            component: options.component.clone(),
            meter: options.meter.clone(),
            state: Mutex::new(state),
            storage: OnceLock::new(),
            partition: OnceLock::new(),
            changed: Notify::new(),
            space: Notify::new(),
            put_queue: tokio::sync::Mutex::new(()),
            work: Notify::new(),
            executor,
            compression: options.compression,
            failed: Notify::new(),
            failure: Mutex::new(None),
            shutting: std::sync::atomic::AtomicBool::new(false),
        });
        Ok(FileChannel {
            shared,
            options,
            sizes,
            make_storage,
            look: None,
            executor,
            writer: Mutex::new(None),
        })
    }

    fn opening(&self, uuid: [u8; 16]) -> Opening {
        let FileChannelOptions { owner, schema, .. } = &self.options;
        let state = self.shared.lock();
        let readers = state.cursors.iter().map(|cursor| (cursor.name.clone(), cursor.demand)).collect();
        let note = lock_note(owner);
        Opening { owner: owner.clone(), schema: schema.clone(), sizes: self.sizes, readers, uuid, note }
    }

    /// Opens the log and starts its writer. Blocks on the disk.
    fn open_now(&self) -> Result<(), Failure> {
        let storage = (self.make_storage)()?;
        let place = storage.place();
        let opening = self.opening(storage.random_bytes());
        let (log, found) =
            recovery::open(&storage, &opening).map_err(Failure::permanent_unless_disk_failure)?;
        // Nothing after this can fail, so a failed opening can be repeated.
        let (engine_sender, engine) = oneshot::channel();
        let writer = writer::start(self.executor, engine, self.shared.clone(), place.clone())?;
        let identity = log.image.identity.unwrap_or(log.uuid);
        let partition = Partition::new(format!("{PARTITION_PREFIX}{:032x}", u128::from_be_bytes(identity)));
        let engine = Engine::new(log, Incarnation::from_bytes(storage.random_bytes()), &self.shared.state);
        self.shared.storage.set(storage).ok();
        self.shared.partition.set(partition).ok();
        log_found(&self.shared.component, &place, found);
        engine_sender.send(engine).ok();
        *self.writer() = Some(writer);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells the writer to write what is left and end.
    fn end_writer(&self) -> Option<Writer> {
        self.shared.shutting.store(true, std::sync::atomic::Ordering::Release);
        self.shared.work.notify_one();
        self.writer().take()
    }
}

/// Ends the writer. A panic of the writer was reported as the channel's failure.
impl<S: Storage> Drop for FileChannel<S> {
    fn drop(&mut self) {
        match self.end_writer() {
            Some(Writer::Thread(thread)) => drop(thread.join()),
            // A simulated agent that is dropped has crashed.
            Some(Writer::Task(task)) => task.abort(),
            None => {}
        }
    }
}

impl<S: Storage> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        engine::lock(&self.state)
    }

    /// Returns the partition of the channel's numbers.
    fn partition(&self) -> Partition {
        self.partition.get().cloned().unwrap_or_else(|| Partition::new(""))
    }

    fn failure(&self) -> MutexGuard<'_, Option<Fault>> {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Marks the channel as failed and wakes all waiting tasks.
    fn fail(&self, fault: Fault) {
        // The fault is set before the state, for callers that see the state.
        self.failure().get_or_insert(fault);
        let dropped = self.lock().fail();
        drop(dropped);
        self.changed.notify_waiters();
        self.space.notify_waiters();
        self.failed.notify_waiters();
    }

    /// Returns an error if a put of this size can never be made.
    fn check(&self, amount: Fill) -> Result<(), ReserveError> {
        let limits = self.limits();
        let too_large = |requested: u64, limit: u64, unit| ReserveError::TooLarge { requested, limit, unit };
        if amount.events > limits.transaction_capacity {
            return Err(too_large(amount.events as u64, limits.transaction_capacity as u64, "events"));
        }
        match amount.bytes > limits.byte_capacity {
            true => Err(too_large(amount.bytes, limits.byte_capacity, "bytes")),
            false => Ok(()),
        }
    }

    /// Returns the limits of a transaction: at most half of the log's bytes, so that a transaction fits even while
    /// the unused rest of a segment is not yet freed.
    fn limits(&self) -> Limits {
        let limits = self.lock().limits;
        let byte_capacity = (limits.byte_capacity / 2).min(BODY_BYTES_MAX / 4);
        Limits { byte_capacity, ..limits }
    }

    fn transaction(self: &Arc<Self>, amount: Fill) -> Box<dyn PutTransaction> {
        Box::new(FilePut { shared: self.clone(), amount })
    }
}

#[async_trait]
impl<S: Storage> Channel for FileChannel<S> {
    fn limits(&self) -> Limits {
        self.shared.limits()
    }

    async fn probe(&self) -> Vec<Failure> {
        let Some(look) = &self.look else { return Vec::new() };
        let tried = storage::probe(&self.options.path).await.map_err(Failure::permanent_unless_outage);
        let found = tried
            .and_then(|()| probing::probe(&self.options.path, look, &self.opening(storage::random_bytes())));
        found.err().into_iter().collect()
    }

    async fn open(&self) -> Result<(), Failure> {
        // The start opens its channels one after the other, and nothing else runs yet.
        self.open_now()
    }

    async fn shut(&self) -> Result<(), Failure> {
        match self.end_writer() {
            // The end shuts its channels down one after the other, and nothing else runs any more.
            Some(Writer::Thread(thread)) => drop(thread.join()),
            Some(Writer::Task(task)) => drop(task.await),
            None => {}
        }
        match self.shared.failure().clone() {
            Some(fault) => Err(self.failure_of(fault)),
            None => Ok(()),
        }
    }

    async fn failed(&self) -> Failure {
        loop {
            let failed = self.shared.failed.notified();
            if let Some(fault) = self.shared.failure().clone() {
                return self.failure_of(fault);
            }
            failed.await;
        }
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn overflow(&self) -> Overflow {
        self.options.overflow
    }

    fn knows_positions(&self) -> bool {
        true
    }

    fn place(&self) -> Option<String> {
        let path = &self.options.path;
        // Different paths to the same directory give the same result.
        let real = path.canonicalize().or_else(|_| std::path::absolute(path)).ok()?;
        Some(real.to_string_lossy().into_owned())
    }

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        Some(self.shared.lock().stored(scope))
    }

    fn scopes(&self) -> BTreeSet<String> {
        self.shared.lock().positions.keys().map(|(scope, _)| scope.to_string()).collect()
    }

    fn partition(&self) -> Option<Partition> {
        self.shared.partition.get().cloned()
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.shared.lock().incarnations.last()
    }

    fn knows_incarnation(&self, incarnation: Incarnation) -> Option<bool> {
        self.shared.lock().incarnations.contains(incarnation)
    }

    fn check_recovered(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.compare(reader, recovered)
    }

    fn accepts_loss(&self, reader: &str, recovered: &Recovered) -> Option<u64> {
        self.accepted(reader, recovered).map(|claim| claim.kept)
    }

    async fn reserve(&self, amount: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        self.shared.check(amount)?;
        let shared = &self.shared;
        let _first = shared.put_queue.lock().await;
        let mut waiting = None;
        loop {
            let changed = shared.space.notified();
            {
                let mut state = shared.lock();
                if state.is_closed() {
                    return Err(ReserveError::Closed);
                }
                if state.reserve(amount) {
                    return Ok(shared.transaction(amount));
                }
                if state.writer_keeps_up(amount) {
                    drop(state);
                    // Leased events take up the space, so the readers get pressure.
                    waiting.get_or_insert_with(|| WaitingPut::begin(shared));
                }
            }
            changed.await;
        }
    }

    fn try_reserve(&self, amount: Fill) -> Option<Box<dyn PutTransaction>> {
        self.shared.check(amount).ok()?;
        self.shared.lock().reserve(amount).then(|| self.shared.transaction(amount))
    }

    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader> {
        let id = self.shared.lock().reader(name, demand);
        self.shared.work.notify_one();
        Box::new(FileReader { shared: self.shared.clone(), id, in_flight: InFlight::default() })
    }

    fn close(&self) {
        self.shared.lock().close();
        self.shared.changed.notify_waiters();
        self.shared.space.notify_waiters();
        self.shared.work.notify_one();
    }

    fn fill(&self) -> Fill {
        self.shared.lock().fill()
    }

    fn bounds(&self) -> Fill {
        let Limits { capacity, byte_capacity, .. } = self.shared.lock().limits;
        Fill { events: capacity, bytes: byte_capacity }
    }

    fn has_unread(&self) -> bool {
        self.shared.lock().has_unread()
    }
}

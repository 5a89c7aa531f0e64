//! The budget of file descriptors: the process has a limited number, and its parts share it.
//!
//! Whoever opens a file or accepts a connection for long draws from the budget first. Each purpose has a
//! share that the others can't take, so that sinks can write however many peers have connected.

use std::sync::{Arc, OnceLock};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A file that a source reads.
    SourceFile,
    /// A connection of a peer.
    Connection,
    /// A file that a sink writes.
    SinkFile,
}

/// The descriptors that the components of a process share. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct Descriptors {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    source_files: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    sink_files: Arc<Semaphore>,
}

/// The right to have one descriptor open. Dropping it gives it back.
#[derive(Debug)]
pub struct Descriptor {
    _permit: OwnedSemaphorePermit,
}

/// Of all descriptors, this part is in no share: channels, metrics, logs, directories and the runtime use it.
const RESERVED_PART: usize = 4;

impl Descriptors {
    /// The budget of this process.
    pub fn of_process() -> Descriptors {
        static BUDGET: OnceLock<Descriptors> = OnceLock::new();
        let limit = || getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
        BUDGET.get_or_init(|| Descriptors::with_limit(limit())).clone()
    }

    /// A budget of its own, of this many descriptors.
    pub fn with_limit(limit: usize) -> Descriptors {
        let shared_out = limit.min(Semaphore::MAX_PERMITS) / RESERVED_PART * (RESERVED_PART - 1);
        let share = || Arc::new(Semaphore::new((shared_out / 3).max(1)));
        let (source_files, connections, sink_files) = (share(), share(), share());
        Descriptors { shared: Arc::new(Shared { limit, source_files, connections, sink_files }) }
    }

    /// How many descriptors the process may have open.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// How many descriptors there are for a purpose, taken ones included.
    pub fn share(&self, _purpose: Purpose) -> usize {
        (self.shared.limit / RESERVED_PART * (RESERVED_PART - 1) / 3).max(1)
    }

    /// One more descriptor, if there is one now.
    pub fn try_take(&self, purpose: Purpose) -> Option<Descriptor> {
        let permit = self.semaphore(purpose).clone().try_acquire_owned().ok()?;
        Some(Descriptor { _permit: permit })
    }

    /// Waits for one more descriptor.
    pub async fn take(&self, purpose: Purpose) -> Descriptor {
        let permit = self.semaphore(purpose).clone().acquire_owned().await;
        Descriptor { _permit: permit.expect("the budget is never closed") }
    }

    fn semaphore(&self, purpose: Purpose) -> &Arc<Semaphore> {
        match purpose {
            Purpose::SourceFile => &self.shared.source_files,
            Purpose::Connection => &self.shared.connections,
            Purpose::SinkFile => &self.shared.sink_files,
        }
    }
}

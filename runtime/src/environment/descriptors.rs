//! The budget of file descriptors: the process has a limited number, and its components share it.
//!
//! A component takes from the budget before it opens a file or accepts a connection that stays open. A part of
//! the limit is reserved for the process: channels, metrics, the log, directory listings. Half of the rest is
//! assured to the components in equal shares, and the other half goes to the first component that asks. So a
//! sink can write however many peers have connected, and a single source gets nearly everything.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::warn;

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

/// The budget of a process, as one component uses it. Clones belong to the same component.
#[derive(Debug, Clone)]
pub struct Descriptors {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    /// The claims of all components that still exist. Counts of taken descriptors change under this lock.
    claims: Mutex<Claims>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Claims {
    all: Vec<Weak<Claim>>,
    holders: usize,
}

/// A component and its claims, one for each purpose.
#[derive(Debug)]
struct Holder {
    component: Arc<str>,
    claims: [OnceLock<Arc<Claim>>; 3],
    shared: Arc<Shared>,
}

/// The descriptors of one component for one purpose.
#[derive(Debug)]
struct Claim {
    purpose: Purpose,
    taken: AtomicUsize,
    /// Whether the shortage was logged.
    shortage_logged: AtomicBool,
}

/// The right to have one descriptor open. Dropping it returns the descriptor to the budget.
#[derive(Debug)]
pub struct Descriptor {
    claim: Arc<Claim>,
    shared: Arc<Shared>,
}

/// The number of descriptors, by use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DescriptorCounts {
    /// The number that the process may have open.
    pub limit: u64,
    /// The number that the process has open, if the system tells it.
    pub open: Option<u64>,
    /// Files that sources have open.
    pub source_files: u64,
    /// Connections of peers.
    pub connections: u64,
    /// Files that sinks have open.
    pub sink_files: u64,
}

/// How the budget is divided at present.
struct Division {
    /// The descriptors that each claim is sure to get.
    assured: usize,
    /// The descriptors that go to the first claim that asks.
    unassigned: usize,
}

/// Reserved for the process: standard streams, the runtime, the metrics' connections, the log.
const RESERVED: usize = 40;
/// Reserved for each component: its directory and lock, segments, directory listings.
const RESERVED_EACH: usize = 8;
/// The least that the process needs: standard streams, the runtime, the metrics and one connection to them.
const NEEDED: usize = 16;
/// The least that each component needs: an address, a directory or a file, and one file or connection at a time.
const NEEDED_EACH: usize = 4;

/// The process may have fewer descriptors than its components need to make any progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{components} components need {needed} file descriptors at least, and the process may have {limit} open: raise \
     the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
)]
pub struct TooFewDescriptors {
    /// The number of components that share the budget.
    pub components: usize,
    /// The number of descriptors that the components and the process need at least.
    pub needed: usize,
    /// The number of descriptors that the process may have open.
    pub limit: usize,
}

impl Purpose {
    /// Describes what the component does when it gets no more descriptors.
    fn consequence(self) -> &'static str {
        match self {
            Purpose::SourceFile => "files with nothing to read are closed so that others can be read",
            Purpose::Connection => "further connections wait until others end",
            Purpose::SinkFile => "files are closed before they are due so that others can be written",
        }
    }
}

impl Descriptors {
    /// Returns the budget of this process.
    pub fn of_process() -> Descriptors {
        static BUDGET: OnceLock<Descriptors> = OnceLock::new();
        let limit = || getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
        BUDGET.get_or_init(|| Descriptors::with_limit(limit())).clone()
    }

    /// Raises the number of descriptors that the process may have to the hard limit. Has to be called before the
    /// first call of [`Descriptors::of_process`].
    ///
    /// # Errors
    /// When the system refuses. The limit is then unchanged.
    pub fn raise_limit() -> io::Result<()> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        }
        Ok(())
    }

    /// Makes a separate budget of `limit` descriptors.
    pub fn with_limit(limit: usize) -> Descriptors {
        let shared = Arc::new(Shared { limit, claims: Mutex::default(), released: Notify::new() });
        Descriptors { holder: Holder::new("agent".into(), &shared), shared }
    }

    /// Returns this budget for a component, which gets its own share.
    pub fn of_component(&self, component: Arc<str>) -> Descriptors {
        Descriptors { holder: Holder::new(component, &self.shared), shared: self.shared.clone() }
    }

    /// Returns the number of descriptors that the process may have open.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Checks that there are enough descriptors for all components that share the budget. With fewer, the user could
    /// not find the cause: the metrics would not answer either.
    ///
    /// # Errors
    /// When there are too few.
    pub fn suffice(&self) -> Result<(), TooFewDescriptors> {
        // The process itself is a holder.
        let components = self.shared.lock().holders.saturating_sub(1);
        let (needed, limit) = (NEEDED + components * NEEDED_EACH, self.shared.limit);
        if limit < needed { Err(TooFewDescriptors { components, needed, limit }) } else { Ok(()) }
    }

    /// Registers, before the start, that the component is going to take descriptors for a purpose. From then on, a
    /// share for this purpose is assured.
    pub fn expect(&self, purpose: Purpose) {
        self.claim(purpose);
    }

    /// Returns the most descriptors that the component can get for a purpose, taken ones included: all descriptors
    /// that are not assured to other claims.
    pub fn share(&self, purpose: Purpose) -> usize {
        self.claim(purpose);
        let Division { assured, unassigned } = self.shared.lock().division(self.shared.limit);
        assured + unassigned
    }

    /// Returns the number of descriptors that the component is sure to get for a purpose, taken ones included.
    pub fn assured(&self, purpose: Purpose) -> usize {
        self.claim(purpose);
        self.shared.lock().division(self.shared.limit).assured
    }

    /// Takes a descriptor if one is available.
    pub fn try_take(&self, purpose: Purpose) -> Option<Descriptor> {
        let claim = self.claim(purpose);
        let taken = self.shared.try_take(claim);
        if taken.is_none() {
            self.log_shortage_once(claim);
        }
        taken
    }

    /// Waits until a descriptor is available, and takes it.
    pub async fn take(&self, purpose: Purpose) -> Descriptor {
        loop {
            let released = self.shared.released.notified();
            let mut released = std::pin::pin!(released);
            released.as_mut().enable();
            if let Some(descriptor) = self.try_take(purpose) {
                return descriptor;
            }
            released.await;
        }
    }

    /// Counts the descriptors by use.
    pub fn counts(&self) -> DescriptorCounts {
        let (mut source_files, mut connections, mut sink_files) = (0, 0, 0);
        let claims = self.shared.lock();
        for claim in claims.all.iter().filter_map(Weak::upgrade) {
            let taken = claim.taken() as u64;
            match claim.purpose {
                Purpose::SourceFile => source_files += taken,
                Purpose::Connection => connections += taken,
                Purpose::SinkFile => sink_files += taken,
            }
        }
        drop(claims);
        let limit = self.shared.limit as u64;
        DescriptorCounts { limit, open: open_now(), source_files, connections, sink_files }
    }

    fn claim(&self, purpose: Purpose) -> &Arc<Claim> {
        self.holder.claims[purpose as usize].get_or_init(|| {
            let (taken, shortage_logged) = (AtomicUsize::new(0), AtomicBool::new(false));
            let claim = Arc::new(Claim { purpose, taken, shortage_logged });
            let mut claims = self.shared.lock();
            claims.all.retain(|claim| claim.strong_count() > 0);
            claims.all.push(Arc::downgrade(&claim));
            claim
        })
    }

    fn log_shortage_once(&self, claim: &Claim) {
        if !claim.shortage_logged.swap(true, Ordering::Relaxed) {
            warn!(
                component = %self.holder.component,
                "the process may have {} file descriptors open, of which this component has {} and gets no more: {}; \
                 a higher hard limit (ulimit -Hn, LimitNOFILE= of systemd) gives it more",
                self.shared.limit,
                claim.taken(),
                claim.purpose.consequence()
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(self: &Arc<Shared>, claim: &Arc<Claim>) -> Option<Descriptor> {
        let claims = self.lock();
        let Division { assured, unassigned } = claims.division(self.limit);
        let has_own = claim.taken() < assured;
        let is_one_unassigned = || {
            let beyond = |claim: Arc<Claim>| claim.taken().saturating_sub(assured);
            claims.all.iter().filter_map(Weak::upgrade).map(beyond).sum::<usize>() < unassigned
        };
        (has_own || is_one_unassigned()).then(|| {
            claim.taken.fetch_add(1, Ordering::Relaxed);
            Descriptor { claim: claim.clone(), shared: self.clone() }
        })
    }
}

impl Claims {
    fn division(&self, limit: usize) -> Division {
        let reserved = RESERVED.saturating_add(self.holders.saturating_mul(RESERVED_EACH)).min(limit / 2);
        let divided = limit - reserved;
        let claims = self.all.iter().filter(|claim| claim.strong_count() > 0).count().max(1);
        // Every claim gets at least one, even beyond a very low limit: then the system refuses to open more.
        let assured = (divided / 2 / claims).max(1);
        Division { assured, unassigned: divided.saturating_sub(assured.saturating_mul(claims)) }
    }
}

impl Claim {
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Holder {
    fn new(component: Arc<str>, shared: &Arc<Shared>) -> Arc<Holder> {
        shared.lock().holders += 1;
        Arc::new(Holder { component, claims: Default::default(), shared: shared.clone() })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut claims = self.shared.lock();
        claims.holders = claims.holders.saturating_sub(1);
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let claims = self.shared.lock();
        self.claim.taken.fetch_sub(1, Ordering::Relaxed);
        drop(claims);
        self.shared.released.notify_waiters();
    }
}

/// Counts the open descriptors of the process. Newer systems give the count as the size of a directory.
fn open_now() -> Option<u64> {
    let directory = Path::new("/proc/self/fd");
    match rustix::fs::stat(directory).ok()?.st_size {
        0 => Some(std::fs::read_dir(directory).ok()?.count().saturating_sub(1) as u64),
        count => Some(count as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(descriptors: &Descriptors, purpose: Purpose) -> Vec<Descriptor> {
        std::iter::from_fn(|| descriptors.try_take(purpose)).collect()
    }

    #[test]
    fn a_component_without_neighbours_gets_all_but_the_reserve() {
        let budget = Descriptors::with_limit(1_024);
        let source = budget.of_component("logs".into());
        let taken = take_all(&source, Purpose::SourceFile);
        assert_eq!(taken.len(), 1_024 - RESERVED - 2 * RESERVED_EACH);
        assert_eq!(source.share(Purpose::SourceFile), taken.len());
        drop(taken);
        assert_eq!(budget.counts().source_files, 0);
    }

    #[test]
    fn a_greedy_component_leaves_the_others_their_shares() {
        for limit in [64, 128, 256, 1_024] {
            let budget = Descriptors::with_limit(limit);
            let [one, two, peers, sink] =
                ["one", "two", "http", "out"].map(|name| budget.of_component(name.into()));
            one.expect(Purpose::SourceFile);
            two.expect(Purpose::SourceFile);
            peers.expect(Purpose::Connection);
            sink.expect(Purpose::SinkFile);
            let taken = [
                take_all(&one, Purpose::SourceFile),
                take_all(&peers, Purpose::Connection),
                take_all(&two, Purpose::SourceFile),
                take_all(&sink, Purpose::SinkFile),
            ];
            let assured = sink.assured(Purpose::SinkFile);
            assert!(assured >= limit / 2 / 2 / 4, "{limit} {assured}");
            for taken in &taken[1..] {
                assert_eq!(taken.len(), assured, "{limit}");
            }
            let all: usize = taken.iter().map(Vec::len).sum();
            assert!(all <= limit / 2 || all <= limit - RESERVED - 5 * RESERVED_EACH, "{limit} {all}");
            let counts = budget.counts();
            assert_eq!(counts.source_files as usize, taken[0].len() + taken[2].len());
            assert_eq!(counts.sink_files as usize, assured);
        }
    }

    #[test]
    fn an_error_says_how_many_descriptors_the_components_need() {
        let budget = Descriptors::with_limit(NEEDED + 2 * NEEDED_EACH);
        let _two = ["in", "out"].map(|name| budget.of_component(name.into()));
        assert_eq!(budget.suffice(), Ok(()));
        let third = budget.of_component("between".into());
        let error = budget.suffice().unwrap_err();
        assert_eq!((error.components, error.needed), (3, NEEDED + 3 * NEEDED_EACH));
        drop(third);
        assert_eq!(budget.suffice(), Ok(()));
    }

    #[test]
    fn a_component_that_is_gone_has_no_share() {
        let budget = Descriptors::with_limit(256);
        let stays = budget.of_component("stays".into());
        let before = stays.assured(Purpose::Connection);
        let goes = budget.of_component("goes".into());
        let descriptor = goes.try_take(Purpose::SinkFile).unwrap();
        drop(goes);
        assert!(stays.assured(Purpose::Connection) < before, "its descriptor is still open");
        drop(descriptor);
        assert_eq!(stays.assured(Purpose::Connection), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_descriptor_goes_to_a_waiting_component() {
        let budget = Descriptors::with_limit(64);
        let peers = budget.of_component("http".into());
        let mut taken = take_all(&peers, Purpose::Connection);
        let waiting = tokio::spawn({
            let peers = peers.clone();
            async move { peers.take(Purpose::Connection).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        taken.pop();
        waiting.await.unwrap();
    }

    #[test]
    fn a_limit_of_nearly_nothing_leaves_each_component_one() {
        let budget = Descriptors::with_limit(2);
        let [source, sink] = ["in", "out"].map(|name| budget.of_component(name.into()));
        let _taken = take_all(&source, Purpose::SourceFile);
        assert!(sink.try_take(Purpose::SinkFile).is_some());
    }

    #[test]
    fn the_open_descriptors_of_the_process_are_counted() {
        let files: Vec<_> = (0..100).map(|_| tempfile::tempfile().unwrap()).collect();
        assert!(open_now().unwrap() > files.len() as u64);
    }
}

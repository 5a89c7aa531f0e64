//! The budget of file descriptors: the process has a limited number, and its components share it.
//!
//! Whoever opens a file or accepts a connection for long draws from the budget first. A part of the limit is
//! reserved for what must always work: channels, metrics, the log, directories that are looked through. Of
//! the rest, half is assured to the components in equal shares, and half goes to whoever asks first. So a sink
//! can write however many peers have connected, and a source without neighbours gets nearly everything.

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

/// The descriptors that the components of a process share, as one of them sees it. Clones are the same component.
#[derive(Debug, Clone)]
pub struct Descriptors {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    /// The claims of all components that are still there. A count of taken descriptors changes under this lock.
    claims: Mutex<Claims>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Claims {
    all: Vec<Weak<Claim>>,
    holders: usize,
}

/// A component, with what it claims for each purpose.
#[derive(Debug)]
struct Holder {
    component: Arc<str>,
    claims: [OnceLock<Arc<Claim>>; 3],
    shared: Arc<Shared>,
}

/// What one component has for one purpose.
#[derive(Debug)]
struct Claim {
    purpose: Purpose,
    taken: AtomicUsize,
    /// Whether the log says already that there are not enough.
    said: AtomicBool,
}

/// The right to have one descriptor open. Dropping it gives it back.
#[derive(Debug)]
pub struct Descriptor {
    claim: Arc<Claim>,
    shared: Arc<Shared>,
}

/// How many descriptors there are, and what they are used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DescriptorCounts {
    /// How many the process may have open.
    pub limit: u64,
    /// How many it has open, where the system says so.
    pub open: Option<u64>,
    /// Those that sources have for their files.
    pub source_files: u64,
    /// Those that are connections of peers.
    pub connections: u64,
    /// Those that sinks have for their files.
    pub sink_files: u64,
}

/// How the budget is divided at a moment.
struct Division {
    /// What each claim has for certain.
    assured: usize,
    /// What goes to whoever asks first.
    common: usize,
}

/// Reserved for the process: standard streams, the runtime, the metrics' connections, the log.
const RESERVED: usize = 40;
/// Reserved for each component: its directory and lock, segments, what it looks through.
const RESERVED_EACH: usize = 8;
/// The least that the process needs: standard streams, the runtime, the metrics and a connection to them.
const NEEDED: usize = 16;
/// The least that each component needs: an address, a directory, or a file, and a moment's file or connection.
const NEEDED_EACH: usize = 4;

/// The process may have fewer descriptors than its components need to get on at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{components} components need {needed} file descriptors at least, and the process may have {limit} open: raise \
     the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
)]
pub struct TooFewDescriptors {
    /// How many components share them.
    pub components: usize,
    /// How many they need at least, the process included.
    pub needed: usize,
    /// How many there are.
    pub limit: usize,
}

impl Purpose {
    /// What the component does that gets no more.
    fn consequence(self) -> &'static str {
        match self {
            Purpose::SourceFile => "files with nothing to read are closed so that others can be read",
            Purpose::Connection => "further connections wait until others end",
            Purpose::SinkFile => "files are closed before they are due so that others can be written",
        }
    }
}

impl Descriptors {
    /// The budget of this process.
    pub fn of_process() -> Descriptors {
        static BUDGET: OnceLock<Descriptors> = OnceLock::new();
        let limit = || getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
        BUDGET.get_or_init(|| Descriptors::with_limit(limit())).clone()
    }

    /// Lets the process have as many descriptors as the system allows it (the hard limit). To be called before
    /// anything asks for the budget of the process.
    ///
    /// # Errors
    /// When the system refuses. The limit is then what it was.
    pub fn raise_limit() -> io::Result<()> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        }
        Ok(())
    }

    /// A budget of its own, of this many descriptors.
    pub fn with_limit(limit: usize) -> Descriptors {
        let shared = Arc::new(Shared { limit, claims: Mutex::default(), given_back: Notify::new() });
        Descriptors { holder: Holder::new("agent".into(), &shared), shared }
    }

    /// The same budget for a component: it gets a share of its own.
    pub fn of_component(&self, component: Arc<str>) -> Descriptors {
        Descriptors { holder: Holder::new(component, &self.shared), shared: self.shared.clone() }
    }

    /// How many descriptors the process may have open.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Whether there are enough for all components that share them now. With fewer, nobody could say what is wrong:
    /// the metrics would not answer either.
    ///
    /// # Errors
    /// When there are too few.
    pub fn suffice(&self) -> Result<(), TooFewDescriptors> {
        // The process itself is a holder.
        let components = self.shared.lock().holders.saturating_sub(1);
        let (needed, limit) = (NEEDED + components * NEEDED_EACH, self.shared.limit);
        if limit < needed { Err(TooFewDescriptors { components, needed, limit }) } else { Ok(()) }
    }

    /// Says before the start that the component is going to take descriptors for a purpose. From then on, a share
    /// of it is assured.
    pub fn expect(&self, purpose: Purpose) {
        self.claim(purpose);
    }

    /// At most how many descriptors the component gets for a purpose, taken ones included: all that the others
    /// are not assured of.
    pub fn share(&self, purpose: Purpose) -> usize {
        self.claim(purpose);
        let Division { assured, common } = self.shared.lock().division(self.shared.limit);
        assured + common
    }

    /// How many descriptors the component gets for a purpose for certain, taken ones included.
    pub fn assured(&self, purpose: Purpose) -> usize {
        self.claim(purpose);
        self.shared.lock().division(self.shared.limit).assured
    }

    /// One more descriptor, if there is one now.
    pub fn try_take(&self, purpose: Purpose) -> Option<Descriptor> {
        let claim = self.claim(purpose);
        let taken = self.shared.try_take(claim);
        if taken.is_none() {
            self.say_once(claim);
        }
        taken
    }

    /// Waits for one more descriptor.
    pub async fn take(&self, purpose: Purpose) -> Descriptor {
        loop {
            let given_back = self.shared.given_back.notified();
            let mut given_back = std::pin::pin!(given_back);
            given_back.as_mut().enable();
            if let Some(descriptor) = self.try_take(purpose) {
                return descriptor;
            }
            given_back.await;
        }
    }

    /// How many there are, and what they are used for.
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
            let (taken, said) = (AtomicUsize::new(0), AtomicBool::new(false));
            let claim = Arc::new(Claim { purpose, taken, said });
            let mut claims = self.shared.lock();
            claims.all.retain(|claim| claim.strong_count() > 0);
            claims.all.push(Arc::downgrade(&claim));
            claim
        })
    }

    fn say_once(&self, claim: &Claim) {
        if !claim.said.swap(true, Ordering::Relaxed) {
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
        let Division { assured, common } = claims.division(self.limit);
        let has_own = claim.taken() < assured;
        let is_common_left = || {
            let beyond = |claim: Arc<Claim>| claim.taken().saturating_sub(assured);
            claims.all.iter().filter_map(Weak::upgrade).map(beyond).sum::<usize>() < common
        };
        (has_own || is_common_left()).then(|| {
            claim.taken.fetch_add(1, Ordering::Relaxed);
            Descriptor { claim: claim.clone(), shared: self.clone() }
        })
    }
}

impl Claims {
    fn division(&self, limit: usize) -> Division {
        let reserved = RESERVED.saturating_add(self.holders.saturating_mul(RESERVED_EACH)).min(limit / 2);
        let shared_out = limit - reserved;
        let claims = self.all.iter().filter(|claim| claim.strong_count() > 0).count().max(1);
        // Nobody is left without any: with too few the system has the last word.
        let assured = (shared_out / 2 / claims).max(1);
        Division { assured, common: shared_out.saturating_sub(assured.saturating_mul(claims)) }
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
        self.shared.given_back.notify_waiters();
    }
}

/// How many descriptors the process has open. Newer systems tell it as the size of a directory.
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
    fn too_few_for_the_components_are_said_with_the_number_that_is_needed() {
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
    fn a_component_that_has_gone_has_no_share() {
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
    async fn who_waits_gets_what_is_given_back() {
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

//! The open connections of a listener, and the choice of the one that is closed when a new client finds no free slot.
//!
//! A connection is quiet when it has made no progress for a second. Only quiet connections are evicted, first those
//! of the address that has the most connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_runtime::{Descriptor, LogLimit, Meter};

/// A connection without progress for this long is quiet, and may be evicted.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// This many bytes of an incomplete event or request count as progress. Fewer in a second don't keep the slot.
const PROGRESS_BYTES: usize = 512;

/// The open connections of one listener.
pub(crate) struct Connections {
    component: Arc<str>,
    meter: Arc<Meter>,
    /// Whether clients send unacknowledged events again.
    acknowledging: bool,
    table: Mutex<Table>,
    evictions: LogLimit,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
}

/// What one connection has received lately, and whether it waits for the source. Times are microseconds since the
/// connection was opened.
pub(crate) struct Activity {
    address: IpAddr,
    opened: Instant,
    /// When the last byte was received.
    received_at: AtomicU64,
    /// When the connection made progress last: a complete event or request, or [`PROGRESS_BYTES`] of one.
    progressed_at: AtomicU64,
    /// The bytes received since then.
    bytes: AtomicUsize,
    /// The client has sent a complete event or request.
    has_sent_complete: AtomicBool,
    /// The client has sent the beginning of an event, and not yet its end.
    has_partial: AtomicBool,
    /// A request's body is being read, which occupies a part of the memory for all bodies.
    is_reading_body: AtomicBool,
    /// How many [`BusyGuard`]s the connection has.
    busy: AtomicUsize,
    evicted: CancellationToken,
}

/// A connection's slot among those that the settings and the process's descriptors allow. Dropping it frees the slot.
pub(crate) struct Slot {
    activity: Arc<Activity>,
    number: u64,
    connections: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
    _descriptor: Descriptor,
}

/// Marks a connection as busy: the source works on its events or requests, so it is not evicted.
pub(crate) struct BusyGuard(Arc<Activity>);

/// Marks a connection as one whose request body is being read.
pub(crate) struct BodyGuard(Arc<Activity>);

impl Connections {
    pub(super) fn new(component: Arc<str>, meter: Arc<Meter>, acknowledging: bool) -> Arc<Connections> {
        let (table, evictions) = (Mutex::default(), LogLimit::default());
        Arc::new(Connections { component, meter, acknowledging, table, evictions })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection.
    pub(super) fn add(
        self: &Arc<Self>,
        address: IpAddr,
        permit: OwnedSemaphorePermit,
        descriptor: Descriptor,
    ) -> Slot {
        let activity = Arc::new(Activity::new(address));
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.open.insert(number, activity.clone());
        drop(table);
        Slot { activity, number, connections: self.clone(), _permit: permit, _descriptor: descriptor }
    }

    /// Evicts one quiet connection in favour of a client of this address, if the address is known. Returns false if
    /// no connection could be evicted.
    pub(super) fn evict_one(&self, newcomer: Option<IpAddr>) -> bool {
        self.evict(newcomer, |_any| true)
    }

    /// Evicts the quiet candidate whose address has the most connections. Among the candidates of one address it
    /// prefers a connection that loses no complete event, then the one that has been silent for longest.
    fn evict(&self, newcomer: Option<IpAddr>, is_candidate: impl Fn(&Activity) -> bool) -> bool {
        let (table, now) = (self.lock(), Instant::now());
        let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
        for activity in table.open.values() {
            *by_address.entry(activity.address).or_default() += 1;
        }
        let count = |address: IpAddr| by_address.get(&address).copied().unwrap_or_default();
        let newcomers_count = newcomer.map_or(0, count);
        // The next events of such a client are lost, so an address with more connections does not evict it.
        let loses_events = |activity: &Activity| !self.acknowledging && activity.is_between_events();
        let quiet = table.open.values().filter(|activity| is_candidate(activity) && activity.is_quiet(now));
        let chosen = quiet
            .filter(|activity| !loses_events(activity) || count(activity.address) >= newcomers_count)
            .max_by_key(|activity| (count(activity.address), !loses_events(activity), activity.silence(now)));
        let Some(activity) = chosen else { return false };
        activity.evicted.cancel();
        self.meter.count("connections_dismissed", 1);
        if let Some(more) = self.evictions.occurred() {
            let Activity { address, .. } = &**activity;
            let (component, silence) = (&self.component, activity.silence(now));
            warn!(
                component = %component,
                "{address}, which has sent nothing for {silence:.1?}, is closed to make room for a waiting client{more}"
            );
        }
        true
    }

    fn has_unevicted_body_reader(&self) -> bool {
        self.lock()
            .open
            .values()
            .any(|activity| activity.waits_for_body() && !activity.evicted.is_cancelled())
    }
}

impl Activity {
    fn new(address: IpAddr) -> Activity {
        Activity {
            address,
            opened: Instant::now(),
            received_at: AtomicU64::default(),
            progressed_at: AtomicU64::default(),
            bytes: AtomicUsize::default(),
            has_sent_complete: AtomicBool::default(),
            has_partial: AtomicBool::default(),
            is_reading_body: AtomicBool::default(),
            busy: AtomicUsize::default(),
            evicted: CancellationToken::new(),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that bytes were received from the client.
    pub(super) fn received(&self, bytes: usize) {
        let now = self.micros();
        self.received_at.store(now, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let progresses = bytes >= PROGRESS_BYTES;
        self.bytes.store(if progresses { 0 } else { bytes }, Ordering::Relaxed);
        if progresses {
            self.progressed_at.store(now, Ordering::Relaxed);
        }
    }

    /// Notes that a complete event or request was received, or was answered.
    fn progressed(&self) {
        let now = self.micros();
        self.received_at.store(now, Ordering::Relaxed);
        self.progressed_at.store(now, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Notes whether the client has sent the beginning of an event and not yet its end.
    pub(crate) fn set_partial(&self, has_partial: bool) {
        self.has_partial.store(has_partial, Ordering::Relaxed);
    }

    /// Notes that a complete event or request was received. The connection is busy until the guard is dropped.
    pub(crate) fn begin_work(self: &Arc<Self>) -> BusyGuard {
        self.progressed();
        self.has_sent_complete.store(true, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        BusyGuard(self.clone())
    }

    /// Notes that a request's body is read until the guard is dropped. If the body makes no progress meanwhile, the
    /// connection may be evicted.
    pub(crate) fn begin_body(self: &Arc<Self>) -> BodyGuard {
        self.progressed();
        self.is_reading_body.store(true, Ordering::Relaxed);
        BodyGuard(self.clone())
    }

    /// Whether a request of the connection is being read, or waits for its answer.
    pub(crate) fn has_request(&self) -> bool {
        self.is_busy() || self.is_reading_body.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether a body is being read, and only the client holds it up.
    fn waits_for_body(&self) -> bool {
        self.is_reading_body.load(Ordering::Relaxed) && !self.is_busy()
    }

    /// Whether the client has sent complete events, and no part of another.
    fn is_between_events(&self) -> bool {
        self.has_sent_complete.load(Ordering::Relaxed) && !self.has_partial.load(Ordering::Relaxed)
    }

    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Whether the connection has made no progress for [`QUIET_AFTER`]. A busy connection is not quiet, nor is one
    /// that was evicted already.
    fn is_quiet(&self, now: Instant) -> bool {
        let progressed_at = self.opened + Duration::from_micros(self.progressed_at.load(Ordering::Relaxed));
        !self.is_busy()
            && !self.evicted.is_cancelled()
            && now.saturating_duration_since(progressed_at) >= QUIET_AFTER
    }

    /// The time since the last byte was received.
    fn silence(&self, now: Instant) -> Duration {
        let received_at = self.opened + Duration::from_micros(self.received_at.load(Ordering::Relaxed));
        now.saturating_duration_since(received_at)
    }
}

impl Slot {
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Evicts one quiet connection whose request body is being read. Returns false if there is none.
    pub(crate) fn evict_body_reader(&self) -> bool {
        self.connections.evict(Some(self.activity.address), Activity::waits_for_body)
    }

    /// Whether other connections read request bodies, which may end or become quiet.
    pub(crate) fn others_read_bodies(&self) -> bool {
        self.connections.has_unevicted_body_reader()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.progressed();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for BodyGuard {
    fn drop(&mut self) {
        self.0.is_reading_body.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::Semaphore;
    use weir_runtime::{Descriptors, Purpose};

    use super::*;

    async fn open(connections: &Arc<Connections>, last_octet: u8) -> Slot {
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let descriptor = Descriptors::with_limit(1_000).try_take(Purpose::Connection).unwrap();
        connections.add(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last_octet)), permit, descriptor)
    }

    fn connections(acknowledging: bool) -> Arc<Connections> {
        Connections::new("web".into(), Arc::default(), acknowledging)
    }

    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.activity().evicted.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn the_quietest_connection_of_the_address_with_the_most_connections_is_evicted_first() {
        let connections = connections(true);
        let alone = open(&connections, 1).await;
        pass(1_000).await;
        let (first, second) = (open(&connections, 2).await, open(&connections, 2).await);
        pass(1_000).await;
        drop(first.activity().begin_work());
        pass(900).await;
        assert!(connections.evict_one(None));
        assert!(is_evicted(&second), "its address has more connections than the other");
        assert!(connections.evict_one(None));
        assert!(is_evicted(&alone));
        assert!(!connections.evict_one(None), "the first made progress less than a second ago");
        drop((second, alone));

        let busy = first.activity().begin_work();
        pass(100_000).await;
        assert!(!connections.evict_one(None), "it is busy");
        drop(busy);
        assert!(!connections.evict_one(None), "it was answered just now");
        pass(1_000).await;
        assert!(connections.evict_one(None));
        assert_eq!(connections.meter.counters()["connections_dismissed"], 3);
        drop(first);
        assert!(connections.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_when_its_body_stalls_and_not_while_its_body_progresses() {
        let connections = connections(true);
        let [silent, trickling, steady] =
            [open(&connections, 1).await, open(&connections, 1).await, open(&connections, 1).await];
        let _bodies = [&silent, &trickling, &steady].map(|slot| slot.activity().begin_body());
        for _ in 0..20 {
            pass(100).await;
            trickling.activity().received(1);
            steady.activity().received(PROGRESS_BYTES / 10 + 1);
        }
        assert!(steady.others_read_bodies() && steady.evict_body_reader());
        assert!(is_evicted(&silent), "it has been silent for longest");
        assert!(steady.evict_body_reader());
        assert!(is_evicted(&trickling), "a few bytes don't keep a slot that others wait for");
        assert!(!connections.evict_one(None), "a connection that makes progress stays");

        let complete = steady.activity().begin_work();
        pass(10_000).await;
        assert!(!connections.evict_one(None) && !steady.others_read_bodies(), "it waits for its answer");
        drop(complete);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_lose_no_events_go_first_and_none_loses_events_to_an_address_with_more() {
        let connections = connections(false);
        let talker = open(&connections, 1).await;
        drop(talker.activity().begin_work());
        pass(5_000).await;
        let [half, never] = [open(&connections, 1).await, open(&connections, 1).await];
        drop(half.activity().begin_work());
        half.activity().set_partial(true);
        pass(1_000).await;
        assert!(connections.evict_one(None) && connections.evict_one(None));
        assert!(is_evicted(&half) && is_evicted(&never));
        assert!(!is_evicted(&talker), "its next events would be lost");
        drop((half, never));

        let crowd = [open(&connections, 2).await, open(&connections, 2).await];
        assert!(
            !connections.evict_one(Some(crowd[0].activity().address)),
            "its address has more connections"
        );
        assert!(connections.evict_one(Some(talker.activity().address)));
        assert!(is_evicted(&talker));
    }
}

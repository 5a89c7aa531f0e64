//! Who is connected, and who leaves when somebody new finds no place: whoever has been quiet for a while, of the
//! address with the most connections first.

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

/// Who has not got on for so long is quiet, and may have to leave.
const QUIET: Duration = Duration::from_secs(1);
/// So many bytes of something that is not whole yet count as getting on. Fewer in a second keep no place.
const PROGRESS_BYTES: usize = 512;

/// The connections of one listener.
pub(crate) struct Places {
    component: Arc<str>,
    meter: Arc<Meter>,
    /// Whether clients send again what was not acknowledged.
    acknowledging: bool,
    guests: Mutex<Guests>,
    dismissed: LogLimit,
}

#[derive(Default)]
struct Guests {
    next: u64,
    present: HashMap<u64, Arc<Guest>>,
}

/// A client that is connected.
pub(crate) struct Guest {
    address: IpAddr,
    came: Instant,
    /// When a byte was heard last, in microseconds since it came.
    heard: AtomicU64,
    /// When it got on last: with something whole, or with many bytes of it. In microseconds since it came.
    got_on: AtomicU64,
    /// What has come since.
    bytes: AtomicUsize,
    /// Something whole has come.
    has_brought: AtomicBool,
    /// It has begun something that is not whole yet.
    has_begun: AtomicBool,
    /// A body of it is being read, which has a share of what all bodies may take.
    is_read: AtomicBool,
    /// What it sent that is not yet answered.
    under_way: AtomicUsize,
    leave: CancellationToken,
}

/// The place of a connection, given back when it is dropped.
pub(crate) struct Place {
    guest: Arc<Guest>,
    number: u64,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
    _descriptor: Descriptor,
}

/// Something of a client is under way: meanwhile it does not have to leave.
pub(crate) struct UnderWay(Arc<Guest>);

/// A body of a client is being read.
pub(crate) struct Reading(Arc<Guest>);

impl Places {
    pub(super) fn new(component: Arc<str>, meter: Arc<Meter>, acknowledging: bool) -> Arc<Places> {
        let (guests, dismissed) = (Mutex::default(), LogLimit::default());
        Arc::new(Places { component, meter, acknowledging, guests, dismissed })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a client a place.
    pub(super) fn give(
        self: &Arc<Self>,
        address: IpAddr,
        permit: OwnedSemaphorePermit,
        descriptor: Descriptor,
    ) -> Place {
        let guest = Arc::new(Guest::new(address));
        let mut guests = self.lock();
        let number = guests.next;
        guests.next += 1;
        guests.present.insert(number, guest.clone());
        drop(guests);
        Place { guest, number, places: self.clone(), _permit: permit, _descriptor: descriptor }
    }

    /// Asks one client to leave for a client of this address, if that is known. False if none is quiet.
    pub(super) fn dismiss_one(&self, for_one_of: Option<IpAddr>) -> bool {
        self.dismiss(for_one_of, |_anybody| true)
    }

    /// Of the addresses, the one with the most connections of which one may go; of these, first those that lose
    /// nothing that was whole; of these, the one that was not heard for longest.
    fn dismiss(&self, for_one_of: Option<IpAddr>, of: impl Fn(&Guest) -> bool) -> bool {
        let (guests, now) = (self.lock(), Instant::now());
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for guest in guests.present.values() {
            *of_address.entry(guest.address).or_default() += 1;
        }
        let count = |address: IpAddr| of_address.get(&address).copied().unwrap_or_default();
        let least = for_one_of.map_or(0, count);
        // What it sends next is lost: an address with more connections is no reason for that.
        let is_settled = |guest: &Guest| !self.acknowledging && guest.is_settled();
        let quiet = guests.present.values().filter(|guest| of(guest) && guest.is_quiet(now));
        let chosen = quiet
            .filter(|guest| !is_settled(guest) || count(guest.address) >= least)
            .max_by_key(|guest| (count(guest.address), !is_settled(guest), guest.silence(now)));
        let Some(guest) = chosen else { return false };
        guest.leave.cancel();
        self.meter.count("connections_dismissed", 1);
        if let Some(more) = self.dismissed.occurred() {
            let (component, Guest { address, .. }, silence) = (&self.component, &**guest, guest.silence(now));
            warn!(
                component = %component,
                "{address}, which has sent nothing for {silence:.1?}, is closed: others wait for a place{more}"
            );
        }
        true
    }

    fn reads_another(&self) -> bool {
        self.lock().present.values().any(|guest| guest.is_read() && !guest.leave.is_cancelled())
    }
}

impl Guest {
    fn new(address: IpAddr) -> Guest {
        Guest {
            address,
            came: Instant::now(),
            heard: AtomicU64::default(),
            got_on: AtomicU64::default(),
            bytes: AtomicUsize::default(),
            has_brought: AtomicBool::default(),
            has_begun: AtomicBool::default(),
            is_read: AtomicBool::default(),
            under_way: AtomicUsize::default(),
            leave: CancellationToken::new(),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.came.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// So many bytes have come from it.
    pub(super) fn brought(&self, bytes: usize) {
        let now = self.micros();
        self.heard.store(now, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let gets_on = bytes >= PROGRESS_BYTES;
        self.bytes.store(if gets_on { 0 } else { bytes }, Ordering::Relaxed);
        if gets_on {
            self.got_on.store(now, Ordering::Relaxed);
        }
    }

    /// Something whole has come from it, or was answered.
    fn gets_on(&self) {
        let now = self.micros();
        self.heard.store(now, Ordering::Relaxed);
        self.got_on.store(now, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether it has begun something that is not whole yet: an event, of which the rest is to come.
    pub(crate) fn has_begun(&self, begun: bool) {
        self.has_begun.store(begun, Ordering::Relaxed);
    }

    /// Something of it is under way until the value is dropped: an event, a request.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.gets_on();
        self.has_brought.store(true, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// A body of it is read until the value is dropped. It has to leave if it brings too little meanwhile.
    pub(crate) fn read(self: &Arc<Self>) -> Reading {
        self.gets_on();
        self.is_read.store(true, Ordering::Relaxed);
        Reading(self.clone())
    }

    /// Whether something of it is under way, or is being read.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_under_way() || self.is_read.load(Ordering::Relaxed)
    }

    fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether its body is being read, and waits for nothing but the client.
    fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed) && !self.is_under_way()
    }

    /// Whether it has brought something whole, and nothing since.
    fn is_settled(&self) -> bool {
        self.has_brought.load(Ordering::Relaxed) && !self.has_begun.load(Ordering::Relaxed)
    }

    /// Waits until its place is wanted for somebody else.
    pub(crate) async fn has_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// Whether it has not got on for a while. It is not quiet while something is under way, or when it leaves already.
    fn is_quiet(&self, now: Instant) -> bool {
        let got_on = self.came + Duration::from_micros(self.got_on.load(Ordering::Relaxed));
        !self.is_under_way() && !self.leave.is_cancelled() && now.saturating_duration_since(got_on) >= QUIET
    }

    /// For how long nothing has come from it.
    fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.came + Duration::from_micros(self.heard.load(Ordering::Relaxed)))
    }
}

impl Place {
    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Asks one client to leave of which a body is being read, and which is quiet. False if there is none.
    pub(crate) fn dismiss_a_body(&self) -> bool {
        self.places.dismiss(Some(self.guest.address), Guest::is_read)
    }

    /// Whether there are others of which bodies are being read: they may come to their ends, or fall silent.
    pub(crate) fn reads_another(&self) -> bool {
        self.places.reads_another()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().present.remove(&self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.gets_on();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.is_read.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::Semaphore;
    use weir_runtime::{Descriptors, Purpose};

    use super::*;

    async fn place(places: &Arc<Places>, last: u8) -> Place {
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let descriptor = Descriptors::with_limit(1_000).try_take(Purpose::Connection).unwrap();
        places.give(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), permit, descriptor)
    }

    fn places(acknowledging: bool) -> Arc<Places> {
        Places::new("web".into(), Arc::default(), acknowledging)
    }

    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_quiet_for_longest_leaves_first_and_of_the_address_with_the_most_connections() {
        let places = places(true);
        let alone = place(&places, 1).await;
        pass(1_000).await;
        let (first, second) = (place(&places, 2).await, place(&places, 2).await);
        pass(1_000).await;
        drop(first.guest().begin());
        pass(900).await;
        assert!(places.dismiss_one(None));
        assert!(second.guest().leave.is_cancelled(), "its address has more connections than the other");
        assert!(places.dismiss_one(None));
        assert!(alone.guest().leave.is_cancelled());
        assert!(!places.dismiss_one(None), "the first was heard less than a second ago");
        drop((second, alone));

        let under_way = first.guest().begin();
        pass(100_000).await;
        assert!(!places.dismiss_one(None), "something of it is under way");
        drop(under_way);
        assert!(!places.dismiss_one(None), "it was answered just now");
        pass(1_000).await;
        assert!(places.dismiss_one(None));
        assert_eq!(places.meter.counters()["connections_dismissed"], 3);
        drop(first);
        assert!(places.lock().present.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_makes_its_client_quiet_and_one_that_comes_does_not() {
        let places = places(true);
        let [silent, trickling, steady] =
            [place(&places, 1).await, place(&places, 1).await, place(&places, 1).await];
        let _read = [&silent, &trickling, &steady].map(|place| place.guest().read());
        for _ in 0..20 {
            pass(100).await;
            trickling.guest().brought(1);
            steady.guest().brought(PROGRESS_BYTES / 10 + 1);
        }
        assert!(steady.reads_another() && steady.dismiss_a_body());
        assert!(silent.guest().leave.is_cancelled(), "it has sent nothing for longest");
        assert!(steady.dismiss_a_body());
        assert!(trickling.guest().leave.is_cancelled(), "some bytes keep no place that others wait for");
        assert!(!places.dismiss_one(None), "who gets on stays");

        let complete = steady.guest().begin();
        pass(10_000).await;
        assert!(!places.dismiss_one(None) && !steady.reads_another(), "it waits for its answer");
        drop(complete);
    }

    #[tokio::test(start_paused = true)]
    async fn who_loses_nothing_leaves_first_and_nobody_loses_something_for_an_address_with_more() {
        let places = places(false);
        let talker = place(&places, 1).await;
        drop(talker.guest().begin());
        pass(5_000).await;
        let [half, never] = [place(&places, 1).await, place(&places, 1).await];
        drop(half.guest().begin());
        half.guest().has_begun(true);
        pass(1_000).await;
        assert!(places.dismiss_one(None) && places.dismiss_one(None));
        assert!(half.guest().leave.is_cancelled() && never.guest().leave.is_cancelled());
        assert!(!talker.guest().leave.is_cancelled(), "what it sends next would be lost");
        drop((half, never));

        let crowd = [place(&places, 2).await, place(&places, 2).await];
        assert!(!places.dismiss_one(Some(crowd[0].guest().address)), "its address has more connections");
        assert!(places.dismiss_one(Some(talker.guest().address)));
        assert!(talker.guest().leave.is_cancelled());
    }
}

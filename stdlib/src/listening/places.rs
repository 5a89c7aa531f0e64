//! Who is connected, and who leaves when somebody new finds no place: whoever has been quiet for a while, of the
//! address with the most connections first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_runtime::Descriptor;

/// The connections of one listener.
pub(crate) struct Places {
    /// Who has been quiet for so long may have to leave.
    quiet_after: Duration,
    guests: Mutex<Guests>,
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
    /// When something whole was heard last, in microseconds since it came.
    heard: AtomicU64,
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

impl Places {
    pub(super) fn new(quiet_after: Duration) -> Arc<Places> {
        Arc::new(Places { quiet_after, guests: Mutex::default() })
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
        let guest = Arc::new(Guest {
            address,
            came: Instant::now(),
            heard: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            leave: CancellationToken::new(),
        });
        let mut guests = self.lock();
        let number = guests.next;
        guests.next += 1;
        guests.present.insert(number, guest.clone());
        drop(guests);
        Place { guest, number, places: self.clone(), _permit: permit, _descriptor: descriptor }
    }

    /// Asks one client to leave: of the address with the most connections among which one is quiet, the one that
    /// was quiet for longest. False if none is.
    pub(super) fn dismiss_one(&self) -> bool {
        let (guests, now) = (self.lock(), Instant::now());
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for guest in guests.present.values() {
            *of_address.entry(guest.address).or_default() += 1;
        }
        let quiet = guests.present.values().filter_map(|guest| Some((guest, guest.quiet_for(now)?)));
        let dismissible = quiet.filter(|(_, quiet)| *quiet >= self.quiet_after);
        let chosen = dismissible.max_by_key(|(guest, quiet)| (of_address.get(&guest.address), *quiet));
        match chosen {
            Some((guest, _)) => {
                guest.leave.cancel();
                true
            }
            None => false,
        }
    }
}

impl Guest {
    /// Something whole has come from it: an event, a request.
    fn heard(&self) {
        let micros = self.came.elapsed().as_micros();
        self.heard.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something of it is under way until the value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.heard();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Whether something of it is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// Waits until its place is wanted for somebody else.
    pub(crate) async fn has_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// For how long nothing whole has come from it; none while something is under way or it is leaving already.
    fn quiet_for(&self, now: Instant) -> Option<Duration> {
        if self.is_busy() || self.leave.is_cancelled() {
            return None;
        }
        let heard = self.came + Duration::from_micros(self.heard.load(Ordering::Relaxed));
        Some(now.saturating_duration_since(heard))
    }
}

impl Place {
    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().present.remove(&self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.heard();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
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

    #[tokio::test(start_paused = true)]
    async fn who_is_quiet_for_longest_leaves_first_and_of_the_address_with_the_most_connections() {
        let places = Places::new(Duration::from_secs(1));
        let alone = place(&places, 1).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let (first, second) = (place(&places, 2).await, place(&places, 2).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        first.guest().heard();
        tokio::time::advance(Duration::from_millis(900)).await;
        assert!(places.dismiss_one());
        assert!(second.guest().leave.is_cancelled(), "its address has more connections than the other");
        assert!(places.dismiss_one());
        assert!(alone.guest().leave.is_cancelled());
        assert!(!places.dismiss_one(), "the first was heard less than a second ago");
        drop((second, alone));

        let under_way = first.guest().begin();
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(!places.dismiss_one(), "something of it is under way");
        drop(under_way);
        assert!(!places.dismiss_one(), "it was answered just now");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(places.dismiss_one());
        drop(first);
        assert!(places.lock().present.is_empty());
    }
}

//! The leases of one reader.
//!
//! Readers of one name share a cursor, so each event goes to one of them. But each has its own leases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fill;

/// The size of the batches that a reader has leased and not settled. Shared by the reader and its leases.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<Leases>>);

#[derive(Debug, Default)]
struct Leases {
    fill: Fill,
    /// Pressure was reported, and no lease was settled since.
    reported: bool,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fill(&self) -> Fill {
        self.lock().fill
    }

    pub(super) fn add(&self, fill: Fill) {
        self.lock().fill.add(fill);
    }

    pub(super) fn remove(&self, fill: Fill) {
        let mut leases = self.lock();
        leases.fill.subtract(fill);
        leases.reported = false;
    }

    /// Returns true if `blocking` and the reader has leases: once, until a lease is settled.
    pub(super) fn report_pressure(&self, blocking: bool) -> bool {
        let mut leases = self.lock();
        let under_pressure = blocking && leases.fill.events > 0;
        let first = under_pressure && !leases.reported;
        leases.reported |= under_pressure;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_reported_once_until_a_lease_is_settled() {
        let (in_flight, fill) = (InFlight::default(), Fill { events: 2, bytes: 40 });
        assert!(!in_flight.report_pressure(true), "there are no leases");
        in_flight.add(fill);
        in_flight.add(fill);
        assert!(!in_flight.report_pressure(false));
        assert!(in_flight.report_pressure(true));
        assert!(!in_flight.report_pressure(true), "it was just reported");
        in_flight.remove(fill);
        assert!(in_flight.report_pressure(true));
        assert_eq!(in_flight.fill(), fill);
    }
}

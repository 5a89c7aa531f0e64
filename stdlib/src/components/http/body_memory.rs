//! Bounds the memory that the bodies of all requests take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory for the bodies of all requests.
#[derive(Debug)]
pub(super) struct BodyMemory {
    bytes_max: usize,
    reserved: Arc<AtomicUsize>,
}

/// The memory that one request has reserved. Dropping the value releases it.
#[derive(Debug)]
pub(super) struct BodyReservation {
    bytes: usize,
    bytes_max: usize,
    reserved: Arc<AtomicUsize>,
}

/// The bodies of all requests take as many bytes as they may.
#[derive(Debug)]
pub(super) struct Exhausted;

impl BodyMemory {
    /// Makes a memory of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> BodyMemory {
        BodyMemory { bytes_max, reserved: Arc::default() }
    }

    /// Makes an empty reservation. It grows as bytes of the body are received: a client that only announces a long
    /// body reserves nothing.
    pub(super) fn reservation(&self) -> BodyReservation {
        BodyReservation { bytes: 0, bytes_max: self.bytes_max, reserved: self.reserved.clone() }
    }
}

impl BodyReservation {
    /// Reserves `bytes` more bytes.
    ///
    /// # Errors
    /// When all reservations together would exceed the maximum.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_reserved| Exhausted)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_together_stay_within_the_maximum_and_are_released_when_dropped() {
        let memory = BodyMemory::new(10);
        let (mut one, mut other) = (memory.reservation(), memory.reservation());
        one.grow(6).unwrap();
        other.grow(4).unwrap();
        assert!(other.grow(1).is_err());
        drop(one);
        other.grow(6).unwrap();
        assert!(other.grow(usize::MAX).is_err());
    }
}

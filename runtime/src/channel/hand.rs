//! What one reader has in its hands.
//!
//! Readers of one name share a cursor: what one of them takes, the others don't. What each has taken and not
//! acknowledged is its own, though.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fill;

/// What a reader has leased and not settled, shared with its leases.
#[derive(Debug, Clone, Default)]
pub(super) struct Hand(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    fill: Fill,
    /// Pressure was reported and nothing was returned since.
    pressed: bool,
}

impl Hand {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fill(&self) -> Fill {
        self.held().fill
    }

    pub(super) fn take(&self, fill: Fill) {
        self.held().fill.add(fill);
    }

    pub(super) fn give_back(&self, fill: Fill) {
        let mut held = self.held();
        held.fill.subtract(fill);
        held.pressed = false;
    }

    /// Says once, until something is given back, that what the reader holds stands in the way.
    pub(super) fn press(&self, in_the_way: bool) -> bool {
        let mut held = self.held();
        let pressed = in_the_way && held.fill.events > 0;
        let first = pressed && !held.pressed;
        held.pressed |= pressed;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_said_once_until_something_is_given_back() {
        let (hand, fill) = (Hand::default(), Fill { events: 2, bytes: 40 });
        assert!(!hand.press(true), "there is nothing in it");
        hand.take(fill);
        hand.take(fill);
        assert!(!hand.press(false));
        assert!(hand.press(true));
        assert!(!hand.press(true), "it was just said");
        hand.give_back(fill);
        assert!(hand.press(true));
        assert_eq!(hand.fill(), fill);
    }
}

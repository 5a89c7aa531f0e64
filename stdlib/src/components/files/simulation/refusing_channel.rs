//! A channel in memory that now and then refuses a put, so that the source fails and is run again: behind what
//! the channel was given, long before that is delivered.

use std::sync::{Arc, Mutex};

use weir_runtime::SeededRandom;
use weir_runtime::channel::{Channel, HookedChannel, ReserveError};

/// One put in so many is refused.
const REFUSED_ONE_IN: u64 = 60;

pub(super) fn refusing_channel(
    channel: Arc<dyn Channel>,
    random: Arc<Mutex<SeededRandom>>,
) -> Arc<dyn Channel> {
    let now_and_then = move || match random.lock().unwrap().one_in(REFUSED_ONE_IN) {
        true => Err(ReserveError::Closed),
        false => Ok(()),
    };
    Arc::new(HookedChannel::new(channel).before_reserve(now_and_then))
}

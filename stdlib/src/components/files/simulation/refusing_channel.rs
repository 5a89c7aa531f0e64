//! A channel in memory that sometimes refuses a put, so that the source fails and is restarted. It then continues
//! behind the events that the channel has, long before they are delivered.

use std::sync::{Arc, Mutex};

use weir_runtime::SeededRandom;
use weir_runtime::channel::{Channel, HookedChannel, ReserveError};

/// One put in this many is refused.
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

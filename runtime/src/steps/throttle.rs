//! `throttle`: lets events go on at a rate.
//!
//! The step says when the events of a batch may go on; the outlet of the source or the port of the sink waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_plan::{BODY, Value};

use super::transaction::{Pace, State, Transaction};
use super::{Applied, ApplyInTransaction};
use crate::batch::{Batch, BatchError};
use crate::expressions::{CompileError, Failures, Memo};

/// No batch takes longer, so that a time can be computed for every rate.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The step with its state.
pub(super) struct Throttle {
    rate: Rate,
    schedule: Arc<Schedule>,
}

#[derive(Debug, Clone, Copy)]
enum Rate {
    Events(f64),
    Bytes(f64),
}

/// When the next events may go on; none before the first ones.
#[derive(Default)]
struct Schedule(Mutex<Option<Instant>>);

impl Throttle {
    /// Makes the step for a rate.
    ///
    /// # Errors
    /// When the value is no rate.
    pub(super) fn compile(rate: &Value) -> Result<Throttle, CompileError> {
        let rate = match rate {
            Value::EventRate(rate) => Rate::Events(*rate),
            Value::ByteRate(rate) => Rate::Bytes(*rate),
            other => return Err(CompileError::Unsupported(format!("the rate {other}"))),
        };
        Ok(Throttle { rate, schedule: Arc::default() })
    }

    /// The time that a batch takes at the rate.
    fn duration(&self, batch: &Batch) -> Duration {
        let seconds = match self.rate {
            Rate::Events(rate) => batch.rows() as f64 / rate,
            Rate::Bytes(rate) => batch.column(BODY).map_or(0, crate::batch::Column::bytes_used) as f64 / rate,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(DURATION_MAX).min(DURATION_MAX)
    }
}

impl ApplyInTransaction for Throttle {
    fn apply(&self, batch: &Batch, _: &Memo, transaction: &mut Transaction) -> Result<Applied, BatchError> {
        let duration = self.duration(batch);
        if !duration.is_zero() {
            let begin = self.schedule.take(duration);
            transaction.slow_down(Pace { begin, duration });
            transaction.add(self.schedule.clone(), u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(Applied::rejected(batch.clone(), Failures::default(), Vec::new()))
    }

    fn with_own_state(&self) -> Box<dyn ApplyInTransaction> {
        Box::new(Throttle { rate: self.rate, schedule: Arc::default() })
    }
}

impl Schedule {
    fn with<T>(&self, change: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the next time of this duration, and returns its begin.
    fn take(&self, duration: Duration) -> Instant {
        let now = Instant::now();
        self.with(|free| {
            let begin = free.map_or(now, |free| free.max(now));
            *free = Some(begin + duration);
            begin
        })
    }
}

impl State for Schedule {
    fn commit(&self, _owner: u64) {}

    /// Gives back the time of events that have not gone on.
    fn roll_back(&self, _owner: u64, change: u64) {
        self.with(|free| *free = free.and_then(|free| free.checked_sub(Duration::from_nanos(change))));
    }
}

//! The source `generate`: makes events, for examples, tests and measurements.

mod access_log;
mod body;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{BinaryViewArray, Int64Array};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use weir_plan::Settings;
use weir_runtime::batch::{Batch, BatchError, Column, Identities, Origins, Partition};
use weir_runtime::source::{Delivered, DeliveredThrough, PutError, Source, SourcePort};
use weir_runtime::{Context, Failure, Meter};

use crate::tools::buffers::Buffers;
use body::{Bodies, Content};

/// The most bytes of a batch's bodies, approximately. A single event that is kept keeps the buffer of its batch.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// With a rate, a batch has the events of this time.
const PACE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct GenerateSettings {
    content: Content,
    count: Option<u64>,
    rate: Option<f64>,
    seed: u64,
    start: String,
    every: Duration,
    batch: usize,
}

/// Makes events from their numbers.
struct GenerateSource {
    meter: Arc<Meter>,
    schema: SchemaRef,
    partition: Partition,
    bodies: Bodies,
    /// The last event's number.
    last: u64,
    rate: Option<f64>,
    batch: usize,
    times: Times,
    buffers: Buffers,
    /// The number through which all events are delivered. The next run begins behind it.
    delivered: DeliveredThrough,
}

/// The times of events, in microseconds.
#[derive(Clone, Copy)]
struct Times {
    start: i64,
    every: i64,
}

#[derive(Debug, Error)]
enum GenerateError {
    #[error("the start `{text}` is no time")]
    Start { text: String, source: jiff::Error },
    #[error("the time between two events is too long: {every:?}")]
    Every { every: Duration },
    #[error("making a batch")]
    Batch(#[from] BatchError),
    #[error("making bodies")]
    Bodies(#[from] ArrowError),
}

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: GenerateSettings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(GenerateSource::new(settings, context).map_err(Failure::permanent)?))
}

impl GenerateSource {
    fn new(settings: GenerateSettings, context: Context) -> Result<GenerateSource, GenerateError> {
        let GenerateSettings { content, count, rate, seed, start, every, batch } = settings;
        let start = match start.parse::<Timestamp>() {
            Ok(time) => time.as_microsecond(),
            Err(source) => return Err(GenerateError::Start { text: start, source }),
        };
        let every = i64::try_from(every.as_micros()).map_err(|_| GenerateError::Every { every })?;
        Ok(GenerateSource {
            meter: context.meter,
            schema: context.schema,
            partition: Partition::new(context.component),
            bodies: Bodies::new(content, seed),
            last: count.unwrap_or(i64::MAX as u64),
            rate,
            batch,
            times: Times { start, every },
            buffers: Buffers::default(),
            delivered: DeliveredThrough::default(),
        })
    }

    /// Makes the events behind `after`: at most `rows`, or fewer if their bodies fill the buffer.
    fn make(&mut self, after: u64, rows: usize) -> Result<Batch, GenerateError> {
        let bytes = rows.saturating_mul(self.bodies.length_hint()).min(BUFFER_BYTES_MAX);
        let mut buffer = self.buffers.take(bytes);
        let mut ends = Vec::with_capacity(rows);
        let mut times = Vec::with_capacity(rows);
        while ends.len() < rows && buffer.len() < BUFFER_BYTES_MAX {
            let number = after + 1 + ends.len() as u64;
            let time = self.times.of(number);
            self.bodies.write(number, time, &mut buffer);
            ends.push(buffer.len() as u32);
            times.push(time);
        }
        let rows = ends.len();
        let through = after + rows as u64;
        let bodies = views(self.buffers.share(buffer), &ends)?;
        let named = vec![
            ("@sequence", Int64Array::from_iter_values(after as i64 + 1..=through as i64).into()),
            ("@timestamp", Column::times(times)),
            (weir_plan::BODY, bodies.into()),
        ];
        let origins = Origins::one(self.partition.clone(), after, through);
        Ok(Batch::assemble(&self.schema, named, rows, origins)?)
    }
}

impl Times {
    /// Returns the time of the event with this number. Times beyond the range of `i64` are its maximum.
    fn of(self, number: u64) -> i64 {
        let since = i64::try_from(number - 1).unwrap_or(i64::MAX).saturating_mul(self.every);
        self.start.saturating_add(since)
    }
}

/// Makes views of values that lie one after the other in a buffer and end at these indexes.
fn views(buffer: Buffer, ends: &[u32]) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = arrow_array::builder::BinaryViewBuilder::with_capacity(ends.len());
    let block = builder.append_block(buffer);
    let mut begin = 0;
    for &end in ends {
        builder.try_append_view(block, begin, end - begin)?;
        begin = end;
    }
    Ok(builder.finish())
}

#[async_trait]
impl Source for GenerateSource {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let buffers = self.buffers.clone();
        buffers.during(self.make_all(port)).await
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }
}

impl GenerateSource {
    async fn make_all(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        // Events that durable channels have are not made again, even if another process has made them.
        let mut after = self.delivered.max(delivered_of(&port.delivered)).position();
        after = after.max(port.given.through(&self.partition).map_or(0, |given| given.position()));
        let identities = port.wants_identities();
        self.meter.finish_discovery();
        let mut pace = self.rate.map(|rate| Pace::new(rate, after));
        while after < self.last && !port.stop.is_cancelled() {
            let mut rows = self.batch.min(usize::try_from(self.last - after).unwrap_or(usize::MAX));
            if let Some(pace) = &mut pace {
                rows = rows.min(pace.rows());
                tokio::select! {
                    () = pace.wait(after + rows as u64) => {}
                    () = port.stop.cancelled() => break,
                }
            }
            let mut batch = self.make(after, rows).map_err(Failure::permanent)?;
            if identities {
                let numbers = Identities::counting(self.partition.clone(), after + 1);
                batch = batch.with_identities(numbers).map_err(Failure::permanent)?;
            }
            after += batch.rows() as u64;
            tokio::select! {
                put = port.outlet.put(batch) => put.map_err(PutError::into_failure)?,
                () = port.stop.cancelled() => break,
            }
        }
        port.outlet.close();
        while let Some(delivered) = port.deliveries.next().await {
            self.delivered = self.delivered.max(delivered_of(&delivered));
        }
        Ok(())
    }
}

/// Returns how far the source's only partition is delivered.
fn delivered_of(delivered: &Delivered) -> DeliveredThrough {
    delivered.positions().map(|(_, through)| through).max().unwrap_or_default()
}

/// Limits the events to a rate, in events per second.
struct Pace {
    began: Instant,
    after: u64,
    rate: f64,
}

impl Pace {
    fn new(rate: f64, after: u64) -> Pace {
        Pace { began: Instant::now(), after, rate }
    }

    /// Returns how many events to make at once.
    fn rows(&self) -> usize {
        (self.rate * PACE.as_secs_f64()).max(1.0) as usize
    }

    /// Waits until the event with this number is due.
    async fn wait(&self, number: u64) {
        let seconds = (number - self.after) as f64 / self.rate;
        let due = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        sleep_until(self.began.checked_add(due).unwrap_or_else(|| self.began + Duration::from_secs(1 << 32)))
            .await;
    }
}

#[cfg(test)]
mod tests;

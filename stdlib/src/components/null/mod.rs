//! The sink `null`: reads events and discards them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tracing::info;
use weir_plan::Settings;
use weir_runtime::batch::Batch;
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Sink, SinkPort};
use weir_runtime::{Context, Failure, Gauge, Meter};
use xxhash_rust::xxh3::Xxh3Default;

use crate::language::types::Allowed;

#[derive(Deserialize)]
struct NullSettings {
    allow: Option<Allowed>,
}

/// Reads every byte of every body, and counts and hashes them.
struct NullSink {
    component: Arc<str>,
    meter: Arc<Meter>,
    /// Shows the present hash in the metrics.
    hash_gauge: Gauge,
    /// Whether the sink has run, so that there is something to report at the end.
    ran: bool,
    events: u64,
    bytes: u64,
    hash: Xxh3Default,
}

/// Makes the sink.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    let NullSettings { allow: None | Some(Allowed::Sensitive) } =
        settings.read().map_err(Failure::permanent)?;
    let Context { component, meter, .. } = context;
    let hash_gauge = meter.gauge("xxh3");
    Ok(Box::new(NullSink {
        component,
        meter,
        hash_gauge,
        ran: false,
        events: 0,
        bytes: 0,
        hash: Xxh3Default::new(),
    }))
}

#[async_trait]
impl Sink for NullSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        self.ran = true;
        loop {
            match port.take().await? {
                Taken::Events(delivery) => {
                    self.read(&delivery.batch);
                    delivery.acknowledgement.done();
                }
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }
}

impl NullSink {
    fn read(&mut self, batch: &Batch) {
        for body in batch.bodies().into_iter().flatten().flatten() {
            self.hash.update(body);
        }
        self.events += batch.rows() as u64;
        self.bytes += batch.payload_bytes();
        self.hash_gauge.set(self.hash.digest());
    }
}

/// Reports the number of events and bytes and their hash when the agent drops the sink, however the agent ends.
impl Drop for NullSink {
    fn drop(&mut self) {
        if !self.ran {
            return;
        }
        let (events, bytes, hash) = (self.events, self.bytes, self.hash.digest());
        info!(component = %self.component, events, bytes, "xxh3 {hash:016x}");
        self.meter.note("took", format!("{events} events, {bytes} bytes, xxh3 {hash:016x}"));
    }
}

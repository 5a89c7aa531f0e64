//! A test harness for sources: the source runs alone with a memory channel behind it, and the test is the sink.

pub(crate) mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_plan::{Settings, Value};
use weir_runtime::channel::{Channel, HookedChannel, Limits, MemoryChannel, Taken};
use weir_runtime::sink::{Delivery, SinkPort};
use weir_runtime::source::{Source, SourcePort};
use weir_runtime::{Context, Failure, Meter, SystemClock};

/// A running source, and the sink's port of the channel behind it.
pub(crate) struct SourceHarness {
    pub(crate) stop: CancellationToken,
    pub(crate) sink: SinkPort,
    pub(crate) meter: Arc<Meter>,
    pub(crate) running: JoinHandle<Result<(), Failure>>,
}

/// Makes a variant of an enum of the language.
pub(crate) fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    Value::Variant { name: name.into(), settings: values(settings) }
}

/// Makes a map of settings by name. Of two settings with one name it keeps the later.
pub(crate) fn values(settings: &[(&str, Value)]) -> BTreeMap<String, Value> {
    settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// Returns the settings with these changes.
pub(crate) fn with_changes(settings: &[(&str, Value)], changes: &[(&str, Value)]) -> Settings {
    let mut all = values(settings);
    all.extend(values(changes));
    Settings { values: all }
}

/// Makes the context of a component with this name and schema.
pub(crate) fn context(component: &str, schema: SchemaRef, meter: &Arc<Meter>) -> Context {
    Context {
        exactly_once: false,
        program: "test".into(),
        component: component.into(),
        schema,
        meter: meter.clone(),
        clock: Arc::new(SystemClock),
        descriptors: weir_runtime::Descriptors::of_process(),
    }
}

fn limits(capacity: usize, byte_capacity: u64) -> Limits {
    let keep_alive = Duration::from_secs(3);
    Limits { capacity, transaction_capacity: capacity, byte_capacity, keep_alive }
}

impl SourceHarness {
    /// Runs a source in front of a memory channel of `capacity` events. `meter` is the source's meter.
    pub(crate) fn start(source: Box<dyn Source>, meter: Arc<Meter>, capacity: usize) -> SourceHarness {
        SourceHarness::within(source, meter, capacity, 1 << 26)
    }

    /// Runs a source in front of a memory channel of `capacity` events and `byte_capacity` bytes. The channel is closed
    /// when the source has closed its outlet.
    pub(crate) fn within(
        source: Box<dyn Source>,
        meter: Arc<Meter>,
        capacity: usize,
        byte_capacity: u64,
    ) -> SourceHarness {
        SourceHarness::into(source, meter, Arc::new(MemoryChannel::new(limits(capacity, byte_capacity))))
    }

    /// Runs a source in front of a channel whose real `byte_capacity` is smaller than the source was told, as if steps
    /// in between made events larger.
    pub(crate) fn behind_widening_steps(
        source: Box<dyn Source>,
        meter: Arc<Meter>,
        byte_capacity: u64,
    ) -> SourceHarness {
        let channel = HookedChannel::new(Arc::new(MemoryChannel::new(limits(1_000, 1 << 26))));
        SourceHarness::into(source, meter, Arc::new(channel.later_within(limits(1_000, byte_capacity))))
    }

    fn into(mut source: Box<dyn Source>, meter: Arc<Meter>, channel: Arc<dyn Channel>) -> SourceHarness {
        let sink = SinkPort::reading(channel.as_ref());
        let port = SourcePort::into_channel(channel.clone());
        let (stop, closed) = (port.stop.clone(), port.closed());
        tokio::spawn(async move {
            closed.cancelled().await;
            channel.close();
        });
        let running = tokio::spawn(async move { source.run(port).await });
        SourceHarness { stop, sink, meter, running }
    }

    /// Waits until the source listens, and returns its address.
    pub(crate) async fn address(&self) -> String {
        loop {
            if let Some(address) = self.meter.notes().get("listens on") {
                return address.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the source has closed its outlet and the channel is empty.
    pub(crate) async fn drained(&mut self) {
        match self.sink.take().await.unwrap() {
            Taken::End => {}
            other => panic!("the end was expected, not {other:?}"),
        }
    }

    /// Waits for the next events.
    pub(crate) async fn take(&mut self) -> Delivery {
        match self.sink.take().await.unwrap() {
            Taken::Events(delivery) => delivery,
            other => panic!("events were expected, not {other:?}"),
        }
    }
}

//! A source on trial: it runs alone, with a memory channel behind it, and its test is the sink.

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

/// A running source and what comes of it.
pub(crate) struct Trial {
    pub(crate) stop: CancellationToken,
    pub(crate) sink: SinkPort,
    pub(crate) meter: Arc<Meter>,
    pub(crate) running: JoinHandle<Result<(), Failure>>,
}

/// A variant of an enum of the language.
pub(crate) fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    Value::Variant { name: name.into(), settings: values(settings) }
}

/// Settings by name; of two with one name the later.
pub(crate) fn values(settings: &[(&str, Value)]) -> BTreeMap<String, Value> {
    settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// Settings with some of them changed.
pub(crate) fn changed(settings: &[(&str, Value)], changes: &[(&str, Value)]) -> Settings {
    let mut all = values(settings);
    all.extend(values(changes));
    Settings { values: all }
}

/// What a component of this name and type is told.
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

impl Trial {
    /// Runs a source that counts in this meter into a channel of so many events.
    pub(crate) fn of(source: Box<dyn Source>, meter: Arc<Meter>, capacity: usize) -> Trial {
        Trial::within(source, meter, capacity, 1 << 26)
    }

    /// The same, into a channel of so many bytes. The channel is closed when the source has closed its outlet.
    pub(crate) fn within(
        source: Box<dyn Source>,
        meter: Arc<Meter>,
        capacity: usize,
        byte_capacity: u64,
    ) -> Trial {
        Trial::into(source, meter, Arc::new(MemoryChannel::new(limits(capacity, byte_capacity))))
    }

    /// The same, into a channel that turns out to take transactions of so many bytes alone, as if steps before it had
    /// made events larger.
    pub(crate) fn behind_widening_steps(
        source: Box<dyn Source>,
        meter: Arc<Meter>,
        byte_capacity: u64,
    ) -> Trial {
        let channel = HookedChannel::new(Arc::new(MemoryChannel::new(limits(1_000, 1 << 26))));
        Trial::into(source, meter, Arc::new(channel.later_within(limits(1_000, byte_capacity))))
    }

    fn into(mut source: Box<dyn Source>, meter: Arc<Meter>, channel: Arc<dyn Channel>) -> Trial {
        let sink = SinkPort::reading(channel.as_ref());
        let port = SourcePort::into_channel(channel.clone());
        let (stop, closed) = (port.stop.clone(), port.closed());
        tokio::spawn(async move {
            closed.cancelled().await;
            channel.close();
        });
        let running = tokio::spawn(async move { source.run(port).await });
        Trial { stop, sink, meter, running }
    }

    /// Where the source listens, once it does.
    pub(crate) async fn address(&self) -> String {
        loop {
            if let Some(address) = self.meter.notes().get("listens on") {
                return address.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the source has closed its outlet and nothing is left to take.
    pub(crate) async fn drained(&mut self) {
        match self.sink.take().await.unwrap() {
            Taken::End => {}
            other => panic!("the end was expected, not {other:?}"),
        }
    }

    /// The next events.
    pub(crate) async fn take(&mut self) -> Delivery {
        match self.sink.take().await.unwrap() {
            Taken::Events(delivery) => delivery,
            other => panic!("events were expected, not {other:?}"),
        }
    }
}

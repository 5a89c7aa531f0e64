//! The stage of a test: the plan with simulated sources and sinks, and with channels on simulated disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema};
use weir_compiler::{ALONE, Analysis};
use weir_plan::{EventType, LINEAGE, Order, Plan, Settings, Value};
use weir_runtime::channel::{
    Channel, Compression, FileChannel, FileChannelOptions, HookedChannel, Limits, MemoryChannel, Overflow,
    ReserveError,
};
use weir_runtime::storage::Fault;
use weir_runtime::{BlockingExecutor, Context, Failure, MakeChannel, Observer, Registry};

use crate::endpoints::{SimulatedSink, SimulatedSource};
use crate::scene::{Repeats, Scene};

/// The classes of the components of a program, by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classes(BTreeMap<String, &'static str>);

impl Classes {
    pub(crate) fn of(analysis: &Analysis) -> Classes {
        let components = analysis.graph.components.iter();
        let named = components
            .filter_map(|component| Some((component.declared.name.to_string(), component.class()?)));
        Classes(named.collect())
    }

    pub(crate) fn of_component(&self, name: &str) -> &'static str {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Returns the plan of a test: its events carry their lineage, and it has no bounds of an agent.
pub(crate) fn with_lineage(mut plan: Plan) -> Plan {
    for event_type in &mut plan.event_types {
        let lineage = Arc::new(Field::new(LINEAGE, DataType::Int64, true));
        let fields = event_type.schema.fields().iter().cloned();
        let fields: Vec<_> = std::iter::once(lineage).chain(fields).collect();
        *event_type = EventType::new(Schema::new(fields));
    }
    plan.agent = Settings::default();
    for flow in &mut plan.flows {
        // The compiler has proved the promised order and the agent does not read it; `expect order` checks an order.
        flow.order = Order::None;
    }
    plan
}

/// Returns the registry of an agent on the scene: the functions, parsers and volatile channels of `library`, simulated sources
/// and sinks, and durable channels on simulated disks.
pub(crate) fn registry(
    library: Registry,
    plan: &Plan,
    classes: &Classes,
    scene: &Arc<Scene>,
    observer: Arc<dyn Observer>,
) -> Registry {
    let mut registry = library.observer(observer);
    for source in &plan.sources {
        let scene = scene.clone();
        registry = registry.source(source.kind.clone(), move |_, context| {
            let Context { component: name, schema, .. } = context;
            Ok(Box::new(SimulatedSource { name, schema, scene: scene.clone() }))
        });
    }
    for sink in &plan.sinks {
        let scene = scene.clone();
        registry = registry.sink(sink.kind.clone(), move |_, context| {
            let Context { component: name, exactly_once, .. } = context;
            Ok(Box::new(SimulatedSink { name, exactly_once, scene: scene.clone() }))
        });
    }
    with_channels(registry, plan, classes, scene)
}

/// Adds the channels of a plan, whose calls fail as the scene says.
pub(crate) fn with_channels(
    mut registry: Registry,
    plan: &Plan,
    classes: &Classes,
    scene: &Arc<Scene>,
) -> Registry {
    let mut hooked: BTreeSet<&str> = BTreeSet::new();
    for channel in plan.channels.iter().filter(|channel| hooked.insert(&channel.kind)) {
        let make: MakeChannel = match registry.maker_of_channel(&channel.kind) {
            _ if channel.kind == ALONE => Arc::new(|_, _| Ok(Arc::new(MemoryChannel::new(LIMITS)))),
            Some(make) if classes.of_component(&channel.name) != "durable" => make,
            _ => {
                let scene = scene.clone();
                Arc::new(move |settings, context| durable(settings, context, &scene))
            }
        };
        let scene = scene.clone();
        registry = registry.channel(channel.kind.clone(), move |settings, context| {
            let name = context.component.clone();
            let (channel, scene) = (HookedChannel::new(make(settings, context)?), scene.clone());
            Ok(Arc::new(channel.before_reserve(move || match scene.channel_fails(&name) {
                true => Err(ReserveError::Closed),
                false => Ok(()),
            })))
        });
    }
    registry
}

/// Adds the sources of a plan to the scene.
pub(crate) fn populate(scene: &Scene, plan: &Plan, classes: &Classes) {
    for source in &plan.sources {
        let repeats = match classes.of_component(&source.name) {
            "fire_and_forget" => Repeats::Nothing,
            _ => Repeats::Undelivered,
        };
        scene.add_source(&source.name, repeats);
    }
    plan.sinks.iter().for_each(|sink| scene.sink(&sink.name, |_| {}));
    plan.channels.iter().for_each(|channel| scene.fail(&channel.name, 0));
}

/// The limits of a channel whose settings have none.
const LIMITS: Limits = Limits {
    capacity: 1_000_000,
    transaction_capacity: 10_000,
    byte_capacity: 64 << 20,
    keep_alive: Duration::from_secs(3),
};

/// The most bytes of a simulated channel: a simulated disk is in memory.
const BYTES_MAX: u64 = 64 << 20;

/// Makes a durable channel on the simulated disk of its name, with the limits of its settings.
fn durable(settings: &Settings, context: Context, scene: &Arc<Scene>) -> Result<Arc<dyn Channel>, Failure> {
    let Context { program, component, schema, meter, .. } = context;
    let number = |name: &str, default: usize| match settings.values.get(name) {
        Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(default),
        _ => default,
    };
    let capacity = number("capacity", LIMITS.capacity);
    let byte_capacity = match settings.values.get("byte_capacity") {
        Some(Value::Size(bytes)) => (*bytes).clamp(16 << 20, BYTES_MAX),
        _ => LIMITS.byte_capacity,
    };
    let keep_alive = match settings.values.get("keep_alive") {
        Some(Value::Duration(duration)) => *duration,
        _ => LIMITS.keep_alive,
    };
    let overflow = match settings.values.get("overflow") {
        Some(Value::Variant { name, .. }) if name == "drop_oldest" => Overflow::DropOldest,
        Some(Value::Variant { name, .. }) if name == "drop_newest" => Overflow::DropNewest,
        _ => Overflow::Wait,
    };
    let transaction_capacity = number("transaction_capacity", LIMITS.transaction_capacity).min(capacity);
    let limits = Limits { capacity, transaction_capacity, byte_capacity, keep_alive };
    let options = FileChannelOptions {
        owner: format!("{program}/{component}"),
        path: component.to_string().into(),
        component: component.clone(),
        schema,
        limits,
        overflow,
        compression: Compression::None,
        meter,
    };
    let disk = scene.disk(&component);
    let channel = FileChannel::on(options, BlockingExecutor::Inline, Box::new(move || Ok(disk.clone())));
    Ok(Arc::new(channel.map_err(Failure::permanent)?))
}

/// Fills the disk of a channel for the next call that needs space.
pub(crate) fn fill_disk(scene: &Scene, channel: &str) {
    scene.disk(channel).plan(None, 0, Fault::Full);
}

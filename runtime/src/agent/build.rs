//! Builds the components of a plan and connects them, without starting any.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_plan::{
    Action, Bytes, Component, Leg as PlannedLeg, Origin, Path, Plan, Route, Value, WorstCase, reader_name,
    shared_reader,
};

use super::exactly_once::{ExactlyOnce, progress_into};
use super::handover::hand_over;
use super::paths::{CompiledPath, compile};
use super::portions::portion_into;
use super::rejects::{self, sources_into};
use super::required::required;
use super::sink_paths::{SinkPath, for_each_sink};
use super::{Agent, BuiltChannel, BuiltSink, BuiltSource, Role, StartError};
use crate::channel::Demand;
use crate::environment::clock::Clock;
use crate::environment::descriptors::Descriptors;
use crate::environment::memory::MemoryBudget;
use crate::environment::workers::Workers;
use crate::observability::meter::Meter;
use crate::observability::metrics::{MeasuredComponent, Metrics};
use crate::registry::{Context, Make, Registry};
use crate::routing::{CompiledLeg, FlowRejects, Leg, RejectRoutes, Target};
use crate::sink::{FailoverGroup, Feed, FeedRejects, RejectedRows, SinkPort, StepsOfReader};
use crate::source::Progress;
use crate::steps::RejectEvents;

/// Builds all components.
///
/// # Errors
/// When the plan can't be built; all problems are reported at once.
pub(super) fn build(plan: &Plan, registry: &Registry, clock: Arc<dyn Clock>) -> Result<Agent, StartError> {
    let faults = plan.faults();
    if !faults.is_empty() {
        return Err(StartError { problems: faults });
    }
    let (memory, over) = budget(plan);
    let exactly_once = ExactlyOnce::of(plan);
    let required = required(plan);
    let (paths, mut problems) = compile(plan, registry, &clock);
    problems.extend(over);
    let mut builder = Builder { plan, paths, registry, clock, exactly_once, required, problems };
    let channels = builder.channels();
    if !registry.trusts_plans {
        builder.problems.extend(rejects::varying(plan));
        builder.problems.extend(rejects::exploding(plan, &channels));
        builder.problems.extend(rejects::copied_twice(plan));
        builder.problems.extend(rejects::lacking(plan, &channels));
    }
    builder.problems.extend(rejects::in_circles(plan));
    let sources = builder.sources(&channels);
    let mut sinks = builder.sinks(&channels, &sources);
    let handed = hand_over(plan, &sources, &mut sinks);
    builder.problems.extend(sources.iter().filter_map(|source| source.unsupported_promise(&handed)));
    builder.problems.extend(sinks.iter().filter_map(BuiltSink::unsupported_promise));
    match builder.problems.is_empty() {
        true => {
            let metrics = measured(plan, &sources, &channels, &sinks);
            let (workers, new_sources) = (Workers::none(), BTreeSet::new());
            Ok(Agent { metrics, sources, channels, sinks, workers, memory, new_sources })
        }
        false => Err(StartError { problems: builder.problems }),
    }
}

/// Returns the memory that the agent may use, from which all parts have drawn their worst cases, with a problem for each part that
/// does not fit.
fn budget(plan: &Plan) -> (MemoryBudget, Vec<String>) {
    let limit = |name: &str| match plan.agent.values.get(name) {
        Some(Value::Size(bytes)) => Some(*bytes),
        _ => None,
    };
    let (memory, disk) = (limit("memory"), limit("disk"));
    let budget = memory.map_or_else(MemoryBudget::default, MemoryBudget::limited);
    if memory.or(disk).is_none() {
        return (budget, Vec::new());
    }
    let Some(WorstCase { process, components }) = &plan.worst_case else {
        let problem = "the plan limits memory or disk space, and does not say what its parts may take: compile it again";
        return (budget, vec![problem.to_owned()]);
    };
    let mut problems = Vec::new();
    let (mut disk_left, none) = (disk.unwrap_or(u64::MAX), Bytes::default());
    let planned = plan.sources.iter().chain(&plan.channels).chain(&plan.sinks);
    let parts = planned.map(|component| {
        let name = component.name.as_str();
        (name, components.get(name).unwrap_or(&none))
    });
    for (name, bytes) in [("the process", process)].into_iter().chain(parts) {
        problems.extend(budget.draw(name, bytes.memory).err().map(|exceeded| exceeded.to_string()));
        match disk_left.checked_sub(bytes.disk) {
            Some(left) => disk_left = left,
            None => problems.push(format!(
                "{name} may take {} bytes on disk, but only {disk_left} of those that `agent {{ disk }}` allows are left",
                bytes.disk
            )),
        }
    }
    (budget, problems)
}

/// Returns the metrics of all components, sources first, each with the flows through it.
fn measured(
    plan: &Plan,
    sources: &[BuiltSource],
    channels: &BTreeMap<String, BuiltChannel>,
    sinks: &[BuiltSink],
) -> Metrics {
    let passes = |path: &Path, name: &str| {
        let begins = matches!(&path.from, Origin::Source(from) | Origin::Channel(from) if from == name);
        begins || leads_to(&path.leg.to, name)
    };
    let flows = |name: &str| -> Vec<String> {
        let of_it = plan.flows.iter().filter(|flow| flow.paths.iter().any(|path| passes(path, name)));
        of_it.map(|flow| flow.name.clone()).collect()
    };
    let measured =
        |role, name: &str, kind: &String, meter: &Arc<Meter>, optional, channel| MeasuredComponent {
            role,
            name: name.into(),
            kind: kind.clone(),
            flows: flows(name),
            meter: meter.clone(),
            optional,
            channel,
        };
    let sources = sources
        .iter()
        .map(|built| measured(Role::Source, &built.name, &built.kind, &built.meter, false, None));
    let channels = channels.iter().map(|(name, built)| {
        let channel = Some(built.channel.clone());
        measured(Role::Channel, name, &built.kind, &built.meter, built.optional, channel)
    });
    let sinks = sinks
        .iter()
        .map(|built| measured(Role::Sink, &built.name, &built.kind, &built.meter, built.optional, None));
    Metrics::new(plan.program.as_str().into(), sources.chain(channels).chain(sinks).collect())
}

struct Builder<'a> {
    plan: &'a Plan,
    /// The paths that this version supports.
    paths: Vec<CompiledPath>,
    registry: &'a Registry,
    clock: Arc<dyn Clock>,
    exactly_once: ExactlyOnce,
    /// The channels and sinks that are not optional.
    required: BTreeSet<String>,
    problems: Vec<String>,
}

impl Builder<'_> {
    fn schema(&self, component: &Component) -> SchemaRef {
        self.plan.event_type(component.event_type).schema.clone()
    }

    fn promises_exactly_once(&self, component: &Component) -> bool {
        let ExactlyOnce { sources, channels, sinks } = &self.exactly_once;
        [sources, channels, sinks].into_iter().any(|names| names.contains(&component.name))
    }

    fn context(&self, component: &Component) -> Context {
        Context {
            program: self.plan.program.as_str().into(),
            component: component.name.as_str().into(),
            schema: self.schema(component),
            exactly_once: self.promises_exactly_once(component),
            meter: Arc::new(Meter::default()),
            clock: self.clock.clone(),
            descriptors: Descriptors::of_process().of_component(component.name.as_str().into()),
        }
    }

    /// Makes a component; on failure it adds a problem and returns none.
    fn make<Made>(
        &mut self,
        role: &str,
        component: &Component,
        make: Option<Make<Made>>,
    ) -> Option<(Made, Arc<Meter>)> {
        let Component { name, kind, .. } = component;
        let Some(make) = make else {
            self.problems.push(format!("{role} {name}: this agent has no {role} of the kind `{kind}`"));
            return None;
        };
        let context = self.context(component);
        let meter = context.meter.clone();
        // In a plan written by hand, settings that the compiler would have refused may cause a panic.
        let made = catch_unwind(AssertUnwindSafe(|| make(&component.settings, context)));
        match made {
            Ok(Ok(made)) => return Some((made, meter)),
            Ok(Err(failure)) => self.problems.push(format!("{role} {name}: {failure}")),
            Err(_panic) => self.problems.push(format!("{role} {name}: its settings can't be worked with")),
        }
        None
    }

    fn channels(&mut self) -> BTreeMap<String, BuiltChannel> {
        let mut channels = BTreeMap::new();
        for component in &self.plan.channels {
            let make = self.registry.channels.get(component.kind.as_str()).cloned();
            if let Some((channel, meter)) = self.make("channel", component, make) {
                let schema = self.schema(component);
                let optional = !self.required.contains(&component.name);
                let (kind, portion) = (component.kind.clone(), portion_into(self.plan, &component.name));
                let built = BuiltChannel { kind, schema, channel, meter, optional, portion };
                channels.insert(component.name.clone(), built);
            }
        }
        channels
    }

    fn sources(&mut self, channels: &BTreeMap<String, BuiltChannel>) -> Vec<BuiltSource> {
        let mut sources = Vec::new();
        for component in &self.plan.sources {
            let make = self.registry.sources.get(component.kind.as_str()).cloned();
            let Some((source, meter)) = self.make("source", component, make) else { continue };
            let legs = self.legs(&component.name, channels);
            if legs.is_empty() {
                // If a path's channel could not be made, that problem has been added already.
                let from = Origin::Source(component.name.clone());
                if !self.planned_paths().any(|path| path.from == from) {
                    self.problems
                        .push(format!("source {}: no path leads from it into a channel", component.name));
                }
                continue;
            }
            let name = component.name.as_str().into();
            let legs = legs.into();
            let exactly_once = self.exactly_once.sources.contains(&component.name);
            let progress = exactly_once.then(|| Progress::through_runs(meter.clone()));
            let kind = component.kind.clone();
            let numbers_events = self.planned_paths().any(|path| numbers_events(&path.leg));
            sources.push(BuiltSource { name, kind, source, legs, meter, progress, numbers_events });
        }
        sources
    }

    fn planned_paths(&self) -> impl Iterator<Item = &Path> {
        self.plan.flows.iter().flat_map(|flow| &flow.paths)
    }

    /// The legs of a source, connected to their channels.
    fn legs(&self, source: &str, channels: &BTreeMap<String, BuiltChannel>) -> Vec<Leg> {
        let mut target = |name: &str, optional: bool| target(channels, name, optional);
        let events = self.reject_events(source);
        let paths = self.paths.iter().filter(|path| path.from == Origin::Source(source.to_string()));
        let legs = paths.filter_map(|path| {
            let rejects = self.rejects_of(&path.flow).map(|leg| FlowRejects { leg, events: &events });
            Leg::connect(&path.leg, rejects, &mut target)
        });
        legs.collect()
    }

    /// The route for the events that the steps of a flow reject, if the flow has one.
    fn rejects_of(&self, flow: &str) -> Option<&CompiledLeg> {
        let path = self.paths.iter().find(|path| path.from == Origin::Rejects(flow.to_owned()));
        path.map(|path| &path.leg)
    }

    /// Makes the events of the rejects of events from these sources.
    fn reject_events(&self, sources: &str) -> RejectEvents {
        let observer = self.registry.observer.clone();
        RejectEvents::new(sources.into(), self.clock.clone(), self.registry.events_as_json, observer)
    }

    fn sinks(
        &mut self,
        channels: &BTreeMap<String, BuiltChannel>,
        sources: &[BuiltSource],
    ) -> Vec<BuiltSink> {
        let mut feeds = self.feeds(channels, sources);
        let mut sinks = Vec::new();
        for component in &self.plan.sinks {
            let make = self.registry.sinks.get(component.kind.as_str()).cloned();
            let Some((sink, meter)) = self.make("sink", component, make) else { continue };
            let Some(Feeds { names, readers, required, feeds, .. }) = feeds.remove(&component.name) else {
                let name = component.name.as_str();
                if !self.planned_paths().any(|path| leads_to(&path.leg.to, name)) {
                    self.problems.push(format!("sink {name}: no path leads to it from a channel"));
                }
                continue;
            };
            feeds.iter().filter_map(|feed| feed.failover.as_ref()).for_each(|member| member.measure(&meter));
            let port = SinkPort::new(feeds, Some(self.schema(component)), meter.clone());
            sinks.push(BuiltSink {
                name: component.name.as_str().into(),
                kind: component.kind.clone(),
                sink,
                port,
                channels: names.join(", "),
                readers,
                required_channels: required,
                exactly_once: self.exactly_once.sinks.contains(&component.name),
                meter,
                optional: !self.required.contains(&component.name),
            });
        }
        sinks
    }

    /// The feeds of each sink: a reader for each channel that leads to it, and the steps between.
    fn feeds(
        &self,
        channels: &BTreeMap<String, BuiltChannel>,
        sources: &[BuiltSource],
    ) -> BTreeMap<String, Feeds> {
        let mut feeds: BTreeMap<String, Feeds> = BTreeMap::new();
        let mut rejected: BTreeMap<(String, String), RejectedRows> = BTreeMap::new();
        let mut states: BTreeMap<(String, String), StepsOfReader> = BTreeMap::new();
        let mut groups: BTreeMap<(String, String), Arc<FailoverGroup>> = BTreeMap::new();
        for path in &self.paths {
            let Origin::Channel(name) = &path.from else { continue };
            let Some(BuiltChannel { channel, meter, .. }) = channels.get(name) else { continue };
            for_each_sink(&path.leg, &SinkPath::default(), &mut |sink, way| {
                let SinkPath { mut steps, demand, shared } = way;
                let Feeds { names, bases, readers, required, feeds } =
                    feeds.entry(sink.to_string()).or_default();
                let base = shared.as_ref().map(|shared| shared_reader(&shared.sinks));
                let base = base.unwrap_or_else(|| sink.to_string());
                let base = (name.clone(), base, shared.as_ref().map_or(0, |shared| shared.index));
                let before = bases.iter().filter(|before| **before == base).count();
                let reader = reader_name(&base.1, before);
                bases.push(base);
                names.push(name.clone());
                if demand == Demand::Required {
                    required.insert(name.clone());
                }
                readers.push((name.clone(), reader.clone()));
                let key = (name.clone(), reader.clone());
                let rows = rejected.entry(key.clone()).or_default().clone();
                let own = states.entry(key.clone()).or_default();
                steps.of_reader(name, &reader, own);
                let failover = shared.filter(|shared| shared.is_failover).map(|shared| {
                    let group = groups.entry(key).or_insert_with(|| FailoverGroup::new(&shared.sinks));
                    group.membership(shared.index)
                });
                let rejects = self.feed_rejects(path, sink, &reader, steps.slots(), rows, channels);
                let reader = channel.reader(&reader, demand);
                let reader = match &failover {
                    Some(failover) => failover.reader(reader),
                    None => reader,
                };
                let sources = progress_into(name, sources);
                let rejects = rejects.map(Arc::new);
                let (steps, meter, slowed) = (Arc::new(steps), meter.clone(), VecDeque::new());
                feeds.push(Feed { reader, steps, rejects, failover, meter, sources, slowed });
            });
        }
        feeds
    }

    /// The rejects of the steps of one feed, which reject events in this number of slots; none if they reject none.
    fn feed_rejects(
        &self,
        path: &CompiledPath,
        sink: &str,
        reader: &str,
        slots: usize,
        rejected: RejectedRows,
        channels: &BTreeMap<String, BuiltChannel>,
    ) -> Option<FeedRejects> {
        let Origin::Channel(channel) = &path.from else { return None };
        let by_sink = rejects::takes_from_sink(self.plan, &path.flow, channel, sink).then_some(slots);
        let slots = slots + usize::from(by_sink.is_some());
        if slots == 0 {
            return None;
        }
        let events = self.reject_events(&sources_into(self.plan, channel));
        let rejects = FlowRejects { leg: self.rejects_of(&path.flow)?, events: &events };
        let mut target = |name: &str, optional: bool| target(channels, name, optional);
        let routes = RejectRoutes::connect(rejects, slots, &mut target)?;
        let flow = self.plan.flows.iter().find(|flow| flow.name == path.flow);
        let scope = flow.filter(|flow| flow.delivers.never_repeats());
        let scope = scope.map(|_| format!("{reader}@{channel}!rejects-{:016x}", path.version));
        Some(FeedRejects::new(sink, routes, scope, rejected, by_sink))
    }
}

/// Returns a channel as the end of a route.
fn target(channels: &BTreeMap<String, BuiltChannel>, name: &str, optional: bool) -> Option<Target> {
    let BuiltChannel { schema, channel, meter, portion, .. } = channels.get(name)?;
    Some(Target {
        name: name.into(),
        channel: channel.clone(),
        meter: meter.clone(),
        schema: Some(schema.clone()),
        optional,
        is_reject: false,
        knows_positions: true,
        portion: *portion,
    })
}

/// The feeds of one sink.
#[derive(Default)]
struct Feeds {
    /// The names of the channels, once for each feed.
    names: Vec<String>,
    /// The names of the channels, each with the name of the sink's reader there, without a number, and the sink's index in
    /// its fork.
    bases: Vec<(String, String, usize)>,
    /// The names of the channels, each with the name of the sink's reader there.
    readers: Vec<(String, String)>,
    /// The channels in which the sink's reader is required.
    required: BTreeSet<String>,
    feeds: Vec<Feed>,
}

/// Whether the route leads to the channel or sink of this name.
fn leads_to(route: &Route, component: &str) -> bool {
    matches!(route, Route::Channel(name) | Route::Sink(name) if name == component)
        || route.legs().into_iter().any(|leg| leads_to(&leg.to, component))
}

/// Whether a step of the leg, or of a leg behind it, needs the identities of events: a `sample` chooses events by them, and
/// after an `explode` the number of an event does not say its position.
fn numbers_events(leg: &PlannedLeg) -> bool {
    leg.steps.iter().any(|step| matches!(step.action, Action::Sample(_) | Action::Explode(_)))
        || leg.to.legs().into_iter().any(numbers_events)
}

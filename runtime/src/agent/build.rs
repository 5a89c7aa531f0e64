//! From a plan to components that are connected and not yet running.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_plan::{Component, Origin, Path, Plan, Route};

use super::exactly_once::{ExactlyOnce, progress_into};
use super::paths::{CompiledPath, compile};
use super::required::required;
use super::{Agent, BuiltChannel, BuiltSink, BuiltSource, Role, StartError};
use crate::channel::Demand;
use crate::environment::clock::Clock;
use crate::environment::descriptors::Descriptors;
use crate::environment::workers::Workers;
use crate::observability::meter::Meter;
use crate::observability::metrics::{Measured, Metrics};
use crate::registry::{Context, Make, Registry};
use crate::routing::{Compiled, Ends, Leg, Target};
use crate::sink::{Feed, SinkPort};
use crate::source::Progress;
use crate::steps::Step;

/// Builds all, or says all that is wrong.
pub(super) fn build(plan: &Plan, registry: &Registry, clock: Arc<dyn Clock>) -> Result<Agent, StartError> {
    let faults = plan.faults();
    if !faults.is_empty() {
        return Err(StartError { problems: faults });
    }
    let exactly_once = ExactlyOnce::of(plan);
    let required = required(plan);
    let (paths, problems) = compile(plan, &registry.functions);
    let mut builder = Builder { plan, paths, registry, clock, exactly_once, required, problems };
    let channels = builder.channels();
    let sources = builder.sources(&channels);
    let sinks = builder.sinks(&channels, &sources);
    builder.problems.extend(sources.iter().filter_map(BuiltSource::falls_short));
    builder.problems.extend(sinks.iter().filter_map(BuiltSink::falls_short));
    match builder.problems.is_empty() {
        true => {
            let metrics = measured(plan, &sources, &channels, &sinks);
            Ok(Agent { metrics, sources, channels, sinks, workers: Workers::none() })
        }
        false => Err(StartError { problems: builder.problems }),
    }
}

/// All components, sources first, with the flows that they are part of.
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
    let measured = |role, name: &str, kind: &String, meter: &Arc<Meter>, optional, channel| Measured {
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
    /// Those that can be carried out.
    paths: Vec<CompiledPath>,
    registry: &'a Registry,
    clock: Arc<dyn Clock>,
    exactly_once: ExactlyOnce,
    /// The channels and sinks without which the agent can't go on.
    required: BTreeSet<String>,
    problems: Vec<String>,
}

impl Builder<'_> {
    fn schema(&self, component: &Component) -> SchemaRef {
        self.plan.event_type(component.event_type).schema.clone()
    }

    fn promises_exactly_once(&self, component: &Component) -> bool {
        let ExactlyOnce { sources, sinks } = &self.exactly_once;
        sources.contains(&component.name) || sinks.contains(&component.name)
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

    /// Makes a component, or notes why that can't be done.
    fn make<Made>(
        &mut self,
        role: &str,
        component: &Component,
        make: Option<&Make<Made>>,
    ) -> Option<(Made, Arc<Meter>)> {
        let Component { name, kind, .. } = component;
        let Some(make) = make else {
            self.problems.push(format!("{role} {name}: this agent has no {role} of the kind `{kind}`"));
            return None;
        };
        let context = self.context(component);
        let meter = context.meter.clone();
        // Settings that the checker would have refused, in a plan that was written by hand, may be a panic.
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
            let make = self.registry.channels.get(component.kind.as_str());
            if let Some((channel, meter)) = self.make("channel", component, make) {
                let schema = self.schema(component);
                let optional = !self.required.contains(&component.name);
                let built = BuiltChannel { kind: component.kind.clone(), schema, channel, meter, optional };
                channels.insert(component.name.clone(), built);
            }
        }
        channels
    }

    fn sources(&mut self, channels: &BTreeMap<String, BuiltChannel>) -> Vec<BuiltSource> {
        let mut sources = Vec::new();
        for component in &self.plan.sources {
            let make = self.registry.sources.get(component.kind.as_str());
            let Some((source, meter)) = self.make("source", component, make) else { continue };
            let legs = self.legs(&component.name, channels);
            if legs.is_empty() {
                // Of a path that leads to what could not be made, that has been said.
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
            sources.push(BuiltSource { name, kind, source, legs, meter, progress });
        }
        sources
    }

    fn planned_paths(&self) -> impl Iterator<Item = &Path> {
        self.plan.flows.iter().flat_map(|flow| &flow.paths)
    }

    /// The legs that begin at a source, connected to its channels.
    fn legs(&self, source: &str, channels: &BTreeMap<String, BuiltChannel>) -> Vec<Leg> {
        let mut target = |name: &str, optional: bool| {
            let BuiltChannel { schema, channel, meter, .. } = channels.get(name)?;
            Some(Target {
                name: name.into(),
                channel: channel.clone(),
                meter: meter.clone(),
                schema: Some(schema.clone()),
                optional,
            })
        };
        let paths = self.paths.iter().filter(|path| path.from == Origin::Source(source.to_string()));
        paths.filter_map(|path| Leg::connect(&path.leg, false, &mut target)).collect()
    }

    fn sinks(
        &mut self,
        channels: &BTreeMap<String, BuiltChannel>,
        sources: &[BuiltSource],
    ) -> Vec<BuiltSink> {
        let mut feeds = self.feeds(channels, sources);
        let mut sinks = Vec::new();
        for component in &self.plan.sinks {
            let make = self.registry.sinks.get(component.kind.as_str());
            let Some((sink, meter)) = self.make("sink", component, make) else { continue };
            let Some(Feeds { names, readers, required, feeds }) = feeds.remove(&component.name) else {
                let name = component.name.as_str();
                if !self.planned_paths().any(|path| leads_to(&path.leg.to, name)) {
                    self.problems.push(format!("sink {name}: no path leads to it from a channel"));
                }
                continue;
            };
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

    /// For each sink, the channels that lead to it, each with a reader and the steps between.
    fn feeds(
        &self,
        channels: &BTreeMap<String, BuiltChannel>,
        sources: &[BuiltSource],
    ) -> BTreeMap<String, Feeds> {
        let mut feeds: BTreeMap<String, Feeds> = BTreeMap::new();
        for path in &self.paths {
            let Origin::Channel(name) = &path.from else { continue };
            let Some(BuiltChannel { channel, meter, .. }) = channels.get(name) else { continue };
            follow(&path.leg, &Way::default(), &mut |sink, Way { steps, demand, shared }| {
                let Feeds { names, readers, required, feeds } = feeds.entry(sink.to_string()).or_default();
                // A durable channel knows its readers by name; those of one name share the events out.
                let before = names.iter().filter(|before| *before == name).count();
                let reader = shared.unwrap_or_else(|| sink.to_string());
                let reader = if before == 0 { reader } else { format!("{reader}#{}", before + 1) };
                names.push(name.clone());
                if demand == Demand::Required {
                    required.insert(name.clone());
                }
                readers.push((name.clone(), reader.clone()));
                let reader = channel.reader(&reader, demand);
                let sources = progress_into(name, sources);
                feeds.push(Feed { reader, steps: steps.into(), meter: meter.clone(), sources });
            });
        }
        feeds
    }
}

/// What leads to one sink.
#[derive(Default)]
struct Feeds {
    /// The channels, as often as they lead to it.
    names: Vec<String>,
    /// Each of them with the name of the sink's reader there.
    readers: Vec<(String, String)>,
    /// Those in which it is required.
    required: BTreeSet<String>,
    feeds: Vec<Feed>,
}

/// Whether events may come to the channel or sink of this name.
fn leads_to(route: &Route, component: &str) -> bool {
    match route {
        Route::Channel(name) | Route::Sink(name) => name == component,
        Route::Copy(branches) => branches.iter().any(|branch| leads_to(&branch.leg.to, component)),
        Route::Match(cases) => cases.iter().any(|case| leads_to(&case.leg.to, component)),
        Route::Balance { legs, .. } | Route::Failover(legs) => {
            legs.iter().any(|leg| leads_to(&leg.to, component))
        }
    }
}

/// The way from a channel to a sink.
#[derive(Clone)]
struct Way {
    steps: Vec<Arc<Step>>,
    demand: Demand,
    /// The name of the reader that several sinks share, each event going to one of them.
    shared: Option<String>,
}

impl Default for Way {
    fn default() -> Way {
        Way { steps: Vec::new(), demand: Demand::Required, shared: None }
    }
}

/// Follows a leg to its sinks, with the way to each.
fn follow(leg: &Compiled, way: &Way, arrive: &mut dyn FnMut(&str, Way)) {
    let mut way = way.clone();
    way.steps.extend(leg.steps.iter().cloned());
    match &leg.to {
        Ends::Channel(_) => {}
        Ends::Sink(name) => arrive(name, way),
        Ends::Copy(branches) => {
            for (branch, optional) in branches {
                let demand = if *optional { Demand::Optional } else { way.demand };
                follow(branch, &Way { demand, ..way.clone() }, arrive);
            }
        }
        Ends::Balance(legs) => {
            let sinks = legs.iter().filter_map(|leg| match &leg.to {
                Ends::Sink(name) => Some(name.as_str()),
                _ => None,
            });
            let shared = Some(sinks.collect::<Vec<_>>().join("|"));
            for leg in legs {
                follow(leg, &Way { shared: shared.clone(), ..way.clone() }, arrive);
            }
        }
    }
}

//! Lowers an analysis to a plan. Lowering is a pure function: it checks nothing and reports nothing.

mod for_tests;
mod places;
mod unread;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::Fields;
use weir_grammar::tree::Role;
use weir_plan::{
    Action, Branch, Bytes, Case as PlannedCase, Component as PlannedComponent, EventType, EventTypeId,
    Flow as PlannedFlow, Leg as PlannedLeg, Origin, PLAN_VERSION, Path, Plan, Route,
    Settings as PlannedSettings, Step as PlannedStep, WorstCase,
};

use crate::analysis::Analysis;
use crate::analysis::graph::{Arrival, Component, Destination, Edge, Leg, Promised, Step};
use crate::analysis::resources::{Amounts, Resource};
use crate::names::scopes::ComponentIndex;
use crate::signatures::PROGRAM_NAME;
use crate::signatures::classes::Class;
use crate::spelling::label;
use crate::types::columns::Columns;
use unread::Readers;

pub use for_tests::{ALONE, ALONE_NAMES, lower_alone};
pub use places::{PathPlaces, places};

/// Returns the plan of a program; `None` if the program has errors.
pub fn lower(analysis: &Analysis) -> Option<Plan> {
    let mut plan = lower_with_unread(analysis)?;
    unread::leave_out(&mut plan, &readers(&analysis.graph.components));
    Some(plan)
}

/// Returns the plan of a program in which events have all columns, also those that nothing reads: a test may expect them.
/// `None` if the program has errors.
pub fn lower_with_unread(analysis: &Analysis) -> Option<Plan> {
    if analysis.has_errors() {
        return None;
    }
    let graph = &analysis.graph;
    let mut lowering = Lowering {
        analysis,
        event_types: EventTypes::default(),
        types: vec![None; graph.components.len()],
        behind: Vec::new(),
    };
    let paths = lowering.paths()?;
    lowering.sinks();
    let Lowering { event_types, types, .. } = lowering;
    let agent = match &analysis.agent {
        Some(agent) => {
            let mut values = agent.planned()?;
            // It is the name of the plan.
            values.remove(PROGRAM_NAME);
            if values.values().all(|value| *value == weir_plan::Value::Null) {
                values.clear();
            }
            PlannedSettings { values }
        }
        None => PlannedSettings::default(),
    };
    let mut plan = Plan {
        version: PLAN_VERSION,
        program: analysis.program.clone(),
        sources: Vec::new(),
        channels: Vec::new(),
        sinks: Vec::new(),
        event_types: event_types.all,
        functions: analysis.functions.iter().cloned().collect::<Option<Vec<_>>>()?,
        flows: Vec::new(),
        worst_case: Some(worst_case(analysis)),
        agent,
    };
    for (component, event_type) in graph.components.iter().zip(types) {
        // The plan omits components that no flow uses.
        let (Some(event_type), None) = (event_type, component.declared.rejects_of) else { continue };
        let planned = planned(component, event_type)?;
        match component.declared.role {
            Role::Source => plan.sources.push(planned),
            Role::Channel => plan.channels.push(planned),
            Role::Sink => plan.sinks.push(planned),
        }
    }
    for flow in &graph.flows {
        let Promised { delivery: delivers, order, .. } = flow.promised.clone()?;
        plan.flows.push(PlannedFlow { name: flow.name.to_string(), delivers, order, paths: Vec::new() });
    }
    for (edge, paths) in graph.edges.iter().zip(paths) {
        plan.flows.get_mut(edge.flow)?.paths.extend(paths);
    }
    Some(plan)
}

/// Returns which components do not read all columns.
fn readers(components: &[Component]) -> Readers {
    let name = |component: &Component| component.declared.name.to_string();
    let is_volatile = |component: &&Component| {
        component.signature.as_ref().is_some_and(|signature| signature.class == Class::Volatile)
    };
    Readers {
        sinks: components.iter().filter_map(|sink| Some((name(sink), sink.reads.clone()?))).collect(),
        passing: components.iter().filter(is_volatile).map(name).collect(),
    }
}

/// Returns the amounts that the proofs have derived.
fn worst_case(analysis: &Analysis) -> WorstCase {
    let resources = &analysis.proofs.resources;
    let bytes = |amounts: &Amounts| Bytes {
        memory: amounts.sum(Resource::Memory),
        disk: amounts.sum(Resource::Disk),
    };
    let components = resources.components.iter().map(|of| {
        let component = &analysis.graph.components[of.component];
        (component.declared.name.to_string(), bytes(&of.amounts))
    });
    WorstCase { process: bytes(&resources.process), components: components.collect() }
}

fn planned(component: &Component, event_type: EventTypeId) -> Option<PlannedComponent> {
    let (name, kind) = (component.declared.name.to_string(), component.kind()?.to_owned());
    let settings = PlannedSettings { values: component.settings.planned()? };
    let derived = component.settings.derived().map(|(name, from)| (name.to_owned(), from.to_owned()));
    let derived = derived.collect();
    Some(PlannedComponent { name, kind, settings, event_type, implicit: component.implicit, derived })
}

/// The distinct event types of a plan.
#[derive(Debug, Default)]
struct EventTypes {
    all: Vec<EventType>,
    by_fields: HashMap<Fields, EventTypeId>,
    /// By the address of the columns: steps that change no column share them, and the analysis keeps them.
    by_columns: HashMap<*const Columns, EventTypeId>,
}

impl EventTypes {
    fn id(&mut self, columns: &Arc<Columns>) -> EventTypeId {
        if let Some(id) = self.by_columns.get(&Arc::as_ptr(columns)) {
            return *id;
        }
        let event_type = columns.event_type();
        let next = EventTypeId(self.all.len() as u32);
        let id = *self.by_fields.entry(event_type.schema.fields().clone()).or_insert(next);
        if id == next {
            self.all.push(event_type);
        }
        self.by_columns.insert(Arc::as_ptr(columns), id);
        id
    }
}

struct Lowering<'a> {
    analysis: &'a Analysis,
    event_types: EventTypes,
    /// The event type of each component; `None` for a component that no flow uses.
    types: Vec<Option<EventTypeId>>,
    /// The paths of the current edge that begin at channels that the compiler added.
    behind: Vec<Path>,
}

impl Lowering<'_> {
    /// Returns the paths of each edge. The edges of sources come first, then the edges of channels: event types are
    /// numbered in this order.
    fn paths(&mut self) -> Option<Vec<Vec<Path>>> {
        let edges = &self.analysis.graph.edges;
        let mut paths: Vec<Vec<Path>> = edges.iter().map(|_| Vec::new()).collect();
        for role in [Role::Source, Role::Channel] {
            for (edge, paths) in edges.iter().zip(&mut paths) {
                if self.component(edge.from).declared.role == role {
                    self.path(edge, paths)?;
                }
            }
        }
        Some(paths)
    }

    fn path(&mut self, edge: &Edge, paths: &mut Vec<Path>) -> Option<()> {
        let component = self.component(edge.from);
        let columns = component.events.clone()?;
        let name = component.declared.name.to_string();
        let from = match (component.declared.rejects_of, component.declared.role) {
            (Some(flow), _) => Origin::Rejects(self.analysis.graph.flows.get(flow)?.name.to_string()),
            (None, Role::Source) => Origin::Source(name),
            _ => Origin::Channel(name),
        };
        self.types[edge.from] = Some(self.event_types.id(&columns));
        let leg = self.leg(&edge.leg)?;
        paths.push(Path { from, leg });
        paths.append(&mut self.behind);
        Some(())
    }

    fn component(&self, index: ComponentIndex) -> &Component {
        &self.analysis.graph.components[index]
    }

    fn name(&self, index: ComponentIndex) -> String {
        self.component(index).declared.name.to_string()
    }

    fn leg(&mut self, leg: &Leg) -> Option<PlannedLeg> {
        if !leg.whole {
            return None;
        }
        let steps = leg.steps.iter().map(|step| self.step(step)).collect();
        Some(PlannedLeg { steps, to: self.route(&leg.to)? })
    }

    fn legs(&mut self, legs: &[Leg]) -> Option<Vec<PlannedLeg>> {
        legs.iter().map(|leg| self.leg(leg)).collect()
    }

    fn step(&mut self, step: &Step) -> PlannedStep {
        let (action, on_failure) = (step.action.clone(), step.on_failure);
        let event_type = self.event_types.id(&step.after);
        let text = label(self.analysis.files.text(step.span));
        let label = match &action {
            // The quality is a setting of the sink.
            Action::Check { .. } if !text.starts_with("check") => format!("check {text}"),
            _ => text,
        };
        PlannedStep { label, action, on_failure, event_type }
    }

    fn route(&mut self, to: &Destination) -> Option<Route> {
        match to {
            Destination::Component(arrival) => self.arrival(arrival),
            Destination::Copy(branches) => {
                let branch =
                    |(optional, leg): &(bool, Leg)| Some(Branch { optional: *optional, leg: self.leg(leg)? });
                branches.iter().map(branch).collect::<Option<Vec<Branch>>>().map(Route::Copy)
            }
            Destination::Match(cases) => {
                let cases = cases.iter().map(|case| {
                    let leg = self.leg(&case.leg)?;
                    Some(PlannedCase { condition: case.condition.clone(), leg })
                });
                cases.collect::<Option<Vec<PlannedCase>>>().map(Route::Match)
            }
            Destination::Balance { by, legs, channel, .. } => {
                let legs = self.legs(legs)?;
                self.behind_channel(*channel, Route::Balance { by: by.clone(), legs })
            }
            Destination::Failover { legs, channel, .. } => {
                let legs = self.legs(legs)?;
                self.behind_channel(*channel, Route::Failover(legs))
            }
            Destination::End => Some(Route::End),
            Destination::Unknown => None,
        }
    }

    fn arrival(&mut self, arrival: &Arrival) -> Option<Route> {
        let name = self.name(arrival.to);
        let route = match self.component(arrival.to).declared.role {
            Role::Channel => Route::Channel(name),
            _ => Route::Sink(name),
        };
        self.behind_channel(arrival.channel, route)
    }

    /// Returns the route to the channel that the compiler added, if there is one, and adds a path from the channel to
    /// `to`.
    fn behind_channel(&mut self, channel: Option<ComponentIndex>, to: Route) -> Option<Route> {
        let Some(channel) = channel else { return Some(to) };
        let columns = self.component(channel).events.clone()?;
        self.types[channel] = Some(self.event_types.id(&columns));
        let name = self.name(channel);
        let leg = PlannedLeg { steps: Vec::new(), to };
        self.behind.push(Path { from: Origin::Channel(name.clone()), leg });
        Some(Route::Channel(name))
    }

    /// Assigns the event types of the sinks, in the order of the components.
    fn sinks(&mut self) {
        for (index, component) in self.analysis.graph.components.iter().enumerate() {
            if component.declared.role == Role::Sink
                && let Some(columns) = &component.events
            {
                self.types[index] = Some(self.event_types.id(columns));
            }
        }
    }
}

//! Edges to paths: the type of the events at each of them, and the plan that comes of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::Fields;
use weir_grammar::Span;
use weir_grammar::tree::{Block, Role, Step, StepKind};
use weir_plan::{
    Action, Branch, Component, EventType, EventTypeId, HoleFormat, Origin as From, Path, Route, Settings,
    Value,
};

use crate::columns::{Column, Columns, Origin, merge};
use crate::condition::{ConditionChecker, no_such_column};
use crate::diagnostics::{HoleNotAllowed, MalformedHole, MergeClash, Misplaced, OptionalHole, UnmetNeed};
use crate::flows::{ComponentIndex, Declared, Destination, Edge, Segment, in_words};
use crate::library::{Group, Signature};
use crate::settings::{Checker, Owner};
use crate::templates::OpenHole;
use crate::types::Type;

/// A component whose settings have been checked.
#[derive(Debug)]
pub(crate) struct CheckedComponent<'c> {
    pub(crate) declared: Declared,
    /// None if its kind is unknown, which has been reported.
    pub(crate) signature: Option<&'c Signature>,
    /// None if something about them has been reported.
    pub(crate) settings: Option<BTreeMap<String, Value>>,
    pub(crate) holes: Vec<OpenHole>,
}

/// Events that come into a component.
struct Arrival {
    columns: Arc<Columns>,
    span: Span,
}

/// Types and lowers the edges.
pub(crate) struct Lowering<'a, 'c> {
    pub(crate) checker: &'a mut Checker<'c>,
    pub(crate) components: &'a [CheckedComponent<'c>],
    event_types: Vec<EventType>,
    by_fields: HashMap<Fields, EventTypeId>,
    arrivals: Vec<Vec<Arrival>>,
    /// The components into which events come whose type is not known.
    poisoned: HashSet<ComponentIndex>,
    implicit: Vec<Component>,
    /// The paths that begin at channels that were added while an edge was lowered.
    added: Vec<Path>,
    names: HashSet<String>,
}

/// What lowering gives.
pub(crate) struct Lowered {
    /// The event type of each component that has one.
    pub(crate) component_types: Vec<Option<EventTypeId>>,
    pub(crate) event_types: Vec<EventType>,
    /// The channels that paths without one were given.
    pub(crate) implicit: Vec<Component>,
    /// The paths of each edge, in the order of the edges.
    pub(crate) paths: Vec<Vec<Path>>,
}

impl<'a, 'c> Lowering<'a, 'c> {
    pub(crate) fn new(
        checker: &'a mut Checker<'c>,
        components: &'a [CheckedComponent<'c>],
    ) -> Lowering<'a, 'c> {
        Lowering {
            checker,
            components,
            event_types: Vec::new(),
            by_fields: HashMap::new(),
            arrivals: components.iter().map(|_| Vec::new()).collect(),
            poisoned: HashSet::new(),
            implicit: Vec::new(),
            added: Vec::new(),
            names: components.iter().map(|component| component.declared.name.to_string()).collect(),
        }
    }

    /// Lowers all edges: those of sources first, so that what comes into the channels is known.
    pub(crate) fn lower(mut self, edges: &[Edge<'_>]) -> Lowered {
        let mut component_types: Vec<Option<EventTypeId>> = vec![None; self.components.len()];
        let mut paths: Vec<Vec<Path>> = edges.iter().map(|_| Vec::new()).collect();
        let mut emitted: HashMap<ComponentIndex, Option<Arc<Columns>>> = HashMap::new();
        for role in [Role::Source, Role::Channel] {
            for (edge, paths) in edges.iter().zip(&mut paths) {
                let component = &self.components[edge.from];
                if component.declared.role != role {
                    continue;
                }
                let known = emitted.get(&edge.from).cloned();
                let columns = known.unwrap_or_else(|| match role {
                    Role::Source => {
                        component.signature.map(|signature| Arc::new(emits(signature, &component.declared)))
                    }
                    _ => self.merged(edge.from),
                });
                emitted.insert(edge.from, columns.clone());
                component_types[edge.from] = columns.as_ref().map(|columns| self.event_type(columns));
                let name = component.declared.name.to_string();
                let from = if role == Role::Source { From::Source(name) } else { From::Channel(name) };
                if let Some(segment) = self.segment(&edge.segment, columns, edge.from) {
                    paths.push(Path { from, segment });
                }
                paths.append(&mut self.added);
            }
        }
        for (index, component) in self.components.iter().enumerate() {
            if component.declared.role == Role::Sink {
                component_types[index] = self.sink(index, component);
            } else {
                self.holes_without_events(component);
            }
        }
        let Lowering { event_types, implicit, .. } = self;
        Lowered { component_types, event_types, implicit, paths }
    }

    fn segment(
        &mut self,
        segment: &Segment<'_>,
        columns: Option<Arc<Columns>>,
        from: ComponentIndex,
    ) -> Option<weir_plan::Segment> {
        let mut columns = columns;
        let mut steps = Vec::new();
        let mut whole = true;
        for step in &segment.steps {
            let Some(before) = columns.take() else { break };
            match self.step(step, &before) {
                Some((step, after)) => {
                    steps.push(step);
                    columns = Some(after);
                }
                // A wrong condition changes no columns.
                None => {
                    whole = false;
                    columns = Some(before);
                }
            }
        }
        let to = match &segment.to {
            Destination::Broken => None,
            Destination::Component(index, span) => self.arrive(*index, *span, columns, from),
            Destination::Copy(branches) => {
                let branches: Vec<Option<Branch>> = branches
                    .iter()
                    .map(|(optional, segment)| {
                        let segment = self.segment(segment, columns.clone(), from)?;
                        Some(Branch { optional: *optional, segment })
                    })
                    .collect();
                branches.into_iter().collect::<Option<Vec<Branch>>>().map(Route::Copy)
            }
        };
        to.filter(|_| whole).map(|to| weir_plan::Segment { steps, to })
    }

    fn step(&mut self, step: &Step, columns: &Arc<Columns>) -> Option<(weir_plan::Step, Arc<Columns>)> {
        let StepKind::Keep(given) = &step.kind;
        let mut conditions = ConditionChecker { checker: self.checker, columns };
        let condition = conditions.condition(given, &HashSet::new())?;
        let mut after = columns.clone();
        for name in &condition.known.if_true {
            if columns.columns.get(name.as_str()).is_some_and(|column| column.optional) {
                narrow(Arc::make_mut(&mut after), name);
            }
        }
        let label = label(self.checker.files.text(step.span));
        let event_type = self.event_type(&after);
        Some((weir_plan::Step { label, action: Action::Keep(condition.expression), event_type }, after))
    }

    /// Takes note that events come into a component. A sink that a source leads to gets a channel of
    /// its own.
    fn arrive(
        &mut self,
        index: ComponentIndex,
        span: Span,
        columns: Option<Arc<Columns>>,
        from: ComponentIndex,
    ) -> Option<Route> {
        let Some(columns) = columns else {
            self.poisoned.insert(index);
            return None;
        };
        let target = &self.components[index].declared;
        let source = &self.components[from].declared;
        self.arrivals[index].push(Arrival { columns: columns.clone(), span });
        match (source.role, target.role) {
            (_, Role::Channel) => Some(Route::Channel(target.name.to_string())),
            (Role::Channel, _) => Some(Route::Sink(target.name.to_string())),
            _ => {
                let name = self.implicit_channel(source, target, span, &columns)?;
                let to = Route::Sink(target.name.to_string());
                let segment = weir_plan::Segment { steps: Vec::new(), to };
                self.added.push(Path { from: From::Channel(name.clone()), segment });
                Some(Route::Channel(name))
            }
        }
    }

    fn implicit_channel(
        &mut self,
        source: &Declared,
        sink: &Declared,
        span: Span,
        columns: &Columns,
    ) -> Option<String> {
        let library = self.checker.library;
        let kind = library.default_channel.as_deref();
        let Some(signature) = kind.and_then(|kind| library.signature(Role::Channel, kind)) else {
            let rule = "a channel must stand between a source and a sink".to_owned();
            let name = format!("{} `{}`", in_words(sink.role), sink.name);
            let misplaced = Misplaced { name, role: "a sink", rule, span, declared: Some(sink.span) };
            self.checker.diagnostics.push(misplaced.into());
            return None;
        };
        let mut name = format!("{}_to_{}", source.name, sink.name);
        let plain = name.clone();
        for number in 2.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{plain}_{number}");
        }
        let values = self.defaults(&signature.group, span)?;
        let event_type = self.event_type(columns);
        let kind = signature.name.text.to_string();
        let settings = Settings { values };
        self.implicit.push(Component { name: name.clone(), kind, settings, event_type, implicit: true });
        Some(name)
    }

    fn defaults(&mut self, group: &Group, span: Span) -> Option<BTreeMap<String, Value>> {
        let block = Block { span, entries: Vec::new(), broken: false };
        self.checker.group(group, &block, &Owner { words: "the channel of this path".to_owned(), span })
    }

    /// The type of all events that come into a component; none if it can't be known.
    fn merged(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
        let arrivals = std::mem::take(&mut self.arrivals[index]);
        if self.poisoned.contains(&index) {
            return None;
        }
        let declared = &self.components[index].declared;
        let mut arrivals = arrivals.into_iter();
        let mut merged = arrivals.next()?.columns;
        for arrival in arrivals {
            if Arc::ptr_eq(&merged, &arrival.columns) {
                continue;
            }
            let mut clashes = Vec::new();
            merged = Arc::new(merge(&merged, &arrival.columns, &mut clashes));
            for clash in clashes {
                let side = |column: &Column| {
                    (column.value_type.to_string(), column.origin.name.to_string(), column.origin.span)
                };
                let place = format!("{} `{}`", in_words(declared.role), declared.name);
                let (first, second) = (side(&clash.first), side(&clash.second));
                let column = clash.name.to_string();
                self.checker
                    .diagnostics
                    .push(MergeClash { column, place, span: arrival.span, first, second }.into());
                self.poisoned.insert(index);
            }
        }
        (!self.poisoned.contains(&index)).then_some(merged)
    }

    fn sink(&mut self, index: ComponentIndex, component: &CheckedComponent<'c>) -> Option<EventTypeId> {
        let span = self.arrivals[index].first().map_or(component.declared.span, |arrival| arrival.span);
        let columns = self.merged(index)?;
        for need in component.signature.map_or(&[][..], |signature| &signature.needs) {
            let found = columns.columns.get(&need.name);
            let met = found.map_or(need.optional, |column| {
                column.value_type == need.value_type && (need.optional || !column.optional)
            });
            if !met {
                let unmet = UnmetNeed {
                    sink: component.declared.name.to_string(),
                    column: need.name.to_string(),
                    type_name: need.value_type.named(need.optional),
                    found: found.map(|column| column.value_type.named(column.optional)),
                    span,
                    declared: need.span,
                    origins: columns.labels(),
                };
                self.checker.diagnostics.push(unmet.into());
            }
        }
        for hole in &component.holes {
            self.hole(hole, &columns);
        }
        Some(self.event_type(&columns))
    }

    fn hole(&mut self, hole: &OpenHole, columns: &Columns) {
        let Some(column) = columns.columns.get(hole.column.as_str()) else {
            let missing = no_such_column(hole.column.clone(), hole.name_span, columns);
            self.checker.diagnostics.push(missing.into());
            return;
        };
        if column.optional {
            let type_name = column.value_type.named(true);
            let (column, origin) = (hole.column.clone(), column.why_optional());
            self.checker.diagnostics.push(OptionalHole { column, type_name, span: hole.span, origin }.into());
            return;
        }
        let (reason, help) = match (&hole.format, &column.value_type) {
            (HoleFormat::Plain, Type::List(_) | Type::Bool) => ("has no form as text", "leave the hole out"),
            (HoleFormat::Plain, _)
            | (HoleFormat::Time(_), Type::Time)
            | (HoleFormat::Padded(_), Type::Int) => return,
            (HoleFormat::Time(_), _) => ("is not a Time", "only times are written with `%`"),
            (HoleFormat::Padded(_), Type::Time) => ("is a Time", "times are written as `:%Y-%m-%d`"),
            (HoleFormat::Padded(_), _) => ("is not an Int", "only whole numbers are padded"),
        };
        let reason = format!("this format does not fit `{}`: it {reason}", hole.column);
        let span = hole.format_span.unwrap_or(hole.span);
        let declared = Some((format!("it is {}", column.value_type), column.declared));
        let help = help.to_owned();
        self.checker.diagnostics.push(MalformedHole { reason, span, column: declared, help }.into());
    }

    fn holes_without_events(&mut self, component: &CheckedComponent<'c>) {
        for hole in &component.holes {
            let expected =
                format!("setting of {} `{}`", in_words(component.declared.role), component.declared.name);
            self.checker.diagnostics.push(HoleNotAllowed { span: hole.span, expected }.into());
        }
    }

    fn event_type(&mut self, columns: &Columns) -> EventTypeId {
        let event_type = columns.event_type();
        let next = EventTypeId(self.event_types.len() as u32);
        let id = *self.by_fields.entry(event_type.schema.fields().clone()).or_insert(next);
        if id == next {
            self.event_types.push(event_type);
        }
        id
    }
}

fn narrow(columns: &mut Columns, name: &str) {
    if let Some(column) = columns.columns.get_mut(name) {
        column.optional = false;
        column.lacking = None;
    }
}

fn emits(signature: &Signature, declared: &Declared) -> Columns {
    let origin = Origin { name: declared.name.clone(), span: declared.span };
    let columns = signature.emits.iter().map(|column| {
        let read = Column {
            value_type: column.value_type.clone(),
            optional: column.optional,
            origin: origin.clone(),
            declared: column.span,
            lacking: None,
        };
        (column.name.clone(), read)
    });
    Columns { columns: columns.collect(), origins: vec![origin.clone()] }
}

/// A step's text on one line, not too long for a report.
fn label(text: &str) -> String {
    const LETTERS_MAX: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

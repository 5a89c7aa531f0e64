//! A plan as boxes and lines between them, for languages that draw graphs.

use crate::{Action, Component, Leg, OnFailure, Origin, Plan, Route, Step};

/// Boxes and lines. Boxes are meant by their places.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) boxes: Vec<Shape>,
    pub(super) lines: Vec<Line>,
    /// What the flows are called: the boxes of one belong together.
    pub(super) flows: Vec<String>,
}

/// A box.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The lines that stand in it.
    pub(super) label: Vec<String>,
    /// The flow that it is a part of; components may be part of several.
    pub(super) flow: Option<usize>,
    /// Whether the compiler put it there.
    pub(super) implicit: bool,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Channel,
    Sink,
    /// Steps that follow each other.
    Steps,
    /// Where ways part.
    Choice,
    /// Where the rejected events of a flow come together.
    Rejects,
}

/// A line between two boxes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Option<String>,
    pub(super) style: Style,
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Events go there.
    Plain,
    /// They may fail to get there.
    Optional,
    /// Those that are rejected go there.
    Rejected,
}

/// The network of a plan.
pub(super) fn network(plan: &Plan) -> Network {
    let mut builder = Builder { plan, network: Network::default(), flow: 0, rejects: None };
    let groups = [(Kind::Source, &plan.sources), (Kind::Channel, &plan.channels), (Kind::Sink, &plan.sinks)];
    for (kind, components) in groups {
        components.iter().for_each(|component| builder.component(kind, component));
    }
    for (index, flow) in plan.flows.iter().enumerate() {
        builder.network.flows.push(format!("flow {} delivers {}", flow.name, flow.delivers));
        builder.flow = index;
        let rejected = flow.paths.iter().any(|path| matches!(path.from, Origin::Rejects(_)));
        builder.rejects = rejected.then(|| builder.shape(Kind::Rejects, vec!["rejects".to_owned()]));
        for path in &flow.paths {
            let from = match &path.from {
                Origin::Source(name) => builder.named(&plan.sources, 0, name),
                Origin::Channel(name) => builder.named(&plan.channels, plan.sources.len(), name),
                Origin::Rejects(_) => builder.rejects,
            };
            if let Some(from) = from {
                builder.leg(Way { from, label: None, style: Style::Plain }, &path.leg);
            }
        }
    }
    builder.network
}

struct Builder<'p> {
    plan: &'p Plan,
    network: Network,
    flow: usize,
    rejects: Option<usize>,
}

/// The beginning of a line whose end is not known yet.
struct Way {
    from: usize,
    label: Option<String>,
    style: Style,
}

impl Builder<'_> {
    fn component(&mut self, kind: Kind, component: &Component) {
        let Component { name, kind: of, implicit, .. } = component;
        let added = if *implicit { ", added by the compiler" } else { "" };
        let label = vec![name.clone(), format!("{of}{added}")];
        self.network.boxes.push(Shape { kind, label, flow: None, implicit: *implicit });
    }

    fn shape(&mut self, kind: Kind, label: Vec<String>) -> usize {
        self.network.boxes.push(Shape { kind, label, flow: Some(self.flow), implicit: false });
        self.network.boxes.len() - 1
    }

    /// The box of a component: those of one role stand together, from a place on.
    fn named(&self, components: &[Component], start: usize, name: &str) -> Option<usize> {
        components.iter().position(|component| component.name == name).map(|place| start + place)
    }

    fn line(&mut self, way: Way, to: usize) {
        let Way { from, label, style } = way;
        self.network.lines.push(Line { from, to, label, style });
    }

    fn leg(&mut self, way: Way, leg: &Leg) {
        let way = if leg.steps.is_empty() { way } else { self.steps(way, &leg.steps) };
        let (sources, channels) = (self.plan.sources.len(), self.plan.channels.len());
        match &leg.to {
            Route::Channel(name) => {
                if let Some(to) = self.named(&self.plan.channels, sources, name) {
                    self.line(way, to);
                }
            }
            Route::Sink(name) => {
                if let Some(to) = self.named(&self.plan.sinks, sources + channels, name) {
                    self.line(way, to);
                }
            }
            Route::Copy(branches) => {
                let from = self.choice(way, "copy".to_owned());
                for branch in branches {
                    let (label, style) = match branch.optional {
                        true => (Some("optional".to_owned()), Style::Optional),
                        false => (None, Style::Plain),
                    };
                    self.leg(Way { from, label, style }, &branch.leg);
                }
            }
            Route::Match(cases) => {
                let from = self.choice(way, "match".to_owned());
                for case in cases {
                    let condition = case.condition.as_ref();
                    let label = condition.map_or("_".to_owned(), |asked| self.plan.condition_label(asked));
                    self.leg(Way { from, label: Some(label), style: Style::Plain }, &case.leg);
                }
            }
            Route::Balance { by, legs } => {
                let by =
                    by.as_ref().map_or(String::new(), |by| format!(" by {}", self.plan.condition_label(by)));
                let from = self.choice(way, format!("balance{by}"));
                for leg in legs {
                    self.leg(Way { from, label: None, style: Style::Plain }, leg);
                }
            }
            Route::Failover(legs) => {
                let from = self.choice(way, "failover".to_owned());
                for (place, leg) in legs.iter().enumerate() {
                    let label = Some((place + 1).to_string());
                    self.leg(Way { from, label, style: Style::Plain }, leg);
                }
            }
        }
    }

    fn choice(&mut self, way: Way, label: String) -> usize {
        let choice = self.shape(Kind::Choice, vec![label]);
        self.line(way, choice);
        choice
    }

    fn steps(&mut self, way: Way, steps: &[Step]) -> Way {
        let label = steps.iter().map(|step| self.plan.step_label(step)).collect();
        let from = self.shape(Kind::Steps, label);
        self.line(way, from);
        if let (Some(to), true) = (self.rejects, steps.iter().any(rejects)) {
            self.line(Way { from, label: None, style: Style::Rejected }, to);
        }
        Way { from, label: None, style: Style::Plain }
    }
}

/// Whether a step may reject events.
pub(super) fn rejects(step: &Step) -> bool {
    step.on_failure == Some(OnFailure::Reject)
        || matches!(step.action, Action::Reject { .. } | Action::Check { .. })
}

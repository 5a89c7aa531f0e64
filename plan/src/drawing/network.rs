//! Converts a plan to boxes and lines, for graph languages.

use crate::{Action, Component, Leg, OnFailure, Origin, Plan, Route, Step};

/// Boxes and lines. Lines refer to boxes by index.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) boxes: Vec<Shape>,
    pub(super) lines: Vec<Line>,
    /// The titles of the flows; the boxes of a flow are drawn together.
    pub(super) flows: Vec<String>,
}

/// A box.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The lines of text in the box.
    pub(super) label: Vec<String>,
    /// The index of the box's flow; `None` for components, which may be part of several flows.
    pub(super) flow: Option<usize>,
    /// Whether the compiler has added the component.
    pub(super) implicit: bool,
}

/// The kind of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Channel,
    Sink,
    /// Consecutive steps.
    Steps,
    /// A fork into several legs.
    Choice,
    /// The rejected events of a flow.
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

/// The style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A normal line.
    Plain,
    /// A line of an optional branch.
    Optional,
    /// A line of rejected events.
    Rejected,
}

/// Builds the network of a plan.
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
                builder.leg(OpenLine { from, label: None, style: Style::Plain }, &path.leg);
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

/// A line whose end is not known yet.
struct OpenLine {
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

    /// Returns the box of a component. The boxes of one role are consecutive, from `start` on.
    fn named(&self, components: &[Component], start: usize, name: &str) -> Option<usize> {
        components.iter().position(|component| component.name == name).map(|place| start + place)
    }

    fn line(&mut self, open: OpenLine, to: usize) {
        let OpenLine { from, label, style } = open;
        self.network.lines.push(Line { from, to, label, style });
    }

    fn leg(&mut self, open: OpenLine, leg: &Leg) {
        let open = if leg.steps.is_empty() { open } else { self.steps(open, &leg.steps) };
        let (sources, channels) = (self.plan.sources.len(), self.plan.channels.len());
        match &leg.to {
            Route::Channel(name) => {
                if let Some(to) = self.named(&self.plan.channels, sources, name) {
                    self.line(open, to);
                }
            }
            Route::Sink(name) => {
                if let Some(to) = self.named(&self.plan.sinks, sources + channels, name) {
                    self.line(open, to);
                }
            }
            Route::End => {}
            Route::Copy(branches) => {
                let from = self.choice(open, "copy".to_owned());
                for branch in branches {
                    let (label, style) = match branch.optional {
                        true => (Some("optional".to_owned()), Style::Optional),
                        false => (None, Style::Plain),
                    };
                    self.leg(OpenLine { from, label, style }, &branch.leg);
                }
            }
            Route::Match(cases) => {
                let from = self.choice(open, "match".to_owned());
                for case in cases {
                    let condition = case.condition.as_ref();
                    let label = condition.map_or("_".to_owned(), |asked| self.plan.condition_label(asked));
                    self.leg(OpenLine { from, label: Some(label), style: Style::Plain }, &case.leg);
                }
            }
            Route::Balance { by, legs } => {
                let by =
                    by.as_ref().map_or(String::new(), |by| format!(" by {}", self.plan.condition_label(by)));
                let from = self.choice(open, format!("balance{by}"));
                for leg in legs {
                    self.leg(OpenLine { from, label: None, style: Style::Plain }, leg);
                }
            }
            Route::Failover(legs) => {
                let from = self.choice(open, "failover".to_owned());
                for (place, leg) in legs.iter().enumerate() {
                    let label = Some((place + 1).to_string());
                    self.leg(OpenLine { from, label, style: Style::Plain }, leg);
                }
            }
        }
    }

    fn choice(&mut self, open: OpenLine, label: String) -> usize {
        let choice = self.shape(Kind::Choice, vec![label]);
        self.line(open, choice);
        choice
    }

    fn steps(&mut self, open: OpenLine, steps: &[Step]) -> OpenLine {
        let label = steps.iter().map(|step| self.plan.step_label(step)).collect();
        let from = self.shape(Kind::Steps, label);
        self.line(open, from);
        if let (Some(to), true) = (self.rejects, steps.iter().any(rejects)) {
            self.line(OpenLine { from, label: None, style: Style::Rejected }, to);
        }
        OpenLine { from, label: None, style: Style::Plain }
    }
}

/// Returns whether a step may reject events.
pub(super) fn rejects(step: &Step) -> bool {
    step.on_failure == Some(OnFailure::Reject)
        || matches!(step.action, Action::Reject { .. } | Action::Check { .. })
}

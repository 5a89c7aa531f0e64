//! The graph of a program for editors: nodes and edges, each with its places in the text.
//!
//! The graph follows the text, so it is drawn for a program with errors too. Unknown names are nodes of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use weir_grammar::Span;
use weir_grammar::tree::{Chain, Failure, Flow, ItemKind, Path, Role, Stage, StepKind};

use super::{JsonPlace, place};
use crate::analysis::{Analysis, Arrival, ComponentIndex, Destination, Leg, UseId};

/// The version of the format, which grows with incompatible changes.
const VERSION: u32 = 1;

/// Renders the graph of a program as JSON: `nodes`, and `edges` that refer to nodes by their index.
pub fn graph(analysis: &Analysis) -> String {
    // Text and numbers always have a JSON form.
    serde_json::to_string_pretty(&Builder::new(analysis).graph()).unwrap_or_default() + "\n"
}

#[derive(Debug, Default, Serialize)]
struct Graph<'a> {
    version: u32,
    program: &'a str,
    /// Whether the program has errors, so that parts may be missing.
    errors: bool,
    flows: Vec<DrawnFlow<'a>>,
    nodes: Vec<Node<'a>>,
    edges: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct DrawnFlow<'a> {
    name: &'a str,
    /// The promises as written; empty without `delivers`.
    delivers: String,
    place: JsonPlace<'a>,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    kind: Kind,
    /// The name of a component, or the word of a fork with its key.
    name: String,
    /// The kind of a component, such as `kafka`.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    /// Whether the compiler has added the component.
    added: bool,
    /// The index of the flow; a component has none, since it may be part of several flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<usize>,
    /// The declaration of a component, or the text of another node. A component that the compiler has added has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<JsonPlace<'a>>,
    /// The places of a component in flows.
    uses: Vec<JsonPlace<'a>>,
    steps: Vec<DrawnStep<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Source,
    Channel,
    Sink,
    /// Consecutive steps.
    Steps,
    Copy,
    Match,
    Balance,
    Failover,
    /// The rejected events of a flow.
    Rejects,
    /// A name that is not known.
    Unknown,
}

#[derive(Debug, Serialize)]
struct DrawnStep<'a> {
    text: String,
    place: JsonPlace<'a>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    from: usize,
    to: usize,
    kind: LineKind,
    /// The condition of a case, or the rank of a branch of a `failover`.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The place of the condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<JsonPlace<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum LineKind {
    Plain,
    Optional,
    Rejected,
}

/// A line whose end is not known yet.
struct OpenLine<'a> {
    from: usize,
    kind: LineKind,
    label: Option<String>,
    place: Option<JsonPlace<'a>>,
}

impl OpenLine<'_> {
    fn plain(from: usize) -> Self {
        OpenLine { from, kind: LineKind::Plain, label: None, place: None }
    }
}

struct Builder<'a> {
    analysis: &'a Analysis,
    graph: Graph<'a>,
    /// The nodes of components.
    components: BTreeMap<ComponentIndex, usize>,
    /// The channels that the compiler has added: before an arrival, by its place, or before a fork, by the place of its word.
    channels: BTreeMap<(u32, u32), ComponentIndex>,
    /// The places of steps of flows that reject events.
    rejecting: BTreeSet<Span>,
    /// The current flow.
    flow: usize,
    /// The node of the rejected events of the current flow.
    rejects: Option<usize>,
}

impl<'a> Builder<'a> {
    fn new(analysis: &'a Analysis) -> Builder<'a> {
        let mut builder = Builder {
            analysis,
            graph: Graph::default(),
            components: BTreeMap::new(),
            channels: BTreeMap::new(),
            rejecting: BTreeSet::new(),
            flow: 0,
            rejects: None,
        };
        analysis.graph.edges.iter().for_each(|edge| builder.note(&edge.leg));
        builder
    }

    /// Notes the added channels and the rejecting steps of a leg.
    fn note(&mut self, leg: &'a Leg) {
        for step in leg.steps.iter().filter(|step| step.rejects()) {
            self.rejecting.insert(self.written_at(step.span, step.used));
        }
        let added = match &leg.to {
            Destination::Component(Arrival { span, channel, .. }) => channel.map(|channel| (*span, channel)),
            Destination::Balance { word, channel, .. } | Destination::Failover { word, channel, .. } => {
                channel.map(|channel| (*word, channel))
            }
            _ => None,
        };
        self.channels.extend(added.map(|(span, channel)| ((span.file.0, span.start), channel)));
        leg.to.legs().into_iter().for_each(|leg| self.note(leg));
    }

    /// Returns the place of a step in its flow: for a step of an interceptor, the place of the outermost use.
    fn written_at(&self, span: Span, used: UseId) -> Span {
        let (mut span, mut used) = (span, used);
        while let Some(of) = self.analysis.use_of(used) {
            (span, used) = (of.at, of.within);
        }
        span
    }

    fn graph(mut self) -> Graph<'a> {
        let components = self.analysis.graph.components.iter().enumerate();
        let own = components
            .filter(|(_, one)| one.declared.own && !one.implicit && one.declared.rejects_of.is_none());
        own.for_each(|(index, _)| {
            self.component(index);
        });
        let items = self.analysis.modules.first().map_or(&[][..], |module| &module.tree.items);
        for item in items {
            if let ItemKind::Flow(flow) = &item.kind {
                self.draw_flow(flow, item.span);
            }
        }
        self.graph.version = VERSION;
        self.graph.program = &self.analysis.program;
        self.graph.errors = self.analysis.has_errors();
        self.graph
    }

    fn place(&self, span: Span) -> JsonPlace<'a> {
        place(span, &self.analysis.files)
    }

    /// Returns the text of a place on one line.
    fn text(&self, span: Span) -> String {
        self.analysis.files.text(span).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn draw_flow(&mut self, flow: &'a Flow, span: Span) {
        self.flow = self.graph.flows.len();
        self.rejects = None;
        let promises: Vec<String> = flow.promises.iter().map(|promise| self.text(promise.span)).collect();
        let place = self.place(span);
        self.graph.flows.push(DrawnFlow { name: &flow.name.text, delivers: promises.join(", "), place });
        let begins_with_rejects = |chain: &&Chain| matches!(chain.stages.first(), Some(Stage::Name(path)) if &*path.name.text == "rejects");
        if let Some(Stage::Name(path)) =
            flow.chains.iter().find(begins_with_rejects).and_then(|chain| chain.stages.first())
            && self.resolved(path).is_none()
        {
            self.rejects = Some(self.node(Kind::Rejects, "rejects".to_owned(), path.span()));
        }
        flow.chains.iter().for_each(|chain| self.chain(chain, None));
    }

    fn node(&mut self, kind: Kind, name: String, span: Span) -> usize {
        let place = Some(self.place(span));
        let flow = Some(self.flow);
        self.graph.nodes.push(Node {
            kind,
            name,
            of: None,
            added: false,
            flow,
            place,
            uses: Vec::new(),
            steps: Vec::new(),
        });
        self.graph.nodes.len() - 1
    }

    /// Returns the node of a component, and adds it when it is asked for first.
    fn component(&mut self, index: ComponentIndex) -> usize {
        if let Some(node) = self.components.get(&index) {
            return *node;
        }
        let one = &self.analysis.graph.components[index];
        let kind = match one.declared.role {
            Role::Source => Kind::Source,
            Role::Channel => Kind::Channel,
            Role::Sink => Kind::Sink,
        };
        let declared = self.analysis.definition(one.declared.span);
        let whole = declared.map_or(one.declared.span, |definition| definition.whole);
        let node = self.node(kind, one.declared.name.to_string(), whole);
        let drawn = &mut self.graph.nodes[node];
        drawn.of = one.kind().map(str::to_owned);
        drawn.added = one.implicit;
        drawn.flow = None;
        if one.implicit {
            drawn.place = None;
        }
        self.components.insert(index, node);
        node
    }

    /// Returns the component that a path names; `None` for an unknown name.
    fn resolved(&self, path: &Path) -> Option<ComponentIndex> {
        let name = path.name.span;
        let definitions = self.analysis.definitions_at(name.file, name.start);
        let components = &self.analysis.graph.components;
        definitions.iter().find_map(|definition| {
            components.iter().position(|one| !one.implicit && one.declared.span == definition.span)
        })
    }

    fn line(&mut self, open: OpenLine<'a>, to: usize) {
        let OpenLine { from, kind, label, place } = open;
        self.graph.edges.push(Line { from, to, kind, label, place });
    }

    /// Ends an open line at a node, with the channel between that the compiler has added.
    fn arrive(&mut self, open: Option<OpenLine<'a>>, to: usize, span: Span) {
        let Some(open) = open else { return };
        let channel = self.channels.get(&(span.file.0, span.start)).copied();
        match channel {
            Some(channel) => {
                let between = self.component(channel);
                self.line(open, between);
                self.line(OpenLine::plain(between), to);
            }
            None => self.line(open, to),
        }
    }

    fn chain(&mut self, chain: &'a Chain, mut open: Option<OpenLine<'a>>) {
        let mut stages = chain.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            let node = match stage {
                Stage::Step(_) | Stage::Name(_) if self.is_step(stage) => {
                    let mut steps = vec![stage];
                    while let Some(next) = stages.next_if(|next| self.is_step(next)) {
                        steps.push(next);
                    }
                    self.steps(&steps)
                }
                Stage::Step(_) => self.steps(&[stage]),
                Stage::Name(path) => self.named(path),
                Stage::Copy(copy) => self.node(Kind::Copy, "copy".to_owned(), copy.span),
                Stage::Choice(choice) => self.node(Kind::Match, "match".to_owned(), choice.span),
                Stage::Balance(balance) => {
                    let by = balance.by.as_ref().map(|by| format!(" by {}", self.text(by.span)));
                    self.node(Kind::Balance, format!("balance{}", by.unwrap_or_default()), balance.span)
                }
                Stage::Failover(failover) => self.node(Kind::Failover, "failover".to_owned(), failover.span),
            };
            self.arrive(open.take(), node, stage.span());
            self.branches(stage, node);
            open = Some(OpenLine::plain(node));
        }
    }

    /// Returns whether a stage is a step: also the `drop` or `reject` that ends a chain.
    fn is_step(&self, stage: &Stage) -> bool {
        match stage {
            Stage::Step(_) => true,
            Stage::Name(path) => {
                let is_end = path.qualifier.is_none() && matches!(&*path.name.text, "drop" | "reject");
                is_end && self.resolved(path).is_none()
            }
            _ => false,
        }
    }

    /// Returns the node of a name in a chain.
    fn named(&mut self, path: &'a Path) -> usize {
        let span = path.span();
        if let Some(index) = self.resolved(path) {
            let node = self.component(index);
            let place = self.place(span);
            self.graph.nodes[node].uses.push(place);
            return node;
        }
        let text = self.text(span);
        match (text.as_str(), self.rejects) {
            ("rejects", Some(rejects)) => rejects,
            _ => self.node(Kind::Unknown, text, span),
        }
    }

    /// Returns a node of consecutive steps, of which there is at least one.
    fn steps(&mut self, stages: &[&Stage]) -> usize {
        let spans: Vec<Span> = stages.iter().map(|stage| stage.span()).collect();
        let node = self.node(Kind::Steps, "steps".to_owned(), spans[0].to(spans[spans.len() - 1]));
        let drawn = spans.iter().map(|span| DrawnStep { text: self.text(*span), place: self.place(*span) });
        self.graph.nodes[node].steps = drawn.collect();
        if let Some(rejects) = self.rejects
            && stages.iter().any(|stage| self.rejects_events(stage))
        {
            self.line(OpenLine { kind: LineKind::Rejected, ..OpenLine::plain(node) }, rejects);
        }
        node
    }

    /// Returns whether a step rejects events, by its text or by the steps of its interceptor.
    fn rejects_events(&self, stage: &Stage) -> bool {
        let by_text = match stage {
            Stage::Step(step) => {
                let handled = step.handler.as_ref().is_some_and(|handler| handler.failure == Failure::Reject);
                handled
                    || matches!(step.kind, StepKind::Reject(..) | StepKind::RejectAll(_) | StepKind::Check(_))
            }
            Stage::Name(path) => &*path.name.text == "reject",
            _ => false,
        };
        by_text || self.rejecting.contains(&stage.span())
    }

    /// Draws the branches of a fork.
    fn branches(&mut self, stage: &'a Stage, from: usize) {
        match stage {
            Stage::Name(_) | Stage::Step(_) => {}
            Stage::Copy(copy) => {
                for branch in &copy.branches {
                    let kind = if branch.optional { LineKind::Optional } else { LineKind::Plain };
                    let label = branch.optional.then(|| "optional".to_owned());
                    self.chain(&branch.chain, Some(OpenLine { kind, label, ..OpenLine::plain(from) }));
                }
            }
            Stage::Choice(choice) => {
                for case in &choice.cases {
                    let span = case.condition.span;
                    let (label, place) = (Some(self.text(span)), Some(self.place(span)));
                    self.chain(&case.chain, Some(OpenLine { label, place, ..OpenLine::plain(from) }));
                }
            }
            Stage::Balance(balance) => {
                balance.chains.iter().for_each(|chain| self.chain(chain, Some(OpenLine::plain(from))));
            }
            Stage::Failover(failover) => {
                for (rank, chain) in failover.chains.iter().enumerate() {
                    let label = Some((rank + 1).to_string());
                    self.chain(chain, Some(OpenLine { label, ..OpenLine::plain(from) }));
                }
            }
        }
    }
}

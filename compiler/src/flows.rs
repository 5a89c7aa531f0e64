//! Chains to edges: what each arrow connects, and whether it may.
//!
//! An edge begins at a source or a channel, passes steps, and ends at channels or sinks.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Branch, Chain, Copy, Flow, Name, Role, Stage, Step};

use crate::diagnostics::{AfterCopy, DeadEnd, Diagnostic, EmptyFlow, Misplaced, UnknownName};
use crate::names::nearest;
use crate::promises;

/// The place of a component in the program's list of components.
pub(crate) type ComponentIndex = usize;

/// What the flows need to know about a component.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) span: Span,
}

/// The way of events from a source or a channel to the next channels or sinks.
#[derive(Debug)]
pub(crate) struct Edge<'t> {
    pub(crate) flow: usize,
    pub(crate) from: ComponentIndex,
    pub(crate) from_span: Span,
    pub(crate) segment: Segment<'t>,
}

/// Steps and where they lead.
#[derive(Debug)]
pub(crate) struct Segment<'t> {
    pub(crate) steps: Vec<&'t Step>,
    pub(crate) to: Destination<'t>,
}

/// Where a segment leads.
#[derive(Debug)]
pub(crate) enum Destination<'t> {
    /// To a channel or a sink.
    Component(ComponentIndex, Span),
    /// To several places.
    Copy(Vec<(bool, Segment<'t>)>),
    /// To something about which everything has been said.
    Broken,
}

/// Reads the chains of all flows.
#[derive(Debug)]
pub(crate) struct FlowReader<'c, 't> {
    pub(crate) components: &'c [Declared],
    pub(crate) by_name: &'c HashMap<&'t str, Option<ComponentIndex>>,
    pub(crate) edges: Vec<Edge<'t>>,
    /// Where each component is mentioned first.
    pub(crate) mentions: HashMap<ComponentIndex, Span>,
    /// Whether there are parts that could not be read, so that what is missing may be in them.
    pub(crate) broken: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What a name in a chain turned out to be.
enum Resolved {
    Component(ComponentIndex),
    Broken,
}

impl<'t> FlowReader<'_, 't> {
    /// Reads a flow.
    pub(crate) fn read(&mut self, index: usize, flow: &'t Flow) {
        self.broken |= flow.broken;
        if flow.chains.is_empty() && !flow.broken {
            self.diagnostics
                .push(EmptyFlow { name: flow.name.text.to_string(), span: flow.name.span }.into());
        }
        for chain in &flow.chains {
            self.chain(index, chain);
        }
    }

    fn chain(&mut self, flow: usize, chain: &'t Chain) {
        let Some((first, rest)) = chain.stages.split_first() else { return };
        let name = match first {
            Stage::Name(name) => name,
            Stage::Step(_) | Stage::Copy(_) => {
                let rule = "a chain begins with a source or a channel".to_owned();
                let (name, span) = ("a step".to_owned(), first.span());
                self.diagnostics
                    .push(Misplaced { name, role: "not a component", rule, span, declared: None }.into());
                self.broken = true;
                self.mention(rest);
                return;
            }
            Stage::Broken(_) => {
                self.broken = true;
                self.mention(rest);
                return;
            }
        };
        if &*name.text == "rejects" && !self.by_name.contains_key("rejects") {
            self.diagnostics.push(promises::rejects(name.span));
            self.mention(rest);
            return;
        }
        match self.resolve(name) {
            Resolved::Component(from) if self.components[from].role == Role::Sink => {
                let rule = "nothing comes out of a sink".to_owned();
                self.misplaced(name, from, rule);
                self.mention(rest);
            }
            Resolved::Component(from) => self.edge(flow, from, name.span, rest),
            Resolved::Broken => self.mention(rest),
        }
    }

    fn edge(&mut self, flow: usize, from: ComponentIndex, from_span: Span, stages: &'t [Stage]) {
        let segment = self.segment(flow, stages, from_span, Some(from));
        self.edges.push(Edge { flow, from, from_span, segment });
    }

    fn segment(
        &mut self,
        flow: usize,
        stages: &'t [Stage],
        before: Span,
        from: Option<ComponentIndex>,
    ) -> Segment<'t> {
        let mut steps = Vec::new();
        let mut last = before;
        for (index, stage) in stages.iter().enumerate() {
            let rest = &stages[index + 1..];
            match stage {
                Stage::Step(step) => {
                    steps.push(step);
                    last = step.span;
                }
                Stage::Broken(_) => {
                    self.broken = true;
                    self.mention(rest);
                    return Segment { steps, to: Destination::Broken };
                }
                Stage::Copy(copy) => return Segment { steps, to: self.copy(flow, copy, rest) },
                Stage::Name(name) => return Segment { steps, to: self.destination(flow, name, rest) },
            }
        }
        let what = match (steps.is_empty(), from) {
            (true, Some(from)) => {
                format!("{} `{}`", in_words(self.components[from].role), self.components[from].name)
            }
            _ => "a step".to_owned(),
        };
        self.broken = true;
        self.diagnostics.push(DeadEnd { span: last, what, copy: false }.into());
        Segment { steps, to: Destination::Broken }
    }

    fn destination(&mut self, flow: usize, name: &'t Name, rest: &'t [Stage]) -> Destination<'t> {
        let Resolved::Component(index) = self.resolve(name) else {
            self.mention(rest);
            return Destination::Broken;
        };
        match self.components[index].role {
            Role::Source => {
                self.misplaced(name, index, "a source begins a chain".to_owned());
                self.mention(rest);
                Destination::Broken
            }
            Role::Channel => {
                if !rest.is_empty() {
                    self.edge(flow, index, name.span, rest);
                }
                Destination::Component(index, name.span)
            }
            Role::Sink => {
                if !rest.is_empty() {
                    self.misplaced(name, index, "a sink ends a chain".to_owned());
                    self.mention(rest);
                }
                Destination::Component(index, name.span)
            }
        }
    }

    fn copy(&mut self, flow: usize, copy: &'t Copy, rest: &'t [Stage]) -> Destination<'t> {
        self.broken |= copy.broken;
        if let Some(next) = rest.first() {
            self.diagnostics.push(AfterCopy { span: next.span(), copy: copy.span }.into());
            self.mention(rest);
        }
        if copy.branches.is_empty() && !copy.broken {
            self.broken = true;
            self.diagnostics.push(DeadEnd { span: copy.span, what: String::new(), copy: true }.into());
            return Destination::Broken;
        }
        let branches = copy.branches.iter().map(|Branch { optional, chain }| {
            (*optional, self.segment(flow, &chain.stages, chain.span, None))
        });
        Destination::Copy(branches.collect())
    }

    fn misplaced(&mut self, name: &Name, index: ComponentIndex, rule: String) {
        let component = &self.components[index];
        let role = match component.role {
            Role::Source => "a source",
            Role::Channel => "a channel",
            Role::Sink => "a sink",
        };
        self.diagnostics.push(
            Misplaced {
                name: format!("{} `{}`", in_words(component.role), name.text),
                role,
                rule,
                span: name.span,
                declared: Some(component.span),
            }
            .into(),
        );
        self.broken = true;
    }

    /// Takes note of the names in stages that can't be connected, so that they count as used.
    fn mention(&mut self, stages: &'t [Stage]) {
        for stage in stages {
            match stage {
                Stage::Name(name) => {
                    self.resolve(name);
                }
                Stage::Copy(copy) => {
                    for branch in &copy.branches {
                        self.mention(&branch.chain.stages);
                    }
                }
                Stage::Step(_) | Stage::Broken(_) => {}
            }
        }
        self.broken = true;
    }

    /// The component of a name, or the one that was most likely meant.
    fn resolve(&mut self, name: &'t Name) -> Resolved {
        let found = match self.by_name.get(&*name.text) {
            Some(found) => *found,
            None => {
                let candidates = self.components.iter().map(|component| &*component.name);
                let near = nearest(&name.text, candidates);
                let meant = near.and_then(|near| self.by_name.get(near).copied()).flatten();
                let near = near.map(str::to_owned);
                let (text, span) = (name.text.to_string(), name.span);
                let wanted = "source, channel or sink";
                self.diagnostics.push(UnknownName { name: text, wanted, near, quote: false, span }.into());
                meant
            }
        };
        match found {
            Some(index) => {
                self.mentions.entry(index).or_insert(name.span);
                Resolved::Component(index)
            }
            None => {
                self.broken = true;
                Resolved::Broken
            }
        }
    }
}

/// A role with its article.
pub(crate) fn in_words(role: Role) -> &'static str {
    match role {
        Role::Source => "the source",
        Role::Channel => "the channel",
        Role::Sink => "the sink",
    }
}

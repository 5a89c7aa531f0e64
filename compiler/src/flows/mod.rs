//! Turns the chains of flows into edges, and checks which components an arrow may connect.
//!
//! An edge begins at a source or a channel, passes steps, and ends at channels or sinks.

pub(crate) mod components;
pub(crate) mod graph;
mod interceptors;
pub(crate) mod promises;
pub(crate) mod surface;

use std::collections::{HashMap, HashSet};

use weir_grammar::Span;
use weir_grammar::tree::{Because, Chain, Expression, Flow, Path, Role, Stage, Step, StepKind};

use crate::analysis::graph::Declared;
use crate::diagnostics::{
    AfterCopy, DeadEnd, Diagnostic, DuplicateEntry, EmptyFlow, Misplaced, NotExhaustive, UnknownName,
    UnreachableArm,
};
use crate::names::scopes::{ComponentIndex, Meaning, Scopes};
use crate::names::visit::{Mention, is_rest};
use crate::signatures::Library;
use crate::spelling::{nearest, role_in_words};

/// The name that begins a chain of a flow's rejected events.
pub(crate) const REJECTS: &str = "rejects";

/// The connection from a source or a channel to the next channels or sinks.
#[derive(Debug)]
pub(crate) struct Edge<'t> {
    pub(crate) flow: usize,
    pub(crate) from: ComponentIndex,
    pub(crate) from_span: Span,
    pub(crate) leg: Leg<'t>,
}

/// Steps and their destination.
#[derive(Debug)]
pub(crate) struct Leg<'t> {
    pub(crate) steps: Vec<&'t Step>,
    pub(crate) to: Destination<'t>,
}

/// The destination of a leg.
#[derive(Debug)]
pub(crate) enum Destination<'t> {
    /// A channel or a sink.
    Component(ComponentIndex, Span),
    /// Every branch, for each event. The flag is true for an optional branch.
    Copy(Vec<(bool, Leg<'t>)>),
    /// The first case whose condition is true. The case without a condition takes all remaining events.
    Match(Vec<(Option<&'t Expression>, Leg<'t>)>),
    /// One of several branches, chosen by the value of an expression or round robin.
    Balance { by: Option<&'t Expression>, legs: Vec<Leg<'t>>, span: Span },
    /// The first branch that works.
    Failover { legs: Vec<Leg<'t>>, span: Span },
    /// No destination: all events are dropped or rejected.
    End(End<'t>),
    /// A destination with an error, which has been reported.
    Broken,
}

/// The end of a chain whose events go nowhere: `drop`, or `reject` with the reason, if it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'t> {
    pub(crate) rejects: bool,
    pub(crate) because: Option<&'t Because>,
    pub(crate) span: Span,
}

impl<'t> End<'t> {
    /// Returns the end that a stage is; `None` if it is a step or a fork. A name may be that of a component.
    fn of(stage: &'t Stage) -> Option<End<'t>> {
        match stage {
            Stage::Name(Path { qualifier: None, name }) if matches!(&*name.text, "drop" | "reject") => {
                Some(End { rejects: &*name.text == "reject", because: None, span: name.span })
            }
            Stage::Step(Step { kind: StepKind::RejectAll(because), span, .. }) => {
                Some(End { rejects: true, because: because.as_ref(), span: *span })
            }
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        if self.rejects { "reject" } else { "drop" }
    }
}

/// Reads the chains of all flows.
#[derive(Debug)]
pub(crate) struct FlowReader<'c, 't> {
    /// The components. An entry is added for each flow whose rejected events are used.
    pub(crate) components: Vec<Declared>,
    pub(crate) scopes: &'c Scopes<'t>,
    pub(crate) library: &'c Library,
    pub(crate) edges: Vec<Edge<'t>>,
    /// The span of the first mention of each component.
    pub(crate) mentions: HashMap<ComponentIndex, Span>,
    /// The components in chains without an origin: the columns of the events that arrive at them are unknown.
    pub(crate) unknown: HashSet<ComponentIndex>,
    /// Whether parts of the program could not be parsed. These may contain parts that seem to be missing.
    pub(crate) broken: bool,
    /// Whether parts of the current flow could not be parsed.
    pub(crate) unread: bool,
    /// The mentions of components, each with the span of the definition.
    pub(crate) uses: Vec<(Mention<'t>, Span)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The result of resolving a name in a chain.
enum Resolved {
    Component(ComponentIndex),
    Broken,
}

impl<'t> FlowReader<'_, 't> {
    /// Reads a flow.
    pub(crate) fn read(&mut self, index: usize, flow: &'t Flow) {
        self.broken |= flow.broken;
        self.unread = flow.broken;
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
        let Stage::Name(path) = first else {
            let rule = "a chain begins with a source or a channel".to_owned();
            let (name, span) = ("a step".to_owned(), first.span());
            self.report(Misplaced { name, role: "not a component", rule, span, declared: None });
            self.broken = true;
            self.mention(rest);
            return;
        };
        if self.is_rejects(path) {
            let from = self.rejects(flow, path.span());
            return self.edge(flow, from, path.span(), rest);
        }
        match self.resolve(path) {
            Resolved::Component(from) if self.components[from].role == Role::Sink => {
                let rule = "nothing comes out of a sink".to_owned();
                self.misplaced(path, from, rule);
                self.mention(rest);
            }
            Resolved::Component(from) => self.edge(flow, from, path.span(), rest),
            Resolved::Broken => self.mention(rest),
        }
    }

    fn report(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.diagnostics.push(diagnostic.into());
    }

    /// Returns whether a path refers to the flow's rejected events, not to a component named `rejects`.
    fn is_rejects(&self, path: &Path) -> bool {
        path.qualifier.is_none()
            && &*path.name.text == REJECTS
            && !matches!(self.scopes.path(path).map(|named| named.meaning), Some(Meaning::Component(..)))
    }

    /// Returns the component index of a flow's rejected events, and adds the entry if it is missing.
    fn rejects(&mut self, flow: usize, span: Span) -> ComponentIndex {
        // Flows are read one after another, so the entry of the current flow is the last one.
        let last = self.components.len().checked_sub(1);
        let known = last.filter(|last| self.components[*last].rejects_of == Some(flow));
        let index = known.unwrap_or_else(|| {
            let rejects_of = Some(flow);
            self.components.push(Declared {
                name: REJECTS.into(),
                role: Role::Source,
                span,
                own: false,
                rejects_of,
            });
            self.components.len() - 1
        });
        self.mentions.entry(index).or_insert(span);
        index
    }

    fn edge(&mut self, flow: usize, from: ComponentIndex, from_span: Span, stages: &'t [Stage]) {
        let leg = self.leg(flow, stages, from_span, Some(from));
        self.edges.push(Edge { flow, from, from_span, leg });
    }

    fn leg(
        &mut self,
        flow: usize,
        stages: &'t [Stage],
        before: Span,
        from: Option<ComponentIndex>,
    ) -> Leg<'t> {
        let mut steps = Vec::new();
        let mut last = before;
        for (index, stage) in stages.iter().enumerate() {
            let rest = &stages[index + 1..];
            if let Some(end) = self.end(stage) {
                return Leg { steps, to: self.ended(end, rest) };
            }
            match stage {
                Stage::Step(step) => {
                    steps.push(step);
                    last = step.span;
                }
                Stage::Name(path) => return Leg { steps, to: self.destination(flow, path, rest) },
                fork => return Leg { steps, to: self.fork(flow, fork, rest) },
            }
        }
        let what = match (steps.is_empty(), from) {
            (true, Some(from)) => {
                format!("{} `{}`", role_in_words(self.components[from].role), self.components[from].name)
            }
            _ => "a step".to_owned(),
        };
        self.broken = true;
        // If parts of the flow could not be parsed, the missing end may be in them.
        if !self.unread {
            self.report(DeadEnd { span: last, what, fork: None });
        }
        Leg { steps, to: Destination::Broken }
    }

    /// Returns the end that a stage is, unless it is the name of a component.
    fn end(&self, stage: &'t Stage) -> Option<End<'t>> {
        let end = End::of(stage)?;
        match stage {
            Stage::Name(path) if self.scopes.path(path).is_some() => None,
            _ => Some(end),
        }
    }

    /// Checks that nothing follows the end of a chain.
    fn ended(&mut self, end: End<'t>, rest: &'t [Stage]) -> Destination<'t> {
        if rest.is_empty() {
            return Destination::End(end);
        }
        let word = end.word();
        let rule = format!("it takes all events, so it ends a chain; write `{word} if …` for some of them");
        let name = format!("`{word}` without a condition");
        self.report(Misplaced { name, role: "the end of the events", rule, span: end.span, declared: None });
        self.mention(rest);
        Destination::Broken
    }

    /// Reports a branch of a `balance` or a `failover` that is only an end.
    fn ends_within(&mut self, fork: &'t Stage) {
        let (chains, rule) = match fork {
            Stage::Balance(balance) => (&balance.chains, "to keep a share of the events, write `sample 50%`"),
            Stage::Failover(failover) => {
                (&failover.chains, "events would be lost whenever the sinks before it fail")
            }
            _ => return,
        };
        for chain in chains {
            let Some(end) = chain.stages.first().and_then(|stage| self.end(stage)) else { continue };
            let name = format!("`{}` without a condition", end.word());
            let (role, rule, span) = ("the end of the events", rule.to_owned(), end.span);
            self.report(Misplaced { name, role, rule, span, declared: None });
        }
    }

    fn destination(&mut self, flow: usize, path: &'t Path, rest: &'t [Stage]) -> Destination<'t> {
        if self.is_rejects(path) {
            let rule = "`rejects` begins a chain; a step rejects with `else reject`, `reject if` or `check`"
                .to_owned();
            let (name, span) = ("`rejects`".to_owned(), path.span());
            self.report(Misplaced {
                name,
                role: "where rejected events come from",
                rule,
                span,
                declared: None,
            });
            self.broken = true;
            self.mention(rest);
            return Destination::Broken;
        }
        let span = path.span();
        let Resolved::Component(index) = self.resolve(path) else {
            self.mention(rest);
            return Destination::Broken;
        };
        match self.components[index].role {
            Role::Source => {
                self.misplaced(path, index, "a source begins a chain".to_owned());
                self.mention(rest);
                Destination::Broken
            }
            Role::Channel => {
                if !rest.is_empty() {
                    self.edge(flow, index, span, rest);
                }
                Destination::Component(index, span)
            }
            Role::Sink => {
                if !rest.is_empty() {
                    self.misplaced(path, index, "a sink ends a chain".to_owned());
                    self.mention(rest);
                }
                Destination::Component(index, span)
            }
        }
    }

    /// Reads a fork: `copy`, `match`, `balance` or `failover`.
    fn fork(&mut self, flow: usize, fork: &'t Stage, rest: &'t [Stage]) -> Destination<'t> {
        if let Some(next) = rest.first() {
            self.report(AfterCopy { span: next.span(), copy: fork.span(), word: word_of(fork) });
            self.mention(rest);
        }
        let (broken, empty) = match fork {
            Stage::Copy(copy) => (copy.broken, copy.branches.is_empty()),
            Stage::Choice(choice) => (choice.broken, choice.cases.is_empty()),
            Stage::Balance(balance) => (balance.broken, balance.chains.is_empty()),
            Stage::Failover(failover) => (failover.broken, failover.chains.is_empty()),
            Stage::Name(_) | Stage::Step(_) => (false, false),
        };
        self.broken |= broken;
        if empty && !broken {
            self.broken = true;
            self.report(DeadEnd { span: fork.span(), what: String::new(), fork: Some(word_of(fork)) });
            return Destination::Broken;
        }
        self.ends_within(fork);
        self.bare_twice(fork);
        let mut way = |chain: &'t Chain| self.leg(flow, &chain.stages, chain.span, None);
        match fork {
            Stage::Copy(copy) => {
                let branches = copy.branches.iter().map(|branch| (branch.optional, way(&branch.chain)));
                Destination::Copy(branches.collect())
            }
            Stage::Choice(choice) => {
                let cases = choice.cases.iter().map(|case| {
                    let condition = Some(&case.condition).filter(|condition| !is_rest(condition));
                    (condition, way(&case.chain))
                });
                let cases: Vec<_> = cases.collect();
                self.exhaustive(choice);
                Destination::Match(cases)
            }
            Stage::Balance(balance) => {
                let legs = balance.chains.iter().map(way).collect();
                Destination::Balance { by: balance.by.as_ref(), legs, span: balance.span }
            }
            Stage::Failover(failover) => {
                let legs = failover.chains.iter().map(way).collect();
                Destination::Failover { legs, span: failover.span }
            }
            Stage::Name(_) | Stage::Step(_) => Destination::Broken,
        }
    }

    /// Reports a destination that two branches name without a step before it: each event would arrive there twice, or
    /// the choice would have no effect.
    fn bare_twice(&mut self, fork: &'t Stage) {
        let chains: Vec<&Chain> = match fork {
            Stage::Copy(copy) => copy.branches.iter().map(|branch| &branch.chain).collect(),
            Stage::Balance(balance) => balance.chains.iter().collect(),
            Stage::Failover(failover) => failover.chains.iter().collect(),
            Stage::Choice(_) | Stage::Name(_) | Stage::Step(_) => return,
        };
        let mut places: Vec<(String, Span)> = Vec::new();
        for chain in chains {
            let [Stage::Name(path)] = chain.stages.as_slice() else { continue };
            let name = match &path.qualifier {
                Some(qualifier) => format!("{}.{}", qualifier.text, path.name.text),
                None => path.name.text.to_string(),
            };
            let first = places.iter().find(|(place, _)| *place == name).map(|(_, first)| *first);
            if let Some(first) = first {
                self.report(DuplicateEntry { name: name.clone(), first, second: path.span() });
            }
            places.push((name, path.span()));
        }
    }

    /// Checks that a `match` covers every event, and that every case is reachable.
    fn exhaustive(&mut self, choice: &weir_grammar::tree::Choice) {
        let rest = choice.cases.iter().position(|case| is_rest(&case.condition));
        match rest {
            None if !choice.broken => {
                let span = Span { end: choice.span.start + "match".len() as u32, ..choice.span };
                let missing = "events for which no condition holds".to_owned();
                self.report(NotExhaustive { missing, span, events: true });
            }
            Some(rest) => {
                if let Some(case) = choice.cases.get(rest + 1) {
                    let span = case.condition.span.to(case.chain.span);
                    self.report(UnreachableArm { span, before: choice.cases[rest].condition.span });
                }
            }
            None => {}
        }
    }

    fn misplaced(&mut self, path: &Path, index: ComponentIndex, rule: String) {
        let component = &self.components[index];
        let role = match component.role {
            Role::Source => "a source",
            Role::Channel => "a channel",
            Role::Sink => "a sink",
        };
        let name = format!("{} `{}`", role_in_words(component.role), component.name);
        let declared = Some(component.span);
        self.report(Misplaced { name, role, rule, span: path.span(), declared });
        self.broken = true;
    }

    /// Records the components in stages that cannot be connected as used.
    fn mention(&mut self, stages: &'t [Stage]) {
        for stage in stages {
            match stage {
                stage if self.end(stage).is_some() => {}
                Stage::Name(path) => {
                    if let Resolved::Component(index) = self.resolve(path) {
                        self.unknown.insert(index);
                    }
                }
                Stage::Copy(copy) => {
                    copy.branches.iter().for_each(|branch| self.mention(&branch.chain.stages))
                }
                Stage::Choice(choice) => {
                    choice.cases.iter().for_each(|case| self.mention(&case.chain.stages))
                }
                Stage::Balance(balance) => {
                    balance.chains.iter().for_each(|chain| self.mention(&chain.stages))
                }
                Stage::Failover(failover) => {
                    failover.chains.iter().for_each(|chain| self.mention(&chain.stages))
                }
                Stage::Step(_) => {}
            }
        }
        self.broken = true;
    }

    /// Resolves a name to a component. If no component has the name, reports it and returns the most likely one.
    fn resolve(&mut self, path: &'t Path) -> Resolved {
        let span = path.span();
        let found = match self.scopes.path(path).map(|named| named.meaning) {
            Some(Meaning::Component(index, _)) => Some(index),
            Some(Meaning::Broken) => None,
            other => {
                let candidates = self.components.iter().filter(|component| component.rejects_of.is_none());
                let written = match &path.qualifier {
                    Some(qualifier) => format!("{}.{}", qualifier.text, path.name.text),
                    None => path.name.text.to_string(),
                };
                let near = nearest(&written, candidates.map(|component| &*component.name)).map(str::to_owned);
                let meant =
                    self.components.iter().position(|component| Some(&*component.name) == near.as_deref());
                // If several declarations share a name, an arrow refers to the component.
                let same = self.components.iter().position(|component| *component.name == *written);
                match other {
                    Some(_) if same.is_some() => same,
                    other if self.is_interceptor(other, &written, span) => None,
                    Some(meaning) => {
                        let name = format!("{} `{written}`", meaning.in_words());
                        let rule = "arrows connect sources, channels and sinks".to_owned();
                        self.report(Misplaced { name, role: "not a component", rule, span, declared: None });
                        None
                    }
                    None => {
                        let wanted = "source, channel or sink";
                        self.report(UnknownName { name: written, wanted, near, quote: false, span });
                        meant
                    }
                }
            }
        };
        match found {
            Some(index) => {
                self.uses.push((Mention::of_path(path), self.components[index].span));
                self.mentions.entry(index).or_insert(span);
                Resolved::Component(index)
            }
            None => {
                self.broken = true;
                Resolved::Broken
            }
        }
    }
}

/// Returns the keyword of a fork.
fn word_of(fork: &Stage) -> &'static str {
    match fork {
        Stage::Choice(_) => "match",
        Stage::Balance(_) => "balance",
        Stage::Failover(_) => "failover",
        Stage::Copy(_) | Stage::Name(_) | Stage::Step(_) => "copy",
    }
}

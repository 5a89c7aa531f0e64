//! Checks the graph of the edges: cycles, components with several readers, and channels that are only filled or only
//! read.

use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::Role;

use crate::analysis::graph::Declared;
use crate::diagnostics::{
    ChannelIntoChannel, ChannelNeverFilled, ChannelNeverRead, Cycle, Diagnostic, SeveralReaders, Unused,
};
use crate::flows::{Destination, Edge, Leg};
use crate::names::scopes::ComponentIndex;

/// The edges and the components that they connect.
pub(crate) struct Graph<'g, 't> {
    pub(crate) components: &'g [Declared],
    pub(crate) edges: &'g [Edge<'t>],
    pub(crate) mentions: &'g HashMap<ComponentIndex, Span>,
    /// Whether parts of the program could not be parsed. If so, missing parts are not reported.
    pub(crate) broken: bool,
}

impl Graph<'_, '_> {
    /// Checks the graph.
    pub(crate) fn check(&self, diagnostics: &mut Vec<Diagnostic>) {
        self.several_readers(diagnostics);
        self.channels_into_channels(diagnostics);
        if self.broken {
            return;
        }
        let before = diagnostics.len();
        self.lonely_channels(diagnostics);
        let lonely = |role: Role| {
            diagnostics[before..].iter().any(|diagnostic| match diagnostic {
                Diagnostic::ChannelNeverRead(_) => role == Role::Sink,
                Diagnostic::ChannelNeverFilled(_) => role == Role::Source,
                _ => false,
            })
        };
        // The diagnostic for a channel without a sink mentions the unused sink, so the sink gets no diagnostic of its
        // own.
        let told =
            [Role::Source, Role::Sink].map(|role| (role, lonely(role) && self.only_unused(role).is_some()));
        for (index, component) in self.components.iter().enumerate() {
            // A name that is declared twice refers to the first component, so the second is not reported as unused.
            let taken = || self.components[..index].iter().any(|other| other.name == component.name);
            let told = told.contains(&(component.role, true));
            if component.own && !self.mentions.contains_key(&index) && !taken() && !told {
                let (what, name) = (role_name(component.role), component.name.to_string());
                diagnostics.push(Unused { what, name, span: component.span }.into());
            }
        }
    }

    fn several_readers(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut readers: BTreeMap<ComponentIndex, Vec<&Edge<'_>>> = BTreeMap::new();
        for edge in self.edges {
            readers.entry(edge.from).or_default().push(edge);
        }
        for (index, edges) in readers {
            let [first, second, ..] = edges.as_slice() else { continue };
            let component = &self.components[index];
            let targets = edges.iter().filter_map(|edge| match edge.leg.to {
                Destination::Component(index, _) => Some(self.components[index].name.to_string()),
                _ => None,
            });
            diagnostics.push(
                SeveralReaders {
                    role: role_name(component.role),
                    name: component.name.to_string(),
                    first: first.from_span,
                    second: second.from_span,
                    targets: targets.collect(),
                }
                .into(),
            );
        }
    }

    /// Reports channels that lead to channels: cycles once, and every other arrow.
    fn channels_into_channels(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut arrows: BTreeMap<ComponentIndex, Vec<(ComponentIndex, Span)>> = BTreeMap::new();
        for edge in self.edges {
            if self.components[edge.from].role == Role::Channel {
                for (to, span) in destinations(&edge.leg) {
                    if self.components[to].role == Role::Channel {
                        arrows.entry(edge.from).or_default().push((to, span));
                    }
                }
            }
        }
        let mut in_cycles: Vec<ComponentIndex> = Vec::new();
        for start in arrows.keys().copied() {
            if in_cycles.contains(&start) {
                continue;
            }
            if let Some(way) = circle(&arrows, start) {
                in_cycles.extend(way.iter().map(|(index, _)| *index));
                let names = way.iter().map(|(index, _)| self.components[*index].name.to_string()).collect();
                // `spans` begins with the last arrow, which leads back to the first channel.
                let mut spans: Vec<Span> = way.iter().map(|(_, span)| *span).collect();
                spans.rotate_right(1);
                diagnostics.push(Cycle { names, spans }.into());
            }
        }
        for (from, targets) in &arrows {
            for (to, span) in
                targets.iter().filter(|(to, _)| !in_cycles.contains(from) || !in_cycles.contains(to))
            {
                let (from, to) =
                    (self.components[*from].name.to_string(), self.components[*to].name.to_string());
                diagnostics.push(ChannelIntoChannel { from, to, span: *span }.into());
            }
        }
    }

    /// Returns the name of the unused component of a role, if there is exactly one.
    fn only_unused(&self, role: Role) -> Option<String> {
        let components = self.components.iter().enumerate();
        let mut unused = components.filter(|(index, component)| {
            component.own && component.role == role && !self.mentions.contains_key(index)
        });
        let (_, only) = unused.next()?;
        unused.next().is_none().then(|| only.name.to_string())
    }

    fn lonely_channels(&self, diagnostics: &mut Vec<Diagnostic>) {
        let read: HashMap<ComponentIndex, Span> =
            self.edges.iter().map(|edge| (edge.from, edge.from_span)).collect();
        let filled: HashMap<ComponentIndex, Span> =
            self.edges.iter().flat_map(|edge| destinations(&edge.leg)).collect();
        for (index, component) in self.components.iter().enumerate() {
            if component.role != Role::Channel {
                continue;
            }
            let (name, declared) = (component.name.to_string(), component.span);
            match (filled.get(&index), read.get(&index)) {
                (Some(filled), None) => {
                    let sink = self.only_unused(Role::Sink);
                    diagnostics.push(ChannelNeverRead { name, declared, filled: *filled, sink }.into());
                }
                (None, Some(read)) => {
                    let source = self.only_unused(Role::Source);
                    diagnostics.push(ChannelNeverFilled { name, declared, read: *read, source }.into());
                }
                _ => {}
            }
        }
    }
}

/// Returns the cycle from a channel back to itself: its channels, each with the span of the arrow that leaves it.
fn circle(
    arrows: &BTreeMap<ComponentIndex, Vec<(ComponentIndex, Span)>>,
    start: ComponentIndex,
) -> Option<Vec<(ComponentIndex, Span)>> {
    let mut visited = vec![start];
    // The channels on the current path, each with the number of arrows that have been followed.
    let mut way: Vec<(ComponentIndex, usize)> = vec![(start, 0)];
    while let Some((at, next)) = way.last_mut() {
        let Some((to, _)) = arrows.get(at).and_then(|targets| targets.get(*next)) else {
            way.pop();
            continue;
        };
        *next += 1;
        if *to == start {
            let leaving = way.iter().filter_map(|(at, next)| Some((*at, arrows.get(at)?.get(next - 1)?.1)));
            return Some(leaving.collect());
        }
        if !visited.contains(to) {
            visited.push(*to);
            way.push((*to, 0));
        }
    }
    None
}

/// Returns the components that a leg leads to, with the spans of their names.
pub(crate) fn destinations(leg: &Leg<'_>) -> Vec<(ComponentIndex, Span)> {
    match &leg.to {
        Destination::Component(index, span) => vec![(*index, *span)],
        Destination::Copy(branches) => branches.iter().flat_map(|(_, leg)| destinations(leg)).collect(),
        Destination::Match(cases) => cases.iter().flat_map(|(_, leg)| destinations(leg)).collect(),
        Destination::Balance { legs, .. } | Destination::Failover { legs, .. } => {
            legs.iter().flat_map(destinations).collect()
        }
        Destination::End(_) | Destination::Broken => Vec::new(),
    }
}

/// Returns the word for a role.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Source => "source",
        Role::Channel => "channel",
        Role::Sink => "sink",
    }
}

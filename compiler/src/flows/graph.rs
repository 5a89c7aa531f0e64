//! The graph that the edges make: circles, two readers, channels that only one side knows.

use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::Role;

use crate::analysis::graph::Declared;
use crate::diagnostics::{
    ChannelIntoChannel, ChannelNeverFilled, ChannelNeverRead, Cycle, Diagnostic, SeveralReaders, Unused,
};
use crate::flows::{Destination, Edge, Leg};
use crate::names::scopes::ComponentIndex;

/// The edges and what they connect.
pub(crate) struct Graph<'g, 't> {
    pub(crate) components: &'g [Declared],
    pub(crate) edges: &'g [Edge<'t>],
    pub(crate) mentions: &'g HashMap<ComponentIndex, Span>,
    /// Whether there are parts that could not be read, so that nothing is said about what is missing.
    pub(crate) broken: bool,
}

impl Graph<'_, '_> {
    /// Checks the whole graph.
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
        // A channel that lacks a sink tells of the sink that lacks a channel.
        let told =
            [Role::Source, Role::Sink].map(|role| (role, lonely(role) && self.only_unused(role).is_some()));
        for (index, component) in self.components.iter().enumerate() {
            // Of two of one name, flows mean the first: that the second is never used only follows from that.
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

    /// Where channels lead to channels: the places of the arrows by their ends.
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
                // The last arrow leads back to the first channel.
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

    /// The name of the only component of a role that no flow mentions, if there is just one.
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

/// The way from a channel back to itself, each with the place of the arrow that leaves it.
fn circle(
    arrows: &BTreeMap<ComponentIndex, Vec<(ComponentIndex, Span)>>,
    start: ComponentIndex,
) -> Option<Vec<(ComponentIndex, Span)>> {
    let mut visited = vec![start];
    // Each channel on the way, and how many of its arrows have been followed.
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

/// The components that a leg leads to.
pub(crate) fn destinations(leg: &Leg<'_>) -> Vec<(ComponentIndex, Span)> {
    match &leg.to {
        Destination::Component(index, span) => vec![(*index, *span)],
        Destination::Copy(branches) => branches.iter().flat_map(|(_, leg)| destinations(leg)).collect(),
        Destination::Match(cases) => cases.iter().flat_map(|(_, leg)| destinations(leg)).collect(),
        Destination::Balance { legs, .. } | Destination::Failover { legs, .. } => {
            legs.iter().flat_map(destinations).collect()
        }
        Destination::Broken => Vec::new(),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Source => "source",
        Role::Channel => "channel",
        Role::Sink => "sink",
    }
}

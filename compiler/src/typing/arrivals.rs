//! Events that arrive at channels and sinks, the channels that the compiler adds, and the merged columns of all events
//! that arrive at a component.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Block, Role};

use super::{Coming, Position, Typing};
use crate::analysis::expressions::UseId;
use crate::analysis::graph::{Arrival, Component, Declared};
use crate::analysis::settings::Settings;
use crate::checker::Owner;
use crate::diagnostics::{MergeClash, Misplaced};
use crate::names::scopes::ComponentIndex;
use crate::signatures::Group;
use crate::spelling::role_in_words;
use crate::steps::State;
use crate::types::columns::{Column, Columns, merge};

impl Typing<'_, '_> {
    /// Records the arrival of events at a component. Adds a channel between a source and a sink. Returns the arrival,
    /// and whether its columns and its channel are known.
    pub(super) fn arrive(
        &mut self,
        to: ComponentIndex,
        span: Span,
        state: Option<State>,
        position: Position,
    ) -> (Arrival, bool) {
        let Position { from, held, .. } = position;
        let events = state.map(|state| state.columns);
        self.checker.notes.events.at(span, UseId::NONE).before = events.clone();
        let arrival = Arrival { to, span, channel: None, held, events: events.clone() };
        let Some(columns) = events else {
            self.poisoned.insert(to);
            return (arrival, false);
        };
        self.arrivals[to].push(Coming { columns: columns.clone(), span });
        let roles = (self.components[from].declared.role, self.components[to].declared.role);
        if held || roles != (Role::Source, Role::Sink) {
            return (arrival, true);
        }
        let channel = self.channel_between(from, to, span, columns);
        (Arrival { channel, ..arrival }, channel.is_some())
    }

    /// Adds the channel of a path that names no channel. Returns `None` if the library has no default channel, or if
    /// the channel has errors.
    pub(super) fn channel_between(
        &mut self,
        from: ComponentIndex,
        to: ComponentIndex,
        span: Span,
        columns: Arc<Columns>,
    ) -> Option<ComponentIndex> {
        let (source, sink) = (&self.components[from].declared, &self.components[to].declared);
        let library = self.checker.library;
        let kind = library.default_channel.as_deref();
        let Some(signature) = kind.and_then(|kind| library.signature(Role::Channel, kind)) else {
            let rule = "a channel must stand between a source and a sink".to_owned();
            let name = format!("{} `{}`", role_in_words(sink.role), sink.name);
            let misplaced = Misplaced { name, role: "a sink", rule, span, declared: Some(sink.span) };
            self.checker.report(misplaced);
            return None;
        };
        let mut name = format!("{}_to_{}", source.name, sink.name).replace('.', "_");
        let plain = name.clone();
        for number in 2.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{plain}_{number}");
        }
        let settings = self.defaults(&signature.group, span);
        if !settings.whole {
            return None;
        }
        let declared =
            Declared { name: name.into(), role: Role::Channel, span, own: false, rejects_of: None };
        let (signature, events) = (Some(signature.clone()), Some(columns));
        let qualities = Vec::new();
        self.components.push(Component {
            declared,
            signature,
            settings,
            qualities,
            expected: None,
            implicit: true,
            events,
            reads: None,
        });
        self.arrivals.push(Vec::new());
        Some(self.components.len() - 1)
    }

    fn defaults(&mut self, group: &Group, span: Span) -> Settings {
        let block = Block { span, entries: Vec::new(), broken: false };
        let owner = Owner { words: "the channel of this path".to_owned(), span };
        self.checker.group(group, &block, &owner).implicit()
    }

    /// Returns the merged columns of all events that arrive at a component; `None` if they are unknown.
    pub(super) fn merged(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
        let arrivals = std::mem::take(&mut self.arrivals[index]);
        if self.poisoned.contains(&index) {
            return None;
        }
        let declared = &self.components[index].declared;
        let spans: Vec<Span> = arrivals.iter().map(|arrival| arrival.span).collect();
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
                let place = format!("{} `{}`", role_in_words(declared.role), declared.name);
                let (first, second) = (side(&clash.first), side(&clash.second));
                let column = clash.name.to_string();
                self.checker
                    .diagnostics
                    .push(MergeClash { column, place, span: arrival.span, first, second }.into());
                self.poisoned.insert(index);
            }
        }
        let mut merged = (!self.poisoned.contains(&index)).then_some(merged);
        if declared.role == Role::Channel {
            merged = merged.map(Columns::without_ranges);
            let events = &mut self.checker.notes.events;
            spans.iter().for_each(|span| events.at(*span, UseId::NONE).after = merged.clone());
        }
        merged
    }
}

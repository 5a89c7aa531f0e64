//! Where events arrive: channels and sinks, the channels that are put between, and what the events have
//! in common that come into one of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Block, Role};
use weir_plan::{Component, Leg as PlannedLeg, Origin as From, Path, Route, Settings, Value};

use super::{Arrival, Lowering};
use crate::checker::Owner;
use crate::diagnostics::{MergeClash, Misplaced};
use crate::names::scopes::ComponentIndex;
use crate::signatures::Group;
use crate::spelling::role_in_words;
use crate::steps::State;
use crate::types::columns::{Column, Columns, merge};
use crate::values::requirements::Side;

impl Lowering<'_, '_> {
    /// Takes note that events come into a component. A sink that a source leads to gets a channel of
    /// its own.
    pub(super) fn arrive(
        &mut self,
        index: ComponentIndex,
        span: Span,
        state: Option<State>,
        from: ComponentIndex,
        held: bool,
    ) -> Option<Route> {
        let Some(State { columns, .. }) = state else {
            self.poisoned.insert(index);
            return None;
        };
        let target = &self.components[index].declared;
        let source = &self.components[from].declared;
        self.arrivals[index].push(Arrival { columns: columns.clone(), span });
        match (source.role, target.role) {
            (_, Role::Channel) => {
                self.side_by_side(from, index);
                Some(Route::Channel(target.name.to_string()))
            }
            (Role::Channel, _) => {
                self.side_by_side(index, from);
                Some(Route::Sink(target.name.to_string()))
            }
            _ if held => Some(Route::Sink(target.name.to_string())),
            _ => {
                let name = self.implicit_channel(from, index, span, &columns)?;
                let to = Route::Sink(target.name.to_string());
                let leg = PlannedLeg { steps: Vec::new(), to };
                self.added.push(Path { from: From::Channel(name.clone()), leg });
                Some(Route::Channel(name))
            }
        }
    }

    /// Holds what a source or a sink requires of the channel at its side.
    fn side_by_side(&mut self, own: ComponentIndex, channel: ComponentIndex) {
        let (own, channel) = (&self.components[own], &self.components[channel]);
        if let (Some(own), Some(channel)) = (own.side(), channel.side()) {
            self.checker.channel_requirements(&own, &channel);
            self.checker.puts_fit(&own, &channel);
        }
    }

    pub(super) fn implicit_channel(
        &mut self,
        from: ComponentIndex,
        to: ComponentIndex,
        span: Span,
        columns: &Columns,
    ) -> Option<String> {
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
        let values = self.defaults(&signature.group, span)?;
        let given = HashMap::new();
        let channel = Side {
            group: &signature.group,
            values: &values,
            given: &given,
            name: &name,
            declared: span,
            implicit: true,
        };
        for component in [&self.components[from], &self.components[to]] {
            if let Some(own) = component.side() {
                self.checker.channel_requirements(&own, &channel);
                self.checker.puts_fit(&own, &channel);
            }
        }
        let event_type = self.event_types.id(columns);
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
    pub(super) fn merged(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
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
                let place = format!("{} `{}`", role_in_words(declared.role), declared.name);
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
}

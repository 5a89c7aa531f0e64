//! Sensitive columns that a sink writes, or makes names of.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::Span;
use weir_plan::{BODY, HEADER_SIGIL, Value};

use super::Input;
use super::reading::{Place, sensitive_within};
use super::taint::{Arrived, Follow, hops};
use crate::analysis::graph::{Component, Edge, Leg};
use crate::analysis::proofs::AllowedLeak;
use crate::analysis::settings::{OpenHole, Origin, Setting};
use crate::diagnostics::{Diagnostic, Edit, Fix, SensitiveColumn, SensitiveInName, SensitiveLeaves};
use crate::names::scopes::ComponentIndex;
use crate::signatures::{ALLOWED_ENUM, ALLOWED_SENSITIVE, ENCRYPTION_RECORD, Library};
use crate::types::Type;
use crate::types::columns::Columns;
use crate::typing::needs;

/// Returns what sinks may have by permission, and reports what they would get without.
pub(super) fn check(input: &Input<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<AllowedLeak> {
    let mut allowed = Vec::new();
    if !input.graph.edges.iter().any(|edge| edge.has_sensitive(input)) {
        return allowed;
    }
    let follow = Follow::all(input);
    let mut by_sink: BTreeMap<ComponentIndex, Vec<&Arrived<'_>>> = BTreeMap::new();
    for arrived in &follow.arrived {
        by_sink.entry(arrived.arrival.to).or_default().push(arrived);
    }
    for (sink, arrived) in by_sink {
        let component = &input.graph.components[sink];
        let leaks = written(component, &arrived, input.library);
        let in_names = named(component, &arrived);
        if leaks.is_empty() && in_names.is_empty() {
            continue;
        }
        if let Some(by) = permission(component) {
            let columns = leaks.iter().map(|leak| leak.name.clone());
            let columns = columns.chain(in_names.iter().map(|(_, leak)| leak.name.clone()));
            let columns: BTreeSet<String> = columns.collect();
            allowed.push(AllowedLeak { sink, columns: columns.into_iter().collect(), by });
            continue;
        }
        let can_allow = component.settings.iter().any(is_allow);
        let name = component.declared.name.to_string();
        if let Some(first) = arrived.iter().find(|arrived| !leaking(&leaks, arrived).is_empty()) {
            let fix = masked(&leaks, &arrived);
            let (sink, span) = (name.clone(), first.arrival.span);
            diagnostics.push(SensitiveLeaves { sink, columns: leaks, span, can_allow, fix }.into());
        }
        diagnostics.extend(in_names.into_iter().map(|(hole, column)| {
            let setting = setting_around(component, hole.span).map(|setting| setting.name.clone());
            SensitiveInName { sink: name.clone(), setting, column, span: hole.span, can_allow }.into()
        }));
    }
    allowed
}

impl Edge {
    /// Returns whether a step of the edge leaves a sensitive column. Without one, nothing is sensitive.
    fn has_sensitive(&self, input: &Input<'_>) -> bool {
        let is_sensitive = |columns: &Columns| {
            columns
                .columns
                .values()
                .any(|column| column.sensitive || sensitive_within(&column.value_type).is_some())
        };
        fn any(leg: &Leg, is: &dyn Fn(&Columns) -> bool) -> bool {
            leg.steps.iter().any(|step| is(&step.after)) || leg.to.legs().into_iter().any(|leg| any(leg, is))
        }
        let from = &input.graph.components[self.from].events;
        from.as_ref().is_some_and(|columns| is_sensitive(columns)) || any(&self.leg, &is_sensitive)
    }
}

/// Returns the permission of a sink in words: its setting that allows sensitive columns, or by which it encrypts.
fn permission(component: &Component) -> Option<String> {
    component.settings.iter().find_map(|setting| match (&setting.value_type, &setting.value) {
        (Type::Named(_), Some(Value::Variant { name, .. }))
            if is_allow(setting) && name == ALLOWED_SENSITIVE =>
        {
            Some(format!("{}: {name}", setting.name))
        }
        (Type::Named(named), Some(Value::Record(_))) if **named == *ENCRYPTION_RECORD => {
            Some(setting.name.clone())
        }
        _ => None,
    })
}

fn is_allow(setting: &Setting) -> bool {
    matches!(&setting.value_type, Type::Named(named) if **named == *ALLOWED_ENUM)
}

/// Returns the sensitive columns that a sink writes, by their names.
fn written(component: &Component, arrived: &[&Arrived<'_>], library: &Library) -> Vec<SensitiveColumn> {
    let needed = needs(component, library);
    let headers: BTreeSet<&str> = component.settings.headers.iter().map(|(name, _)| name.as_str()).collect();
    let is_written = |name: &str, attached: bool| {
        headers.contains(name)
            || match needed.is_empty() {
                true => !name.starts_with(HEADER_SIGIL) && !attached,
                false => needed.iter().any(|need| *need.name == *name),
            }
    };
    let mut found: BTreeMap<String, SensitiveColumn> = BTreeMap::new();
    for arrived in arrived {
        let Some(events) = &arrived.arrival.events else { continue };
        for (name, column) in &events.columns {
            if !is_written(name, column.attached) || found.contains_key(&**name) {
                continue;
            }
            let tainted = arrived.tainted.get(&Place::Column(name.clone())).map(|one| hops(&one.way));
            let within = || {
                let (field, span) = sensitive_within(&column.value_type)?;
                Some(vec![(span, format!("`{field}` in `{name}` is declared `sensitive`"))])
            };
            if let Some(way) = tainted.or_else(within) {
                found.insert(name.to_string(), SensitiveColumn { name: name.to_string(), way });
            }
        }
    }
    found.into_values().collect()
}

/// Returns the holes of a sink's templates that sensitive columns fill.
fn named<'c>(component: &'c Component, arrived: &[&Arrived<'_>]) -> Vec<(&'c OpenHole, SensitiveColumn)> {
    let holes = component.settings.holes.iter();
    let found = holes.filter_map(|hole| {
        let root = hole.column.split('.').next().unwrap_or_default();
        let way = arrived.iter().find_map(|arrived| {
            if let Some(sensitive) = arrived.tainted.get(&Place::Column(root.into())) {
                return Some(hops(&sensitive.way));
            }
            let part = arrived.arrival.events.as_ref()?.part(&hole.column).filter(|part| part.sensitive)?;
            Some(vec![(part.declared, format!("`{}` is declared `sensitive`", hole.column))])
        })?;
        Some((hole, SensitiveColumn { name: hole.column.clone(), way }))
    });
    found.collect()
}

/// Returns the setting whose value stands around a place.
fn setting_around(component: &Component, span: Span) -> Option<&Setting> {
    component.settings.iter().find(|setting| {
        matches!(setting.origin, Origin::Written(written) if written.contains(span))
            && matches!(setting.value, Some(Value::Template(_)))
    })
}

/// Returns the columns of these that are sensitive at one arrival.
fn leaking<'l>(leaks: &'l [SensitiveColumn], arrived: &Arrived<'_>) -> Vec<&'l SensitiveColumn> {
    let events = arrived.arrival.events.as_ref();
    let is_here = |leak: &&SensitiveColumn| {
        let column = events.and_then(|events| events.columns.get(leak.name.as_str()));
        column.is_some_and(|column| {
            arrived.tainted.contains_key(&Place::Column(leak.name.as_str().into()))
                || sensitive_within(&column.value_type).is_some()
        })
    };
    leaks.iter().filter(is_here).collect()
}

/// Returns the change that masks the columns before the sink, if all of them are fields with text.
fn masked(leaks: &[SensitiveColumn], arrived: &[&Arrived<'_>]) -> Option<Fix> {
    let mut edits = Vec::new();
    for arrived in arrived {
        let here = leaking(leaks, arrived);
        if here.is_empty() {
            continue;
        }
        let events = arrived.arrival.events.as_ref()?;
        let is_text = |leak: &&SensitiveColumn| {
            let column = events.columns.get(leak.name.as_str());
            leak.name != BODY && column.is_some_and(|column| column.value_type == Type::Text)
        };
        if !here.iter().all(is_text) {
            return None;
        }
        let steps = here.iter().map(|leak| format!("set {name} = sha256({name}) -> ", name = leak.name));
        let span = Span { end: arrived.arrival.span.start, ..arrived.arrival.span };
        edits.push(Edit { span, replacement: steps.collect() });
    }
    let names: Vec<String> = leaks.iter().map(|leak| format!("`{}`", leak.name)).collect();
    let title = format!("mask {} with `sha256`", names.join(", "));
    (!edits.is_empty()).then_some(Fix { title, edits, certain: false })
}

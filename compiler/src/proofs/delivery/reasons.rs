//! The reasons why components may lose, repeat or reorder events, by their delivery classes and the clauses of their
//! signatures.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Operator};
use weir_plan::Delivery;

use super::handover::is_made_up_for;
use super::program::Program;
use crate::analysis::graph::Component;
use crate::analysis::proofs::{Effect, Reason, Rule};
use crate::diagnostics::{Edit, Fix, RequiredSetting, UnkeptReason};
use crate::files::sources::Files;
use crate::names::scopes::ComponentIndex;
use crate::proofs::entries::added_entry;
use crate::signatures::classes::Class;

/// Returns a reason without settings and without a remedy.
pub(super) fn reason(
    rule: Rule,
    effects: &'static [Effect],
    place: Span,
    what: impl Into<String>,
    why: impl Into<String>,
) -> Reason {
    debug_assert!(effects.iter().all(|effect| rule.effects().contains(effect)), "{rule:?} has this effect");
    let shown = UnkeptReason {
        place,
        what: what.into(),
        why: why.into(),
        settings: Vec::new(),
        library: None,
        remedy: None,
        fix: None,
    };
    Reason { rule, effects, with_positions: false, shown }
}

/// Returns the reasons why a component may lose or repeat events.
pub(super) fn of_component(program: &Program<'_>, index: ComponentIndex) -> Vec<Reason> {
    let (component, library, files) = (program.component(index), program.library, program.files);
    let Some(signature) = &component.signature else { return Vec::new() };
    let (name, place) = (&component.declared.name, component.declared.span);
    let mut found = Vec::new();
    let class = signature.class;
    let says = |effects, why: &str| {
        let what = format!("`{name}` is {}", class.name());
        reason(Rule::Class, effects, place, what, why).said_at(signature.class_span)
    };
    match (class.loses(), class.repeats()) {
        (Some(loses), Some(_)) => found.push(says(&[Effect::Loses, Effect::Repeats], loses)),
        (Some(loses), None) => found.push(says(&[Effect::Loses], loses)),
        (None, Some(repeats)) => found.push(says(&[Effect::Repeats], repeats)),
        (None, None) => {}
    }
    if class == Class::FireAndForget {
        let what = format!("`{name}` is {}", class.name());
        let why = "its events have no positions that last, so a sink can't tell a repeat from another event";
        found.push(
            reason(Rule::NoPositions, &[Effect::Repeats], place, what, why).said_at(signature.class_span),
        );
    }
    let mut shortfalls = component.shortfalls(library);
    shortfalls.retain(|shortfall| !is_made_up_for(shortfall, index, program));
    for shortfall in shortfalls {
        let effects: &[Effect] = if shortfall.clause.loses { &[Effect::Loses] } else { &[Effect::Repeats] };
        let (why, condition) = (&shortfall.clause.because.text, shortfall.clause.condition.as_ref());
        let what = match &*shortfall.settings {
            [] => format!("its signature rules it out for `{name}`"),
            settings => shown(settings),
        };
        let mut clause = reason(Rule::Clause, effects, place, what, why).said_at(shortfall.place);
        clause.shown.remedy = remedy(condition, &shortfall.settings);
        clause.shown.fix = fix(condition, &shortfall.settings, component, files);
        clause.shown.settings = shortfall.settings;
        found.push(clause);
    }
    found
}

/// Names settings with their values.
fn shown(settings: &[RequiredSetting]) -> String {
    let shown: Vec<String> = settings.iter().map(RequiredSetting::shown).collect();
    match &*shown {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

/// Returns which settings to change, with the values that a condition such as `partitions != all` asks for.
fn remedy(condition: Option<&Expression>, settings: &[RequiredSetting]) -> Option<String> {
    let wanted = condition.map(unequal).unwrap_or_default();
    if let ([setting], [_, ..]) = (settings, &*wanted) {
        let values: Vec<String> = wanted.iter().map(|value| format!("`{value}`")).collect();
        return Some(format!("set `{}` to {}", setting.name, values.join(" or ")));
    }
    let names = |default| {
        let names = settings.iter().filter(move |setting| setting.default == default);
        names.map(|setting| format!("`{}`", setting.name)).collect::<Vec<_>>()
    };
    match (&*names(true), &*names(false)) {
        ([], []) => None,
        ([], written) => Some(format!("change {}", written.join(" or "))),
        (defaults, _) => Some(format!("set {}", defaults.join(" or "))),
    }
}

/// Returns the variants that a setting must not have for a condition to be true: `a` and `b` of `x != a and x != b`.
fn unequal(condition: &Expression) -> Vec<String> {
    match &condition.kind {
        ExpressionKind::And(parts) => parts.iter().flat_map(unequal).collect(),
        ExpressionKind::Binary(Operator::NotEqual, left, right) => match (&left.kind, &right.kind) {
            (ExpressionKind::Name(_), ExpressionKind::Name(variant)) => vec![variant.to_string()],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Returns the fix that gives a setting the first value that a condition asks for.
fn fix(
    condition: Option<&Expression>,
    settings: &[RequiredSetting],
    component: &Component,
    files: &Files,
) -> Option<Fix> {
    let value = condition.map(unequal)?.into_iter().next()?;
    let [setting] = settings else { return None };
    let name = setting.name.rsplit('.').next()?;
    let edit = match setting.default {
        false => Edit { span: setting.span, replacement: value.clone() },
        true => added_entry(component, files, &format!("{name}: {value}"))?,
    };
    let title = format!("set `{}` to `{value}`", setting.name);
    Some(Fix { title, edits: vec![edit], certain: false })
}

/// Returns the reason that a flow on the path stores no positions.
pub(super) fn not_promised(name: &str, delivery: Delivery, (span, stated): (Span, bool)) -> Reason {
    let what = format!("the flow `{name}` promises only `{delivery}`");
    let why = "its components store no positions, so they can't leave out what comes again";
    let edit = match stated {
        true => Edit { span, replacement: "exactly_once".to_owned() },
        false => {
            Edit { span: Span { start: span.end, ..span }, replacement: " delivers exactly_once".to_owned() }
        }
    };
    let title = format!("let `{name}` promise `exactly_once`");
    let mut found = reason(Rule::NotPromised, &[Effect::Repeats], span, what, why).with_remedy(title.clone());
    found.shown.fix = Some(Fix { title, edits: vec![edit], certain: false });
    found
}

/// Returns why events get lost if one flow of a path stores positions, and this one does not.
pub(super) fn stored_behind(name: &str, delivery: Delivery, span: Span) -> Reason {
    let what = format!("the flow `{name}` promises only `{delivery}`");
    let why = "another flow stores positions, and its sinks don't know which events wait for others";
    reason(Rule::NotPromised, &[Effect::Loses], span, what, why).with_positions(true)
}

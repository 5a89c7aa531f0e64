//! The conditions between settings: the `requires` clauses of signatures.

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Operator, Question, Requirement};
use weir_plan::{TemplatePart, Value};

use crate::analysis::settings::{Origin, Setting, Settings, Values};
use crate::checker::{Checker, Owner};
use crate::diagnostics::{BrokenRequirement, Diagnostic, RequiredSetting};
use crate::signatures::{Group, Library, SettingSignature};
use crate::values::defaults::{extreme, is_extreme};
use crate::values::literals::number_value;
use crate::values::operators::{arithmetic, compare, comparison, compute, holds as ordered};

impl Checker<'_> {
    /// Reports the group's requirements that the known values break, and returns whether there are none. `setting`
    /// returns the setting of a name; `owner` is the place that could have settings.
    pub(crate) fn requirements<'s>(
        &mut self,
        group: &Group,
        values: &dyn Values,
        setting: &dyn Fn(&str) -> Option<&'s Setting>,
        owner: Option<&Owner>,
    ) -> bool {
        let mut all_hold = true;
        for requirement in broken_requirements(group, values) {
            all_hold = false;
            let owner = owner.map(|owner| (owner.words.clone(), owner.span));
            let broken = BrokenRequirement { owner, ..self.broken(requirement, group, values, setting) };
            self.diagnostics.push(broken.into());
        }
        all_hold
    }

    fn broken<'s>(
        &self,
        requirement: &Requirement,
        group: &Group,
        values: &dyn Values,
        setting: &dyn Fn(&str) -> Option<&'s Setting>,
    ) -> BrokenRequirement {
        let mut names = Vec::new();
        collect_names(&requirement.condition, &mut names);
        let settings = names.iter().filter_map(|name| {
            let value = shown_value(value_at(values, name)?);
            let outer = outermost(name);
            let signature = group.setting(outer)?;
            let default = signature.default.as_ref().map_or(signature.name.span, |default| default.span);
            Some(required(name.clone(), value, deciding(name, setting), default))
        });
        BrokenRequirement {
            condition: self.files.text(requirement.condition.span).to_owned(),
            reason: requirement.because.text.clone(),
            reason_span: requirement.because.span,
            settings: settings.collect(),
            implicit: false,
            owner: None,
        }
    }
}

/// Returns the setting whose origin explains the value of a setting or of a nested setting: the nested one if its value
/// is derived, or else the outermost one.
fn deciding<'s>(name: &str, setting: &dyn Fn(&str) -> Option<&'s Setting>) -> Option<&'s Setting> {
    let derived = setting(name).filter(|setting| setting.derived_from.is_some());
    derived.or_else(|| setting(outermost(name)))
}

/// Returns a setting for a message; `default` is the place of a value that the program doesn't decide.
fn required(name: String, value: String, setting: Option<&Setting>, default: Span) -> RequiredSetting {
    let decided = setting.and_then(|setting| match setting.origin {
        Origin::Written(span) | Origin::Derived { decided_by: span, .. } => Some(span),
        _ => None,
    });
    let derived_from = setting.and_then(|setting| setting.derived_from.clone());
    RequiredSetting {
        name,
        value,
        span: decided.unwrap_or(default),
        default: decided.is_none(),
        derived_from,
    }
}

/// Returns a diagnostic for each requirement of a component that its neighbouring channel does not meet.
pub(crate) fn channel_requirements(own: &Side<'_>, channel: &Side<'_>, library: &Library) -> Vec<Diagnostic> {
    let mut broken = Vec::new();
    for requirement in own.group.requires.iter().filter(|requirement| names_channel(&requirement.condition)) {
        let value = |operand: &Expression| match setting_of(operand, "channel") {
            Some(name) => channel.values.value(name).map(Cow::Borrowed),
            None => operand_value(operand, own.values),
        };
        if holds(&requirement.condition, &value) != Some(false) {
            continue;
        }
        let mut settings = own.named_in(&requirement.condition);
        let mut of_channel = Vec::new();
        channel_settings(&requirement.condition, &mut of_channel);
        settings.extend(of_channel.iter().filter_map(|name| channel.shown(name)));
        let requirement = BrokenRequirement {
            condition: library.files.text(requirement.condition.span).to_owned(),
            reason: requirement.because.text.clone(),
            reason_span: requirement.because.span,
            settings,
            implicit: channel.implicit,
            owner: None,
        };
        broken.push(requirement.into());
    }
    broken
}

/// Returns whether a condition about a component's settings and those of the sink behind it, `sink.name`, is known to be true.
pub(crate) fn is_met_with_sink(condition: &Expression, own: &Side<'_>, sink: &Side<'_>) -> bool {
    let value = |operand: &Expression| match setting_of(operand, "sink") {
        Some(name) => sink.values.value(name).map(Cow::Borrowed),
        None => operand_value(operand, own.values),
    };
    holds(condition, &value) == Some(true)
}

/// The settings of a component that an arrow connects to another component.
pub(crate) struct Side<'s> {
    pub(crate) group: &'s Group,
    pub(crate) values: &'s dyn Values,
    /// The settings, with the origins of their values.
    pub(crate) settings: &'s Settings,
    /// The component's name.
    pub(crate) name: &'s str,
    /// The span of the component's declaration.
    pub(crate) declared: Span,
    /// Whether the component is a channel that the compiler added.
    pub(crate) implicit: bool,
}

impl Side<'_> {
    /// Returns the settings that a condition names.
    pub(crate) fn named_in(&self, condition: &Expression) -> Vec<RequiredSetting> {
        let mut names = Vec::new();
        collect_names(condition, &mut names);
        names.iter().filter_map(|name| self.shown(name)).collect()
    }

    /// Returns a setting with its value for a message.
    pub(crate) fn shown(&self, name: &str) -> Option<RequiredSetting> {
        let value = shown_value(value_at(self.values, name)?);
        let setting = deciding(name, &|name| self.settings.get(name));
        Some(required(format!("{}.{name}", self.name), value, setting, self.declared))
    }
}

impl<'s> Side<'s> {
    /// Returns the signature of a setting; for a nested setting, the signature of the outermost one.
    pub(crate) fn setting(&self, name: &str) -> Option<&'s SettingSignature> {
        self.group.setting(outermost(name))
    }
}

/// Returns the name of the outermost setting: `roll` for `roll.age`.
fn outermost(name: &str) -> &str {
    name.split_once('.').map_or(name, |(outer, _)| outer)
}

/// Returns the value of a setting or of a nested setting.
fn value_at<'v>(values: &'v dyn Values, name: &str) -> Option<&'v Value> {
    match name.split_once('.') {
        None => values.value(name),
        Some((outer, inner)) => value_at(inner_values(values.value(outer)?)?, inner),
    }
}

/// Returns the values of the settings that are nested in a value.
fn inner_values(value: &Value) -> Option<&BTreeMap<String, Value>> {
    match value {
        Value::Record(values) | Value::Variant { settings: values, .. } => Some(values),
        _ => None,
    }
}

/// Formats a value for a message about a requirement. A variant is shown by its name alone.
pub(crate) fn shown_value(value: &Value) -> String {
    match value {
        Value::Variant { name, .. } => name.clone(),
        value => value.to_string(),
    }
}

fn channel_settings<'e>(condition: &'e Expression, names: &mut Vec<&'e str>) {
    names.extend(channel_setting(condition));
    crate::names::visit::parts(condition).into_iter().for_each(|part| channel_settings(part, names));
}

/// Collects the names of the settings that a condition mentions, without the settings of a channel.
pub(crate) fn collect_names(condition: &Expression, names: &mut Vec<String>) {
    if channel_setting(condition).is_some() {
        return;
    }
    match setting_name(condition) {
        Some(name) if !names.contains(&name) => names.push(name),
        Some(_) => {}
        None => crate::names::visit::parts(condition).into_iter().for_each(|part| collect_names(part, names)),
    }
}

/// Returns the name of a setting or of a nested setting, such as `roll.age`.
fn setting_name(expression: &Expression) -> Option<String> {
    match &expression.kind {
        ExpressionKind::Name(name) => Some(name.to_string()),
        ExpressionKind::Member(inner, name) => Some(format!("{}.{}", setting_name(inner)?, name.text)),
        _ => None,
    }
}

/// Iterates over the requirements between a group's own settings that the known values break.
pub(crate) fn broken_requirements<'g>(
    group: &'g Group,
    values: &'g dyn Values,
) -> impl Iterator<Item = &'g Requirement> {
    let own = group.requires.iter().filter(|requirement| !names_channel(&requirement.condition));
    own.filter(|requirement| {
        holds(&requirement.condition, &|operand| operand_value(operand, values)) == Some(false)
    })
}

/// Returns whether a condition about a group's own settings is known to be true.
pub(crate) fn is_met(condition: &Expression, values: &dyn Values) -> bool {
    holds(condition, &|operand| operand_value(operand, values)) == Some(true)
}

/// Returns whether a clause with this condition applies: it has none, or the condition is known to be true.
pub(crate) fn applies(condition: Option<&Expression>, values: &dyn Values) -> bool {
    condition.is_none_or(|condition| is_met(condition, values))
}

/// Returns whether a condition is true; `None` if a value is unknown or null.
fn holds<'v>(condition: &Expression, values: &dyn Fn(&Expression) -> Option<Cow<'v, Value>>) -> Option<bool> {
    match &condition.kind {
        ExpressionKind::Paren(inner) => holds(inner, values),
        ExpressionKind::Not(operand) => Some(!holds(operand, values)?),
        ExpressionKind::And(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| holds(part, values)).collect();
            if parts.contains(&Some(false)) {
                Some(false)
            } else {
                parts.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
            }
        }
        ExpressionKind::Or(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| holds(part, values)).collect();
            if parts.contains(&Some(true)) {
                Some(true)
            } else {
                parts.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
            }
        }
        ExpressionKind::Is(is) if is.question == Question::Null => {
            Some((*values(&is.operand)? == Value::Null) != is.negated)
        }
        ExpressionKind::Is(is) => match &*values(&is.operand)? {
            Value::Text(text) | Value::Regex(text) => Some(text.is_empty() != is.negated),
            Value::List(items) => Some(items.is_empty() != is.negated),
            _ => None,
        },
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (values(left)?, values(right)?);
            match operator {
                Operator::Equal => Some(is_same(&left, &right)),
                Operator::NotEqual => Some(!is_same(&left, &right)),
                _ => Some(ordered(comparison(*operator)?, compare(&left, &right)?)),
            }
        }
        _ => match *values(condition)? {
            Value::Bool(value) => Some(value),
            _ => None,
        },
    }
}

/// Returns whether two values are equal. Variants are compared by their names.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Variant { name: left, .. }, Value::Variant { name: right, .. }) => left == right,
        _ => left == right,
    }
}

/// Returns the value of an expression over settings; `None` if the value of a setting is unknown.
pub(crate) fn operand_value<'v>(operand: &Expression, values: &'v dyn Values) -> Option<Cow<'v, Value>> {
    let value = match &operand.kind {
        ExpressionKind::Name(name) => match values.value(name) {
            Some(value) => return Some(Cow::Borrowed(value)),
            // The name is not a setting, so it is the variant of an enum that a setting is compared with.
            None => Value::Variant { name: name.to_string(), settings: BTreeMap::new() },
        },
        ExpressionKind::Number(number) => number_value(*number),
        ExpressionKind::Bool(value) => Value::Bool(*value),
        ExpressionKind::Null => Value::Null,
        ExpressionKind::Paren(inner) => return operand_value(inner, values),
        ExpressionKind::Member(inner, name) => match operand_value(inner, values)? {
            Cow::Borrowed(value) => return inner_values(value)?.get(&*name.text).map(Cow::Borrowed),
            Cow::Owned(value) => inner_values(&value)?.get(&*name.text)?.clone(),
        },
        ExpressionKind::Call(call) if matches!(&*call.function.name.text, "count" | "holes") => {
            let [only] = &*call.arguments else { return None };
            let number = match (&*operand_value(&only.value, values)?, &*call.function.name.text) {
                (Value::List(items), "count") => items.len(),
                (Value::Template(template), "holes") => {
                    template.parts.iter().filter(|part| matches!(part, TemplatePart::Hole(_))).count()
                }
                (Value::Text(_), "holes") => 0,
                _ => return None,
            };
            Value::Int(i64::try_from(number).ok()?)
        }
        ExpressionKind::Call(call) if is_extreme(call) => {
            let values = call.arguments.iter().filter_map(|argument| operand_value(&argument.value, values));
            extreme(call, values.map(Cow::into_owned))
        }
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (operand_value(left, values)?, operand_value(right, values)?);
            compute(arithmetic(*operator)?, &left, &right).ok()?
        }
        _ => return None,
    };
    Some(Cow::Owned(value))
}

/// Returns whether a requirement mentions the channel that the component puts into or takes from.
fn names_channel(condition: &Expression) -> bool {
    channel_setting(condition).is_some()
        || crate::names::visit::parts(condition).into_iter().any(names_channel)
}

/// Returns the name of the channel's setting in `channel.name`.
fn channel_setting(expression: &Expression) -> Option<&str> {
    setting_of(expression, "channel")
}

/// Returns the name of a neighbour's setting in `neighbour.name`.
fn setting_of<'e>(expression: &'e Expression, neighbour: &str) -> Option<&'e str> {
    match &expression.kind {
        ExpressionKind::Member(inner, name) => match &inner.kind {
            ExpressionKind::Name(of) if **of == *neighbour => Some(&name.text),
            _ => None,
        },
        _ => None,
    }
}

//! What must hold between settings: the `requires` clauses of signatures.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::{Comparator, Expression, ExpressionKind, Requirement};
use weir_plan::Value;

use crate::diagnostics::{BrokenRequirement, RequiredSetting};
use crate::library::Group;
use crate::settings::Checker;
use crate::values::{compare, number_value};

impl Checker<'_> {
    /// Whether the group's requirements hold, as far as the values are known.
    pub(crate) fn requirements(
        &mut self,
        group: &Group,
        values: &BTreeMap<String, Value>,
        given: &HashMap<&str, Span>,
    ) -> bool {
        let mut all_hold = true;
        for requirement in &group.requires {
            if holds(&requirement.condition, values) == Some(false) {
                all_hold = false;
                let broken = self.broken(requirement, group, values, given);
                self.diagnostics.push(broken.into());
            }
        }
        all_hold
    }

    fn broken(
        &self,
        requirement: &Requirement,
        group: &Group,
        values: &BTreeMap<String, Value>,
        given: &HashMap<&str, Span>,
    ) -> BrokenRequirement {
        let mut names = Vec::new();
        collect_names(&requirement.condition, &mut names);
        let settings = names.iter().filter_map(|name| {
            let value = values.get(*name)?.to_string();
            let signature = group.settings.iter().find(|setting| &*setting.name.text == *name)?;
            let own = given.get(*name).copied();
            let default = signature.default.as_ref().map_or(signature.name.span, |default| default.span);
            let name = (*name).to_owned();
            Some(RequiredSetting { name, value, span: own.unwrap_or(default), default: own.is_none() })
        });
        BrokenRequirement {
            condition: self.files.text(requirement.condition.span).to_owned(),
            reason: requirement.reason.clone(),
            reason_span: requirement.reason_span,
            settings: settings.collect(),
        }
    }
}

fn collect_names<'e>(condition: &'e Expression, names: &mut Vec<&'e str>) {
    match &condition.kind {
        ExpressionKind::Name(name) if !names.contains(&&**name) => names.push(name),
        ExpressionKind::Not(operand) | ExpressionKind::IsNull { operand, .. } => {
            collect_names(operand, names)
        }
        ExpressionKind::And(left, right)
        | ExpressionKind::Or(left, right)
        | ExpressionKind::Compare(_, left, right) => {
            collect_names(left, names);
            collect_names(right, names);
        }
        _ => {}
    }
}

/// Whether a condition holds; none if a value is not known or is null, about which it says nothing.
fn holds(condition: &Expression, values: &BTreeMap<String, Value>) -> Option<bool> {
    match &condition.kind {
        ExpressionKind::Bool(value) => Some(*value),
        ExpressionKind::Name(name) => match values.get(&**name)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        },
        ExpressionKind::Not(operand) => Some(!holds(operand, values)?),
        ExpressionKind::And(left, right) => match (holds(left, values), holds(right, values)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (left, right) => Some(left? && right?),
        },
        ExpressionKind::Or(left, right) => match (holds(left, values), holds(right, values)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (left, right) => Some(left? || right?),
        },
        ExpressionKind::IsNull { operand, negated } => {
            Some((operand_value(operand, values)? == Value::Null) != *negated)
        }
        ExpressionKind::Compare(comparator, left, right) => {
            let (left, right) = (operand_value(left, values)?, operand_value(right, values)?);
            match comparator {
                Comparator::Equal => Some(left == right),
                Comparator::NotEqual => Some(left != right),
                _ => Some(ordered(*comparator, compare(&left, &right)?)),
            }
        }
        _ => None,
    }
}

fn operand_value(operand: &Expression, values: &BTreeMap<String, Value>) -> Option<Value> {
    match &operand.kind {
        ExpressionKind::Name(name) => match values.get(&**name) {
            Some(value) => Some(value.clone()),
            // The variant of an enum that another setting is compared with.
            None => Some(Value::Variant { name: name.to_string(), settings: BTreeMap::new() }),
        },
        ExpressionKind::Number(number) => Some(number_value(*number)),
        ExpressionKind::Bool(value) => Some(Value::Bool(*value)),
        ExpressionKind::Null => Some(Value::Null),
        _ => None,
    }
}

fn ordered(comparator: Comparator, ordering: Ordering) -> bool {
    match comparator {
        Comparator::Less => ordering == Ordering::Less,
        Comparator::LessOrEqual => ordering != Ordering::Greater,
        Comparator::Greater => ordering == Ordering::Greater,
        Comparator::GreaterOrEqual => ordering != Ordering::Less,
        Comparator::Equal => ordering == Ordering::Equal,
        Comparator::NotEqual => ordering != Ordering::Equal,
    }
}

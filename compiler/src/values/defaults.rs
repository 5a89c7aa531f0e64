//! Defaults that the library computes from other settings: `min(4_096, channel.transaction_capacity)`.
//!
//! A setting without a value is left out of the computation. So is a setting that is being computed itself: two
//! defaults may depend on each other, and whichever is written decides the other one.

use std::cmp::Ordering;
use weir_grammar::Span;
use weir_grammar::tree::{Call, Expression, ExpressionKind, Question, Role};
use weir_plan::Value;

use crate::analysis::settings::{Origin, Setting, Settings};
use crate::checker::Checker;
use crate::diagnostics::{OutOfRange, UnknownName, WrongArguments, WrongType, with_article};
use crate::names::visit::parts;
use crate::signatures::{Group, Library, SettingSignature};
use crate::spelling::nearest;
use crate::types::Type;
use crate::values::literals::{number_type, number_value};
use crate::values::operators::{arithmetic, arithmetics, compare, compute};
use crate::values::ranges::{is_within, range_in_words};

/// The names of the neighbouring components in a default: the channels that a component puts into or takes from, and
/// the sources that put into a channel.
pub(crate) const NEIGHBOURS: [(&str, Role); 2] = [("channel", Role::Channel), ("source", Role::Source)];

/// The value of a setting that a default names.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The name of the setting, as messages show it.
    pub(crate) name: String,
    pub(crate) value: Value,
    /// The span of the value that the program or the library gives, and that decides this value.
    pub(crate) decided_by: Span,
}

/// Returns the value of a neighbour's setting, given `channel` or `source` and the name of the setting.
pub(crate) type Neighbours<'n> = &'n dyn Fn(&str, &str) -> Option<Known>;

/// The settings that the defaults of a group are computed from.
pub(crate) struct Deriving<'d> {
    pub(crate) group: &'d Group,
    /// Returns the value of a setting that is not computed; `None` if the value has an error.
    pub(crate) own: &'d dyn Fn(&str) -> Option<Known>,
    pub(crate) neighbours: Neighbours<'d>,
}

impl Setting {
    /// Returns the setting's value for defaults that depend on it; `None` if the value has an error.
    pub(crate) fn known(&self, name: impl Into<String>) -> Option<Known> {
        let decided_by = match self.origin {
            Origin::Written(span) | Origin::Derived { decided_by: span, .. } | Origin::Default(span) => span,
            Origin::Absent | Origin::Implicit | Origin::Missing => self.declared,
        };
        Some(Known { name: name.into(), value: self.value.clone()?, decided_by })
    }
}

impl SettingSignature {
    /// Returns whether the default is computed from other settings.
    pub(crate) fn is_computed(&self) -> bool {
        use ExpressionKind::{Binary, Call, Is, Member, Not};
        let kind = self.default.as_ref().map(|default| &default.kind);
        matches!(kind, Some(Call(_) | Is(_) | Binary(..) | Not(_) | Member(..)))
    }

    /// Returns whether the default depends on a setting of a neighbour with this name.
    pub(crate) fn depends_on(&self, neighbour: &str) -> bool {
        let of_neighbour =
            |mention: &&Expression| matches!(mentioned(mention), Some((Some(of), _)) if of == neighbour);
        self.is_computed()
            && self.default.as_ref().is_some_and(|default| mentions(default).iter().any(of_neighbour))
    }
}

impl Deriving<'_> {
    /// Returns a computed setting.
    pub(crate) fn setting(&self, signature: &SettingSignature) -> Setting {
        let SettingSignature { name, value_type, optional, .. } = signature;
        let (value, decisive) = self.computed(signature, &mut Vec::new());
        let default = signature.default.as_ref().map_or(name.span, |default| default.span);
        let names: Vec<&str> = decisive.iter().map(|known| &*known.name).collect();
        Setting {
            name: name.text.to_string(),
            value: Some(value),
            origin: match decisive.first() {
                Some(first) => Origin::Derived { default, decided_by: first.decided_by },
                None => Origin::Default(default),
            },
            value_type: value_type.clone(),
            optional: *optional,
            declared: name.span,
            derived_from: (!names.is_empty()).then(|| names.join(" and ")),
        }
    }

    /// Computes a default. Returns its value and the settings that decide it; none if they make no difference.
    fn computed<'s>(
        &'s self,
        signature: &'s SettingSignature,
        under_way: &mut Vec<&'s str>,
    ) -> (Value, Vec<Known>) {
        let Some(default) = &signature.default else { return (Value::Null, Vec::new()) };
        under_way.push(&signature.name.text);
        let found = mentions(default);
        let found = found.into_iter().map(|mention| (mention.span, self.known(mention, under_way)));
        let found: Vec<(Span, Option<Known>)> = found.collect();
        under_way.pop();
        let value = evaluated(default, &|mention| {
            let (_, known) = found.iter().find(|(span, _)| *span == mention)?;
            known.as_ref().map(|known| known.value.clone())
        });
        if value == evaluated(default, &|_| None) {
            return (value, Vec::new());
        }
        let mut known: Vec<Known> = found
            .into_iter()
            .filter_map(|(_, known)| known.filter(|known| known.value != Value::Null))
            .collect();
        if let Some(index) = known.iter().position(|known| known.value == value) {
            known = vec![known.swap_remove(index)];
        }
        (value, known)
    }

    fn known<'s>(&'s self, mention: &Expression, under_way: &mut Vec<&'s str>) -> Option<Known> {
        let (neighbour, name) = mentioned(mention)?;
        if let Some(neighbour) = neighbour {
            return (self.neighbours)(neighbour, name);
        }
        if let Some(known) = (self.own)(name) {
            return Some(known);
        }
        let signature = self.group.setting(name)?;
        if under_way.contains(&&*signature.name.text) {
            return None;
        }
        let (value, decisive) = self.computed(signature, under_way);
        let default = signature.default.as_ref().map_or(signature.name.span, |default| default.span);
        let decided_by = decisive.first().map_or(default, |first| first.decided_by);
        Some(Known { name: name.to_owned(), value, decided_by })
    }
}

impl Checker<'_> {
    /// Computes the defaults of a group again, now with the settings of neighbours. Reports requirements that break.
    pub(crate) fn derive_again(
        &mut self,
        group: &Group,
        settings: &mut Settings,
        neighbours: Neighbours<'_>,
    ) {
        let is_given = |setting: &Setting| matches!(setting.origin, Origin::Written(_));
        let own = |name: &str| {
            let signature = group.setting(name)?;
            let setting = settings.get(name)?;
            let is_fixed = !signature.is_computed() || is_given(setting);
            setting.known(name).filter(|_| is_fixed)
        };
        let deriving = Deriving { group, own: &own, neighbours };
        let computed = group.settings.iter().filter(|signature| signature.is_computed());
        let derived = computed.filter_map(|signature| {
            let before = settings.get(&signature.name.text).filter(|setting| !is_given(setting))?;
            let mut derived = deriving.setting(signature);
            if let (Origin::Implicit, Origin::Default(_)) = (before.origin, derived.origin) {
                derived.origin = Origin::Implicit;
            }
            (*before != derived).then_some((before.value != derived.value, derived))
        });
        let derived: Vec<(bool, Setting)> = derived.collect();
        let mut has_changed = false;
        for (changes, setting) in derived {
            has_changed |= changes;
            settings.whole &= self.in_range(group, &setting);
            settings.replace(setting);
        }
        if has_changed && settings.whole {
            settings.whole = self.requirements(group, settings, &|name| settings.get(name), None);
        }
    }

    /// Checks that a computed default is in the setting's range.
    pub(crate) fn in_range(&mut self, group: &Group, setting: &Setting) -> bool {
        let range = group.setting(&setting.name).and_then(|signature| signature.range.as_ref());
        let (Some(range), Some(value), Origin::Derived { decided_by, .. }) =
            (range, &setting.value, setting.origin)
        else {
            return true;
        };
        if is_within(range, value) {
            return true;
        }
        let (name, value) = (setting.name.clone(), value.to_string());
        let (range_text, declared) = (range_in_words(range, self.files), range.span);
        self.report(OutOfRange { name, value, range: range_text, span: decided_by, declared });
        false
    }

    /// Checks that a computed default has the type of its setting and names settings that exist.
    pub(crate) fn computed_default(
        &mut self,
        group: &Group,
        signature: &SettingSignature,
        default: &Expression,
    ) {
        let Some(found) = self.computed_type(group, default) else { return };
        if found != signature.value_type {
            let (expected, found) = (signature.value_type.to_string(), with_article(&found.to_string()));
            self.report(WrongType::new(expected, found, default.span));
        }
        if evaluated(default, &|_| None) == Value::Null && !signature.optional {
            let expected = format!("{} that needs no other setting", signature.value_type);
            self.report(WrongType::new(expected, "a default without a value".to_owned(), default.span));
        }
    }

    fn computed_type(&mut self, group: &Group, given: &Expression) -> Option<Type> {
        match &given.kind {
            ExpressionKind::Number(number) => Some(number_type(*number)),
            ExpressionKind::Bool(_) => Some(Type::Bool),
            ExpressionKind::Is(is) if is.question == Question::Null => {
                self.computed_type(group, &is.operand).map(|_| Type::Bool)
            }
            ExpressionKind::Call(call) if is_extreme(call) => {
                let types: Vec<Option<Type>> = call
                    .arguments
                    .iter()
                    .map(|argument| self.computed_type(group, &argument.value))
                    .collect();
                let mut types = types.into_iter().collect::<Option<Vec<Type>>>()?.into_iter();
                let first = types.next()?;
                if let Some(other) = types.find(|other| *other != first) {
                    let found = with_article(&other.to_string());
                    self.report(WrongType::new(first.to_string(), found, given.span));
                }
                Some(first)
            }
            ExpressionKind::Binary(operator, left, right) => {
                let (left, right) = (self.computed_type(group, left)?, self.computed_type(group, right)?);
                Some(arithmetics(arithmetic(*operator)?, &left, &right)?.result)
            }
            ExpressionKind::Name(_) | ExpressionKind::Member(..) => self.type_of_setting(group, given),
            _ => {
                let (name, span) = (self.files.text(given.span).to_owned(), given.span);
                let reason = "a default is computed with `min`, `max`, arithmetic and `is null`".to_owned();
                let usage = "min(4_096, capacity)".to_owned();
                self.report(WrongArguments { name, reason, span, usage, declared: None });
                None
            }
        }
    }

    fn type_of_setting(&mut self, group: &Group, mention: &Expression) -> Option<Type> {
        let (neighbour, name) = mentioned(mention)?;
        let library: &Library = self.library;
        let role = NEIGHBOURS.iter().find(|(word, _)| neighbour == Some(*word)).map(|(_, role)| *role);
        let neighbours = library.components.iter().filter(|((of, _), _)| Some(*of) == role);
        let groups: Vec<&Group> = match neighbour {
            None => vec![group],
            Some(_) => neighbours.map(|(_, signature)| &signature.group).collect(),
        };
        let settings = || groups.iter().flat_map(|group| &group.settings);
        let found = settings().find(|setting| &*setting.name.text == name);
        if found.is_none() {
            let near = nearest(name, settings().map(|setting| &*setting.name.text)).map(str::to_owned);
            let (name, span) = (self.files.text(mention.span).to_owned(), mention.span);
            self.report(UnknownName { name, wanted: "setting", near, quote: false, span });
        }
        found.map(|setting| setting.value_type.clone())
    }
}

/// Computes an expression over settings. The value of `lookup` for the span of a setting is null or none if the setting
/// is left out.
fn evaluated(expression: &Expression, lookup: &dyn Fn(Span) -> Option<Value>) -> Value {
    match &expression.kind {
        ExpressionKind::Number(number) => number_value(*number),
        ExpressionKind::Bool(value) => Value::Bool(*value),
        ExpressionKind::Paren(inner) => evaluated(inner, lookup),
        ExpressionKind::Name(_) | ExpressionKind::Member(..) => {
            lookup(expression.span).unwrap_or(Value::Null)
        }
        ExpressionKind::Is(is) => Value::Bool((evaluated(&is.operand, lookup) == Value::Null) != is.negated),
        ExpressionKind::Call(call) => {
            extreme(call, call.arguments.iter().map(|argument| evaluated(&argument.value, lookup)))
        }
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (evaluated(left, lookup), evaluated(right, lookup));
            match arithmetic(*operator) {
                Some(operator) if left != Value::Null && right != Value::Null => {
                    compute(operator, &left, &right).unwrap_or(Value::Null)
                }
                _ => Value::Null,
            }
        }
        _ => Value::Null,
    }
}

/// Returns the least or the greatest of the values of a call of `min` or `max`, without nulls.
pub(crate) fn extreme(call: &Call, values: impl Iterator<Item = Value>) -> Value {
    let wanted = if &*call.function.name.text == "min" { Ordering::Less } else { Ordering::Greater };
    let values = values.filter(|value| *value != Value::Null);
    let decided =
        values.reduce(|first, second| if compare(&second, &first) == Some(wanted) { second } else { first });
    decided.unwrap_or(Value::Null)
}

/// Returns whether a call is one of `min` or `max`.
pub(crate) fn is_extreme(call: &Call) -> bool {
    call.function.qualifier.is_none()
        && matches!(&*call.function.name.text, "min" | "max")
        && !call.arguments.is_empty()
        && call.arguments.iter().all(|argument| argument.name.is_none())
}

/// Returns the settings that a default names, in the order of its text.
fn mentions(default: &Expression) -> Vec<&Expression> {
    match mentioned(default) {
        Some(_) => vec![default],
        None => parts(default).into_iter().flat_map(mentions).collect(),
    }
}

/// Returns the setting that an expression names, with `channel` or `source` if a neighbour has it.
fn mentioned(expression: &Expression) -> Option<(Option<&str>, &str)> {
    match &expression.kind {
        ExpressionKind::Name(name) => Some((None, name)),
        ExpressionKind::Member(inner, name) => match &inner.kind {
            ExpressionKind::Name(neighbour) => Some((Some(neighbour), &name.text)),
            _ => None,
        },
        _ => None,
    }
}

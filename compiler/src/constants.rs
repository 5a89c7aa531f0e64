//! Params, lets and the names of everything else: what a name means where a value is expected.

use std::collections::{BTreeMap, HashMap, HashSet};

use weir_grammar::Span;
use weir_grammar::tree::{Block, Expression, ExpressionKind, Item, ItemKind, Name, Setting, TextPart};
use weir_plan::Value;

use crate::diagnostics::{CyclicLet, Diagnostic, HoleNotAllowed, ParamWithoutValue};
use crate::library::{Library, SettingSignature};
use crate::settings::{Checker, Expectation};
use crate::sources::Files;
use crate::types::Type;

/// What a name means.
#[derive(Debug)]
pub(crate) enum Constant<'t> {
    /// A constant; it is checked where it is used, against the type that is expected there.
    Let(&'t Expression),
    /// A param. Its value is none if it has been reported.
    Param { value_type: Type, optional: bool, value: Option<Value>, declared: Span },
    /// Something that is no value.
    Thing { what: &'static str },
    /// Something about which everything has been said.
    Broken,
}

/// All names of a program.
#[derive(Debug, Default)]
pub(crate) struct Constants<'t> {
    names: HashMap<&'t str, Constant<'t>>,
}

impl<'t> Constants<'t> {
    /// What a name means.
    pub(crate) fn get(&self, name: &str) -> Option<&Constant<'t>> {
        self.names.get(name)
    }

    /// The names of params and lets.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        let values = self.names.iter();
        let values =
            values.filter(|(_, constant)| matches!(constant, Constant::Let(_) | Constant::Param { .. }));
        values.map(|(name, _)| *name)
    }
}

/// Reads the names of a program: lets as they stand, then the values of params.
pub(crate) struct ConstantReader<'c> {
    pub(crate) library: &'c Library,
    pub(crate) files: &'c Files,
    /// The values of params that were given from outside.
    pub(crate) outside: &'c HashMap<String, Outside>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The lets and params that other constants use.
    pub(crate) used: HashSet<String>,
}

/// A value for a param from outside: where it came from is a file of its own.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl<'c> ConstantReader<'c> {
    pub(crate) fn read<'t>(&mut self, items: &'t [Item]) -> Constants<'t> {
        let mut constants = Constants::default();
        for item in items {
            let (name, constant) = match &item.kind {
                ItemKind::Let(item) => (&item.name, Constant::Let(&item.value)),
                ItemKind::Param(setting) => (&setting.name, Constant::Thing { what: "the param" }),
                ItemKind::Component(component) => {
                    (&component.name, Constant::Thing { what: role_in_words(component.role) })
                }
                ItemKind::Flow(flow) => (&flow.name, Constant::Thing { what: "the flow" }),
                ItemKind::Broken(Some(name)) => (name, Constant::Broken),
                _ => continue,
            };
            constants.names.entry(&name.text).or_insert(constant);
        }
        self.break_cycles(items, &mut constants);
        let params: Vec<&Setting> = items.iter().filter_map(param).collect();
        let read: Vec<(&str, Constant<'t>)> =
            params.iter().map(|setting| (&*setting.name.text, self.param(setting, &constants))).collect();
        for (name, constant) in read {
            if matches!(constants.names.get(name), Some(Constant::Thing { .. })) {
                constants.names.insert(name, constant);
            }
        }
        constants
    }

    fn param<'t>(&mut self, setting: &'t Setting, constants: &Constants<'_>) -> Constant<'t> {
        let (value_type, optional) = match self.library.resolve(&setting.type_name) {
            Ok(resolved) => resolved,
            Err(unknown) => {
                self.diagnostics.push(unknown.into());
                return Constant::Broken;
            }
        };
        let signature = SettingSignature {
            name: setting.name.clone(),
            value_type,
            optional,
            range: setting.range.clone(),
            default: None,
        };
        let outside = self.outside.get(&*setting.name.text);
        let mut checker = Checker::new(self.library, self.files, constants);
        let value = match (outside, &setting.default) {
            (Some(outside), _) => outside_value(&mut checker, &signature, outside),
            (None, Some(default)) => checker.setting(&signature, default),
            (None, None) if optional => Some(Value::Null),
            (None, None) => {
                let name = setting.name.text.to_string();
                let missing = ParamWithoutValue {
                    name,
                    type_name: signature.value_type.to_string(),
                    span: setting.name.span,
                };
                checker.diagnostics.push(missing.into());
                None
            }
        };
        // A param's value is the same for every event.
        for hole in std::mem::take(&mut checker.holes) {
            let expected = "param".to_owned();
            checker.diagnostics.push(HoleNotAllowed { span: hole.span, expected }.into());
        }
        self.diagnostics.append(&mut checker.diagnostics);
        self.used.extend(checker.used);
        Constant::Param {
            value_type: signature.value_type,
            optional,
            value,
            declared: setting.type_name.span,
        }
    }

    /// Finds lets that need their own values; they count as broken.
    fn break_cycles<'t>(&mut self, items: &'t [Item], constants: &mut Constants<'t>) {
        let lets = items.iter().filter_map(|item| match &item.kind {
            ItemKind::Let(item) => Some((&*item.name.text, (&item.name, names_in(&item.value)))),
            _ => None,
        });
        let lets: BTreeMap<&str, (&Name, Vec<Name>)> = lets.collect();
        for (_, names) in lets.values() {
            self.used.extend(names.iter().map(|name| name.text.to_string()));
        }
        let mut done: HashSet<&str> = HashSet::new();
        for start in lets.keys() {
            let mut way: Vec<(&str, usize)> = vec![(start, 0)];
            while let Some((name, next)) = way.last_mut() {
                let used = lets.get(name).and_then(|(_, names)| names.get(*next));
                let (Some(used), false) = (used, done.contains(name)) else {
                    done.insert(name);
                    way.pop();
                    continue;
                };
                *next += 1;
                if let Some(first) = way.iter().position(|(name, _)| **name == *used.text) {
                    for (name, _) in &way[first..] {
                        constants.names.insert(name, Constant::Broken);
                    }
                    if let Some((declared, _)) = lets.get(way[first].0) {
                        let (name, span) = (declared.text.to_string(), declared.span);
                        self.diagnostics.push(CyclicLet { name, span, used: used.span }.into());
                    }
                } else if let Some((name, _)) = lets.get_key_value(&*used.text) {
                    way.push((name, 0));
                }
            }
        }
    }
}

fn param(item: &Item) -> Option<&Setting> {
    match &item.kind {
        ItemKind::Param(setting) => Some(setting),
        _ => None,
    }
}

pub(crate) fn role_in_words(role: weir_grammar::tree::Role) -> &'static str {
    match role {
        weir_grammar::tree::Role::Source => "the source",
        weir_grammar::tree::Role::Channel => "the channel",
        weir_grammar::tree::Role::Sink => "the sink",
    }
}

/// The value of a param from outside: text as it stands, lists with commas, anything else as the
/// language writes it.
fn outside_value(
    checker: &mut Checker<'_>,
    signature: &SettingSignature,
    outside: &Outside,
) -> Option<Value> {
    let text = outside.text.as_str();
    let span = outside.span;
    let literal = |start: usize, text: &str| {
        let part = weir_grammar::tree::TextPart::Literal(text.into());
        let parts = if text.is_empty() { Vec::new() } else { vec![part] };
        let start = span.start + start as u32;
        let span = Span { start, end: start + text.len() as u32, ..span };
        Expression { span, kind: ExpressionKind::Text(weir_grammar::tree::Text { parts }) }
    };
    let given = match &signature.value_type {
        textual if textual.is_textual() => literal(0, text),
        Type::List(item) if item.is_textual() && !text.trim_start().starts_with('[') => {
            let mut start = 0;
            let mut items = Vec::new();
            for item in text.split(',') {
                let blanks = item.len() - item.trim_start().len();
                items.push(literal(start + blanks, item.trim()));
                start += item.len() + 1;
            }
            Expression { span, kind: ExpressionKind::List(items) }
        }
        _ => {
            let (given, errors) = weir_grammar::parse_value(span.file, text);
            let errors = errors.into_iter().map(|error| crate::syntax::diagnostic(error, checker.files));
            checker.diagnostics.extend(errors);
            if let (ExpressionKind::Name(_), false) =
                (&given.kind, matches!(signature.value_type, Type::Named(_)))
            {
                checker.mismatch(format!("`{text}`"), span, None, &Expectation::of(signature));
                return None;
            }
            given
        }
    };
    let value = checker.value(&given, &Expectation::of(signature))?;
    checker.range(signature, &value, span).then_some(value)
}

/// The names that a value uses.
fn names_in(value: &Expression) -> Vec<Name> {
    let mut names = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match &value.kind {
            ExpressionKind::Name(name) => names.push(Name { text: name.clone(), span: value.span }),
            ExpressionKind::List(items) => open.extend(items),
            ExpressionKind::Record(block) | ExpressionKind::Variant(_, block) => {
                open.extend(values_in(block))
            }
            ExpressionKind::Text(text) => {
                let holes = text.parts.iter().filter_map(|part| match part {
                    TextPart::Hole(hole) => Some(hole.name.clone()),
                    TextPart::Literal(_) => None,
                });
                names.extend(holes);
            }
            _ => {}
        }
    }
    names
}

fn values_in(block: &Block) -> impl Iterator<Item = &Expression> {
    block.entries.iter().map(|entry| &entry.value)
}

//! Params: values that are given to the program from outside.

use std::collections::{HashMap, HashSet};

use weir_grammar::tree::{Expression, ExpressionKind, Item, ItemKind, Name, Setting, Text, TextPart};
use weir_grammar::{FileId, Span};
use weir_plan::Value;

use crate::analysis::settings::{Found, Origin};
use crate::checker::{Checker, Expectation, ParamValue};
use crate::diagnostics::{Diagnostic, HoleNotAllowed, ParamWithoutValue, PlainSecret, UnknownParam};
use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::options::{Options, variable_of_param};
use crate::signatures::SettingSignature;
use crate::spelling::nearest;
use crate::types::Type;
use crate::types::ranges::IntRange;

/// A value for a param that was given from outside. Its origin is represented as a file.
#[derive(Debug)]
pub(crate) struct Outside {
    given: Given,
    span: Span,
}

/// The form in which a value of a param is given.
#[derive(Debug)]
enum Given {
    /// Text, which is parsed for the type of the param.
    Text(String),
    /// A value, which has been checked.
    Constant(Value),
}

/// Collects the values of params that were given from outside. Each is added as a file, so that diagnostics can refer
/// to it.
pub(crate) fn outside(
    modules: &[Module],
    options: &Options,
    files: &mut Files,
    entry: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashMap<String, Outside> {
    let items = || modules.iter().flat_map(|module| &module.tree.items);
    let mut params: Vec<&str> = items().filter_map(param).map(|setting| &*setting.name.text).collect();
    let mut seen = HashSet::new();
    params.retain(|name| seen.insert(*name));
    let mut add = |text: &str, title: String| {
        let file = files.add(title, text);
        Span { file, start: 0, end: text.len() as u32 }
    };
    let mut outside = HashMap::new();
    for name in &params {
        if let Some(value) = options.constants.get(*name) {
            let span = add(&value.to_string(), format!("with {name}"));
            outside.insert((*name).to_owned(), Outside { given: Given::Constant(value.clone()), span });
            continue;
        }
        let variable = variable_of_param(name);
        let in_environment =
            variable.and_then(|variable| Some((options.environment.get(&variable)?, variable)));
        let given = match (options.params.get(*name), options.editor_params.get(*name), in_environment) {
            (Some(text), _, _) => Some((text, format!("--set {name}"))),
            (None, Some(text), _) => Some((text, format!("setting weir.params.{name}"))),
            (None, None, Some((text, variable))) => Some((text, format!("environment {variable}"))),
            (None, None, None) => None,
        };
        if let Some((text, title)) = given {
            let span = add(text, title);
            outside.insert((*name).to_owned(), Outside { given: Given::Text(text.clone()), span });
        }
    }
    let broken: HashSet<&str> = items().filter_map(broken_name).map(|name| &*name.text).collect();
    let known: Vec<String> = params.iter().map(|name| (*name).to_owned()).collect();
    let unknown = options.params.keys().filter(|name| !params.contains(&name.as_str()));
    for name in unknown.filter(|name| !broken.contains(name.as_str())) {
        let near = nearest(name, params.iter().copied()).map(str::to_owned);
        let span = Span { file: entry, start: 0, end: 0 };
        diagnostics.push(UnknownParam { name: name.clone(), near, known: known.clone(), span }.into());
    }
    outside
}

fn param(item: &Item) -> Option<&Setting> {
    match &item.kind {
        ItemKind::Param(setting) => Some(setting),
        _ => None,
    }
}

fn broken_name(item: &Item) -> Option<&Name> {
    match &item.kind {
        ItemKind::Broken(name) => name.as_ref(),
        _ => None,
    }
}

impl Checker<'_> {
    /// Reads all params of the program.
    pub(crate) fn read_params(&mut self, modules: &[Module], outside: &HashMap<String, Outside>) {
        let params = modules.iter().flat_map(|module| &module.tree.items).filter_map(param);
        let read: Vec<(Span, Option<ParamValue>)> = params
            .map(|setting| (setting.name.span, self.param(setting, outside.get(&*setting.name.text))))
            .collect();
        // The values are added after all params are read, so that no default depends on another param or on their
        // order.
        self.params.extend(read);
    }

    fn param(&mut self, setting: &Setting, outside: Option<&Outside>) -> Option<ParamValue> {
        let signature = self.param_signature(setting)?;
        let optional = signature.optional;
        let is_text = |outside: &Outside| matches!(outside.given, Given::Text(_));
        if outside.is_some_and(is_text) && signature.value_type == Type::Secret {
            // Command lines and environment variables are visible in too many places for a secret. The diagnostic does
            // not repeat its text.
            let (setting, span) = (setting.name.text.to_string(), setting.name.span);
            self.report(PlainSecret { setting, given: true, span });
            return None;
        }
        let mut found = Found::default();
        let (value, origin) = match (outside, &setting.default) {
            (Some(Outside { given, span }), _) => {
                let value = match given {
                    Given::Text(text) => self.outside_value(&signature, text, *span, &mut found),
                    Given::Constant(value) => Some(value.clone()),
                };
                (value, Origin::Written(*span))
            }
            (None, Some(default)) => {
                (self.setting(&signature, default, &mut found), Origin::Default(default.span))
            }
            (None, None) if optional => (Some(Value::Null), Origin::Absent),
            (None, None) => {
                let (name, span) = (setting.name.text.to_string(), setting.name.span);
                let type_name = signature.value_type.to_string();
                let variable = variable_of_param(&name);
                self.report(ParamWithoutValue { name, type_name, variable, span });
                (None, Origin::Missing)
            }
        };
        // A param's value is the same for every event.
        for hole in found.holes {
            self.report(HoleNotAllowed { span: hole.span, expected: "param".to_owned() });
        }
        let declared = setting.type_name.span;
        let range = setting.range.as_ref().and_then(IntRange::of_text);
        Some(ParamValue { value_type: signature.value_type, optional, value, origin, range, declared })
    }

    /// Returns what the declaration of a param requires of its values.
    fn param_signature(&mut self, setting: &Setting) -> Option<SettingSignature> {
        let (value_type, optional) = self.resolve(&setting.type_name)?;
        Some(SettingSignature {
            name: setting.name.clone(),
            value_type,
            optional,
            exclusive: None,
            negatives: true,
            range: setting.range.clone(),
            touches: Vec::new(),
            default: None,
            forms: Vec::new(),
        })
    }

    /// Checks the value that a test gives to a param.
    pub(crate) fn value_of_param(&mut self, setting: &Setting, given: &Expression) -> Option<Value> {
        let signature = self.param_signature(setting)?;
        let mut found = Found::default();
        let value = self.value_with(given, &Expectation::of(&signature), &mut found)?;
        let is_whole = found.holes.is_empty();
        for hole in found.holes {
            self.report(HoleNotAllowed { span: hole.span, expected: "param".to_owned() });
        }
        (self.range(&signature, &value, given.span) && is_whole).then_some(value)
    }

    /// Returns the value of a param whose value was left out, as in `--set limit=`: null, or no items of a list.
    fn left_out(&mut self, signature: &SettingSignature, span: Span) -> Option<Value> {
        if signature.optional {
            return Some(Value::Null);
        }
        match &signature.value_type {
            Type::List(_) => Some(Value::List(Vec::new())),
            _ => self.mismatch("nothing".to_owned(), span, None, &Expectation::of(signature)),
        }
    }

    /// Parses the value of a param that was given from outside: text without quotes, lists with commas, and other types
    /// in the syntax of the language.
    fn outside_value(
        &mut self,
        signature: &SettingSignature,
        text: &str,
        span: Span,
        found: &mut Found,
    ) -> Option<Value> {
        if text.trim().is_empty() && !signature.value_type.is_textual() {
            return self.left_out(signature, span);
        }
        // An optional text has no other form of null.
        if matches!(text, "" | "null") && signature.optional {
            return Some(Value::Null);
        }
        let given = match &signature.value_type {
            textual if textual.is_textual() => literal(text, span, 0),
            Type::List(item) if item.is_textual() && !text.trim_start().starts_with('[') => {
                let mut start = 0;
                let mut items = Vec::new();
                for item in text.split(',') {
                    let blanks = item.len() - item.trim_start().len();
                    items.push(literal(item.trim(), span, start + blanks));
                    start += item.len() + 1;
                }
                Expression { span, kind: ExpressionKind::List(items) }
            }
            _ => {
                let (given, errors) = weir_grammar::parse_value(span.file, text);
                let errors =
                    errors.into_iter().map(|error| crate::files::syntax::diagnostic(error, self.files));
                self.diagnostics.extend(errors);
                if let (ExpressionKind::Name(_), false) =
                    (&given.kind, matches!(signature.value_type, Type::Named(_)))
                {
                    self.mismatch(format!("`{text}`"), span, None, &Expectation::of(signature));
                    return None;
                }
                given
            }
        };
        let value = self.value_with(&given, &Expectation::of(signature), found)?;
        self.range(signature, &value, span).then_some(value)
    }
}

fn literal(text: &str, whole: Span, start: usize) -> Expression {
    let part = TextPart::Literal(text.into());
    let parts = if text.is_empty() { Vec::new() } else { vec![part] };
    let start = whole.start + start as u32;
    let span = Span { start, end: start + text.len() as u32, ..whole };
    Expression { span, kind: ExpressionKind::Text(Text { parts }) }
}

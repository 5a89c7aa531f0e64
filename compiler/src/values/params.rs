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
    text: String,
    span: Span,
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
    let mut take = |name: &str, text: &str, title: String| {
        let file = files.add(title, text);
        let span = Span { file, start: 0, end: text.len() as u32 };
        (name.to_owned(), Outside { text: text.to_owned(), span })
    };
    let mut outside = HashMap::new();
    for name in &params {
        let variable = variable_of_param(name);
        let in_environment =
            variable.and_then(|variable| Some((options.environment.get(&variable)?, variable)));
        let given = match (options.params.get(*name), options.editor_params.get(*name), in_environment) {
            (Some(text), _, _) => Some((text, format!("--set {name}"))),
            (None, Some(text), _) => Some((text, format!("setting weir.params.{name}"))),
            (None, None, Some((text, variable))) => Some((text, format!("environment {variable}"))),
            (None, None, None) => None,
        };
        outside.extend(given.map(|(text, title)| take(name, text, title)));
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
        let (value_type, optional) = self.resolve(&setting.type_name)?;
        let signature = SettingSignature {
            name: setting.name.clone(),
            value_type,
            optional,
            exclusive: None,
            negatives: true,
            range: setting.range.clone(),
            touches: Vec::new(),
            default: None,
            forms: Vec::new(),
        };
        if let (Some(_), Type::Secret) = (outside, &signature.value_type) {
            // Command lines and environment variables are visible in too many places for a secret. The diagnostic does
            // not repeat its text.
            let (setting, span) = (setting.name.text.to_string(), setting.name.span);
            self.report(PlainSecret { setting, given: true, span });
            return None;
        }
        let mut found = Found::default();
        let (value, origin) = match (outside, &setting.default) {
            (Some(outside), _) => {
                (self.outside_value(&signature, outside, &mut found), Origin::Written(outside.span))
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
        outside: &Outside,
        found: &mut Found,
    ) -> Option<Value> {
        let text = outside.text.as_str();
        let span = outside.span;
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

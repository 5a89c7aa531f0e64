//! Values as other tools write them, and what to write instead.

use weir_grammar::tree::{Call, Expression, ExpressionKind, Name, Number};
use weir_grammar::{FileId, Span, parse_value};

use crate::checker::Checker;
use crate::diagnostics::ForeignForm;
use crate::files::sources::Files;
use crate::signatures::{Library, Named};
use crate::types::Type;

/// Returns the literal that stands in quotes where a value of this type is expected: `30s` for `"30s"`.
pub(super) fn literal(text: &str, wanted: &Type, library: &Library) -> Option<String> {
    if let Type::Named(name) = wanted {
        let Some(Named::Enum(variants)) = library.types.get(name) else { return None };
        let names = variants.iter().map(|variant| &*variant.name.text);
        let lower = text.to_ascii_lowercase();
        let same = names.clone().find(|name| *name == lower);
        return same.or_else(|| library.known_as(text, names)).map(str::to_owned);
    }
    if *wanted == Type::Header {
        let is_name = text.starts_with(|letter: char| letter.is_ascii_lowercase())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        return is_name.then(|| format!("@{text}"));
    }
    let (value, errors) = parse_value(FileId(0), text);
    let ExpressionKind::Number(number) = value.kind else { return None };
    let fits = matches!(
        (number, wanted),
        (Number::Int(_) | Number::Point { .. }, Type::Float | Type::Decimal(..))
            | (Number::Duration(_), Type::Duration)
            | (Number::Size(_), Type::Size)
            | (Number::EventRate(_), Type::EventRate)
            | (Number::ByteRate(_), Type::ByteRate)
            | (Number::Percent(_), Type::Percent)
    );
    (fits && errors.is_empty()).then(|| text.to_owned())
}

impl Checker<'_> {
    /// Reports a value in the form of another tool. Returns whether the value is one.
    pub(super) fn foreign_value(&mut self, given: &Expression, wanted: &Type) -> bool {
        let habit = match (&given.kind, wanted) {
            (ExpressionKind::Call(call), Type::Named(enumeration)) => {
                let Some(takes) = self.calls_variant(call, enumeration) else { return false };
                called_variant(call, takes, given.span, self.files)
            }
            (ExpressionKind::Negate(item), Type::List(_)) if is_yaml(given.span, self.files) => {
                yaml_item(given.span, item.span, self.files)
            }
            _ => return false,
        };
        self.report(habit);
        true
    }

    /// Returns whether the variant with the name of a called function takes its arguments as settings; `None` if there is
    /// no such variant.
    fn calls_variant(&self, call: &Call, enumeration: &str) -> Option<bool> {
        let Some(Named::Enum(variants)) = self.library.types.get(enumeration) else { return None };
        let variant = variants.iter().find(|variant| variant.name.text == call.function.name.text)?;
        let settings = variant.group.as_ref().map(|group| &group.settings);
        let is_setting = |name: &Name| {
            settings.is_some_and(|settings| settings.iter().any(|setting| setting.name.text == name.text))
        };
        let takes = call.arguments.iter().all(|argument| argument.name.as_ref().is_some_and(is_setting));
        call.function.qualifier.is_none().then_some(takes)
    }
}

/// `host` for `@host`.
pub(super) fn header(name: &str, span: Span) -> ForeignForm {
    let edits = vec![(Span { end: span.start, ..span }, "@".to_owned())];
    ForeignForm::new(span, format!("a header is written `@{name}`"), format!("write `@{name}`"), edits)
}

/// `json(pretty: true)` for `json { pretty: true }`.
fn called_variant(call: &Call, has_settings: bool, span: Span, files: &Files) -> ForeignForm {
    let name = &call.function.name;
    let message = format!("`{}` is no function: its settings stand in braces", name.text);
    let after = Span { start: name.span.end, ..span };
    let arguments = files.text(after).trim().trim_start_matches('(').trim_end_matches(')').trim();
    if call.arguments.is_empty() {
        let title = format!("write `{}`", name.text);
        return ForeignForm::new(span, message, title, vec![(after, String::new())]);
    }
    if !has_settings {
        let message = format!("`{}` is no function, and has no such settings", name.text);
        return ForeignForm::new(span, message, format!("write `{}`", name.text), Vec::new());
    }
    let title = format!("write `{} {{ {arguments} }}`", name.text);
    let is_named = call.arguments.iter().all(|argument| argument.name.is_some());
    let edits = if is_named { vec![(after, format!(" {{ {arguments} }}"))] } else { Vec::new() };
    ForeignForm::new(span, message, title, edits)
}

/// Returns whether a value is an item of a list as YAML writes it: `- item` on a line below the name.
fn is_yaml(span: Span, files: &Files) -> bool {
    let before = Span { start: 0, end: span.start, ..span };
    let before = files.text(before).trim_end_matches([' ', '\t']);
    files.text(span).starts_with("- ") && before.ends_with('\n') && before.trim_end().ends_with(':')
}

/// The list of one item that YAML writes in the line below its name.
fn yaml_item(span: Span, item: Span, files: &Files) -> ForeignForm {
    let text = files.text(item);
    let is_word = text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let list = if is_word { format!("[\"{text}\"]") } else { format!("[{text}]") };
    let before = files.text(Span { start: 0, end: span.start, ..span }).trim_end().len() as u32;
    let message = "a list is written in brackets, not with a line for each item";
    let edits = vec![(Span { start: before, ..span }, format!(" {list}"))];
    ForeignForm::new(span, message, format!("write `{list}`"), edits)
}

/// `${HOME}` for a constant that is made of the environment: the name that stands in a hole, at this place.
///
/// There is a fix if the variable is set and no other item has the name of the constant.
pub(super) fn variable(name: &str, hole: Span, span: Span, checker: &Checker<'_>) -> Option<ForeignForm> {
    let files = checker.files;
    let text = files.text(Span { start: 0, end: hole.start, ..hole });
    let is_variable =
        name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
    if !text.ends_with('$') || !is_variable {
        return None;
    }
    let constant = name.to_ascii_lowercase();
    let message =
        format!("an environment variable is named by a constant: `let {constant} = env(\"{name}\")`");
    let title = format!("write `{{{constant}}}`, and `let {constant} = env(\"{name}\")`");
    let dollar = Span { start: hole.start - 1, end: hole.start, ..hole };
    let mut edits = vec![(dollar, String::new()), (span, constant.clone())];
    let whole = files.get(span.file).map(|file| &*file.text).unwrap_or_default();
    let declared = format!("let {constant} =");
    let is_set = checker.environment.is_some_and(|variables| variables.contains_key(name));
    let is_let = whole.lines().any(|line| line.starts_with(&declared));
    if !is_set || !is_let && checker.scopes.get(span.file, &constant).is_some() {
        edits.clear();
    }
    if !edits.is_empty() && !whole.lines().any(|line| line.starts_with(&declared)) {
        let start = first_item(whole) as u32;
        let place = Span { start, end: start, ..span };
        edits.push((place, format!("let {constant} = env(\"{name}\")\n")));
    }
    Some(ForeignForm::new(Span { start: hole.start - 1, ..hole }, message, title, edits))
}

/// Returns the place before the first item and its doc comment.
fn first_item(text: &str) -> usize {
    let is_before = |line: &&str| line.starts_with("//!") || line.trim().is_empty();
    text.split_inclusive('\n').take_while(is_before).map(str::len).sum()
}

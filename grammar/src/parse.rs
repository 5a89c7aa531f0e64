//! Parses a text into a tree, item by item.

mod hyphens;

use std::ops::Range;

use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use pest::iterators::Pair;

use crate::build::Builder;
use crate::error::{Foreign, SyntaxError, SyntaxErrorKind};
use crate::expectation::{self, Mismatch};
use crate::habits::{self, Habit};
use crate::layout::{ItemText, entry_around, lay_out, lay_out_value};
use crate::repair::Copy;
use crate::tree::{CommentKind, Expression, ExpressionKind, File, Item, ItemKind, Name};
use crate::{FileId, FlowParser, Rule, Span};

/// The size limit of a file. Offsets fit into spans, and parsing takes a bounded time.
const FILE_BYTES_MAX: usize = 64 << 20;

/// The maximum number of errors reported for one item. Each error costs another parse of the item.
const ITEM_ERRORS_MAX: usize = 100;

/// The tree of a text, and its syntax errors.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The tree; parts with errors are missing or broken.
    pub file: File,
    /// One error for each mistake, in the order of the text.
    pub errors: Vec<SyntaxError>,
}

/// Parses the text of a file.
pub fn parse(file: FileId, text: &str) -> Parsed {
    let parsed = parse_with(file, text, &[]);
    let names = hyphens::names(&parsed.errors);
    // A name with hyphens is one mistake, wherever the name is used: the second pass repairs all places.
    if names.is_empty() { parsed } else { parse_with(file, text, &names) }
}

/// Parses the text of a file, in which these names have hyphens.
fn parse_with(file: FileId, text: &str, hyphenated: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    if text.len() > FILE_BYTES_MAX {
        let span = Span { file, start: 0, end: 0 };
        let kind = SyntaxErrorKind::Limit { what: "bytes in a file", limit: FILE_BYTES_MAX };
        parsed.errors.push(SyntaxError { span, kind });
        return parsed;
    }
    let layout = lay_out(file, text);
    parsed.file.documentation = documentation(text, &layout.comments, CommentKind::File);
    parsed.file.items.reserve(layout.items.len());
    let mut builder = Builder::new(file, text, &layout.comments);
    let mut last_end = 0;
    for mut item in layout.items {
        builder.begin_item(item.range.start, last_end);
        last_end = item.range.end;
        if !hyphenated.is_empty() {
            item.repairs.extend(hyphens::edits(&text[item.range.clone()], item.range.start, hyphenated));
        }
        let read = read_item(&mut builder, item);
        parsed.file.items.push(read);
        builder.errors.sort_by_key(|error| error.span.start);
        parsed.errors.append(&mut builder.errors);
    }
    parsed.errors.extend(hyphens::errors(file, text, hyphenated));
    parsed.file.comments = layout.comments;
    if !hyphenated.is_empty() || !layout.errors.is_empty() {
        parsed.errors.extend(layout.errors);
        parsed.errors.sort_by_key(|error| error.span.start);
    }
    parsed
}

/// Parses a single value, such as the value of `--set name=value`. It may have several lines and comments, as in a file.
pub fn parse_value(file: FileId, text: &str) -> (Expression, Vec<SyntaxError>) {
    let span = Span { file, start: 0, end: text.len() as u32 };
    let broken = Expression { span, kind: ExpressionKind::Broken };
    let layout = lay_out_value(file, text);
    let mut errors: Vec<SyntaxError> = Vec::new();
    errors.extend(layout.errors);
    let shapeless = layout.items.iter().any(|item| item.shapeless);
    let mut copy = text.to_owned();
    for item in layout.items {
        item.blanks.into_iter().for_each(|range| blank(&mut copy, range));
        errors.extend(item.errors);
    }
    if shapeless || !errors.is_empty() {
        errors.truncate(1);
        return (broken, errors);
    }
    let mut builder = Builder::new(file, text, &[]);
    match FlowParser::parse(Rule::lone_value, &copy) {
        Ok(mut pairs) => {
            let value = pairs.next().and_then(|lone| lone.into_inner().next());
            let value = value.map_or(broken, |pair| builder.expression(pair));
            (value, builder.errors)
        }
        Err(error) => (broken, vec![unexpected(&builder, &copy, &error)]),
    }
}

/// Returns the lines of all doc comments of a kind, without their marks.
fn documentation(text: &str, comments: &[crate::tree::Comment], kind: CommentKind) -> String {
    let lines =
        comments.iter().filter(|comment| comment.kind == kind).map(|comment| comment.span.slice(text));
    lines.map(without_marks).collect::<Vec<_>>().join("\n")
}

/// Returns a line of a doc comment without its marks.
pub(crate) fn without_marks(line: &str) -> &str {
    let line = line.trim_start_matches("///").trim_start_matches("//!").trim_end();
    line.strip_prefix(' ').unwrap_or(line)
}

fn read_item(builder: &mut Builder<'_>, item: ItemText) -> Item {
    let range = item.range.clone();
    let span = builder.span(0, range.len());
    let source = &builder.text[range.clone()];
    let documentation = builder.documentation(span.start);
    let word = first_word(source);
    let name = name_after(source, word, span);
    let broken = |name| Item { span, documentation: String::new(), kind: ItemKind::Broken(name) };
    if item.shapeless {
        // An unclosed text hides the brackets after it, so it is the cause of their mismatch.
        let unclosed =
            item.errors.iter().position(|error| matches!(error.kind, SyntaxErrorKind::UnclosedText { .. }));
        let cause = unclosed.or_else(|| item.errors.iter().position(|error| is_shape(&error.kind)));
        builder.errors.extend(cause.and_then(|cause| item.errors.into_iter().nth(cause)));
        return broken(name);
    }
    let mut copy = blanked(source, &item);
    let Some(rule) = item_rule(&copy.text).or_else(|| foreign_item(builder, &mut copy)) else {
        if is_yaml(source, word) {
            if !std::mem::replace(&mut builder.seen_yaml, true) {
                builder.errors.push(yaml(word, span));
            }
            return broken(None);
        }
        let error = unknown_item(builder.file, source, word, span);
        builder.errors.push(error);
        // If the keyword is missing, the first word is the item's name.
        let follows = source[word.len()..].trim_start_matches([' ', '\t']);
        let is_name = !word.is_empty() && (follows.starts_with(':') || follows.starts_with('='));
        let end = span.start + word.len() as u32;
        let own = Name { text: word.into(), span: Span { end, ..span } };
        return broken(if is_name { Some(own) } else { name });
    };
    match read_with_rule(builder, rule, copy, item.errors) {
        Some(kind) => Item { span, documentation, kind },
        None => broken(name),
    }
}

/// Returns whether an item is a part of a YAML file: a name, a colon, and settings in the lines below.
fn is_yaml(source: &str, word: &str) -> bool {
    let after = source[word.len()..].trim_start_matches([' ', '\t']);
    !word.is_empty()
        && after.strip_prefix(':').is_some_and(|rest| rest.trim_start_matches([' ', '\r']).starts_with('\n'))
}

/// The error of the first part of a YAML file; the other parts belong to the same mistake.
fn yaml(word: &str, span: Span) -> SyntaxError {
    let foreign = Foreign {
        message: format!("`{word}:` is a part of a YAML file, which configures another tool"),
        title: "write an item for each component: `source name = kind { setting: value }`".to_owned(),
        help: Some("a program has an item for each component, and a flow that connects them".to_owned()),
        edits: Vec::new(),
        group: None,
    };
    let span = Span { end: span.start + word.len() as u32 + 1, ..span };
    SyntaxError { span, kind: SyntaxErrorKind::Foreign(Box::new(foreign)) }
}

/// Repairs an item that begins with a word of another language, and returns its rule.
fn foreign_item(builder: &mut Builder<'_>, copy: &mut Copy) -> Option<Rule> {
    let habit = habits::item_word(&copy.text)?;
    let mut repaired = copy.clone();
    repaired.apply(&habit.edits);
    let rule = item_rule(&repaired.text)?;
    report_habit(builder, habit);
    builder.shifts = repaired.shifts.clone();
    *copy = repaired;
    Some(rule)
}

/// Parses an item. At an error, repairs the foreign form there; or replaces the entry with the error by blanks. Then
/// parses the item again.
fn read_with_rule(
    builder: &mut Builder<'_>,
    rule: Rule,
    mut copy: Copy,
    lexical: Vec<SyntaxError>,
) -> Option<ItemKind> {
    builder.shifts = copy.shifts.clone();
    for error in lexical {
        let place = copy.shifts.repaired(error.span.start as usize - builder.base);
        builder.errors.push(error);
        // The entry is blanked already: only the first error of an entry is reported.
        if copy.text.as_bytes()[place] == b' ' {
            builder.errors.pop();
        } else {
            blank_entry(builder, &mut copy.text, place)?;
        }
    }
    for _ in 0..ITEM_ERRORS_MAX {
        let error = match FlowParser::parse(rule, &copy.text) {
            Ok(mut pairs) => return pairs.next().map(|pair: Pair<'_, Rule>| builder.item(pair)),
            Err(error) => error,
        };
        let error = line_that_stops(rule, &copy.text, &error).unwrap_or(error);
        match repair(builder, rule, &mut copy, &error) {
            Repair::Made => continue,
            Repair::Unknown(place) => blank_entry(builder, &mut copy.text, place)?,
            Repair::None => {
                builder.errors.push(unexpected(builder, &copy.text, &error));
                match with_brace(rule, &copy, &error) {
                    Some(repaired) => {
                        builder.shifts = repaired.shifts.clone();
                        copy = repaired;
                    }
                    None => blank_entry(builder, &mut copy.text, place_of(&error))?,
                }
            }
        }
    }
    None
}

/// Returns the copy with the brace that is missing at an error, and with the one that then is missing at the end, if the rest of
/// the item fits into them: it is checked as if they stood there.
fn with_brace(rule: Rule, copy: &Copy, error: &Error<Rule>) -> Option<Copy> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return None };
    if positives[..] != [Rule::lbrace] {
        return None;
    }
    let mut repaired = copy.clone();
    let (place, end) = (place_of(error), copy.text.trim_end().len());
    repaired.apply(&[(place..place, "{".to_owned()), (end..end, "}".to_owned())]);
    FlowParser::parse(rule, &repaired.text).is_ok().then_some(repaired)
}

/// The result of a search for a foreign form that explains an error.
enum Repair {
    /// There is none.
    None,
    /// The form is reported and repaired.
    Made,
    /// The form in the entry at this place is reported, and can't be repaired.
    Unknown(usize),
}

/// Reports and repairs a foreign form that explains the error.
fn repair(builder: &mut Builder<'_>, rule: Rule, copy: &mut Copy, error: &Error<Rule>) -> Repair {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return Repair::None };
    let place = place_of(error);
    for habit in habits::candidates(positives, &copy.text, place) {
        if habit.edits.is_empty() {
            let start = habit.span.start;
            report_habit(builder, habit);
            return Repair::Unknown(start.max(place));
        }
        let mut repaired = copy.clone();
        repaired.apply(&habit.edits);
        let further = match FlowParser::parse(rule, &repaired.text) {
            Ok(_) => true,
            Err(later) => {
                repaired.shifts.original(place_of(&later)) > copy.shifts.original(place.max(habit.span.end))
            }
        };
        if further {
            report_habit(builder, habit);
            builder.shifts = repaired.shifts.clone();
            *copy = repaired;
            return Repair::Made;
        }
    }
    Repair::None
}

/// Reports a foreign form, whose places are those of the current copy.
fn report_habit(builder: &mut Builder<'_>, habit: Habit) {
    let span = builder.span(habit.span.start, habit.span.end);
    let edits = habit.edits.into_iter().filter(|_| habit.certain);
    let edits = edits.map(|(range, text)| (builder.span(range.start, range.end), text)).collect();
    let Habit { message, title, help, group, .. } = habit;
    let foreign = Foreign { message, title, help, edits, group };
    builder.errors.push(SyntaxError { span, kind: SyntaxErrorKind::Foreign(Box::new(foreign)) });
}

/// Returns the error at the end of an incomplete line, if the reported error is only at the next line.
///
/// Since the next line may begin with `and` or `or`, pest reports the error there, with only these two words expected.
fn line_that_stops(rule: Rule, text: &str, error: &Error<Rule>) -> Option<Error<Rule>> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return None };
    let line_end = text[..place_of(error)].trim_end().len();
    let at_line_start = text[line_end..place_of(error)].contains('\n');
    if !at_line_start || !positives.iter().all(|rule| matches!(rule, Rule::and_word | Rule::or_word)) {
        return None;
    }
    FlowParser::parse(rule, &text[..line_end]).err().filter(|error| place_of(error) == line_end)
}

fn blank_entry(builder: &mut Builder<'_>, copy: &mut String, place: usize) -> Option<()> {
    let range = entry_around(copy, place).filter(|range| !copy[range.clone()].trim().is_empty())?;
    builder.blanked.push(builder.span(range.start, range.end));
    blank(copy, range);
    Some(())
}

/// Returns the copy of an item for pest, with blanks in place of comments and insignificant newlines, and with the
/// repairs of the layout.
pub(crate) fn blanked(source: &str, item: &ItemText) -> Copy {
    let mut copy = source.to_owned();
    for range in &item.blanks {
        let range = range.start - item.range.start..range.end - item.range.start;
        if range.end <= copy.len() {
            blank(&mut copy, range);
        }
    }
    let mut copy = Copy::new(copy);
    let start = item.range.start;
    let repairs =
        item.repairs.iter().map(|(range, text)| (range.start - start..range.end - start, text.clone()));
    copy.apply(&repairs.collect::<Vec<_>>());
    copy
}

/// Replaces every byte of a range by a blank.
fn blank(copy: &mut String, range: Range<usize>) {
    let blanks = " ".repeat(range.len());
    copy.replace_range(range, &blanks);
}

fn is_shape(kind: &SyntaxErrorKind) -> bool {
    use SyntaxErrorKind::{Limit, UnclosedBracket, UnmatchedBracket};
    matches!(kind, UnclosedBracket { .. } | UnmatchedBracket { .. } | Limit { .. })
}

/// Returns the rule of the item that begins with this text; `None` for an unknown item.
pub(crate) fn item_rule(source: &str) -> Option<Rule> {
    let word = first_word(source);
    let next = first_word(source[word.len()..].trim_start_matches([' ', '\t']));
    Some(match word {
        "import" => Rule::import_item,
        "param" => Rule::param_item,
        "let" => Rule::let_item,
        "schema" => Rule::schema_item,
        "source" | "channel" | "sink" => Rule::component_item,
        "interceptor" => Rule::interceptor_item,
        "fn" => Rule::fn_item,
        "quality" => Rule::quality_item,
        "flow" => Rule::flow_item,
        "test" => Rule::test_item,
        "agent" => Rule::agent_item,
        "extern" if next == "fn" => Rule::extern_fn_item,
        "extern" if next == "parser" => Rule::extern_parser_item,
        "extern" => Rule::extern_item,
        "enum" => Rule::enum_item,
        "record" => Rule::record_item,
        _ => return None,
    })
}

fn unknown_item(file: FileId, source: &str, word: &str, span: Span) -> SyntaxError {
    let here = Span { end: span.start + word.len() as u32, ..span };
    if word.is_empty() {
        let found = expectation::found(source, 0);
        let end = span.start + source.chars().next().map_or(0, |letter| letter.len_utf8() as u32);
        let expected = vec!["an item such as `source` or `flow`"];
        let kind = SyntaxErrorKind::Unexpected { found, expected, hint: None };
        return SyntaxError { span: Span { file, start: span.start, end }, kind };
    }
    SyntaxError { span: here, kind: SyntaxErrorKind::UnknownItem { word: word.to_owned() } }
}

fn first_word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Returns the name after an item's keyword, for items with syntax errors.
fn name_after(text: &str, word: &str, span: Span) -> Option<Name> {
    let rest = &text[word.len()..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let name = first_word(&rest[blanks..]);
    let start = span.start + (word.len() + blanks) as u32;
    let span = Span { start, end: start + name.len() as u32, ..span };
    (!name.is_empty()).then(|| Name { text: name.into(), span })
}

fn place_of(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(place) => place,
        InputLocation::Span((start, _)) => start,
    }
}

fn unexpected(builder: &Builder<'_>, text: &str, error: &Error<Rule>) -> SyntaxError {
    let place = place_of(error);
    let Mismatch { found, length, expected, hint } = expectation::mismatch(text, place, error);
    let span = builder.span(place, place + length);
    SyntaxError { span, kind: SyntaxErrorKind::Unexpected { found, expected, hint } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_value_is_no_item() {
        for text in [
            "[\"order\"]",
            "[\"order\"]\n",
            "[\n  \"order\", // what is sold\n  \"offer\",\n]",
            "a.b == 1",
            "-1",
        ] {
            let (value, errors) = parse_value(FileId(0), text);
            assert!(errors.is_empty() && value.kind != ExpressionKind::Broken, "{text}: {errors:?}");
        }
        for text in ["[\"order\"", "1 2", "a.b = c", "1 ]"] {
            assert_eq!(parse_value(FileId(0), text).1.len(), 1, "{text}");
        }
    }
}

//! Parses a text into a tree, item by item.

use std::ops::Range;

use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use pest::iterators::Pair;

use crate::build::Builder;
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::expectation::{self, Mismatch};
use crate::layout::{ItemText, entry_around, lay_out};
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
    for item in layout.items {
        builder.begin_item(item.range.start, last_end);
        last_end = item.range.end;
        let read = read_item(&mut builder, item);
        parsed.file.items.push(read);
        builder.errors.sort_by_key(|error| error.span.start);
        parsed.errors.append(&mut builder.errors);
    }
    parsed.file.comments = layout.comments;
    parsed
}

/// Parses a single value, such as the value of `--set name=value`.
pub fn parse_value(file: FileId, text: &str) -> (Expression, Vec<SyntaxError>) {
    let span = Span { file, start: 0, end: text.len() as u32 };
    let broken = Expression { span, kind: ExpressionKind::Broken };
    let layout = lay_out(file, text);
    let mut errors: Vec<SyntaxError> = Vec::new();
    let shapeless = layout.items.iter().any(|item| item.shapeless);
    errors.extend(layout.items.into_iter().flat_map(|item| item.errors));
    if shapeless || !errors.is_empty() {
        errors.truncate(1);
        return (broken, errors);
    }
    let mut builder = Builder::new(file, text, &[]);
    match FlowParser::parse(Rule::lone_value, text) {
        Ok(mut pairs) => {
            let value = pairs.next().and_then(|lone| lone.into_inner().next());
            let value = value.map_or(broken, |pair| builder.expression(pair));
            (value, builder.errors)
        }
        Err(error) => (broken, vec![unexpected(file, text, 0, &error)]),
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
        let unclosed = item.errors.iter().position(|error| error.kind == SyntaxErrorKind::UnclosedText);
        let cause = unclosed.or_else(|| item.errors.iter().position(|error| is_shape(&error.kind)));
        builder.errors.extend(cause.and_then(|cause| item.errors.into_iter().nth(cause)));
        return broken(name);
    }
    let Some(rule) = item_rule(source) else {
        let error = unknown_item(builder.file, source, word, span);
        builder.errors.push(error);
        // If the keyword is missing, the first word is the item's name.
        let follows = source[word.len()..].trim_start_matches([' ', '\t']);
        let is_name = !word.is_empty() && (follows.starts_with(':') || follows.starts_with('='));
        let end = span.start + word.len() as u32;
        let own = Name { text: word.into(), span: Span { end, ..span } };
        return broken(if is_name { Some(own) } else { name });
    };
    let copy = blanked(source, &item);
    match read_with_rule(builder, rule, copy, item.errors) {
        Some(kind) => Item { span, documentation, kind },
        None => broken(name),
    }
}

/// Parses an item. At an error, replaces the entry with the error by blanks and parses the item again.
fn read_with_rule(
    builder: &mut Builder<'_>,
    rule: Rule,
    mut copy: String,
    lexical: Vec<SyntaxError>,
) -> Option<ItemKind> {
    for error in lexical {
        let place = error.span.start as usize - builder.base;
        builder.errors.push(error);
        // The entry is blanked already: only the first error of an entry is reported.
        if copy.as_bytes()[place] == b' ' {
            builder.errors.pop();
        } else {
            blank_entry(builder, &mut copy, place)?;
        }
    }
    for _ in 0..ITEM_ERRORS_MAX {
        let error = match FlowParser::parse(rule, &copy) {
            Ok(mut pairs) => return pairs.next().map(|pair: Pair<'_, Rule>| builder.item(pair)),
            Err(error) => error,
        };
        let error = line_that_stops(rule, &copy, &error).unwrap_or(error);
        builder.errors.push(unexpected(builder.file, &copy, builder.base, &error));
        blank_entry(builder, &mut copy, place_of(&error))?;
    }
    None
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

/// Returns the copy of an item for pest, with blanks in place of comments and insignificant newlines.
pub(crate) fn blanked(source: &str, item: &ItemText) -> String {
    let mut copy = source.to_owned();
    for range in &item.blanks {
        let range = range.start - item.range.start..range.end - item.range.start;
        if range.end <= copy.len() {
            blank(&mut copy, range);
        }
    }
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

fn unexpected(file: FileId, text: &str, base: usize, error: &Error<Rule>) -> SyntaxError {
    let place = place_of(error);
    let Mismatch { found, length, expected, hint } = expectation::mismatch(text, place, error);
    let start = (base + place) as u32;
    let span = Span { file, start, end: start + length as u32 };
    SyntaxError { span, kind: SyntaxErrorKind::Unexpected { found, expected, hint } }
}

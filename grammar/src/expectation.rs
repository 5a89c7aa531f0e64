//! Descriptions of the tokens that pest expected: selects the few likely ones from all possible ones.

mod slip;

use pest::error::{Error, ErrorVariant};

use crate::Rule;

const NAME: &str = "a name";
const VALUE: &str = "a value";
const OPERATOR: &str = "an operator";
const STAGE: &str = "the name of a component or a step";
const TEXT: &str = "text in quotes";

/// The brace that closes a hole in text.
const HOLE_END: &str = "`}`, the end of the hole";

/// Tokens up to this rank are required at a place or end it; tokens of higher ranks are optional.
const NEEDED: u8 = 3;

/// An unexpected token.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// The token, in quotes or described.
    pub(crate) found: String,
    /// The token's length in bytes.
    pub(crate) length: usize,
    /// Descriptions of the expected tokens, the likeliest first.
    pub(crate) expected: Vec<&'static str>,
    /// A hint at the likely intention.
    pub(crate) hint: Option<String>,
}

/// Describes a syntax error at a place of an item's text.
pub(crate) fn mismatch(text: &str, place: usize, error: &Error<Rule>) -> Mismatch {
    let rules: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => &[],
    };
    let mut expected = expected(rules, text, place);
    let mut hint = None;
    if let Some(slip) = slip::find(rules, text, place) {
        if !slip.instead.is_empty() {
            expected = slip.instead;
        }
        hint = slip.hint;
    }
    let mut found = found(text, place);
    if expected.contains(&HOLE_END) && text[place..].starts_with('"') {
        found = "the end of the text".to_owned();
        return Mismatch { found, length: 1, expected, hint };
    }
    Mismatch { found, length: length_at(text, place), expected, hint }
}

fn expected(rules: &[Rule], text: &str, place: usize) -> Vec<&'static str> {
    let has = |rule| rules.contains(&rule);
    let mut words: Vec<(u8, &'static str)> = rules.iter().filter_map(|rule| description(*rule)).collect();
    if begins_value(rules) {
        words.retain(|(_, word)| !matches!(*word, "`[`" | "`{`" | "`(`" | NAME | TEXT) && !is_literal(word));
        words.push((1, VALUE));
    }
    if ends_operand(rules)
        || words.iter().any(|(rank, word)| *rank <= NEEDED && !matches!(*word, "`[`" | "`(`"))
    {
        // Brackets may follow any value or name, so they are no help at this place.
        words.retain(|(_, word)| !matches!(*word, "`[`" | "`(`"));
    }
    if ends_operand(rules) {
        words.retain(|(_, word)| *word != "`{`");
        // A required word is a better hint than the optional operators.
        let must_come =
            !rules.iter().any(|rule| is_end(*rule)) && words.iter().any(|(rank, _)| *rank <= NEEDED);
        words.retain(|(_, word)| *word != OPERATOR);
        if !must_come {
            words.push((NEEDED, OPERATOR));
        }
    }
    if has(Rule::separator) {
        words.retain(|(_, word)| *word != "`}`");
        let line = text[..place].rsplit('\n').next().unwrap_or_default();
        words.push((NEEDED, if line.contains('{') { "a comma" } else { "a new line" }));
    }
    if has(Rule::quote) {
        let opens = has(Rule::raw_quote);
        let closes = (2, if opens { TEXT } else { "a closing `\"`" });
        words.extend((!opens || !begins_value(rules)).then_some(closes));
    }
    if has(Rule::dots) && has(Rule::dots_equal) {
        words = vec![(1, "`..=`"), (1, "`..`")];
    }
    if words.iter().any(|(rank, _)| *rank == 1) {
        words.retain(|(_, word)| *word != "`}`");
    }
    if words.iter().any(|(rank, _)| *rank <= NEEDED) {
        words.retain(|(rank, _)| *rank <= NEEDED);
    }
    if words.contains(&(1, STAGE)) {
        words.retain(|(_, word)| *word != NAME);
    }
    words.sort_by_key(|(rank, word)| (*rank, *word != "`,`", *word == OPERATOR));
    let mut listed: Vec<&'static str> = Vec::new();
    for (_, word) in words {
        if !listed.contains(&word) {
            listed.push(word);
        }
    }
    listed
}

/// Returns whether a value is expected.
fn begins_value(rules: &[Rule]) -> bool {
    let has = |rule| rules.contains(&rule);
    has(Rule::number) && has(Rule::lbracket) || has(Rule::expression) || has(Rule::operation)
}

/// Returns whether a name is expected.
fn wants_name(rules: &[Rule]) -> bool {
    let names = [Rule::name, Rule::thing_name, Rule::kind_name, Rule::path, Rule::target];
    rules.iter().any(|rule| names.contains(rule))
}

fn is_literal(word: &str) -> bool {
    matches!(word, "a number" | "a header such as `@timestamp`" | "`if`" | "`match`" | OPERATOR)
}

/// Returns whether the place follows a complete value.
fn ends_operand(rules: &[Rule]) -> bool {
    rules.contains(&Rule::comparator) || rules.contains(&Rule::coalesce)
}

/// Returns whether the rule ends the preceding value or entry.
fn is_end(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::separator
            | Rule::EOI
            | Rule::rbrace
            | Rule::rparen
            | Rule::rbracket
            | Rule::comma
            | Rule::arrow
    )
}

/// Returns a description of a rule with its rank; a lower rank is more likely.
fn description(rule: Rule) -> Option<(u8, &'static str)> {
    if let Some(punctuation) = punctuation_description(rule) {
        return Some(punctuation);
    }
    Some(match rule {
        Rule::name | Rule::thing_name | Rule::kind_name | Rule::path | Rule::target => (1, NAME),
        Rule::word | Rule::constant | Rule::named | Rule::expression | Rule::operation | Rule::paren => {
            (1, VALUE)
        }
        Rule::list | Rule::match_value | Rule::conditional | Rule::secret | Rule::subject => (1, VALUE),
        Rule::text | Rule::string | Rule::raw_string => (2, TEXT),
        Rule::number | Rule::bound => (2, "a number"),
        Rule::header => (2, "a header such as `@timestamp`"),
        Rule::block => (2, "settings in `{ }`"),
        Rule::r#type | Rule::list_type | Rule::argument_type => (1, "a type"),
        Rule::setting | Rule::entry => (1, "a setting such as `name: value`"),
        Rule::field => (1, "a field such as `user: Text`"),
        Rule::parameter => (1, "a parameter such as `name: Text`"),
        Rule::column => (1, "a column such as `@host: Text`"),
        Rule::law => (1, "a rule such as `status >= 100`"),
        Rule::place | Rule::chain | Rule::branch | Rule::case => (1, STAGE),
        Rule::copy_word | Rule::balance_word | Rule::failover_word | Rule::set_word | Rule::keep_word => {
            (1, STAGE)
        }
        Rule::promise => (1, "a promise such as `at_least_once`"),
        Rule::range => (1, "a range such as `1..=10`"),
        Rule::hole_path => (1, "the name of a header, param or let"),
        Rule::role => (1, "`source`, `channel` or `sink`"),
        Rule::send | Rule::send_word => (1, "`send`, `expect`, `advance`, `fail`, `crash` or `for each`"),
        Rule::comparator | Rule::coalesce | Rule::is_word | Rule::plus | Rule::star => (4, OPERATOR),
        Rule::EOI => (3, "the end of the item"),
        _ => return keyword_description(rule),
    })
}

fn punctuation_description(rule: Rule) -> Option<(u8, &'static str)> {
    Some(match rule {
        Rule::lbrace | Rule::signature | Rule::variants | Rule::chains | Rule::columns | Rule::fn_body => {
            (1, "`{`")
        }
        Rule::rbrace => (3, "`}`"),
        Rule::lbracket => (1, "`[`"),
        Rule::rbracket => (3, "`]`"),
        Rule::lparen | Rule::parameters | Rule::arguments => (2, "`(`"),
        Rule::rparen => (3, "`)`"),
        Rule::comma => (3, "`,`"),
        Rule::colon => (1, "`:`"),
        Rule::equals => (1, "`=`"),
        Rule::arrow => (3, "`->`"),
        Rule::fat_arrow => (2, "`=>`"),
        Rule::pipe => (4, "`|`"),
        Rule::question => (4, "`?`"),
        Rule::dots => (1, "`..`"),
        Rule::hole_close => (1, HOLE_END),
        _ => return None,
    })
}

fn keyword_description(rule: Rule) -> Option<(u8, &'static str)> {
    Some(match rule {
        Rule::if_word => (1, "`if`"),
        Rule::then_word => (1, "`then`"),
        Rule::null_word => (1, "`null`"),
        Rule::empty_word => (1, "`empty`"),
        Rule::to_word => (1, "`to`"),
        Rule::within_word => (1, "`within`"),
        Rule::times_word => (1, "`times`"),
        Rule::lines_word => (4, "`lines`"),
        Rule::else_word => (2, "`else`"),
        Rule::because | Rule::because_word => (2, "`because`"),
        Rule::as_word => (2, "`as`"),
        Rule::by_word => (2, "`by`"),
        Rule::delivers | Rule::delivers_word => (2, "`delivers`"),
        Rule::sensitive_word => (2, "`sensitive`"),
        Rule::default_word => (4, "`default`"),
        Rule::in_word => (4, "`in`"),
        _ => return None,
    })
}

/// Returns the token at a place, in quotes or described.
pub(crate) fn found(text: &str, place: usize) -> String {
    match text.get(place..).and_then(|rest| rest.chars().next()) {
        None => "the end of the item".to_owned(),
        Some('\n') => "the end of the line".to_owned(),
        Some('"') => "text".to_owned(),
        Some(' ' | '\t' | '\r') => "a blank".to_owned(),
        Some(_) => format!("`{}`", &text[place..place + length_at(text, place)]),
    }
}

/// Returns the length in bytes of the word, number or mark at a place.
fn length_at(text: &str, place: usize) -> usize {
    let Some(rest) = text.get(place..) else { return 0 };
    if slip::MARKS.iter().any(|mark| rest.starts_with(mark)) {
        return 2;
    }
    let after_mark = usize::from(rest.starts_with('@'));
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let word = rest[after_mark..].find(|letter| !is_word(letter)).unwrap_or(rest.len() - after_mark);
    match rest.chars().next() {
        None | Some('\n') => 0,
        Some('"') => rest[1..].find(['"', '\n']).map_or(1, |end| end + 2),
        Some(letter) => (after_mark + word).max(letter.len_utf8()),
    }
}

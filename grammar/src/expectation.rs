//! What pest expected, in words.

use pest::error::{Error, ErrorVariant};

use crate::Rule;

const NAME: &str = "a name";
const STAGE: &str = "the name of a component or a step";

/// The brace that closes a hole in text.
pub(crate) const HOLE_END: &str = "`}`, the end of the hole";

/// What could stand at the place of an error, in words, without repeats.
pub(crate) fn expected(error: &Error<Rule>) -> Vec<&'static str> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return Vec::new() };
    let mut words: Vec<(u8, &'static str)> = positives.iter().filter_map(|rule| in_words(*rule)).collect();
    words.sort_unstable();
    words.dedup();
    // Where something must follow, what might come in between says nothing new.
    if words.iter().any(|(rank, _)| *rank < 3) {
        words.retain(|(rank, _)| *rank < 4);
    }
    if words.contains(&(1, STAGE)) {
        words.retain(|(_, word)| *word != NAME);
    }
    words.into_iter().map(|(_, word)| word).collect()
}

/// A rule in words, the lower the number the likelier it is what was meant.
fn in_words(rule: Rule) -> Option<(u8, &'static str)> {
    if let Some(punctuation) = punctuation_in_words(rule) {
        return Some(punctuation);
    }
    Some(match rule {
        Rule::name | Rule::thing_name | Rule::kind_name => (1, NAME),
        Rule::word | Rule::operand | Rule::constant | Rule::named | Rule::value | Rule::list | Rule::call => {
            (1, "a value")
        }
        Rule::text | Rule::string | Rule::raw_string => (2, "text in quotes"),
        Rule::number | Rule::negative | Rule::bound => (2, "a number"),
        Rule::header => (2, "a header such as `@timestamp`"),
        Rule::block => (2, "settings in `{ }`"),
        Rule::expression | Rule::conjunction | Rule::negation | Rule::comparison | Rule::paren => {
            (1, "a condition")
        }
        Rule::list_type => (1, "a type"),
        Rule::setting | Rule::entry => (1, "a setting such as `name: value`"),
        Rule::column => (1, "a column such as `@host: Text`"),
        Rule::chain | Rule::copy | Rule::keep | Rule::later_step | Rule::branch => (1, STAGE),
        Rule::promise => (1, "a promise such as `at_least_once`"),
        Rule::range => (1, "a range such as `1..=10`"),
        Rule::hole_path => (1, "the name of a header, param or let"),
        Rule::role => (1, "`source`, `channel` or `sink`"),
        Rule::if_word => (1, "`if`"),
        Rule::null_word => (1, "`null`"),
        Rule::because_word => (1, "`because`"),
        Rule::is_null | Rule::is_word | Rule::comparator | Rule::later_operator => (4, "an operator"),
        Rule::and_word | Rule::or_word => (4, "an operator"),
        Rule::in_word => (4, "`in`"),
        Rule::delivers | Rule::delivers_word => (2, "`delivers`"),
        Rule::default_word => (4, "`default`"),
        Rule::EOI => (3, "the end of the item"),
        Rule::separator => (3, "a new line"),
        _ => return None,
    })
}

fn punctuation_in_words(rule: Rule) -> Option<(u8, &'static str)> {
    Some(match rule {
        Rule::lbrace | Rule::signature | Rule::variants | Rule::chains | Rule::columns => (1, "`{`"),
        Rule::rbrace => (3, "`}`"),
        Rule::lbracket => (1, "`[`"),
        Rule::rbracket => (3, "`]`"),
        Rule::lparen => (2, "`(`"),
        Rule::rparen => (3, "`)`"),
        Rule::comma => (3, "`,`"),
        Rule::colon => (1, "`:`"),
        Rule::equals => (1, "`=`"),
        Rule::arrow => (3, "`->`"),
        Rule::question => (4, "`?`"),
        Rule::minus => (4, "`-`"),
        Rule::dots | Rule::dots_equal => (1, "`..`"),
        Rule::quote => (2, "a closing `\"`"),
        Rule::hole_close => (1, HOLE_END),
        _ => return None,
    })
}

/// What stands at a place, in quotes or in words.
pub(crate) fn found(text: &str, place: usize) -> String {
    match text.get(place..).and_then(|rest| rest.chars().next()) {
        None => "the end of the item".to_owned(),
        Some('\n') => "the end of the line".to_owned(),
        Some('"') => "text".to_owned(),
        Some(_) => format!("`{}`", &text[place..place + length_at(text, place)]),
    }
}

/// How many bytes the word, number or character at a place has.
pub(crate) fn length_at(text: &str, place: usize) -> usize {
    let Some(rest) = text.get(place..) else { return 0 };
    if rest.starts_with("->") {
        return 2;
    }
    let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    match rest.chars().next() {
        None | Some('\n') => 0,
        Some('"') => rest[1..].find(['"', '\n']).map_or(1, |end| end + 2),
        Some(letter) => word.max(letter.len_utf8()),
    }
}

//! The words that may follow at a place, as the grammar says.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use crate::layout::{ITEM_WORDS, lay_out};
use crate::parse::{blanked, item_rule};
use crate::{FileId, FlowParser, Rule};

/// The tokens that may follow the beginning of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Continuation {
    /// The keywords that may follow, in the order of the grammar.
    pub words: Vec<String>,
    /// Whether a name may follow: of a thing, a field, a setting or a type.
    pub names: bool,
    /// Whether a value may follow.
    pub values: bool,
}

/// Returns what may follow after a text that begins with an item and ends within it. At the beginning of an item these are
/// the keywords of items. `None` if the text has a syntax error before its end.
pub fn continuation(text: &str) -> Option<Continuation> {
    let begun = format!("{text}word");
    let begins_item =
        lay_out(FileId(0), &begun).items.last().is_some_and(|item| item.range.start == text.len());
    let layout = lay_out(FileId(0), text);
    let Some(item) = layout.items.last().filter(|_| !begins_item) else {
        let words = ITEM_WORDS.iter().map(|word| (*word).to_owned()).collect();
        return Some(Continuation { words, ..Continuation::default() });
    };
    let source = &text[item.range.start..];
    // No rule matches this character, so that pest says what it expects there.
    let copy = format!("{}\u{1}", blanked(source, item).text);
    let rule = item_rule(source)?;
    let error = FlowParser::parse(rule, &copy).err()?;
    let (InputLocation::Pos(place) | InputLocation::Span((place, _))) = error.location;
    let ErrorVariant::ParsingError { positives, .. } = error.variant else { return None };
    if !copy[place..].trim_start().starts_with('\u{1}') {
        return None;
    }
    Some(of_rules(&positives))
}

/// The keywords with which a value may begin.
const VALUE_WORDS: [&str; 6] = ["true", "false", "null", "if", "match", "not"];

fn of_rules(rules: &[Rule]) -> Continuation {
    let mut found = Continuation::default();
    for rule in rules {
        match rule {
            Rule::role => found.words.extend(["source", "channel", "sink"].map(str::to_owned)),
            Rule::constant => found.words.extend(["true", "false", "null"].map(str::to_owned)),
            Rule::expression | Rule::operation | Rule::operand | Rule::number | Rule::text | Rule::list => {
                found.values = true;
            }
            Rule::name | Rule::thing_name | Rule::kind_name | Rule::path | Rule::target | Rule::named => {
                found.names = true;
            }
            Rule::chain | Rule::branch => {
                found.names = true;
                found.words.extend((*rule == Rule::branch).then(|| "optional".to_owned()));
                found.words.extend(stage_words());
            }
            rule => found.words.extend(first_word(*rule)),
        }
    }
    // A component may have the name `in`, so the rule of the keyword is tried for each name.
    if found.names && !found.values {
        found.words.retain(|word| word != "in" && word != "null");
    }
    if found.values {
        found.words.extend(VALUE_WORDS.map(str::to_owned));
    }
    let mut seen = Vec::new();
    found.words.retain(|word| {
        let is_new = !seen.contains(word);
        seen.push(word.clone());
        is_new
    });
    found
}

/// Returns the keywords with which a stage of a chain may begin.
fn stage_words() -> impl Iterator<Item = String> {
    let steps = Rule::all_rules().iter().copied().filter(|rule| format!("{rule:?}").ends_with("_step"));
    steps.chain([Rule::copy, Rule::choice, Rule::balance, Rule::failover]).filter_map(first_word)
}

/// Returns the keyword that a rule begins with, by the names of the rules.
fn first_word(rule: Rule) -> Option<String> {
    match rule {
        Rule::choice | Rule::match_value => return Some("match".to_owned()),
        Rule::conditional => return Some("if".to_owned()),
        Rule::use_step => return None,
        Rule::copy | Rule::balance | Rule::failover | Rule::secret | Rule::because | Rule::delivers => {
            return Some(format!("{rule:?}"));
        }
        _ => {}
    }
    let name = format!("{rule:?}");
    name.strip_suffix("_word").or_else(|| name.strip_suffix("_step")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        continuation(text).unwrap().words
    }

    #[test]
    fn the_grammar_says_which_words_follow() {
        assert_eq!(words("flow f {\n  a -> keep "), ["if"]);
        assert_eq!(words("flow f delivers at_least_once "), ["by"]);
        assert!(words("flow f {\n  a -> parse json ").contains(&"as".to_owned()));
        assert!(words("flow f {\n  a -> ").contains(&"throttle".to_owned()));
        assert!(words("schema S {\n  a: Text ").contains(&"sensitive".to_owned()));
        assert_eq!(words(""), ITEM_WORDS);
        assert_eq!(continuation("flow f {\n  a b c -> "), None);
        assert!(continuation("source a = ").unwrap().names);
        assert!(continuation("let a = ").unwrap().values);
    }
}

use weir_grammar::Span;

use super::{Description, joined};

/// Reserved words, which can be names only in backticks.
const RESERVED: [&str; 13] =
    ["true", "false", "null", "if", "then", "else", "match", "in", "is", "matches", "and", "or", "not"];

/// A token that the grammar doesn't allow at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Unexpected {
    /// The token, in words.
    pub found: String,
    /// The allowed tokens, in words.
    pub expected: Vec<&'static str>,
    /// The probable intention, if the grammar recognises a typical slip.
    pub hint: Option<String>,
    /// The place of the token.
    pub span: Span,
}

/// The beginnings of values, which add nothing to the expectation "a value".
const VALUE_BEGINNINGS: [&str; 8] = [
    "`[`",
    "`{`",
    "`(`",
    "a name",
    "a closing `\"`",
    "text in quotes",
    "a number",
    "a header such as `@timestamp`",
];

impl Unexpected {
    pub(super) fn describe(&self) -> Description {
        let mut expected = self.expected.clone();
        if self.expects("a value") {
            expected.retain(|what| !VALUE_BEGINNINGS.contains(what));
        }
        let expected = match expected.as_slice() {
            [] => {
                return Description::new(format!("unexpected {}", self.found), self.span, "can't stand here");
            }
            few if few.len() < 6 => joined(few, "or"),
            many => joined(&many[..5], "or"),
        };
        let message = format!("expected {expected}, found {}", self.found);
        let description = Description::new(message, self.span, format!("expected {expected}"));
        let description = match self.hint.clone().or_else(|| self.likely()) {
            Some(hint) => description.help(hint),
            None => description,
        };
        match self.instead() {
            Some(instead) => description.fix(format!("write `{}`", instead.trim_start()), self.span, instead),
            None => description,
        }
    }

    /// Returns a hint at the probable intention, if it is known.
    fn likely(&self) -> Option<String> {
        let after_operand = self.expects("an operator");
        let found = self.found.trim_matches('`');
        let hint = match (found, self.expected.as_slice()) {
            ("=", _) if after_operand => "`==` compares",
            ("<" | ">" | "==" | "!=", _) if after_operand => {
                "comparisons do not chain: write `a < b and b < c`"
            }
            ("&" | "|", _) if after_operand => "conditions are joined by `and` and `or`",
            (".", _) if after_operand => "a number has digits on both sides of its point: `5.0`",
            ("'" | "\u{2018}" | "\u{2019}" | "\u{201c}" | "\u{201d}" | "\u{201e}", _) => {
                "text stands in straight double quotes: `\"text\"`"
            }
            (";", _) => "an entry ends with its line, or with a comma",
            ("#" | "/", [only]) if only.starts_with("an item") => "comments begin with `//`",
            ("-", ["`=`"]) => "names are written in snake_case: `web_clicks`",
            ("=", ["`:`"]) => "write `name: value`; a param also has a type: `name: Type = value`",
            (_, ["`{`"]) => "settings stand in braces, also where there are none: `{}`",
            (_, ["`:`"]) => "write `name: value`",
            (_, ["`=`"]) => "write `name = …`",
            (reserved, ["a name"]) if RESERVED.contains(&reserved) => {
                return Some(format!("`{reserved}` is a reserved word; in backticks it can be a name"));
            }
            (unit, _) if self.expects("a new line") && is_unit(unit) => {
                return Some(format!("a unit touches its number: `5{unit}`"));
            }
            _ if self.expects("`if`") => return None,
            _ if self.expects("`->`") && self.expects("`(`") => "events move along arrows: `a -> b`",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Returns the certain replacement of the token, if there is one.
    fn instead(&self) -> Option<&'static str> {
        match (self.found.as_str(), self.expected.as_slice()) {
            ("`=`", _) if self.expects("an operator") => Some("=="),
            ("`:`", ["`=`"]) => Some(" ="),
            ("`&&`" | "`&`", ["`and`"]) => Some("and"),
            ("`||`" | "`|`", ["`or`"]) => Some("or"),
            ("`!`", ["`not`"]) => Some("not "),
            ("`=>`", ["`->`"]) => Some("->"),
            ("`->`", ["`=>`"]) => Some("=>"),
            _ => None,
        }
    }

    fn expects(&self, what: &str) -> bool {
        self.expected.contains(&what)
    }
}

fn is_unit(word: &str) -> bool {
    weir_grammar::UNITS.iter().any(|(_, names)| names.contains(&word))
}

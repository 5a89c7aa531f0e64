use weir_grammar::Span;

use super::Description;

/// A comparison with raw text that looks like a regular expression.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedWithRegex {
    /// The compared value, as the program writes it.
    pub value: String,
    /// The raw text, as the program writes it.
    pub pattern: String,
    /// Whether the comparison is `!=`.
    pub negated: bool,
    /// Whether the text has characters that only a pattern would have.
    pub is_pattern: bool,
    /// The place of the comparison.
    pub span: Span,
}

impl ComparedWithRegex {
    pub(super) fn describe(&self) -> Description {
        let ComparedWithRegex { value, pattern, negated, is_pattern, span } = self;
        let operator = if *negated { "!=" } else { "==" };
        let message = format!("`{operator}` compares with the text {pattern}, and not with a pattern");
        let description = Description::new(message, *span, "only exactly this text is equal");
        let matching = match negated {
            true => format!("not ({value} matches {pattern})"),
            false => format!("{value} matches {pattern}"),
        };
        let description = description.help(format!("a pattern is asked for with `matches`: `{matching}`"));
        match is_pattern {
            true => description.fix(format!("write `{matching}`"), *span, matching),
            false => description.help("text without a `r` before it needs no pattern"),
        }
    }
}

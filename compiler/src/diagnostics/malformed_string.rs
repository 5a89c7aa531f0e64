use weir_grammar::Span;

use super::Description;

/// A sequence of characters that is not allowed in quoted text.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedString {
    /// The fault, in words.
    pub reason: String,
    /// The suggested replacement.
    pub instead: Option<&'static str>,
    /// The place of the characters.
    pub span: Span,
}

impl MalformedString {
    pub(super) fn describe(&self) -> Description {
        let description =
            Description::new(format!("in text: {}", self.reason), self.span, "can't stand in text");
        match self.instead {
            Some(instead) => description
                .help(format!("write `{instead}`; or raw text, which has neither holes nor escapes: `r\"…\"`"))
                .fix(format!("write `{instead}`"), self.span, instead),
            None => description.help(
                "escapes are `\\n`, `\\r`, `\\t`, `\\\"`, `\\\\` and `\\u{1F30A}`; raw text has none: `r\"\\d+\"`",
            ),
        }
    }
}

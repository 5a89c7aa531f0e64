use weir_grammar::Span;

use super::Description;

/// A piece of text that can't stand in quotes.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedString {
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub instead: Option<&'static str>,
    /// The piece.
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

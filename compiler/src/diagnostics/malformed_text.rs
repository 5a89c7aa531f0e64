use weir_grammar::Span;

use super::{Description, with_article};

/// Text that is not a value of the expected type.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedText {
    /// The expected type.
    pub expected: String,
    /// The text.
    pub text: String,
    /// The fault, in words.
    pub reason: String,
    /// A description of correct text.
    pub help: String,
    /// A similar text that is correct.
    pub near: Option<String>,
    /// The place of the text, including its quotes.
    pub span: Span,
}

impl MalformedText {
    pub(super) fn describe(&self) -> Description {
        let message = format!("\"{}\" is not {}: {}", self.text, with_article(&self.expected), self.reason);
        let description = Description::new(message, self.span, self.reason.as_str());
        match &self.near {
            Some(near) => description.help(format!("did you mean \"{near}\"?")).guess(
                format!("write \"{near}\""),
                self.span,
                format!("\"{near}\""),
            ),
            None => description.help(self.help.as_str()),
        }
    }
}

use weir_grammar::Span;

use super::{Description, with_article};

/// Text that is not what its type says.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedText {
    /// The type that is expected.
    pub expected: String,
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub help: String,
    /// A text that is near and right.
    pub near: Option<String>,
    /// The text, with its quotes.
    pub span: Span,
}

impl MalformedText {
    pub(super) fn describe(&self) -> Description {
        let message = format!("\"{}\" is not {}: {}", self.text, with_article(&self.expected), self.reason);
        let description = Description::new(message, self.span, self.reason.as_str());
        match &self.near {
            Some(near) => description.help(format!("did you mean \"{near}\"?")).fix(
                format!("write \"{near}\""),
                self.span,
                format!("\"{near}\""),
            ),
            None => description.help(self.help.as_str()),
        }
    }
}
